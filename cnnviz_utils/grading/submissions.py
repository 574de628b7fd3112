"""Whose work a file is: files and folders named by student, as a person or an LMS
leaves them."""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cnnviz_utils.base.settings import UsageError

# Moodle: "Full Name_12345_assignsubmission_file_", a folder or before a file's name
MOODLE = re.compile(r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?")
# Canvas: "lastfirst_LATE_12345_67890_file.ipynb"; a second try ends in "-1"
CANVAS = re.compile(
    r"(?P<name>[^_\W]+)_(?:(?P<late>LATE)_)?(?P<id>\d+)_(?P<file>\d+)_.+"
)
MOST_FILES = 5000
MOST_PARTS = 20  # of a zip archive that are looked at


@dataclass(frozen=True)
class Submission:
    """One file that somebody handed in.

    student: a name that files can have, the same in every run. name: as a person
    writes it. number: the LMS's own number for the student. others: further files of
    the same student, which are not graded.
    """

    student: str
    name: str
    path: Path
    number: str = ""
    lms: str = ""
    late: bool = False
    others: tuple[str, ...] = ()


def find_submissions(folder: Path) -> list[Submission]:
    """What lies in a folder, one for each student, by name. A student's folder counts
    as one student, and so does the folder that Moodle makes; the newest notebook is
    graded, then any other file (which is no notebook, and says so).

    Raises UsageError if there is nothing.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    found: dict[str, list[Submission]] = {}
    for path in sorted(folder.rglob("*"))[:MOST_FILES]:
        inside = path.relative_to(folder)
        if not path.is_file() or any(part.startswith(".") for part in inside.parts):
            continue
        if path.name.lower() in ("readme.md", "requirements.txt"):
            continue
        one = whose(path, inside)
        found.setdefault(one.student, []).append(one)
    if not found:
        raise UsageError(f"{folder} holds nothing that was handed in")
    return [_best(ones) for _, ones in sorted(found.items())]


def whose(path: Path, inside: Path) -> Submission:
    """Who handed in a file. inside: its path within the folder of submissions."""
    for part in (inside.parts[0], inside.stem):
        if known := MOODLE.match(part):
            return _submission(path, known["name"], known["id"], "moodle")
    if known := CANVAS.match(inside.name):
        late = known["late"] is not None
        return _submission(path, known["name"], known["id"], "canvas", late)
    return _submission(path, inside.parts[0] if inside.parts[1:] else inside.stem)


def _submission(
    path: Path, name: str, number: str = "", lms: str = "", late: bool = False
) -> Submission:
    name = re.sub(r"[\x00-\x1f\x7f<>]", " ", name).strip()[:80] or "nobody"
    student = re.sub(r"[^\w-]+", "_", f"{name}_{number}" if number else name).strip("_")
    return Submission(student[:80] or "nobody", name, path, number, lms, late)


def _best(ones: list[Submission]) -> Submission:
    """The newest notebook; the others are named."""
    rank = lambda one: (one.path.suffix == ".ipynb", one.path.stat().st_mtime)
    chosen = max(ones, key=rank)
    others = tuple(one.path.name for one in ones if one is not chosen)
    return Submission(**{**vars(chosen), "others": others})


def unpack(archive: Path, folder: Path) -> Path:
    """The folder that holds what an LMS's .zip holds, written into `folder`. Names that
    lead out of it, links and files of more than 200 MB are left out."""
    try:
        with zipfile.ZipFile(archive) as pack:
            for name, content in _contents(pack):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise UsageError(f"{archive} cannot be unpacked: {error}") from None
    return folder


def _contents(pack: zipfile.ZipFile) -> Iterator[tuple[Path, bytes]]:
    for one in pack.infolist()[:MOST_FILES]:
        name = Path(one.filename)
        outside = name.is_absolute() or ".." in name.parts or "\\" in one.filename
        if one.is_dir() or outside or one.file_size > 200_000_000:
            continue
        if (one.external_attr >> 28) == 0xA:  # a link
            continue
        yield name, pack.read(one)
