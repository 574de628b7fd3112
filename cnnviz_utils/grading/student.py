"""Student copies: a lesson without its solutions and hidden checks, with what nbgrader
wants to know."""

import copy
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import nbformat
from markupsafe import Markup

from cnnviz_utils import __version__
from cnnviz_utils.base.files import writable_folder, write_whole
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.course.fingerprint import source_hash
from cnnviz_utils.course.lessons import Lesson
from cnnviz_utils.course.pages import template
from cnnviz_utils.course.repair import Notebook
from cnnviz_utils.grading.tasks import (
    SECRET,
    Task,
    cells_of_tasks,
    read_tasks,
    rubric,
    rubric_words,
    worth,
)

HIDDEN = "### BEGIN HIDDEN TESTS\n{}\n### END HIDDEN TESTS"
COPY = "cnnviz_copy"  # the field of a notebook's metadata
KEPT = ("tags", "cnnviz", "jupyter")


@dataclass(frozen=True)
class HandedOut:
    """A student copy that was written: what its exercises are, and where it is."""

    lesson: Lesson
    tasks: list[Task]
    path: Path


def write_student_copies(
    lessons: list[Lesson], out: Path, for_nbgrader: bool = False
) -> list[HandedOut]:
    """OUT/LESSON.ipynb for each lesson, with README.md and requirements.txt beside
    them. for_nbgrader: OUT becomes a course folder of nbgrader instead, with the hidden
    checks in `source/` in the form that nbgrader takes out.

    A file that is there already may be somebody's work: raises UsageError.
    """
    writable_folder(out)
    done = []
    for lesson in lessons:
        notebook = nbformat.read(lesson.path, as_version=4)
        tasks = read_tasks(notebook, lesson.name)
        made = student_copy(notebook, lesson, with_hidden=for_nbgrader)
        path = out / f"{lesson.name}.ipynb"
        if for_nbgrader:
            path = out / "source" / lesson.name / path.name
        if path.exists():
            raise UsageError(f"{path} is already there and stays as it is")
        write_whole(path, nbformat.writes(made))
        done.append(HandedOut(lesson, tasks, path))
    if for_nbgrader:
        text = template("nbgrader_config.py.j2").render()
        write_whole(out / "nbgrader_config.py", text)
    else:
        plain = lambda *words: tuple(map(Markup, words))  # Markdown, not HTML
        rows = [
            plain(one.path.name, one.lesson.title, _worth(one.tasks)) for one in done
        ]
        page = template("student.md.j2").render(rows=rows, version=__version__)
        write_whole(out / "README.md", page)
        write_whole(out / "requirements.txt", requirements())
    return done


def student_copy(notebook, lesson: Lesson, with_hidden: bool = False):
    """A lesson's notebook without solutions, hidden checks and outputs, as a new
    notebook; every cell of an exercise says which one it belongs to.

    with_hidden: put the hidden checks behind their check, between the lines that
    nbgrader looks for.
    """
    tasks = {task.key: task for task in read_tasks(notebook, lesson.name)}
    cells, told = [], False
    cell: Any
    for cell, key, part in cells_of_tasks(notebook):
        if part in SECRET:
            continue
        new = _clean(cell)
        if part == "exercise" and not told and tasks:
            cells.append(_rubric_cell(list(tasks.values())))
            told = True
        if key:
            task = tasks[key]
            new.metadata["cnnviz"] = {"exercise": key, "part": part}
            new.metadata["nbgrader"] = for_nbgrader(task, part)
        if part == "exercise":
            new.metadata["cnnviz"] |= dict(cell.metadata["cnnviz"])
            new.source += f"\n\n*{worth(task.points)}, {task.kind}*"
        if part == "check" and with_hidden and task.hidden:
            new.source += "\n" + HIDDEN.format("\n".join(task.hidden))
        cells.append(new)
    made = nbformat.v4.new_notebook(cells=cells)
    made.nbformat_minor = 5
    made.metadata = nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
            COPY: {
                "lesson": lesson.name,
                "version": __version__,
                "points": rubric(list(tasks.values())),
                "source": source_hash(notebook),
            },
        }
    )
    return made


def of_another_version(handed_in: Notebook, source: str) -> bool:
    """Whether a notebook says that it was handed out from another state of the lesson
    than the one with this `source_hash`."""
    told = handed_in.metadata.get(COPY)
    known = told.get("source") if isinstance(told, dict) else None
    return isinstance(known, str) and known != source


def _clean(cell):
    """A cell without its outputs, and with only those metadata that a reader needs."""
    new = copy.deepcopy(cell)
    metadata = {k: v for k, v in cell.metadata.items() if k in KEPT}
    new.metadata = nbformat.from_dict(metadata)
    if new.cell_type == "code":
        new.outputs, new.execution_count = [], None
    return new


def _rubric_cell(tasks: list[Task]):
    metadata = {"tags": ["rubric"]}
    text = f"**What the exercises are worth** · {rubric_words(tasks)}."
    return nbformat.v4.new_markdown_cell(text, id="rubric", metadata=metadata)


def for_nbgrader(task: Task, part: str) -> dict[str, Any]:
    """nbgrader's own metadata for a cell of an exercise.

    Checks are graded by nbgrader itself, open answers by a person.
    """
    by_hand = task.written and part == "answer"
    about: dict[str, Any] = {
        "schema_version": 3,
        "grade_id": re.sub(r"\W+", "-", f"{part}-{task.key}"),
        "grade": part == "check" or by_hand,
        "solution": part == "answer",
        "locked": part != "answer",
        "task": False,
    }
    if about["grade"]:
        about["points"] = task.points
    return about


def requirements() -> str:
    """The packages that the lessons need, in the versions that are installed here."""
    lines = [f"# cnnviz {__version__} itself comes from your teacher, as a wheel"]
    for wanted in requires("cnnviz") or []:
        if "extra ==" in wanted:
            continue
        name = re.split(r"[^\w.-]", wanted, maxsplit=1)[0]
        try:
            lines.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            lines.append(wanted)
    return "\n".join(lines) + "\n"


def _worth(tasks: list[Task]) -> str:
    return rubric_words(tasks) if tasks else "no exercises"
