"""Grades as tables that learning platforms import."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from cnnviz_utils.base.files import write_whole

GRADES, CANVAS = "grades.csv", "grades-canvas.csv"


def write_grades(out: Path, results: list[dict], title: str, of: float) -> None:
    """OUT/grades.csv with the columns of Moodle's grading worksheet and one a column
    for each exercise, OUT/grades-canvas.csv as Canvas imports it.

    A grade stays empty as long as an answer waits to be read.
    """
    keys = [task["key"] for task in results[0]["tasks"]] if results else []
    head = ["Identifier", "Full name", "Grade", "Maximum Grade", "Feedback comments"]
    head += ["Student", "Points so far", "Answers to be read", *keys, "Notes"]
    rows: list[list[object]] = []
    for one in results:
        number = f"Participant {one['number']}" if one["lms"] == "moodle" else ""
        points = {task["key"]: task["points"] for task in one["tasks"]}
        notes = " ".join([one["reason"], *one["notes"]]).strip()
        row = [number, one["name"], grade(one), of, feedback(one), one["student"]]
        row += [one["points"], one["waiting"], *(points.get(key) for key in keys)]
        rows.append([*row, notes])
    write_whole(out / GRADES, table([head, *rows]))
    canvas = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", title]]
    canvas.append(["    Points Possible", "", "", "", "", f"{of:g}"])
    for one in results:
        number = one["number"] if one["lms"] == "canvas" else ""
        canvas.append([one["name"], number, "", "", "", str(grade(one))])
    write_whole(out / CANVAS, table(canvas))


def grade(result: dict) -> float | str:
    """The points, "" as long as something has to be read."""
    return "" if result["waiting"] else result["points"]


def feedback(result: dict) -> str:
    """The comments of a person, and what was wrong, for the student."""
    parts = [result["comment"], result["reason"]]
    for task in result["tasks"]:
        said = task["comment"] or (task["message"] if task["points"] == 0 else "")
        parts.append(f"{task['key']}: {said}" if said else "")
    return " | ".join(part for part in parts if part)


def table(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV. What a spreadsheet would take for a formula gets an apostrophe."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerows([[cell(value) for value in row] for row in rows])
    return text.getvalue()


def cell(value: object) -> object:
    """A value as a spreadsheet may read it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
