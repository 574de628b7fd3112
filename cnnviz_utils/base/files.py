"""Results that are made once and kept on disk. They are never left half written, and
never read when damaged."""

import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

Found = TypeVar("Found")
SUMS = "checksums.json"  # written last, so an entry without it is not finished


def cached(
    folder: Path, make: Callable[[Path], None], read: Callable[[Path], Found]
) -> Found:
    """The result of `read(folder)`; a folder that is missing or damaged is made first.

    `make(path)` writes files into a temporary folder beside it, which is then renamed:
    whoever looks sees all of it or nothing. A checksum of every file is kept with them.
    An entry with a file missing or changed, or that `read` cannot make sense of
    (whatever it raises), is made again. Of two processes that want the same entry one
    makes it and the other waits.

    Raises OSError if the entry cannot be written, or cannot be read back.
    """
    found = _attempt(folder, read)
    if found is None:
        with locked(folder):
            found = _attempt(folder, read)  # somebody may have made it while we waited
            if found is None:
                with written_whole(folder) as work:
                    make(work)
                    (work / SUMS).write_text(json.dumps(_checksums(work)))
                if not _whole(folder):
                    raise OSError(
                        f"what was written to {folder} cannot be read back: "
                        "is the disk full or damaged?"
                    )
                return read(folder)
    return found[0]


def _attempt(folder: Path, read: Callable[[Path], Found]) -> tuple[Found] | None:
    """(what was found,), or None where the entry is missing or damaged in any way."""
    try:
        return (read(folder),) if _whole(folder) else None
    # readers of all kinds of files raise all kinds of errors; the remedy is the same
    except Exception:
        return None


def _whole(folder: Path) -> bool:
    """Whether the folder holds what was written into it, byte by byte."""
    try:
        return json.loads((folder / SUMS).read_text()) == _checksums(folder)
    except (OSError, ValueError):
        return False


def _checksums(folder: Path) -> dict[str, int]:
    """CRC-32 of every file: enough to notice a torn or damaged one, at the speed of
    reading it."""
    return {
        file.name: _crc32(file)
        for file in sorted(folder.iterdir())
        if file.name != SUMS
    }


def _crc32(file: Path) -> int:
    total = 0
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            total = zlib.crc32(block, total)
    return total


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time make `folder`. The lock is a file beside it; the system
    frees it when the process that holds it ends, even if it is killed.

    What a killed process left unfinished is removed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f".{folder.name}.lock")
    with FileLock(lock):
        for stale in folder.parent.glob(f".{folder.name}.*"):
            if stale != lock:
                shutil.rmtree(stale, ignore_errors=True)
        yield


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """An empty folder to write into. At the end it replaces `folder`; after an error it
    is removed."""
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield work
        # mkdtemp's folders are private, a cache may be shared
        work.chmod(0o777 & ~_umask())
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
        else:
            folder.unlink(missing_ok=True)
        os.rename(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that a reader finds either all of it or what was there
    before. Missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
