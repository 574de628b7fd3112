"""Run several lessons, some of them at the same time, and report progress.

Two lessons with a core each are done sooner than one after the other with two: much of
a lesson is imports, drawing and small steps that use one core only.
"""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cnnviz_utils.base.files import StorageError, writable_folder
from cnnviz_utils.course.children import Children
from cnnviz_utils.course.lessons import Lesson
from cnnviz_utils.course.run import CELL_TIMEOUT, LessonFailed, Run, run_lesson
from cnnviz_utils.engines import Engine

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


@dataclass(frozen=True)
class Work:
    """One lesson to run under one profile: with which parameters, where its pages go,
    and what it may take. several: there are other profiles, so that lines of progress
    name this one."""

    lesson: Lesson
    parameters: dict
    out: Path
    profile: str = "quick"
    several: bool = False
    timeout: int = CELL_TIMEOUT
    threads: int | None = 1

    @property
    def label(self) -> str:
        """The number, e.g. 02, and the profile where there are several."""
        return self.lesson.name[:2] + (f" {self.profile}" if self.several else "")

    @property
    def name(self) -> str:
        """The name, and the profile where there are several."""
        return self.lesson.name + (f", profile {self.profile}" if self.several else "")


def run_lessons(
    works: Sequence[Work], engine: Engine, progress: "Progress"
) -> Generator[tuple[Work, Run | LessonFailed], None, None]:
    """Run lessons where the engine does, each with its outcome as soon as it has ended.
    They begin in the order of `works`.

    Whatever stops the caller (Ctrl-C) stops the lessons that are running; what was
    finished stays. Raises StorageError, before any lesson starts, where nothing can be
    written.
    """
    for out in {work.out for work in works}:
        writable_folder(out)
    children = Children()

    def say(number: int, text: str) -> None:
        progress(works[number], text)

    running = engine.run(partial(_one, children), works, say, children.stop)
    with closing(running):
        for answer in running:
            work = works[answer.number]
            progress.end(work)
            yield (
                work,
                answer.value or LessonFailed(f"{work.lesson.name}: {answer.problem}"),
            )


def longest_first(works: Sequence[Work]) -> list[Work]:
    """Of several at a time those that take longest begin, so that no core waits for the
    last one."""
    return sorted(works, key=lambda work: -work.lesson.about.minutes)


def _one(
    children: Children, work: Work, say: Callable[[str], None]
) -> Run | LessonFailed:
    """Where the engine runs it. It says "" when it begins."""
    say("")
    try:
        return run_lesson(
            work.lesson,
            work.parameters,
            work.out,
            work.profile,
            work.timeout,
            work.threads,
            children,
            say,
        )
    except LessonFailed as error:
        return error
    except StorageError as error:  # the others may fit, or have been there before
        return LessonFailed(f"{work.lesson.name}: {error}")


class Progress:
    """Which cell of which lesson runs: one line that is written over on a terminal, a
    line a section elsewhere."""

    def __init__(self) -> None:
        # label -> when it started, where it is
        self.running: dict[str, tuple[float, str]] = {}
        self.lock = threading.Lock()

    def __call__(self, work: Work, text: str) -> None:
        """text: "" where the lesson begins; "12/40 Heading", the cell that begins."""
        label, heading = work.label, text.partition(" ")[2]
        with self.lock:
            started, earlier = self.running.get(label, (time.time(), ""))
            self.running[label] = (started, text)
            if not text:
                self._say(f"{work.name}: {work.lesson.title}")
            elif sys.stdout.isatty():
                self._status()
            elif heading != earlier.partition(" ")[2]:
                print(
                    f"  {label}  {time.time() - started:4.0f} s  cell {text}",
                    flush=True,
                )

    def end(self, work: Work) -> None:
        with self.lock:
            self.running.pop(work.label, None)

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
            f"{label} {time.time() - started:4.0f} s {text}"[: width - 2].ljust(width)
            for label, (started, text) in sorted(self.running.items())
        ]
        sys.stdout.write("\r\033[K" + "".join(parts).rstrip())
        sys.stdout.flush()
