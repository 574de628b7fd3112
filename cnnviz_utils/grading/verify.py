"""Whether a report can have come from this lesson unedited.

A fingerprint is no signature: the one who forges a report can compute it anew. Without
`again` this finds edits and mistakes; with it, numbers that the lesson does not give.
"""

import contextlib
import json
import math
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from cnnviz_utils import __version__
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.course.fingerprint import SIGNED, digest, own_cells, source_hash
from cnnviz_utils.course.fingerprint import outputs_hash as hash_of_outputs
from cnnviz_utils.course.lessons import Lesson, all_lessons, plan
from cnnviz_utils.course.repair import repaired
from cnnviz_utils.course.report import render, title_of
from cnnviz_utils.course.run import LessonFailed, find_record, run_lesson
from cnnviz_utils.grading.reports import flat, is_number, read_executed

TOLERANCE = 0.02  # of a number's size: another processor, another number of threads
SMALL = 0.02  # and of what is near 0, such as an accuracy
MOST = 8  # differences that are named
# the ways to other pages, which are written into a page afterwards
WAY = r'<a class="(?:index-link|more|previous|next)"[^>]*>[^<]*</a>\s*'
LINKS = re.compile(rf'(<nav class="links[^>]*>)\s*(?:{WAY})*(</nav>)')
FORGERY = (
    "A fingerprint is no signature: whoever forges a report can compute it anew. "
    "Only running the lesson again (--rerun) tells whether its numbers are true."
)


@dataclass(frozen=True)
class Finding:
    """One sentence. holds: True, False, or None where it cannot be said."""

    holds: bool | None
    words: str


def verify(
    path: Path, source: Path | None = None, again: bool = False
) -> Iterator[Finding]:
    """What can be said about an executed notebook (.ipynb). source: a folder of
    lessons, by default the course's. again: run the lesson with its parameters and
    compare.

    Raises UsageError if it is no notebook, or carries no fingerprint.
    """
    page = path if path.suffix == ".html" else None
    if page:
        path = path.with_suffix(".ipynb")
        if not path.is_file():
            raise UsageError(f"a page alone proves nothing: {path} is needed beside it")
    notebook = read_executed(path)
    signed = notebook.metadata.get(SIGNED)
    if not isinstance(signed, dict) or not isinstance(signed.get("fingerprint"), dict):
        raise UsageError(
            f"{path} carries no fingerprint: it was not made by `cnnviz run`"
        )
    parts = signed["fingerprint"]
    lessons = all_lessons(source)
    lesson = lessons.get(str(signed.get("lesson")))
    if lesson is None:
        raise UsageError(f"{path} says it is {signed.get('lesson')!r}, no lesson here")
    yield from _as_it_says(notebook, signed, parts)
    yield from _of_this_lesson(notebook, lesson, parts)
    if page:
        yield _of_this_notebook(page, notebook, parts)
    if again:
        yield from _again(notebook, signed, lesson, lessons)
    else:
        yield Finding(None, FORGERY)


def _as_it_says(notebook, signed: dict, parts: dict) -> Iterator[Finding]:
    """The notebook against the fingerprint that it carries."""
    data = find_record(notebook)["metrics"].get("data_fingerprint", "not recorded")
    now = {
        "source": source_hash(notebook),
        "parameters": digest(signed.get("parameters")),
        "data": data,
        "outputs": hash_of_outputs(notebook),
        "cnnviz": parts.get("cnnviz"),
    }
    words = {
        "source": "text and code",
        "parameters": "the parameters",
        "data": "the data's fingerprint",
        "outputs": "numbers, texts and pictures",
    }
    for name, what in words.items():
        same = parts.get(name) == now[name]
        said = "as they were when it ran" if same else "CHANGED since it ran"
        yield Finding(same, f"{what}: {said}")
    if parts.get("whole") != digest(now) and all(parts.get(n) == now[n] for n in words):
        yield Finding(False, "the fingerprint itself was edited")


def _of_this_lesson(notebook, lesson: Lesson, parts: dict) -> Iterator[Finding]:
    """The notebook against the lesson that lies here."""
    original = nbformat.read(lesson.path, as_version=4)
    same = source_hash(original) == source_hash(notebook)
    if same:
        yield Finding(True, f"its cells are those of {lesson.name}")
    else:
        theirs = {cell.source for cell in own_cells(notebook)}
        ours = {cell.source for cell in original.cells}
        other, lost = len(theirs - ours), len(ours - theirs)
        said = (
            f"{other} cells are not in {lesson.name}, {lost} of its cells are missing"
        )
        yield Finding(False, said)
    version = parts.get("cnnviz")
    same = version == __version__
    said = f"made with cnnviz {version}" + ("" if same else f"; here is {__version__}")
    yield Finding(True if same else None, said)


def _of_this_notebook(page: Path, notebook, parts: dict) -> Finding:
    """A page against the notebook that lies beside it."""
    text = LINKS.sub(r"\1\2", page.read_text(encoding="utf-8", errors="replace"))
    file = page.with_name(f"{page.stem}.metrics.json")
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        facts = json.loads(file.read_text(encoding="utf-8"))
        made = render(notebook, facts, facts["title"])
        if LINKS.sub(r"\1\2", made) == text:
            return Finding(True, "the page shows what the notebook beside it holds")
    made = render(notebook, None, title_of(repaired(notebook)) or page.stem)
    if LINKS.sub(r"\1\2", made) == text:  # by `cnnviz html`
        return Finding(True, "the page shows what the notebook beside it holds")
    said = "the page does not show what the notebook beside it holds: it was edited"
    if parts.get("cnnviz") != __version__:
        return Finding(None, f"{said}, or made by another version")
    return Finding(False, said)


def _again(notebook, signed: dict, lesson: Lesson, lessons: dict) -> Iterator[Finding]:
    given = signed.get("parameters")
    given = given if isinstance(given, dict) else {}
    values = plan([lesson], "quick", given, lessons)[lesson.name]
    with tempfile.TemporaryDirectory(prefix="cnnviz-verify-") as folder:
        try:
            run_lesson(lesson, values, Path(folder))
        except LessonFailed as error:
            yield Finding(None, f"it could not be run again: {error}")
            return
        fresh = nbformat.read(Path(folder, f"{lesson.name}.ipynb"), as_version=4)
    old, new = find_record(notebook), find_record(fresh)
    yield from compared(old, new)


def compared(old: dict, new: dict) -> Iterator[Finding]:
    """Two records of a lesson: metrics within tolerance, claims with the same
    verdict."""
    before, after = flat(old["metrics"]), flat(new["metrics"])
    differ = [name for name in before if not close(before[name], after.get(name))]
    differ += [name for name in after if name not in before]
    if differ:
        named = [f"{n} {before.get(n)} (now {after.get(n)})" for n in differ[:MOST]]
        more = f" and {len(differ) - MOST} more" if len(differ) > MOST else ""
        said = f"{len(differ)} of {len(after)} numbers differ: {'; '.join(named)}{more}"
        yield Finding(False, said)
    else:
        yield Finding(
            True, f"run again: all {len(after)} numbers within {TOLERANCE:.0%}"
        )
    verdicts = lambda record: {c["claim"]: c["holds"] for c in record["claims"]}
    theirs, ours = verdicts(old), verdicts(new)
    turned = [claim for claim in ours if theirs.get(claim) != ours[claim]]
    turned += [claim for claim in theirs if claim not in ours]
    if turned:
        yield Finding(False, f"claims that come out otherwise: {'; '.join(turned)}")
    else:
        yield Finding(True, f"run again: the same verdict on all {len(ours)} claims")


def close(one: Any, other: Any) -> bool:
    """Numbers within the tolerance; anything else equal."""
    if is_number(one) and is_number(other):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=SMALL)
    return one == other
