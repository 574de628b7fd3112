"""The processes that run lessons, seen from the one that starts them: each begins deaf
to Ctrl-C, tells which cell it runs, and can be stopped."""

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from cnnviz_utils.base.allocator import with_kept_memory
from cnnviz_utils.base.files import work_folder
from cnnviz_utils.course import process as child


class Children:
    """The processes that run lessons at the moment, so that all of them can be stopped
    at once. In another process (an engine's) it begins with none."""

    def __init__(self) -> None:
        self.running: set[multiprocessing.Process] = set()
        self.stopped = False

    def __reduce__(self):
        return Children, ()

    def stop(self) -> None:
        """End all of them; unfinished work is dropped. A process that is started later
        ends at once."""
        self.stopped = True
        for process in list(self.running):
            process.terminate()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """A process that is started inside is not interrupted by Ctrl-C while it is
    importing: it is told to stop by us."""
    if hasattr(signal, "pthread_sigmask"):
        # its first start lets SIGINT through again: it comes before we shut it out
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def execute(
    source: Path,
    target: Path,
    parameters: dict,
    timeout: int,
    progress: Callable[[str], None],
    children: Children,
    threads: int | None = None,
) -> str:
    """Papermill in a child process (its working folder is a process's own); returns
    what went wrong, or ""."""
    context: Any = multiprocessing.get_context("spawn")
    settings = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    problem = "its process ended without a word: not enough memory?"
    # the system's: their paths must be short
    with work_folder("cnnviz-run-", Path(tempfile.gettempdir())) as sockets:
        order = {
            "source": str(source),
            "target": str(target),
            "parameters": parameters,
            "timeout": timeout,
            "parent": os.getpid(),
            "environment": with_kept_memory(os.environ) | settings,
            "sockets": f"{sockets}/kernel",
        }
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=child.main, args=(theirs, order))
        with _deaf_to_ctrl_c():
            process.start()
        theirs.close()
        children.running.add(process)
        try:
            if children.stopped:
                process.terminate()
            while True:
                kind, text = ours.recv()
                if kind == "cell":
                    progress(text)
                else:
                    problem = text
        except EOFError:  # the process has ended
            return problem
        except BaseException:
            process.terminate()
            raise
        finally:
            ours.close()
            process.join()
            children.running.discard(process)
