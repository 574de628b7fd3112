"""What a person adds: points and comments, in a table that survives every further run.

The pages save it as a file to download (a page that is opened from disk cannot write),
`cnnviz grade --comments FILE` merges it into OUT/comments.csv; a spreadsheet can edit
that as well.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from cnnviz_utils.base.files import write_whole
from cnnviz_utils.base.settings import UsageError

FILE = "comments.csv"
COLUMNS = ("student", "exercise", "points", "comment")
MOST_BYTES = 20_000_000


@dataclass(frozen=True)
class Comment:
    """On an exercise, or ("" as its key) on the whole. points: None: none given."""

    points: float | None
    text: str


Comments = dict[tuple[str, str], Comment]  # by student and exercise


def read_comments(path: Path) -> Comments:
    """A table of comments. Raises UsageError, with file and line, for what is none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path} is larger than any table of comments")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    separator = ";" if text.partition("\n")[0].count(";") > 2 else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    lacking = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
    if lacking:
        raise UsageError(f"{path} has no column {' and no column '.join(lacking)}")
    found: Comments = {}
    for line, row in enumerate(reader, start=2):
        given = {name: (row[name] or "").strip() for name in COLUMNS}
        try:
            points = float(given["points"].replace(",", ".") or "nan")
        except ValueError:
            said = f"{given['points']!r} are no points"
            raise UsageError(f"{path}, line {line}: {said}") from None
        key = (given["student"], given["exercise"])
        found[key] = Comment(None if points != points else points, given["comment"])
    return found


def merged(out: Path, files: list[Path]) -> Comments:
    """OUT/comments.csv with what the files say put over it, written back."""
    own = out / FILE
    found = read_comments(own) if own.is_file() else {}
    for file in files:
        found |= read_comments(file)
    if files:
        write_whole(own, text_of(found))
    return found


def text_of(comments: Comments) -> str:
    """Comments as a table."""
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    for (student, exercise), one in sorted(comments.items()):
        points = "" if one.points is None else f"{one.points:g}"
        writer.writerow([student, exercise, points, one.text])
    return table.getvalue()


def apply(result: dict, comments: Comments) -> dict:
    """A result with what a person said of it: points of an exercise take the place of
    the computed ones. Raises UsageError for points that the exercise does not have."""
    student = result["student"]
    tasks = []
    for task in result["tasks"]:
        said = comments.get((student, task["key"]))
        if said and said.points is not None:
            if not 0 <= said.points <= task["of"]:
                raise UsageError(
                    f"{FILE}: {student} has {said.points:g} points for {task['key']}, "
                    f"which has 0 to {task['of']:g}"
                )
            task = task | {"points": said.points, "by": "a person"}
        tasks.append({"by": ""} | task | {"comment": said.text if said else ""})
    whole = comments.get((student, ""))
    points = sum(task["points"] or 0 for task in tasks)
    waiting = sum(task["points"] is None for task in tasks)
    more = {"tasks": tasks, "points": points, "waiting": waiting}
    return result | more | {"comment": whole.text if whole else ""}
