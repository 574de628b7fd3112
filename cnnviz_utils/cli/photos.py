"""Photos that a run is to use, looked at before anything starts."""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from cnnviz_utils.base.files import writable_folder, write_whole
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.course.lessons import Lesson

SEEN = 6000  # photos that a network trained from nothing is shown, repeats counted


def check_photos(settings: Iterable[dict[str, object]]) -> list[str]:
    """Lessons' parameters -> a description (classes and counts) of each folder of one's
    own that they name.

    Raises UsageError, before a kernel is started, for a folder whose layout is not
    recognised, and for a data set that is not there.
    """
    from cnnviz_utils.data.photos.catalogue import SETS, status
    from cnnviz_utils.data.photos.layouts import recognise

    asked = {
        (str(one[name]), str(one.get("root") or ""))
        for one in settings
        for name in ("data", "source", "near")  # what is learned, and what lends
        if name in one
    }
    found = []
    for name, root in sorted(asked):
        if name == "folder":
            if not root:
                raise UsageError("data 'folder' needs a root: -p root FOLDER")
            try:
                layout = recognise(root)
            except FileNotFoundError as error:
                raise UsageError(f"root: {error}") from None
            found.append(f"{layout.root}: {layout}")
        elif (kind := name.removesuffix("_realms")) in SETS:
            [entry] = status(root or None, kind)
            if not entry.present:
                raise UsageError(
                    f"{name} is not at {entry.folder}: {entry.how}, or say "
                    "-p root FOLDER"
                )
    return found


def own_photos(folder: Path, chosen: Sequence[Lesson]) -> dict[str, object]:
    """The parameters with which lessons run on somebody's folder in minutes: few photos
    are shown more often. Raises UsageError if the layout is not recognised."""
    from cnnviz_utils.data.photos.layouts import recognise

    try:
        layout = recognise(folder)
    except FileNotFoundError as error:
        raise UsageError(str(error)) from None
    given: dict[str, object] = {"data": "folder", "root": str(layout.root.resolve())}
    # what cannot be read is left out; the index names it
    given["broken"] = "skip"
    if any("epochs" in lesson.parameters for lesson in chosen):
        part = "train" if "train" in layout.parts else "all"
        given["epochs"] = max(6, min(30, SEEN // len(layout.parts[part])))
    return given


def look_at_photos(folder: Path, out: Path) -> str:
    """A checkup of somebody's folder, kept in OUT for the index: the text for people.

    Raises UsageError as `checkup` does, StorageError where OUT cannot be written.
    """
    from cnnviz_utils.checkup import checkup
    from cnnviz_utils.course.index import PHOTOS

    found = checkup(folder)
    writable_folder(out)
    write_whole(out / PHOTOS, json.dumps(found.facts(), indent=1))
    return str(found)


def forget_photos(out: Path) -> None:
    """Take the checkup of an earlier run out of OUT: the index is about this run's."""
    from cnnviz_utils.course.index import PHOTOS

    with suppress(OSError):  # OUT may be no folder, which is said later
        (out / PHOTOS).unlink(missing_ok=True)
