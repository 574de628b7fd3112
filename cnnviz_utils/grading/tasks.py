"""The exercises of a lesson: what is asked, how it is checked, what it is worth."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cnnviz_utils.base.settings import UsageError

KINDS = ("computing", "reading", "explaining")
LEVELS = ("easy", "think", "open")
# the tags of an exercise's cells, and the field of Task that takes their sources
PARTS = {
    "check-definition": "definitions",
    "answer": "stubs",
    "check": "checks",
    "solution": "solutions",
    "hidden-check": "hidden",
}
SECRET = ("solution", "hidden-check")


@dataclass
class Task:
    """One exercise. The lists hold the sources of its cells.

    written: whether the answer is a text, which a person reads.
    """

    key: str
    level: str
    kind: str
    points: float
    question: str
    definitions: list[str] = field(default_factory=list)
    stubs: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    solutions: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    written: bool = False

    @property
    def answers(self) -> list[str]:
        """What `cv.check` looks at, as it is written there: ["share", "table['a']"]."""
        found: list[str] = []
        for source in self.checks:
            found += [
                ast.unparse(argument)
                for key, call in check_calls(source)
                if key == self.key
                for argument in call.args[1:]
            ]
        return list(dict.fromkeys(found))


def check_calls(source: str) -> Iterator[tuple[str, ast.Call]]:
    """The calls of `check` with an exercise's key in a cell; none if it is no
    Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        key = node.args[0]
        if name == "check" and isinstance(key, ast.Constant):
            yield str(key.value), node


def cells_of_tasks(notebook) -> Iterator[tuple[Any, str, str]]:
    """(cell, key of the exercise that it belongs to or "", its part or "") for every
    cell. The question's part is "exercise"; an exercise lasts until the next one, its
    cells are those with a tag of PARTS."""
    key = ""
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "exercise" in tags:
            key = str(cell.metadata.get("cnnviz", {}).get("exercise", ""))
            yield cell, key, "exercise"
        elif part := next((tag for tag in PARTS if tag in tags), ""):
            yield cell, key, part
        else:
            yield cell, "", ""


def read_tasks(notebook, name: str = "the lesson") -> list[Task]:
    """The exercises of a lesson (as nbformat gives it), in order.

    Raises UsageError, naming lesson and exercise, for metadata that are missing or
    wrong, a key that stands twice, or an exercise without a place for the answer.
    """
    tasks: dict[str, Task] = {}
    for cell, key, part in cells_of_tasks(notebook):
        if part == "exercise":
            task = _task(cell, name)
            if task.key in tasks:
                raise UsageError(f"{name}: exercise {task.key} is there twice")
            tasks[task.key] = task
        elif key:
            task = tasks[key]
            getattr(task, PARTS[part]).append(cell.source)
            task.written |= part == "answer" and cell.cell_type == "markdown"
    for task in tasks.values():
        if not task.stubs:
            raise UsageError(f"{name}: exercise {task.key} has no cell tagged 'answer'")
        if not task.written and not (task.definitions and task.answers):
            raise UsageError(
                f"{name}: exercise {task.key} has no cell tagged 'check-definition', "
                f"or no 'check' with cv.check({task.key!r}, ...)"
            )
    return list(tasks.values())


def _task(cell, name: str) -> Task:
    """A question's cell; raises UsageError where its metadata do not fit."""
    given = cell.metadata.get("cnnviz", {})
    key = str(given.get("exercise", ""))
    if not key:
        line = cell.source.strip().splitlines()[:1]
        raise UsageError(f"{name}: an exercise has no key in its metadata: {line}")
    for what, known in (("kind", KINDS), ("level", LEVELS)):
        if given.get(what) not in known:
            said = " or ".join(known)
            raise UsageError(f"{name}: exercise {key} needs a {what}: {said}")
    points = given.get("points")
    if isinstance(points, bool) or not isinstance(points, int | float) or points <= 0:
        raise UsageError(f"{name}: exercise {key} needs points, more than 0")
    return Task(key, given["level"], given["kind"], points, cell.source)


def rubric(tasks: list[Task]) -> dict[str, float]:
    """Points by kind, and their "total"."""
    by_kind = {
        kind: sum(task.points for task in tasks if task.kind == kind) for kind in KINDS
    }
    return by_kind | {"total": sum(by_kind.values())}


def worth(points: float) -> str:
    """ "1 point", "2 points", "0.5 points"."""
    return f"{points:g} point" + ("s" if points != 1 else "")


def rubric_words(tasks: list[Task]) -> str:
    """The rubric as one sentence: "10 points: 6 for computing, 4 for explaining"."""
    parts = rubric(tasks)
    kinds = [f"{parts[kind]:g} for {kind}" for kind in KINDS if parts[kind]]
    return f"{worth(parts['total'])}: {', '.join(kinds)}"
