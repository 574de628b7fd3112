"""Where things lie: the course (notebooks, profiles), the real data, the caches."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "notebooks").is_dir() else None


def course_root() -> Path:
    """The folder that holds `notebooks/` and `profiles/`: the checkout, or the copy
    inside an installed wheel."""
    return CHECKOUT or PACKAGE / "course"


def data_root(root: str | Path | None = None) -> Path:
    """Where real data is looked for: `root` if given, else CNNVIZ_DATA, else the
    checkout's `data/`, else ./data."""
    chosen = (
        root
        or os.environ.get("CNNVIZ_DATA")
        or (CHECKOUT / "data" if CHECKOUT else "data")
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
