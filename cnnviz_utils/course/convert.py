"""Notebook files, whoever they come from, as pages beside them: all that can be, each
within a time limit."""

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cnnviz_utils.base.settings import UsageError

LIMIT = 60.0  # seconds for one file
INDEX = "index.html"


@dataclass(frozen=True)
class Page:
    """What became of one file: a page with this title, or a sentence about why not."""

    source: Path
    path: Path
    title: str = ""
    problem: str = ""


def notebooks_in(folder: Path) -> list[Path]:
    """The notebooks in a folder and the folders in it; hidden ones (checkpoints) are no
    one's work."""
    found = sorted(folder.rglob("*.ipynb"))
    inside = [path.relative_to(folder) for path in found]
    return [
        path
        for path, parts in zip(found, inside, strict=True)
        if not any(part.startswith(".") for part in parts.parts)
    ]


def convert_files(
    files: Iterable[Path], limit: float = LIMIT, index: Path | None = None
) -> Iterator[Page]:
    """FILE.ipynb to FILE.html, one after the other.

    A file that is no notebook, takes longer than `limit` seconds, or whose page cannot
    be written is a Page with a problem; the others are converted. A page never takes
    the place of a file that is to be converted, nor of `index`.
    """
    files = list(files)
    taken = {file.resolve(): file for file in files}
    if index is not None:
        taken[index.resolve()] = index
    with _Worker() as worker:
        for file in files:
            path = file.with_suffix(".html")
            if (there := taken.get(path.resolve())) is not None:
                yield Page(file, path, problem=_in_the_way(file, path, there))
                continue
            taken[path.resolve()] = file
            title, problem = worker.convert(file, path, limit)
            yield Page(file, path, title, problem)


def convert_folder(folder: Path, limit: float = LIMIT) -> Iterator[Page]:
    """Every notebook in a folder, and FOLDER/index.html over what became of them."""
    from cnnviz_utils.course.index import Entry, write_folder_index

    entries, index = [], folder / INDEX
    found = notebooks_in(folder)
    if not found:
        yield Page(folder, index, problem=f"{folder} holds no notebooks (*.ipynb)")
        return
    for page in convert_files(found, limit, index):
        yield page
        name = page.source.relative_to(folder).as_posix()
        if page.problem:
            entries.append(Entry(name, result=f"✗ {page.problem}", tone="bad"))
        else:
            address = page.path.relative_to(folder).as_posix()
            entries.append(Entry(page.title, address, line=name))
    try:
        yield Page(folder, write_folder_index(folder, entries))
    except OSError as error:
        said = f"{index} cannot be written: {error.strerror or error}"
        yield Page(folder, index, problem=said)


def _in_the_way(file: Path, path: Path, there: Path) -> str:
    if there == file:
        return f"{file} would be overwritten by its own page: rename it to .ipynb"
    return f"{file} would have the page {path.name}, which {there} has or is: rename it"


class _Worker:
    """A process that converts files, and is replaced when one takes too long or brings
    it down."""

    def __init__(self) -> None:
        self.process: multiprocessing.process.BaseProcess | None = None

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *error) -> None:
        self.stop()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        # a daemon ends with us; and when the pipe closes it has nothing left to do
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        self.process = process  # only now: what did not start cannot be ended
        theirs.close()
        self.pipe.recv()  # it has imported what it needs: that is nobody's time

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
            self.process = None

    def convert(self, file: Path, path: Path, limit: float) -> tuple[str, str]:
        try:
            if self.process is None:
                self.start()
            self.pipe.send((file, path))
            if self.pipe.poll(limit):
                return self.pipe.recv()
            problem = f"{file} took longer than {limit:g} s and is left out"
        except (EOFError, OSError):
            problem = f"{file} brought the conversion down: not enough memory, perhaps"
        self.stop()
        for half in path.parent.glob(f".{path.name}.*"):
            half.unlink(missing_ok=True)
        return "", problem


def _serve(pipe) -> None:
    """In the child: convert what the pipe asks for, until it closes."""
    from cnnviz_utils.course import report  # noqa: F401  now, not in the first file

    try:
        pipe.send("ready")
        while True:
            pipe.send(_convert(*pipe.recv()))
    except (EOFError, OSError, KeyboardInterrupt):
        os._exit(0)


def _convert(file: Path, path: Path) -> tuple[str, str]:
    """The page's title and "", or "" and the problem."""
    from cnnviz_utils.course.repair import read_notebook
    from cnnviz_utils.course.report import title_of, write_page

    try:
        notebook = read_notebook(file)
    except UsageError as error:
        return "", str(error)
    try:
        write_page(notebook, path)
    except OSError as error:
        return "", f"{path} cannot be written: {error.strerror or error}"
    # whatever a strange notebook sets off, the other files are not to suffer
    except Exception as error:
        return "", f"{file} cannot be shown: {type(error).__name__}: {error}"
    return title_of(notebook) or path.stem, ""
