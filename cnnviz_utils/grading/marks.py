"""From a run to marks: what each exercise got, and what a person has to know."""

from typing import Any

from cnnviz_utils.base.settings import UsageError, many
from cnnviz_utils.course.exercises import RIGHT, UNANSWERED, WRONG
from cnnviz_utils.course.lessons import Lesson, parse_parameters
from cnnviz_utils.course.predictions import PREDICTION
from cnnviz_utils.course.records import RECORD, carried
from cnnviz_utils.course.repair import Notebook
from cnnviz_utils.grading.execute import Execution
from cnnviz_utils.grading.tasks import Task

TO_READ = "to be read"
MOST_WORDS = 20_000  # characters of an open answer
LOCKED = ("check", "check-definition")


def mark(task: Task, verdict: dict | None, answer: str, why_not: str = "") -> dict:
    """What an exercise got. answer: the text of an open answer. why_not: why there is
    no verdict.

    An exercise that is checked has all its points if its own check and all hidden ones
    are right, else none. An open answer has no points until a person has read it.
    """
    found: dict[str, Any] = {
        "key": task.key,
        "level": task.level,
        "kind": task.kind,
        "of": task.points,
        "written": task.written,
        "points": 0.0,
        "message": "",
    }
    if task.written:
        empty = _words(answer) in {"", *map(_words, task.stubs)}
        state, points = (UNANSWERED, 0.0) if empty else (TO_READ, None)
        return found | {
            "state": state,
            "points": points,
            "answer": answer[:MOST_WORDS],
        }
    if verdict is None:
        return found | {"state": UNANSWERED, "message": why_not}
    state, message = verdict["state"], verdict["message"]
    hidden = verdict["hidden"]
    failed = [words for state_, words in hidden if state_ != RIGHT]
    if state == RIGHT and (failed or len(hidden) < len(task.hidden)):
        state, message = WRONG, (failed or ["A hidden check did not run."])[0]
        message = f"Right by the check in the notebook, not by the grader's: {message}"
    points = task.points if state == RIGHT else 0.0
    return found | {"state": state, "message": message, "points": points}


def _words(text: str) -> str:
    return " ".join(text.split())


def open_answer(handed_in: Notebook, task: Task) -> str:
    """The text that a student wrote for an open question: its cell, by its metadata or,
    where they are lost, what stands between this question and the next cell that has
    the look of one."""
    mine = [
        cell.source
        for cell in handed_in.cells
        if cell.ours.get("exercise") == task.key and cell.ours.get("part") == "answer"
    ]
    if mine:
        return "\n\n".join(mine)
    found, inside = [], False
    for cell in handed_in.cells:
        if cell.kind == "markdown" and f"**{task.key}**" in cell.source:
            inside = True
        elif inside and cell.source.lstrip().startswith(("**", "#")):
            break
        elif inside and cell.kind == "markdown":
            found.append(cell.source)
    return "\n\n".join(found)


def parameters_of(handed_in: Notebook, lesson: Lesson) -> tuple[dict, list[str]]:
    """(the parameters that the notebook sets, those that differ from the lesson's)."""
    values: dict[str, Any] = {}
    for cell in handed_in.cells:
        if "parameters" in cell.tags and cell.kind == "code":
            try:
                found = parse_parameters(cell.source, "the notebook")
            except (UsageError, SyntaxError, ValueError):
                continue
            values |= {name: str(one.value)[:200] for name, one in found.items()}
    own = lesson.parameters
    changed = [n for n in own if n in values and values[n] != str(own[n].value)]
    return values, changed


def recorded(execution: Execution) -> dict:
    """Claims and metrics that the new run recorded, as far as they have the form."""
    found: dict = {}
    for _, data in carried(execution.notebook, RECORD):
        found = data
    claims = found.get("claims")
    claims = claims if isinstance(claims, list) else []
    kept = [
        {
            "claim": str(one.get("claim"))[:500],
            "evidence": str(one.get("evidence"))[:500],
            "holds": one.get("holds") is True,
        }
        for one in claims[:100]
        if isinstance(one, dict)
    ]
    metrics = found.get("metrics")
    return {"claims": kept, "metrics": metrics if isinstance(metrics, dict) else {}}


def predictions_made(handed_in: Notebook) -> tuple[int, int]:
    """(predictions that were made before the number came, predictions asked for), by
    the outputs as they were handed in."""
    asked, made = set(), set()
    for cell in handed_in.cells:
        for output in cell.outputs:
            data = output.data.get(PREDICTION)
            if isinstance(data, dict):
                asked.add(str(data.get("key")))
                if isinstance(data.get("predicted"), int):
                    made.add(str(data.get("key")))
    return len(made), len(asked)


def notes(handed_in: Notebook, changed: list[dict], execution: Execution) -> list[str]:
    """What a person should know about a notebook, in sentences."""
    found = []
    counts = [cell.count for cell in handed_in.cells if cell.count is not None]
    code = [c for c in handed_in.cells if c.kind == "code" and c.source.strip()]
    if not counts:
        found.append("It was handed in without having been run.")
    elif counts != sorted(counts):
        found.append("Its cells were run out of order before it was handed in.")
    elif len(counts) < len(code):
        found.append(f"{len(code) - len(counts)} of its cells had not been run.")
    for one in changed:
        if one["part"] in LOCKED and one["what"] != "added":
            what = one["part"].replace("-", " ")
            found.append(
                f"The {what} of {one['exercise']} is {one['what']}; "
                "the lesson's own was used."
            )
    lost = [c for c in changed if c["what"] == "missing" and c["part"] not in LOCKED]
    if lost:
        found.append(f"{len(lost)} cells of the hand-out are missing.")
    if execution.errors:
        found.append(f"{many(len(execution.errors), 'cell')} raised an error.")
    names = {n for one in execution.verdicts.values() for n in one["replaced"]}
    if names:
        said = ", ".join(sorted(names))
        found.append(
            f"The notebook puts its own in the place of {said}; its own verdicts "
            "were not used."
        )
    return found
