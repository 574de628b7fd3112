"""The process that grades one submission: `python -m cnnviz_utils.grading.worker
ORDER.json`. Whatever a notebook does to it, it does to nobody else."""

import contextlib
import hashlib
import json
import resource
import sys
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path

import nbformat

from cnnviz_utils import __version__
from cnnviz_utils.base.files import write_whole
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.course import exercises
from cnnviz_utils.course.fingerprint import source_hash
from cnnviz_utils.course.lessons import read_lesson
from cnnviz_utils.course.process import end_with_parent
from cnnviz_utils.course.repair import Notebook, read_notebook, repaired
from cnnviz_utils.grading import marks
from cnnviz_utils.grading.answers import shown_answer
from cnnviz_utils.grading.changes import changes, name_of, own_cells
from cnnviz_utils.grading.execute import Execution, Order, execute
from cnnviz_utils.grading.sandbox import Limits
from cnnviz_utils.grading.student import of_another_version, student_copy
from cnnviz_utils.grading.tasks import read_tasks, rubric

MEMORY = 3_000_000_000  # bytes of this process: outputs come here
RAN = (
    "This page shows a student's notebook as it ran when it was graded. What a check "
    "says below its cell can be forged; the marks stand on the student's own page."
)
OTHER = (
    "It was handed out from another version of the lesson: cells may differ that the "
    "student did not change."
)
RESULT, EXECUTED, PAGE = "result.json", "executed.ipynb", "notebook.html"


@cache
def own_version() -> str:
    """A name for the program that grades: its files, and those of the checks."""
    here = [*Path(__file__).parent.glob("*.py"), Path(exercises.__file__)]
    texts = [path.read_bytes() for path in sorted(here)]
    return f"{__version__} {hashlib.sha256(b''.join(texts)).hexdigest()}"


def key_of(content: bytes, lesson_source: str) -> str:
    """What a result depends on: the file, the lesson, and how it is graded."""
    words = f"{hashlib.sha256(content).hexdigest()} {lesson_source} {own_version()}"
    return hashlib.sha256(words.encode()).hexdigest()[:20]


def failed(order: dict, reason: str) -> dict:
    """The result of a submission that could not be graded: no points, and why."""
    lesson = read_lesson(Path(order["lesson"]))
    notebook = nbformat.read(lesson.path, as_version=4)
    tasks = read_tasks(notebook, lesson.name)
    result = _frame(order, lesson, tasks) | {"reason": reason}
    result["tasks"] = [marks.mark(task, None, "") for task in tasks]
    return result


def _frame(order: dict, lesson, tasks) -> dict:
    """What every result has."""
    return {
        **order["who"],
        "key": order["key"],
        "lesson": lesson.name,
        "title": lesson.title,
        "of": rubric(tasks)["total"],
        "rubric": rubric(tasks),
        "isolation": order["method"],
        "graded": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cnnviz": __version__,
        "reason": "",
        "seconds": 0.0,
        "cpu": 0.0,
        "tasks": [],
        "problems": [],
        "errors": [],
        "notes": [],
        "changes": [],
        "own": [],
        "claims": [],
        "metrics": {},
        "parameters": {},
        "changed_parameters": [],
        "predictions": [0, 0],
        "page": "",
        "size": 0,
    }


def grade_one(order: dict) -> dict:
    """The whole result of one submission, JSON-ready; pages are left in
    order["out"]."""
    path, out = Path(order["file"]), Path(order["out"])
    lesson = read_lesson(Path(order["lesson"]))
    original = nbformat.read(lesson.path, as_version=4)
    tasks = read_tasks(original, lesson.name)
    handed_out = repaired(student_copy(original, lesson))
    try:
        handed_in = read_notebook(path)
    except UsageError as error:
        return failed(order, f"It is no notebook: {_without(str(error), path)}")
    changed = changes(handed_out, handed_in)
    wrong = "" if order.get("trusted") else _not_this_lesson(handed_out, handed_in)
    if wrong:
        return failed(order, wrong)
    run = execute(handed_in, tasks, _order(order), _say)
    result = _frame(order, lesson, tasks)
    parameters, own = marks.parameters_of(handed_in, lesson)
    why_not = run.problems[-1]["what"] if run.problems else "it was not run"
    result |= marks.recorded(run) | {
        "seconds": round(run.seconds, 1),
        "cpu": round(sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]), 1),
        "size": path.stat().st_size,
        "tasks": [
            marks.mark(
                task,
                run.verdicts.get(task.key),
                marks.open_answer(handed_in, task) if task.written else "",
                f"Not checked: {why_not}.",
            )
            for task in tasks
        ],
        "problems": _named(run.problems, handed_in),
        "errors": _named(run.errors, handed_in)[:50],
        "notes": marks.notes(handed_in, changed, run),
        "changes": changed[:200],
        "own": own_cells(handed_in, changed),
        "parameters": parameters,
        "changed_parameters": own,
        "predictions": list(marks.predictions_made(handed_in)),
    }
    if of_another_version(handed_in, source_hash(original)):
        result["notes"].insert(0, OTHER)
    for task, mark in zip(tasks, result["tasks"], strict=True):
        if mark["state"] == marks.TO_READ:
            mark["shown"] = shown_answer(run.notebook, handed_in, task)
    result["page"] = _write_pages(run, out)
    return result


def _order(order: dict) -> Order:
    place = lambda name: Path(order[name]) if order.get(name) else None
    return Order(
        order["method"],
        Limits(**order["limits"]),
        Path(order["temporary"]),
        place("cache"),
        place("home"),
        tuple(map(Path, order["secret"])),
        bool(order.get("trusted")),
    )


def _without(said: str, path: Path) -> str:
    """A message that does not begin with the grader's path."""
    return said.replace(str(path), path.name).removeprefix(
        f"{path.name} is not a notebook: "
    )


def _not_this_lesson(handed_out: Notebook, handed_in: Notebook) -> str:
    wanted = {name_of(cell) for cell in handed_out.cells if cell.source.strip()}
    lost = len(wanted - {name_of(cell) for cell in handed_in.cells})
    if wanted and lost > 0.8 * len(wanted):
        return f"It is not this lesson: {lost} of its {len(wanted)} cells are missing."
    return ""


def _named(found: list[dict], handed_in: Notebook) -> list[dict]:
    """Problems with the first line of their cell."""
    named = []
    for one in found:
        lines = handed_in.cells[one["cell"]].source.strip().splitlines() or [""]
        what = str(one["what"])[:500]
        named.append({"cell": one["cell"] + 1, "what": what, "line": lines[0][:100]})
    return named


def _write_pages(run: Execution, out: Path) -> str:
    """The notebook as it ran, and its page; the page's name, "" if there is none."""
    from cnnviz_utils.course.report import write_page

    with contextlib.suppress(Exception):
        write_whole(out / EXECUTED, nbformat.writes(run.notebook))
    try:
        write_page(run.notebook, out / PAGE, about=RAN)
    except Exception:  # whatever a strange notebook sets off
        return ""
    return PAGE


def _say(text: str) -> None:
    print(text, flush=True)


def main(path: str) -> None:
    """Grade what the order at `path` asks for, and write its result."""
    with contextlib.suppress(ValueError, OSError):  # the system allows less already
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    order = json.loads(Path(path).read_text())
    end_with_parent(order["parent"])
    try:
        result = grade_one(order)
    except OSError as error:
        result = failed(order, f"It could not be run here: {error}") | {"key": ""}
    except MemoryError:
        result = failed(order, "Its outputs took more memory than there is for them.")
    write_whole(Path(order["out"], RESULT), json.dumps(result, indent=1))


def limits_of(limits: Limits) -> dict:
    """As an order carries them."""
    return asdict(limits)


if __name__ == "__main__":
    main(sys.argv[1])
