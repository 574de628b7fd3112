"""Note and judge answers in a kernel that ran a student's notebook. The kernel is not
believed: what comes back is checked field by field."""

import secrets
from functools import cache
from pathlib import Path

from cnnviz_utils.course import exercises
from cnnviz_utils.grading.kernel import Kernel
from cnnviz_utils.grading.tasks import Task

MOST = 60.0  # seconds that the checks of one exercise may take
LONGEST = 1000  # characters of a message


@cache
def text_of(name: str) -> str:
    """The text of a file beside this one, or of the exercises' module."""
    if name == "exercises":
        return Path(exercises.__file__).read_text(encoding="utf-8")
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def code(order: dict, call: str) -> str:
    """Our program with an order, as a cell that leaves no name in the notebook."""
    program = f"{text_of('inside.py')}\n{call}\n"
    space = {"__name__": "grader", "ORDER": order}
    return f"exec(compile({program!r}, '<grader>', 'exec'), {space!r})"


def note_answers(kernel: Kernel, tasks: list[Task]) -> None:
    """Keep what the answers of these exercises are now: a later cell may use the same
    names."""
    order = {"tasks": {task.key: task.answers for task in tasks}}
    kernel.ask(code(order, "note()"), "application/json", limit=20)


def judge_task(kernel: Kernel, task: Task) -> dict:
    """The verdicts on one exercise: {"state", "message", "hidden": [(state, message)],
    "replaced": [names], "ended"}."""
    mime = f"application/vnd.cnnviz.grader.{secrets.token_hex(16)}+json"
    order = {
        "key": task.key,
        "answers": task.answers,
        "definitions": task.definitions,
        "hidden": task.hidden,
        "exercises": text_of("exercises"),
        "mime": mime,
    }
    limit = min(MOST, kernel.limits.cell)
    ran = kernel.ask(code(order, "show(judge_one())"), mime, limit)
    if ran.problem:
        return _said("wrong", f"While it was checked {ran.problem}.", ran.ended)
    if not isinstance(ran.found, dict):
        said = ran.error or "nothing came back"
        return _said("wrong", f"It could not be checked: {said}.", ran.ended)
    found = ran.found
    result = _said(*_pair((found.get("state"), found.get("message"))), False)
    given = found.get("hidden")
    result["hidden"] = [_pair(one) for one in given] if isinstance(given, list) else []
    names = found.get("replaced")
    if isinstance(names, list):
        result["replaced"] = [str(name)[:100] for name in names[:20]]
    return result


def _said(state: str, message: str, ended: bool) -> dict:
    return {
        "state": state,
        "message": message,
        "hidden": [],
        "replaced": [],
        "ended": ended,
    }


def _pair(one: object) -> tuple[str, str]:
    """(state, message), both as they may be."""
    if not isinstance(one, list | tuple) or len(one) != 2:
        return exercises.WRONG, "It could not be checked."
    state, message = one
    known = (exercises.UNANSWERED, exercises.WRONG, exercises.RIGHT)
    return (state if state in known else exercises.WRONG), str(message)[:LONGEST]
