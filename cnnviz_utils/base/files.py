"""Results that are made once and kept on disk. They are never left half written, and
never read when damaged."""

import errno
import json
import os
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from cnnviz_utils.base.settings import UsageError

Found = TypeVar("Found")
SUMS = "checksums.json"  # written last, so an entry without it is not finished
FULL = (errno.ENOSPC, errno.EDQUOT)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
ABANDONED = 60  # seconds after which what nobody holds is nobody's


class StorageError(UsageError, OSError):
    """Something cannot be written: no space, no permission, a file where a folder
    belongs. The message is one sentence that names the place."""


@contextmanager
def storing(place: Path) -> Iterator[None]:
    """Inside, an error that says that `place`, or what is in it, cannot be written
    becomes a StorageError."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        # numpy tells of a full disk without the system's number
        full = error.errno in FULL or " requested and " in str(error)
        # one of the two may be relative
        named = os.path.abspath(error.filename) if error.filename else ""
        ours = named.startswith(os.path.abspath(place.parent))
        if full:
            raise StorageError(
                f"no space is left to write {place}: free some, or choose another place"
            ) from error
        if error.errno in DENIED and ours:
            raise StorageError(
                f"{place} cannot be written ({error.strerror}): choose another place"
            ) from error
        raise


def writable_folder(folder: Path) -> Path:
    """The folder, made if it is not there. Raises StorageError unless files can be
    written into it."""
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    return folder


def cached(
    folder: Path, make: Callable[[Path], None], read: Callable[[Path], Found]
) -> Found:
    """The result of `read(folder)`; a folder that is missing or damaged is made first.

    `make(path)` writes files into a temporary folder beside it, which is then renamed:
    whoever looks sees all of it or nothing. A checksum of every file is kept with them.
    An entry with a file missing or changed, or that `read` cannot make sense of
    (whatever it raises), is made again. Of two processes that want the same entry one
    makes it and the other waits.

    Raises StorageError where it cannot be written, OSError where not be read back.
    """
    found = _attempt(folder, read)
    if found is None:
        with storing(folder), locked(folder):
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
    elif any(folder.parent.glob(f".{folder.name}.*.before")):
        # who made it was killed before it had removed the entry that was there before
        with suppress(OSError), locked(folder):
            pass
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


def archive_whole(file: Path) -> bool:
    """Whether a zip archive, as torch's files are, holds what was written into it by
    the checksums in it, which torch does not look at; True for a file that is none."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError):
        return not zipfile.is_zipfile(file)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time make `folder`. The lock is a file beside it; the system
    frees it when the process that holds it ends, even if it is killed.

    What a killed process left unfinished is removed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f".{folder.name}.lock")
    # whoever shares the folder may lock it, too
    with FileLock(lock, mode=0o666):
        for stale in folder.parent.glob(f".{folder.name}.*"):
            if stale != lock:
                _remove(stale)
        yield


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """An empty folder to write into. At the end it replaces `folder`; after an error it
    is removed."""
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    before = work.with_name(f"{work.name}.before")
    try:
        yield work
        # mkdtemp's folders are private, a cache may be shared
        _share(work)
        # aside first: another user's entry can be moved, not emptied
        with suppress(FileNotFoundError):
            os.rename(folder, before)
        os.rename(work, folder)
    finally:
        for path in (work, before):
            _remove(path)


def _remove(path: Path) -> None:
    """Remove a folder or file, as far as that goes."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _share(path: Path) -> None:
    """Give a folder or file that `tempfile` made the mode that any other has."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def write_whole(path: Path, content: str | bytes) -> None:
    """A file that is either all there or as it was before; folders are made as needed.
    Raises StorageError where it cannot be written."""
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.glob(f".{path.name}.*.part"):
            if _age(stale) > ABANDONED:
                stale.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(".part", f".{path.name}.", path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(
                    content if isinstance(content, bytes) else content.encode()
                )
            _share(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def work_folder(prefix: str, where: Path) -> Iterator[Path]:
    """An empty folder in `where` to work in, which is gone at the end. Those with the
    same prefix that were left there when somebody was killed are removed."""
    for other in where.glob(f"{prefix}*"):
        _remove_if_abandoned(other)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=where))
        lock = FileLock(folder / ".held")
        try:
            if _hold(lock):
                yield folder
                return
        finally:
            lock.release()
            shutil.rmtree(folder, ignore_errors=True)


def _hold(lock: FileLock) -> bool:
    """Take the lock of a new work folder. False where another one, who found it before
    it was locked, took it for abandoned and removed it."""
    with suppress(FileNotFoundError):
        lock.acquire()
        return Path(lock.lock_file).exists()
    return False


def _remove_if_abandoned(folder: Path) -> None:
    """A work folder that nobody holds. One without its lock may just be beginning."""
    try:
        if (folder / ".held").exists():
            with FileLock(folder / ".held", timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        elif _age(folder) > ABANDONED:
            shutil.rmtree(folder, ignore_errors=True)
    except (Timeout, OSError):
        pass  # somebody's


def _age(path: Path) -> float:
    """Seconds since something was last written there; 0 if it has just gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
