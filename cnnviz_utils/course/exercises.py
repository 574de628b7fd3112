"""Exercises that answer: a check that says in words what is wrong, gives a hint after
each failed call, and never stops a notebook.

    @cv.exercise("05.1", hints=("Count the zeros.", "Divide by all of them."))
    def _(share):
        assert 0 <= share <= 1, f"A share lies between 0 and 1; yours is {share}."

    share = ...  # your code

    cv.check("05.1", share)
"""

import functools
import html
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from types import EllipsisType, FunctionType

from IPython.display import publish_display_data

from cnnviz_utils.course.records import carried

VERDICT = "application/vnd.cnnviz.verdict+json"
UNANSWERED, WRONG, RIGHT = "unanswered", "wrong", "right"
HEADS = {
    UNANSWERED: "○ not answered yet",
    WRONG: "✗ not right yet",
    RIGHT: "✓ right",
}
TICKS = re.compile(r"`([^`]+)`")
LONGEST = 600  # characters of a message


@dataclass(frozen=True)
class Verdict:
    """What a check says of an answer. state: "unanswered", "wrong" or "right".

    message: what is wrong, in words. hints: those given so far. hidden: whether it
    comes from a check that only the grader has.
    """

    exercise: str
    state: str
    message: str = ""
    hints: tuple[str, ...] = ()
    hidden: bool = False

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        parts = [f"{self.exercise} {HEADS[self.state]}", self.message]
        parts += [f"Hint: {hint}" for hint in self.hints]
        hints = "".join(f"<br><em>Hint:</em> {_marked(hint)}" for hint in self.hints)
        return {
            VERDICT: asdict(self),
            "text/plain": " · ".join(part for part in parts if part),
            "text/html": f'<p class="exercise {self.state}">'
            f"<strong>{self.exercise} {HEADS[self.state]}</strong> "
            f"{_marked(self.message)}{hints}</p>",
        }


@dataclass
class Exercise:
    """A check by its exercise's key: the function that asserts, the hints, and how
    often it has failed so far."""

    function: Callable
    hints: tuple[str, ...]
    failed: int = 0


_exercises: dict[str, Exercise] = {}  # of this kernel's lesson


def exercise(key: str, hints: Sequence[str] = ()) -> Callable[[Callable], Callable]:
    """Make the function below the check of an exercise.

    The function takes the answers and asserts what must be true of them; the text of
    an assert that fails is what the student reads. hints: the first is given after the
    first call of `check` that failed, the second after the second.

    Raises TypeError if `hints` is a text instead of several.
    """
    if isinstance(hints, str):
        raise TypeError(f'exercise({key!r}): hints are several texts, ("...", "...")')

    def define(function: Callable) -> Callable:
        earlier = _exercises.get(key)  # the cell is run again: hints stay
        failed = earlier.failed if earlier else 0
        _exercises[key] = Exercise(function, tuple(hints), failed)
        return function

    return define


def check(key: str, *answers: object) -> None:
    """Say below the cell whether the answers to an exercise are right: not answered yet
    (an answer, or part of it, is `...`; or a function returns nothing), what is wrong
    with a hint, or right. Never raises, but for nbgrader; the verdict is kept in the
    cell's output."""
    if key not in _exercises:
        said = f"Run the cell with `@cv.exercise({key!r}, ...)` first."
        publish(Verdict(key, UNANSWERED, said))
        return
    known = _exercises[key]
    state, message = judge(known.function, answers)
    known.failed += state == WRONG
    hints = known.hints[: known.failed] if state == WRONG else ()
    publish(Verdict(key, state, message, hints))


def check_hidden(key: str, *answers: object) -> Callable[[Callable], Callable]:
    """For the grader: run the function below on the answers at once, and say how it
    went. Cells with it (tag `hidden-check`) are never in a student's copy.

        @cv.check_hidden("05.1", share)
        def _(share):
            assert round(share, 2) == 0.25, "Dead channels are counted twice."
    """

    def run(function: Callable) -> Callable:
        state, message = judge(function, answers)
        publish(Verdict(key, state, message, hidden=True))
        return function

    return run


def publish(verdict: Verdict) -> None:
    """Show a verdict below the cell at once: a check need not be the last line.

    nbgrader counts a cell as right that raises nothing: only there a verdict that is
    not "right" is raised, as an AssertionError.
    """
    publish_display_data(verdict._repr_mimebundle_())
    if os.environ.get("NBGRADER_EXECUTION") and verdict.state != RIGHT:
        raise AssertionError(verdict.message or HEADS[verdict.state])


def judge(function: Callable, answers: Sequence[object]) -> tuple[str, str]:
    """(state, message) of a check's function on answers; whatever it raises is words
    in the message."""
    if any(_open(answer) for answer in answers):
        return UNANSWERED, ""
    gave: list[object] = []  # what the answers that are functions returned
    watched = [_watched(answer, gave) for answer in answers]
    try:
        function(*watched)
    except Exception as error:
        if gave and all(value is None or value is ... for value in gave):
            return UNANSWERED, ""
        return WRONG, _in_words(error)
    return RIGHT, ""


def verdicts(notebook) -> list[dict]:
    """The verdicts in a notebook's outputs, in order, each with the `tags` of its
    cell. notebook: as nbformat gives it."""
    return [
        {**data, "tags": list(cell.metadata.get("tags", []))}
        for cell, data in carried(notebook, VERDICT)
    ]


def summary_of(notebook) -> dict[str, dict[str, str]]:
    """By exercise: the last state of the reader's answer, and of the solution and the
    hidden check where there are any."""
    result: dict[str, dict[str, str]] = {}
    for one in verdicts(notebook):
        who = "solution" if "solution" in one["tags"] else "answer"
        who = "hidden" if one["hidden"] else who
        result.setdefault(one["exercise"], {})[who] = one["state"]
    return result


def _open(answer: object) -> bool:
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, list | tuple):
        return any(part is ... for part in answer)
    return isinstance(answer, EllipsisType)


def _watched(answer: object, gave: list[object]) -> object:
    """A function that notes what it returns; anything else as it is."""
    if not isinstance(answer, FunctionType):
        return answer

    @functools.wraps(answer)
    def watching(*args, **kwargs):
        value = answer(*args, **kwargs)
        gave.append(value)
        return value

    return watching


def _in_words(error: Exception) -> str:
    said = " ".join(str(error).split())
    said = said if len(said) <= LONGEST else f"{said[:LONGEST]} ..."
    if isinstance(error, AssertionError):
        return said or "The check does not hold for this answer."
    return f"Trying the answer gave {type(error).__name__}: {said}"


def _marked(text: str) -> str:
    """Words as HTML, `code` between backticks as code."""
    return TICKS.sub(r"<code>\1</code>", html.escape(text, quote=False))
