"""Run several lessons, some of them at the same time, and report progress.

Two lessons with a core each are done sooner than one after the other with two: much of
a lesson is imports, drawing and small steps that use one core only.
"""

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from cnnviz_utils.base.files import StorageError, writable_folder
from cnnviz_utils.course.children import Children
from cnnviz_utils.course.lessons import Lesson
from cnnviz_utils.course.run import LessonFailed, Run, run_lesson

MOST_JOBS = 4
# the hungriest lessons take 2.2 GB, and the reader's other programs want some too
GB_A_JOB = 3


def memory_gb() -> float:
    """The machine's memory; infinite where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return float("inf")


def share_out(
    lessons: int, cores: int, memory: float, jobs: int | None = None, gpu: bool = False
) -> tuple[int, int]:
    """(lessons at a time, threads for each). memory: in GB. A GPU is not shared unless
    `jobs` says so."""
    jobs = jobs or (
        1 if gpu else max(1, int(min(lessons, cores, MOST_JOBS, memory / GB_A_JOB)))
    )
    return jobs, max(1, cores // jobs)


def run_lessons(
    chosen: list[Lesson],
    settings: dict[str, dict],
    out: Path,
    profile: str,
    timeout: int,
    jobs: int,
    threads: int,
    progress: "Progress",
) -> Iterator[tuple[Lesson, Run | LessonFailed]]:
    """Run the lessons, `jobs` at a time, each with its outcome as soon as it has ended.
    One at a time they run in their order; else those that take longest begin, so that
    no core waits for the last lesson.

    Whatever stops the caller (Ctrl-C) stops the lessons that are running; what was
    finished stays. Raises StorageError, before any lesson starts, where nothing can be
    written to `out`.
    """
    writable_folder(out)
    children = Children()
    if jobs > 1:
        chosen = sorted(chosen, key=lambda lesson: -lesson.about.minutes)

    def one(lesson: Lesson) -> Run | LessonFailed:
        progress.start(lesson)
        try:
            return run_lesson(
                lesson,
                settings[lesson.name],
                out,
                profile,
                timeout,
                threads,
                children,
                lambda text: progress(lesson, text),
            )
        except LessonFailed as error:
            return error
        except StorageError as error:  # the others may fit, or have been there before
            return LessonFailed(f"{lesson.name}: {error}")
        finally:
            progress.end(lesson)

    with ThreadPoolExecutor(jobs) as pool:
        running: dict[Future, Lesson] = {
            pool.submit(one, lesson): lesson for lesson in chosen
        }
        try:
            while running:
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(done), done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop()


class Progress:
    """Which cell of which lesson runs: one line that is written over on a terminal, a
    line a section elsewhere."""

    def __init__(self) -> None:
        # lesson's number -> when it started, where it is
        self.running: dict[str, tuple[float, str]] = {}
        self.lock = threading.Lock()

    def start(self, lesson: Lesson) -> None:
        with self.lock:
            self.running[lesson.name[:2]] = (time.time(), "")
            self._say(f"{lesson.name}: {lesson.title}")

    def __call__(self, lesson: Lesson, text: str) -> None:
        """text: "12/40 Heading", the cell that begins."""
        number, heading = lesson.name[:2], text.partition(" ")[2]
        with self.lock:
            started, earlier = self.running[number]
            self.running[number] = (started, text)
            if sys.stdout.isatty():
                self._status()
            elif heading != earlier.partition(" ")[2]:
                print(
                    f"  {number}  {time.time() - started:4.0f} s  cell {text}",
                    flush=True,
                )

    def end(self, lesson: Lesson) -> None:
        with self.lock:
            self.running.pop(lesson.name[:2], None)

    def say(self, line: str, error: bool = False) -> None:
        """A line that stays."""
        with self.lock:
            self._say(line, sys.stderr if error else sys.stdout)

    def _say(self, line: str, stream=None) -> None:
        if sys.stdout.isatty():
            sys.stdout.write("\r\033[K")
            sys.stdout.flush()
        print(line, file=stream or sys.stdout, flush=True)
        if sys.stdout.isatty():
            self._status()

    def _status(self) -> None:
        width = (shutil.get_terminal_size().columns - 1) // max(1, len(self.running))
        parts = [
            f"{number} {time.time() - started:4.0f} s {text}"[: width - 2].ljust(width)
            for number, (started, text) in sorted(self.running.items())
        ]
        sys.stdout.write("\r\033[K" + "".join(parts).rstrip())
        sys.stdout.flush()
