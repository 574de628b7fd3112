"""The grader's pages: one for each student, one to read open answers, and the class.

They hold what hostile people wrote. It is escaped or comes through `sanitise`, and a
Content-Security-Policy lets only the one script run that is ours, by its hash.
"""

import re
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import quote

import nbformat
from markupsafe import Markup

from cnnviz_utils.base.files import write_whole
from cnnviz_utils.course.lessons import Lesson
from cnnviz_utils.course.markdown import markdown
from cnnviz_utils.course.pages import TEMPLATES, policy, script, style, template
from cnnviz_utils.grading.comments import FILE
from cnnviz_utils.grading.copies import copies
from cnnviz_utils.grading.export import CANVAS, GRADES
from cnnviz_utils.grading.sandbox import SAID
from cnnviz_utils.grading.tasks import read_tasks

INDEX, MARKING = "index.html", "marking.html"
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
HEADS = {
    "right": "✓ right",
    "wrong": "✗ wrong",
    "unanswered": "○ not answered",
    "to be read": "… to be read",
}


@cache
def frame() -> dict[str, Markup]:
    """What every page of ours with a script needs: style, script, and the policy that
    lets this script run and nothing else."""
    own = (TEMPLATES / "grading.css").read_text(encoding="utf-8")
    return {
        "style": style() + Markup(own),
        "script": script("grading"),
        "policy": Markup(policy("grading")),
    }


def write_class(out: Path, lesson: Lesson, results: list[dict], own: dict) -> Path:
    """All pages of a class; the index's path. results: with comments applied, in the
    order in which they are listed. own: the result of the lesson itself."""
    where = out / "students"
    shared = {"heads": HEADS, "lesson": lesson.title, **frame()}
    shared["store"] = f"cnnviz-{lesson.name}"
    for at, one in enumerate(results):
        neighbours = {
            "before": results[at - 1] if at else None,
            "after": results[at + 1] if at + 1 < len(results) else None,
        }
        page = template("student_page.html.j2", address=quote).render(
            one=one, isolation=SAID[one["isolation"]], **neighbours, **shared
        )
        write_whole(where / one["student"] / INDEX, page)
    items = [
        {"student": one, "task": task, "shown": _shown(task)}
        for one in results
        for task in one["tasks"]
        if task["state"] == "to be read"
    ]
    items.sort(key=lambda item: item["task"]["key"])
    marking = template("marking.html.j2", address=quote).render(
        items=items, questions=_questions(lesson), **shared
    )
    write_whole(out / MARKING, marking)
    tables = {"grades": GRADES, "canvas": CANVAS, "comments": FILE, "marking": MARKING}
    index = template("class.html.j2", address=quote).render(
        results=results,
        own=own,
        open=len(items),
        exercises=distribution(results),
        mistakes=mistakes(results),
        pairs=copies(results),
        isolation=sorted({SAID[one["isolation"]] for one in results}),
        **tables,
        **shared,
    )
    write_whole(out / INDEX, index)
    return out / INDEX


def _questions(lesson: Lesson) -> dict[str, dict[str, Markup]]:
    """By exercise: what is asked, and the lesson's own answer in words ("" where it is
    code)."""
    tasks = read_tasks(nbformat.read(lesson.path, as_version=4), lesson.name)
    return {
        task.key: {
            "question": markdown(task.question),
            "model": markdown("\n\n".join(task.solutions) if task.written else ""),
        }
        for task in tasks
    }


def _shown(task: dict) -> dict[str, Markup]:
    """What `answers.shown_answer` made safe."""
    found = task.get("shown") or {}
    return {name: Markup(found.get(name, "")) for name in ("text", "picture")}


def distribution(results: list[dict]) -> list[dict]:
    """By exercise: how many have right, wrong, nothing, or wait, and the mean share of
    its points."""
    rows = []
    for at, task in enumerate(results[0]["tasks"] if results else []):
        mine = [one["tasks"][at] for one in results]
        known = [one["points"] for one in mine if one["points"] is not None]
        whole = len(known) == len(mine)
        mean = sum(known) / len(known) / task["of"] if whole else None
        counts = Counter(_standing(one) for one in mine)
        more = {"counts": counts, "mean": mean, "of_all": len(mine)}
        rows.append(
            {name: task[name] for name in ("key", "kind", "level", "of")} | more
        )
    return rows


def _standing(task: dict) -> str:
    """All points, some, none, nothing written, or waiting."""
    if task["points"] is None:
        return "waits"
    if task["points"] == task["of"]:
        return "full"
    if task["points"] > 0:
        return "part"
    return "empty" if task["state"] == "unanswered" else "none"


def mistakes(results: list[dict], most: int = 12) -> list[dict]:
    """What checks said most often, numbers left out: {"key", "message", "names"}, of at
    least two students."""
    found: dict[tuple[str, str], list[dict]] = {}
    for one in results:
        for task in one["tasks"]:
            if task["state"] == "wrong" and task["message"]:
                said = NUMBER.sub("…", task["message"])
                found.setdefault((task["key"], said), []).append(one)
    often = [
        {"key": key, "message": said, "students": who}
        for (key, said), who in found.items()
        if len(who) > 1
    ]
    return sorted(often, key=lambda one: -len(one["students"]))[:most]
