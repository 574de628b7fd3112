"""Where things lie: the course (notebooks, profiles), the real data, the caches."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from cnnviz_utils.base.settings import UsageError, cut

PACKAGE = Path(__file__).resolve().parent.parent
CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "notebooks").is_dir() else None


def course_root() -> Path:
    """The folder that holds `notebooks/` and `profiles/`: the checkout, or the copy
    inside an installed wheel."""
    return CHECKOUT or PACKAGE / "course"


def as_path(value: object, what: str) -> Path:
    """What a caller gave as a file or folder, `~` at its beginning replaced by the
    user's own folder.

    Raises UsageError, whose sentence begins with `what`, for anything but a text or a
    path, and for a text that cannot be one.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        shown = "an empty text" if text == "" else cut(value)
        raise UsageError(f"{what} must be the path of a file or folder, not {shown}")
    path = Path(text)
    with suppress(RuntimeError):  # of a user that there is not
        path = path.expanduser()
    try:
        os.stat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(f"{what} is too long a name: {cut(text)}") from None
    except UnicodeEncodeError:
        raise UsageError(f"{what} cannot be a name here: {cut(text)}") from None
    return path


def data_root(root: str | Path | None = None) -> Path:
    """Where real data is looked for: `root` if given, else CNNVIZ_DATA, else the
    checkout's `data/`, else ./data. Raises UsageError for what is no path."""
    if root is not None and not (isinstance(root, str) and not root):
        return as_path(root, "root").resolve()
    chosen = os.environ.get("CNNVIZ_DATA") or (
        CHECKOUT / "data" if CHECKOUT else "data"
    )
    return Path(chosen).expanduser().resolve()


def cache_root() -> Path:
    """Where decoded images and trained weights are kept: CNNVIZ_CACHE, else the
    checkout's `data/cache`, else the
    user's cache folder. Safe to delete at any time: everything in it is made again."""
    if chosen := os.environ.get("CNNVIZ_CACHE"):
        return Path(chosen).expanduser().resolve()
    if CHECKOUT:
        return CHECKOUT / "data" / "cache"
    return (
        Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser().resolve()
        / "cnnviz"
    )
