"""Grade a folder of submissions: each in a process of its own, some at a time; what was
graded before stays."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from cnnviz_utils.base.files import work_folder, writable_folder, write_whole
from cnnviz_utils.base.paths import cache_root
from cnnviz_utils.course.fingerprint import source_hash
from cnnviz_utils.course.lessons import Lesson
from cnnviz_utils.grading.sandbox import Limits, method
from cnnviz_utils.grading.submissions import Submission
from cnnviz_utils.grading.worker import RESULT, failed, key_of, limits_of

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

    def __post_init__(self) -> None:
        self.method = self.method or method()
        notebook = nbformat.read(self.lesson.path, as_version=4)
        self.source = source_hash(notebook)
        self.running: set[subprocess.Popen] = set()
        self.lock = threading.Lock()
        self.stopped = False

    def folder(self, student: str) -> Path:
        return self.out / "students" / student

    def stop(self) -> None:
        """End what is running."""
        with self.lock:
            self.stopped = True
            for process in self.running:
                process.kill()


def reference(group: Class, say: Say = lambda line: None) -> dict:
    """The lesson itself, graded as a submission: its solutions must pass here, and what
    it trains is in the cache for the others."""
    writable_folder(group.out)
    who = {"student": "reference", "name": "the lesson itself"}
    one = Submission("reference", "the lesson itself", group.lesson.path)
    return _grade(group, one, who, group.out / "reference", say, trusted=True)


def grade_all(
    group: Class, submissions: list[Submission], say: Say = lambda line: None
) -> Iterator[dict]:
    """Each submission's result as soon as it is there. Whatever stops the caller stops
    what is running; a second call goes on from what was finished."""

    def one(submission: Submission) -> dict:
        who = {
            "student": submission.student,
            "name": submission.name,
            "number": submission.number,
            "lms": submission.lms,
            "late": submission.late,
            "file": submission.path.name,
            "others": list(submission.others),
        }
        return _grade(group, submission, who, group.folder(submission.student), say)

    with ThreadPoolExecutor(group.jobs) as pool:
        waiting = [pool.submit(one, submission) for submission in submissions]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            group.stop()


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
        problem = _run_worker(group, path, limits["seconds"] + LONGER)
    if group.stopped:
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


def _run_worker(group: Class, order: Path, limit: float) -> str:
    """What went wrong with the process itself, "" if nothing did."""
    words = [sys.executable, "-m", "cnnviz_utils.grading.worker", str(order)]
    environment = os.environ | {"OMP_NUM_THREADS": str(group.threads)}
    with (order.parent / "log").open("wb+") as log, group.lock:
        if group.stopped:
            return "interrupted"
        process = subprocess.Popen(
            words, env=environment, stdout=subprocess.DEVNULL, stderr=log
        )
        group.running.add(process)
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        return f"it took more than {limit:g} s"
    finally:
        process.kill()
        process.wait()
        with group.lock:
            group.running.discard(process)
    said = (order.parent / "log").read_text(errors="replace").strip().splitlines()
    return "" if code == 0 else (said[-1][:300] if said else f"exit code {code}")
