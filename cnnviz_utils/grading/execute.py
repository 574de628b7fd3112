"""Run a notebook anew from top to bottom, shut in, and judge its answers. A cell that
brings its kernel down is left out, and the rest is run again."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from cnnviz_utils.base.files import SUMS, work_folder
from cnnviz_utils.course.repair import Notebook
from cnnviz_utils.grading.compiled import keep_compiled
from cnnviz_utils.grading.judge import judge_task, note_answers
from cnnviz_utils.grading.kernel import Kernel
from cnnviz_utils.grading.sandbox import Limits, Place
from cnnviz_utils.grading.tasks import Task, check_calls

ATTEMPTS = 3
PREFIX = "cnnviz-grade-"  # of the folders in which notebooks run


@dataclass(frozen=True)
class Order:
    """How to run. cache: trained networks that may be read, never changed. home: a home
    folder to begin with. secret: folders that must not be seen. trusted: the notebook
    is our own: what it adds to its cache and home is kept in those.
    """

    method: str
    limits: Limits
    temporary: Path
    cache: Path | None = None
    home: Path | None = None
    secret: tuple[Path, ...] = ()
    trusted: bool = False


@dataclass
class Execution:
    """What a run left. notebook: with its outputs, as nbformat has it.

    problems: {"cell": number of the cell in the file, "what": words}, one for each cell
    that was stopped. errors: the same, of cells that raised. verdicts: by exercise, as
    `judge_task` gives them.
    """

    notebook: Any
    problems: list[dict] = field(default_factory=list)
    errors: list[dict] = field(default_factory=list)
    verdicts: dict[str, dict] = field(default_factory=dict)
    seconds: float = 0.0


def as_notebook(handed_in: Notebook):
    """A notebook as it was read and mended, for nbformat, without outputs."""
    cells = []
    for cell in handed_in.cells:
        metadata: dict[str, object] = {"tags": list(cell.tags)}
        metadata |= {"cnnviz": cell.ours} if cell.ours else {}
        if cell.kind == "code":
            new = nbformat.v4.new_code_cell(cell.source, metadata=metadata)
        elif cell.kind == "markdown":
            new = nbformat.v4.new_markdown_cell(cell.source, metadata=metadata)
            pictures = cell.attachments.items()
            new.attachments = {name: {mime: text} for name, (mime, text) in pictures}
        else:
            new = nbformat.v4.new_raw_cell(cell.source, metadata=metadata)
        cells.append(new)
    return nbformat.v4.new_notebook(cells=cells)


def execute(
    handed_in: Notebook,
    tasks: Sequence[Task],
    order: Order,
    progress: Callable[[str], None] = lambda line: None,
) -> Execution:
    """Run and judge. Raises OSError if no kernel can be started at all."""
    left_out: dict[int, str] = {}
    limit = time.monotonic() + order.limits.seconds
    for attempt in range(ATTEMPTS):
        run = Execution(as_notebook(handed_in))
        started = time.monotonic()
        with work_folder(PREFIX, order.temporary) as folder:
            place = Place(folder)
            furnish(place, order)
            kernel = Kernel(place, order.method, order.limits, order.secret)
            kernel.deadline = limit
            with kernel:
                fatal = _run_cells(kernel, run, tasks, left_out, progress)
                if fatal is None:
                    _judge(kernel, run, tasks)
                    if order.trusted:
                        keep_compiled(kernel)
            if order.trusted:
                keep(place, order)
        run.seconds = time.monotonic() - started
        if fatal is None or time.monotonic() > limit or attempt == ATTEMPTS - 1:
            break
        left_out[fatal] = run.problems[-1]["what"]
    for cell, what in left_out.items():
        said = f"{what}; it was left out, and the rest run again"
        run.problems = [one for one in run.problems if one["cell"] != cell]
        run.problems.append({"cell": cell, "what": said})
    return run


def _run_cells(kernel, run, tasks, left_out, progress) -> int | None:
    """The number of the cell that ended the kernel, None if none did."""
    by_key = {task.key: task for task in tasks if not task.written}
    for number, cell in enumerate(run.notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip() or number in left_out:
            continue
        if time.monotonic() > kernel.deadline:
            said = f"not run: the notebook had its {kernel.limits.seconds:g} s"
            run.problems.append({"cell": number, "what": said})
            return None
        progress(f"{number + 1}/{len(run.notebook.cells)}")
        ran = kernel.run(cell.source)
        cell.outputs, cell.execution_count = ran.outputs, number + 1
        if ran.problem:
            run.problems.append({"cell": number, "what": ran.problem})
        elif ran.error:
            run.errors.append({"cell": number, "what": ran.error})
        if ran.ended:
            return number
        asked = {key for key, _ in check_calls(cell.source) if key in by_key}
        if asked:
            note_answers(kernel, [by_key[key] for key in sorted(asked)])
    return None


def _judge(kernel: Kernel, run: Execution, tasks: Sequence[Task]) -> None:
    for task in tasks:
        if task.written:
            continue
        verdict = judge_task(kernel, task)
        run.verdicts[task.key] = verdict
        if verdict["ended"]:
            break


def keep(place: Place, order: Order) -> None:
    """Put what a lesson of our own has made where the next ones find it."""
    if order.home and not order.home.exists():
        shutil.copytree(place["home"], order.home, symlinks=True)
    if order.cache:
        order.cache.mkdir(parents=True, exist_ok=True)
        for path in sorted(place["cache"].rglob(SUMS)):
            entry = path.parent
            target = order.cache / entry.relative_to(place["cache"])
            if not entry.is_symlink() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(entry, target)


def furnish(place: Place, order: Order) -> None:
    """Give a place the home to begin with, and a cache of its own whose entries are
    links to the shared ones: a new entry is its own, the shared ones stay as they
    are."""
    if order.home and order.home.is_dir():
        shutil.copytree(order.home, place["home"], dirs_exist_ok=True)
    if order.cache and order.cache.is_dir():
        _link(order.cache, place["cache"])


def _link(shared: Path, own: Path) -> None:
    for path in shared.iterdir():
        if path.name.startswith(".") or not path.is_dir():
            continue
        if (path / SUMS).is_file():
            (own / path.name).symlink_to(path.resolve())
        else:
            (own / path.name).mkdir(exist_ok=True)
            _link(path, own / path.name)
