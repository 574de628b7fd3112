"""What a student wants to know before handing in: does it run from top to bottom, is
anything missing, which checks are open. Needs no network."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat

from cnnviz_utils.base.paths import cache_root
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.course.fingerprint import source_hash
from cnnviz_utils.course.lessons import Lesson, all_lessons
from cnnviz_utils.course.repair import read_notebook, repaired
from cnnviz_utils.grading import marks
from cnnviz_utils.grading.changes import changes
from cnnviz_utils.grading.execute import Order, execute
from cnnviz_utils.grading.sandbox import Limits, method
from cnnviz_utils.grading.session import SAYS
from cnnviz_utils.grading.student import of_another_version, student_copy
from cnnviz_utils.grading.tasks import read_tasks, worth

LARGE = 20_000_000  # bytes of a file; many platforms take no more
WORDS = {
    "right": "✓",
    "wrong": "✗",
    "unanswered": "○ not answered",
    marks.TO_READ: "… a person will read it",
}


def lesson_of(path: Path, source: Path | None) -> Lesson:
    """The lesson that a notebook says it is, or is named after. Raises UsageError."""
    lessons = all_lessons(source)
    for name in [found.decode() for found in SAYS.findall(path.read_bytes())]:
        if name in lessons:
            return lessons[name]
    for name, lesson in lessons.items():
        if name in path.name:
            return lesson
    raise UsageError(f"{path} says nothing of which lesson it is: was it handed out?")


def check(
    path: Path,
    say: Callable[[str], None],
    source: Path | None = None,
    limits: Limits | None = None,
) -> bool:
    """Say everything that is to be said about a notebook; whether it can be handed in
    as it is, with every check right.

    Raises UsageError if it is no notebook of a lesson.
    """
    handed_in = read_notebook(path)
    lesson = lesson_of(path, source)
    original = nbformat.read(lesson.path, as_version=4)
    tasks = [replace(task, hidden=[]) for task in read_tasks(original, lesson.name)]
    good = True
    if path.stat().st_size > LARGE:
        size = path.stat().st_size / 1e6
        say(f"✗ it has {size:.0f} MB: clear the outputs before you hand it in")
        good = False
    if of_another_version(handed_in, source_hash(original)):
        say(
            "It was handed out from another version of the lesson than the one that "
            "is installed here: cells may differ that you did not change."
        )
    changed = changes(repaired(student_copy(original, lesson)), handed_in)
    for one in changed:
        what = f"{one['part'].replace('-', ' ')} of {one['exercise']}"
        what = what if one["exercise"] else f"a {one['kind']} cell of the lesson"
        locked = one["part"] in ("check", "check-definition", "exercise")
        if one["what"] == "missing" or (one["what"] == "changed" and locked):
            first = next((ln[1:] for ln in one["diff"] if ln[:1] in "+-"), "")
            say(f"✗ {what} is {one['what']}: {first[:60]}")
            good = False
    say(f"Running it from top to bottom ({lesson.name}) ...")
    order = Order(
        method(),
        limits or Limits(seconds=7200, cell=1800, memory=8),
        Path(tempfile.gettempdir()),
        cache_root(),
        trusted=True,
    )
    run = execute(handed_in, tasks, order)
    for one in (*run.problems, *run.errors):
        lines = handed_in.cells[one["cell"]].source.strip().splitlines() or [""]
        say(f"✗ cell {one['cell'] + 1} ({lines[0][:50]}): {one['what']}")
        good = False
    for task in tasks:
        answer = marks.open_answer(handed_in, task) if task.written else ""
        mark = marks.mark(task, run.verdicts.get(task.key), answer, "not run")
        good &= mark["state"] in ("right", marks.TO_READ)
        said = f" {mark['message']}" if mark["message"] else ""
        points = worth(task.points)
        say(f"{task.key} ({points}) {WORDS[mark['state']]}{said}")
    done = "It can be handed in." if good else "It can be handed in, but see above."
    say(f"{done} It ran in {run.seconds:.0f} s.")
    return good
