"""The process that runs one notebook: its working folder and its environment are its
own. The notebook's kernel is a process of its own again; each ends when the one that
started it does, however that ends."""

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from cnnviz_utils.base.collector import collect_rarely
from cnnviz_utils.base.files import FULL


def end_with_parent(parent: int | None) -> None:
    """From now on this process is killed when its parent ends. parent: its number when
    it started us, in case it has ended already.

    Linux does it (prctl's PR_SET_PDEATHSIG); elsewhere a thread watches a parent that
    started us by multiprocessing, and a kernel watches its own.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
        if parent is not None and os.getppid() != parent:
            os._exit(1)
    elif watched := multiprocessing.parent_process():

        def watch() -> None:
            watched.join()
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def load_ipython_extension(shell) -> None:
    """What a kernel that runs a lesson does first."""
    collect_rarely()
    parent = os.environ.get("JPY_PARENT_PID", "")
    end_with_parent(int(parent) if parent.isdecimal() else None)
    warnings.formatwarning = plain_warning


with_place = warnings.formatwarning


def plain_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning for the user as its sentence alone: a page needs no path of the machine
    that it was made on. Those for programmers as Python writes them."""
    if category is UserWarning:
        return f"{message}\n"
    return with_place(message, category, filename, lineno, line)


def headings(cells) -> list[str]:
    """The last heading before each cell."""
    current, result = "", []
    for cell in cells:
        if cell.cell_type == "markdown":
            lines = [
                line.lstrip("# ")
                for line in cell.source.splitlines()
                if line.startswith("#")
            ]
            current = lines[-1] if lines else current
        result.append(current)
    return result


def watch(tell: Callable[[str], None]) -> None:
    """Make papermill tell of every cell before it runs (of itself it draws a bar on
    stderr), and write the notebook at most every two seconds and at the end: before and
    after every cell, as it does, costs a long lesson ten seconds."""
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NotebookExecutionManager as Manager

    execute_cell = PapermillNotebookClient.execute_cell
    save, complete = Manager.save, Manager.notebook_complete
    next_time = 0.0

    def telling(self, cell, cell_index, *args, **kwargs):
        if cell.cell_type == "code" and cell.source.strip():
            cells = self.nb.cells
            tell(f"{cell_index + 1}/{len(cells)} {headings(cells)[cell_index]}")
        return execute_cell(self, cell, cell_index, *args, **kwargs)

    def now_and_then(self, **options):
        nonlocal next_time
        if time.monotonic() >= next_time:
            save(self, **options)
            next_time = time.monotonic() + 2

    def at_the_end(self, **options):
        nonlocal next_time
        next_time = 0.0
        complete(self, **options)

    PapermillNotebookClient.execute_cell = telling
    Manager.save, Manager.notebook_complete = now_and_then, at_the_end


def in_a_sentence(error: Exception, order: dict) -> str:
    """What went wrong, for somebody who never sees a traceback of this process."""
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        first = str(error.evalue).strip().splitlines() or [""]
        return f"cell {error.cell_index + 1} raised {error.ename}: {first[0][:300]}"
    if isinstance(error, DeadKernelError):
        return "the kernel died: not enough memory, or a crash in a library"
    if isinstance(error, CellTimeoutError):
        return (
            f"a cell took longer than {order['timeout']} seconds and was stopped: "
            "--timeout allows more"
        )
    if isinstance(error, NoSuchKernel):
        return (
            "there is no kernel called python3: install ipykernel into this environment"
        )
    if isinstance(error, OSError) and error.errno in FULL:
        place = error.filename or Path(order["target"]).parent.parent
        return f"no space is left to write {place}: free some"
    return f"{type(error).__name__}: {error}"


def main(say: Connection, order: dict) -> None:
    """Run the notebook of an order. Says ("cell", "12/40 Heading") before every cell,
    at last ("end", what went wrong)."""
    end_with_parent(order["parent"])
    # Ctrl-C would reach us before the one who waits for us: we are told to stop by a
    # signal
    if hasattr(os, "setsid"):
        os.setsid()
        # one that waits from the time of our imports is thrown away
        usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, usual)
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.environ.clear()
    os.environ.update(order["environment"])
    say.send(("end", execute(order, lambda text: say.send(("cell", text)))))


def execute(order: dict, tell) -> str:
    """Papermill; returns what went wrong in one sentence, or ""."""
    warnings.simplefilter("ignore")
    # without socket files, a line about unencrypted TCP at every kernel's start
    logging.disable(logging.WARNING)
    from cnnviz_utils.base import quick  # noqa: F401, I001  (before nbformat)
    import papermill
    from traitlets.config import Config

    watch(tell)
    # files for sockets where the system has them: a free port can be taken by another
    # lesson before the kernel opens it
    settings = Config(
        NotebookClient={
            "extra_arguments": [f"--IPKernelApp.extra_extensions={__name__}"]
        }
    )
    if sys.platform != "win32":
        settings.KernelManager.transport = "ipc"
        settings.KernelManager.ip = order["sockets"]
    try:
        papermill.execute_notebook(
            order["source"],
            order["target"],
            parameters=order["parameters"],
            progress_bar=False,
            log_output=False,
            cwd=str(Path(order["source"]).parent),
            kernel_name="python3",
            execution_timeout=order["timeout"],
            start_timeout=120,
            autosave_cell_every=0,
            config=settings,
        )
    except Exception as error:
        return in_a_sentence(error, order)
    return ""
