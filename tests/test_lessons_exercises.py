"""The exercises of the real lessons: marks add up, nothing leaks into student copies, every solution passes its check
and no stub does, by the verdicts that the executed lessons keep."""

from pathlib import Path

import nbformat
import pytest

from cnnviz_utils.course.exercises import summary_of
from cnnviz_utils.course.lessons import read_lesson
from cnnviz_utils.grading.student import student_copy
from cnnviz_utils.grading.tasks import SECRET, read_tasks, rubric

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def has_exercises(path):
    return '"exercise"' in path.read_text()


LESSONS = [path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")) if has_exercises(path)]
pytestmark = pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)


def test_marks_add_up_to_what_the_copy_says(path):
    notebook = nbformat.read(path, as_version=4)
    tasks = read_tasks(notebook, path.stem)
    assert tasks and all(task.key.startswith(path.stem[:2] + ".") for task in tasks)
    copied = student_copy(notebook, read_lesson(path))
    graded = [c.metadata.nbgrader.points for c in copied.cells if c.metadata.get("nbgrader", {}).get("grade")]
    assert sum(graded) == rubric(tasks)["total"] == copied.metadata.cnnviz_copy.points["total"] == sum(task.points for task in tasks)
    assert all(task.solutions for task in tasks)


def secret_lines(notebook):
    """Lines of some length that stand in solutions and hidden checks only."""
    lines = lambda cells: {line.strip() for c in cells for line in c.source.splitlines() if len(line.strip()) > 15}
    secret = [c for c in notebook.cells if set(SECRET) & set(c.metadata.get("tags", []))]
    public = [c for c in notebook.cells if c not in secret]
    return lines(secret) - lines(public)


def test_nothing_of_solutions_and_hidden_checks_is_in_a_student_copy(path):
    notebook = nbformat.read(path, as_version=4)
    copied = student_copy(notebook, read_lesson(path))
    shown = {line.strip() for c in copied.cells for line in c.source.splitlines()}
    metadata = str([dict(c.metadata) for c in copied.cells]) + str(copied.metadata)
    found = secret_lines(notebook)
    assert len(found) > 5 and not [line for line in found if line in shown or line in metadata]
    assert not [c for c in copied.cells if c.get("outputs") or c.get("execution_count") or set(SECRET) & set(c.metadata.get("tags", []))]
    names = {name for c in notebook.cells if set(SECRET) & set(c.metadata.get("tags", [])) for name in c.get("attachments", {})}
    assert not names & {name for c in copied.cells for name in c.get("attachments", {})}


def test_by_the_lessons_own_run_solutions_are_right_and_stubs_unanswered(path):
    notebook = nbformat.read(path, as_version=4)
    checks = [c for c in notebook.cells if "check" in c.metadata.get("tags", [])]
    if any(c.execution_count is None for c in checks):
        pytest.skip("the lesson's exercises have no outputs yet: `cnnviz execute` stores them")
    tasks = [task for task in read_tasks(notebook, path.stem) if not task.written]
    wanted = {task.key: {"answer": "unanswered", "solution": "right"} | ({"hidden": "right"} if task.hidden else {}) for task in tasks}
    assert summary_of(notebook) == wanted
