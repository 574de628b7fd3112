"""Made once, kept on disk, never half written."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np


def atomic_folder(folder: Path, make: Callable[[Path], None], files: Sequence[str]) -> Path:
    """`folder` with those files in it: as it is if they are all there and readable, else made anew.

    `make(path)` writes them into a temporary folder beside it, which is then renamed: whoever looks sees all of it or
    nothing. Two processes that make the same folder at once do the work twice, and either result serves both.
    """
    if _complete(folder, files):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        make(work)
        if not _complete(work, files):
            raise RuntimeError(f"{folder.name}: not all of {', '.join(files)} were written")
        if folder.exists() and not _complete(folder, files):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            os.rename(work, folder)
        except OSError:  # another process was first
            if not _complete(folder, files):
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


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
