"""Photos that a run is to use, looked at before anything starts."""

from collections.abc import Iterable, Sequence
from pathlib import Path

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
        (str(one["data"]), str(one.get("root") or ""))
        for one in settings
        if "data" in one
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
    if any("epochs" in lesson.parameters for lesson in chosen):
        part = "train" if "train" in layout.parts else "all"
        given["epochs"] = max(6, min(30, SEEN // len(layout.parts[part])))
    return given
