"""Made once, kept on disk, never half written."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock


def atomic_folder(folder: Path, make: Callable[[Path], None], files: Sequence[str]) -> Path:
    """`folder` with those files in it: as it is if they are all there and readable, else made anew.

    `make(path)` writes them into a temporary folder beside it, which is then renamed: whoever looks sees all of it or
    nothing. Of two processes that want the same folder one makes it and the other waits.
    """
    if _complete(folder, files):
        return folder
    with turn(folder):
        if not _complete(folder, files):  # nobody made it while we waited
            with written_whole(folder) as work:
                make(work)
                if not _complete(work, files):
                    raise RuntimeError(f"{folder.name}: not all of {', '.join(files)} were written")
    return folder


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """One process at a time makes `folder`. The lock is a file beside it, and is freed when its holder ends, however."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        yield


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """An empty folder to write into. It takes `folder`'s name, and its place, at the end; after an error it is gone."""
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield work
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _complete(folder: Path, files: Sequence[str]) -> bool:
    """Whether the files are there, and the arrays among them as long as their headers say."""
    for name in files:
        path = folder / name
        if not path.is_file() or path.stat().st_size == 0:
            return False
        if path.suffix == ".npy":
            try:
                np.load(path, mmap_mode="r")
            except (ValueError, OSError, EOFError):
                return False
    return True


def write_whole(path: Path, text: str) -> None:
    """A text file that is either all there or as it was before; folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
