"""Room on the disk: taken before it is written to, and given back."""

import errno
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from cnnviz_utils.base.files import FULL, locked

NO_ROOM = (*FULL, errno.EFBIG)  # the last: more than a process may write
log = logging.getLogger("cnnviz")


def reserved(
    path: Path, shape: tuple[int, ...], dtype: DTypeLike = np.uint8, what: str = ""
) -> np.memmap:
    """A new .npy file as a memory map, its room on the disk taken beforehand: writing
    into a map on a full disk ends a process without a word. what: what it will hold,
    for the message.

    Raises OSError if there is not enough room.
    """
    length = int(np.prod(shape)) * np.dtype(dtype).itemsize
    try:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        length = path.stat().st_size
        with path.open("r+b") as stream:
            try:
                os.posix_fallocate(stream.fileno(), 0, length)
            except (AttributeError, OSError) as error:
                if getattr(error, "errno", None) in NO_ROOM:
                    raise
                # a system or a disk that cannot reserve: write the zeros
                stream.seek(start := length - array.nbytes)
                for at in range(start, length, 1 << 20):
                    stream.write(bytes(min(1 << 20, length - at)))
                stream.flush()
                os.fsync(stream.fileno())
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise OSError(
            error.errno,
            f"no room for {length / 1e6:,.0f} MB{what and f' of {what}'} "
            f"({error.strerror}): free some, or set CNNVIZ_CACHE to a folder on "
            "another disk",
            str(path.parent.parent),
        ) from None
    return array


def used_now(folder: Path) -> None:
    """Note that an entry of a cache was read just now, where that can be written."""
    with suppress(OSError):  # somebody else's, or read-only
        os.utime(folder)


def keep_latest(folder: Path, pattern: str, most: float) -> None:
    """Of the entries of a cache with names of that pattern, remove those that were not
    used for longest (`used_now`) until the rest has at most so many bytes. The latest
    is always kept. What another process has opened stays readable for it."""
    entries: list[tuple[float, int, Path]] = []
    try:
        found = list(folder.glob(pattern))
    except OSError:
        found = []  # not ours to see
    for entry in found:
        try:
            size = sum(file.stat().st_size for file in entry.iterdir())
            entries.append((entry.stat().st_mtime, size, entry))
        except OSError:
            pass  # gone meanwhile, or not ours to see
    total = 0
    for number, (_, size, entry) in enumerate(sorted(entries, reverse=True)):
        total += size
        if number and total > most:
            try:
                with locked(entry):
                    shutil.rmtree(entry)
            except OSError as error:
                log.info("%s is not removed: %s", entry, error.strerror)
