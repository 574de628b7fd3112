"""Which files of a folder are photos. What operating systems, unpackers and editors
leave lying about is passed over, everywhere in the same way."""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from PIL import Image

# What people keep photos in. Pillow can't read the last line (raw files of cameras, and
# what telephones write): such a file is named as unreadable, never passed over.
_ENDINGS = """
    .jpg .jpeg .jpe .jfif .png .gif .bmp .webp .avif .tif .tiff .ppm .pgm .pbm .pnm
    .jp2 .j2k .tga
    .heic .heif .jxl .dng .cr2 .cr3 .nef .arw .orf .rw2
"""
PHOTO_ENDINGS = frozenset(_ENDINGS.split())
JUNK = {
    "__macosx",
    "__pycache__",
    "thumbs.db",
    "desktop.ini",
    "icon\r",
    "@eadir",
    "$recycle.bin",
    "#recycle",
    "lost+found",
    "system volume information",
}


@cache
def readable_endings() -> frozenset[str]:
    """The endings of `PHOTO_ENDINGS` that the installed Pillow opens."""
    known = {
        ending
        for ending, kind in Image.registered_extensions().items()
        if kind in Image.OPEN
    }
    return PHOTO_ENDINGS & (known | {".jpe", ".jfif", ".pnm"})


def is_junk(name: str) -> bool:
    """Hidden files and folders (`._x.jpg`, `.ipynb_checkpoints`), and what systems put
    beside photos (`__MACOSX`, `Thumbs.db`)."""
    return name.startswith(".") or name.lower() in JUNK


def is_photo(name: str) -> bool:
    """Whether a file's name says that it is a photo, readable or not."""
    return not is_junk(name) and os.path.splitext(name)[1].lower() in PHOTO_ENDINGS


def shown(name: str) -> str:
    """A file's or folder's name as text for people, pages and figures.

    Accents are composed (NFC), so that "café" is one name however the system spells it;
    bytes that are no UTF-8 stand as \\xe9; line breaks and other control characters
    become spaces, and what a page or a figure would take for a command becomes a
    look-alike: < and > as ‹ and ›, $ as ＄.
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    text = "".join(
        " " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text
    )
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text.translate({ord("<"): "‹", ord(">"): "›", ord("$"): "＄"})


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted by name, without junk. Links to folders count."""
    return sorted(
        Path(entry.path)
        for entry in os.scandir(folder)
        if not is_junk(entry.name) and _is_folder(entry)
    )


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that points to itself
        return False


def walk(
    folder: Path, deep: bool = True, above: tuple[tuple[int, int], ...] = ()
) -> Iterator[Path]:
    """Every file in a folder and in the folders within it, sorted, without junk.

    Links are followed, but never into a folder that is being walked already. Raises
    PermissionError for a folder that can't be looked into.
    """
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if is_junk(entry.name):
            continue
        if not _is_folder(entry):
            yield Path(entry.path)
        elif deep:
            yield from walk(Path(entry.path), deep, (*above, here))


def photos_in(folder: Path, deep: bool = True) -> list[Path]:
    """The photos in a folder (and, if `deep`, in the folders within it), sorted.
    What can't be read is among them, so that it gets named."""
    return [path for path in walk(folder, deep) if is_photo(path.name)]


def why_no_file(path: Path) -> str | None:
    """What hinders reading a path as a file, before it is opened (a named pipe would
    wait for ever), or None."""
    try:
        mode = path.stat().st_mode
    except ValueError:
        return "its name holds a character that no name can hold"
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG and path.is_symlink():
            return "a link that leads nowhere"
        return error.strerror or type(error).__name__
    if not stat.S_ISREG(mode):
        return "not a file but a folder, a pipe or a device"
    ending = path.suffix.lower()
    if ending in PHOTO_ENDINGS - readable_endings():
        return (
            f"{ending} is a kind that Pillow doesn't read here: save it as JPEG or PNG"
        )
    return None
