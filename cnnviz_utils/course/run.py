"""Run lessons without a person: each in a process of its own, its pages written only
when it ran whole.

Exit codes: 0 every lesson ran and (quick profile) every claim holds; 1 a claim does not
hold; 2 something asked for does not exist; 3 a lesson failed; 130 interrupted.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import nbformat

from cnnviz_utils.base.files import storing, work_folder, writable_folder
from cnnviz_utils.course.children import Children, execute
from cnnviz_utils.course.exercises import summary_of
from cnnviz_utils.course.fingerprint import sign
from cnnviz_utils.course.lessons import Lesson
from cnnviz_utils.course.provenance import provenance
from cnnviz_utils.course.records import RECORD, Claim, carried, record

__all__ = ["Claim", "LessonFailed", "Run", "execute_in_place", "record", "run_lesson"]
KEPT = ("tags", "cnnviz", "jupyter")  # of a cell's metadata
CELL_TIMEOUT = 1800  # seconds; a cell that takes longer is stopped


class LessonFailed(RuntimeError):
    """A lesson did not run to its end; the message says where and why in one
    sentence."""


@dataclass(frozen=True)
class Run:
    """A finished run: where its page is, and what it found."""

    lesson: str
    page: Path
    seconds: float
    claims: list[dict] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return all(claim["holds"] for claim in self.claims)


def run_lesson(
    lesson: Lesson,
    parameters: dict,
    out: Path,
    profile: str = "quick",
    timeout: int = CELL_TIMEOUT,
    threads: int | None = None,
    children: Children | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Run:
    """Run one lesson with these parameters (checked by `lessons.plan`) and leave
    OUT/LESSON.ipynb, .html and .metrics.json, each written whole or not at all.
    threads: how many it may compute with, by default one a core.

    Raises LessonFailed; the notebook as far as it came is kept as
    OUT/LESSON.failed.ipynb.
    """
    from cnnviz_utils.course.report import write_page

    writable_folder(out)
    final, failed = out / f"{lesson.name}.ipynb", out / f"{lesson.name}.failed.ipynb"
    started = time.time()
    with storing(out / lesson.name), work_folder(".run-", out) as folder:
        work = folder / f"{lesson.name}.ipynb"
        changed = _changed(lesson, parameters)
        children = children or Children()
        problem = execute(
            lesson.path, work, changed, timeout, progress, children, threads
        )
        if children.stopped:
            raise LessonFailed(f"{lesson.name}: interrupted")
        notebook = as_far_as_it_came(work)
        problem = problem or check_whole(notebook)
        if problem or notebook is None:
            if notebook is not None:
                os.replace(work, failed)
                problem += f" (as far as it came: {failed.name})"
            raise LessonFailed(f"{lesson.name}: {problem}")
        seconds = time.time() - started
        facts = {
            "profile": profile,
            "seconds": round(seconds, 1),
            "started": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(started)),
        }
        metrics = _metrics(lesson, parameters, notebook, provenance(threads) | facts)
        sign(notebook, metrics)
        nbformat.write(notebook, work)
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))
        write_page(notebook, folder / "page.html", metrics)
        for source, target in (
            (work, final),
            (folder / "page.html", out / f"{lesson.name}.html"),
            (folder / "metrics.json", out / f"{lesson.name}.metrics.json"),
        ):
            os.replace(source, target)
    failed.unlink(missing_ok=True)
    return Run(lesson.name, out / f"{lesson.name}.html", seconds, metrics["claims"])


def _changed(lesson: Lesson, parameters: dict) -> dict:
    """The parameters that are not the lesson's own."""
    own = lesson.parameters
    return {name: v for name, v in parameters.items() if v != own[name].value}


def _metrics(lesson: Lesson, parameters: dict, notebook, facts: dict) -> dict:
    """What metrics.json says of a run. facts: where, when and how it was made."""
    found = find_record(notebook)
    data = found["metrics"].get("data_fingerprint", "not recorded")
    return {
        "lesson": lesson.name,
        "title": lesson.title,
        "about": asdict(lesson.about),
        "parameters": parameters,
        "changed": sorted(_changed(lesson, parameters)),
        "provenance": facts | {"data": data},
        "metrics": found["metrics"],
        "claims": found["claims"],
        "exercises": summary_of(notebook),
    }


def as_far_as_it_came(work: Path) -> nbformat.NotebookNode | None:
    """The notebook that a run left; None where it left none, or half of one."""
    try:
        return nbformat.read(work, as_version=4)
    except (OSError, ValueError):
        return None


def check_whole(notebook) -> str:
    """What shows that a notebook did not run to its end, "" if nothing does. A killed
    kernel or a stopped cell leaves a notebook that looks finished: a run counts only if
    every code cell was executed and no output is an error."""
    if notebook is None:
        return "no notebook was written"
    code = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.strip()
    ]
    for number, cell in enumerate(code, start=1):
        if cell.execution_count is None:
            return f"code cell {number} of {len(code)} was not executed"
        for output in cell.outputs:
            if output.output_type == "error":
                first = (output.evalue.splitlines() or [""])[0]
                return (
                    f"code cell {number} of {len(code)} raised {output.ename}: "
                    f"{first[:300]}"
                )
    return ""


def find_record(notebook) -> dict:
    """Metrics and claims that a lesson recorded; empty ones if it recorded nothing."""
    found = [data for _, data in carried(notebook, RECORD)]
    return found[-1] if found else {"metrics": {}, "claims": []}


def execute_in_place(
    lesson: Lesson, timeout: int = CELL_TIMEOUT, progress=lambda line: None
) -> None:
    """Run a lesson with its own parameters and store its outputs in the notebook
    itself, with clean metadata."""
    here = lesson.path.parent
    with storing(lesson.path), work_folder(".run-", here) as folder:
        work = folder / lesson.path.name
        problem = execute(lesson.path, work, {}, timeout, progress, Children())
        notebook = as_far_as_it_came(work)
        problem = problem or check_whole(notebook)
        if problem:
            raise LessonFailed(f"{lesson.name}: {problem}")
        clean_metadata(notebook)
        nbformat.write(notebook, work)
        os.replace(work, lesson.path)


def clean_metadata(notebook) -> None:
    """Leave what a reader needs: the kernel's name, what the lesson says of itself,
    tags, what is folded, alt texts. Times, paths and widget states go."""
    kept = {k: v for k, v in notebook.metadata.items() if k == "cnnviz"}
    notebook.metadata = nbformat.from_dict(
        kept
        | {
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {k: v for k, v in cell.metadata.items() if k in KEPT and v}
        )
