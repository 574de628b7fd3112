"""Grade a folder of submissions: each in a process of its own, some at a time; what was
graded before stays."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import nbformat

from cnnviz_utils.base.files import work_folder, writable_folder, write_whole
from cnnviz_utils.base.paths import cache_root
from cnnviz_utils.course.fingerprint import source_hash
from cnnviz_utils.course.lessons import Lesson
from cnnviz_utils.engines import Engine, make_engine
from cnnviz_utils.grading.execute import PREFIX
from cnnviz_utils.grading.sandbox import Limits, method
from cnnviz_utils.grading.submissions import Submission
from cnnviz_utils.grading.worker import RESULT, failed, key_of, limits_of
from cnnviz_utils.grading.workers import Workers

LONGER = 300  # seconds that a worker has besides its notebook's: reading, pages
REFERENCE = 4  # times the limits, for the lesson itself: it may have to train
Say = Callable[[str], None]


@dataclass
class Class:
    """What is to be graded, and how."""

    lesson: Lesson
    out: Path
    limits: Limits = field(default_factory=Limits)
    jobs: int = 1
    threads: int = 1
    method: str = ""
    fresh: bool = False
    secret: tuple[Path, ...] = ()
    workers: Workers = field(default_factory=Workers)

    def __post_init__(self) -> None:
        self.method = self.method or method()
        notebook = nbformat.read(self.lesson.path, as_version=4)
        self.source = source_hash(notebook)

    def folder(self, student: str) -> Path:
        return self.out / "students" / student


def reference(group: Class, say: Say = lambda line: None) -> dict:
    """The lesson itself, graded as a submission: its solutions must pass here, and what
    it trains is in the cache for the others."""
    writable_folder(group.out)
    who = {"student": "reference", "name": "the lesson itself"}
    one = Submission("reference", "the lesson itself", group.lesson.path)
    return _grade(group, one, who, group.out / "reference", say, trusted=True)


def grade_all(
    group: Class, submissions: list[Submission], engine: Engine | None = None
) -> Iterator[dict]:
    """Each submission's result as soon as it is there. Whatever stops the caller stops
    what is running; a second call goes on from what was finished.

    engine: where they are graded (`make_engine`), by default group.jobs at a time here.
    """
    engine = engine or make_engine(device="cpu", jobs=group.jobs)
    running = engine.run(
        partial(grade_one, group), submissions, stop=group.workers.stop
    )
    try:
        for answer in running:
            one = submissions[answer.number]
            yield answer.value or _not_graded(group, one, answer.problem)
    finally:
        running.close()
        with work_folder(PREFIX, Path(tempfile.gettempdir())):
            pass  # what those that were stopped have left is removed


def grade_one(group: Class, one: Submission, say: Say) -> dict:
    """The result of one submission, new or as it is there already."""
    return _grade(group, one, _who(one), group.folder(one.student), say)


def _who(one: Submission) -> dict:
    return {
        "student": one.student,
        "name": one.name,
        "number": one.number,
        "lms": one.lms,
        "late": one.late,
        "file": one.path.name,
        "others": list(one.others),
    }


def _not_graded(group: Class, one: Submission, problem: str) -> dict:
    """The result where the engine lost what graded it; tried again the next time."""
    order = {"who": _who(one), "key": "", "method": group.method}
    order["lesson"] = str(group.lesson.path.resolve())
    return failed(order, f"It could not be graded: {problem}.")


def earlier(folder: Path, key: str) -> dict | None:
    """The result that is there already, if it is of this very file and lesson."""
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and result.get("key") == key else None


def _grade(
    group: Class,
    one: Submission,
    who: dict,
    folder: Path,
    say: Say,
    trusted: bool = False,
) -> dict:
    content = one.path.read_bytes()
    key = key_of(content, group.source)
    if not group.fresh and (known := earlier(folder, key)):
        return known | who
    writable_folder(folder)
    limits = limits_of(group.limits)
    if trusted:
        limits["seconds"] *= REFERENCE
        limits["cell"] *= REFERENCE
    order = {
        "who": who,
        "key": key,
        "parent": os.getpid(),
        "file": str(one.path.resolve()),
        "lesson": str(group.lesson.path.resolve()),
        "out": str(folder.resolve()),
        "method": group.method,
        "limits": limits,
        "temporary": tempfile.gettempdir(),
        "cache": str(cache_root()),
        "home": str((group.out / ".home").resolve()),
        "secret": [str(path.resolve()) for path in (*group.secret, group.out)],
        "trusted": trusted,
    }
    with work_folder(".grading-", folder) as place:
        path = place / "order.json"
        path.write_text(json.dumps(order))
        seconds = limits["seconds"] + LONGER
        problem = group.workers.run(path, seconds, group.threads)
    if group.workers.stopped:
        raise KeyboardInterrupt
    result = None if problem else earlier(folder, key)
    if result is None and not problem:
        # not this key: it could not be run here, and is tried again the next time
        result = earlier(folder, "")
    if result is None:
        reason = f"The grader's own process had to be stopped: {problem or 'it died'}."
        result = failed(order, reason)
        write_whole(folder / RESULT, json.dumps(result, indent=1))
    say(f"{one.name}: {result['reason'] or 'ran'}")
    return result
