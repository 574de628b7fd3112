"""The process that runs one notebook, and its kernel.

Importing torch and what goes with it takes ten seconds and is the same for every
lesson. On Linux it is done once, in a process that then forks for each lesson
(multiprocessing's fork server, which begins with `preload`) and again for its kernel,
which so begins with everything imported. Not where there is a GPU: a fork must not meet
CUDA.
"""

import atexit
import logging
import multiprocessing
import os
import sys
import warnings
from multiprocessing.connection import Connection
from pathlib import Path


def warm_up() -> None:
    """Start the process that lessons may be forked from, if it is not there yet: it
    imports while the caller does, too."""
    if sys.platform == "linux":
        from multiprocessing import forkserver

        forkserver.set_forkserver_preload(["cnnviz_utils.course.preload"])
        forkserver.ensure_running()


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


class WaitingKernel:
    """A fork of this process that becomes a kernel when `launch` tells it to; where
    nobody does, it ends with us.

    To jupyter_client it is what `subprocess.Popen` would be.
    """

    stdin = stdout = stderr = None

    def __init__(self, threads: int | None):
        ours, theirs = multiprocessing.Pipe()
        self.orders, self.process = (
            ours,
            multiprocessing.get_context("fork").Process(
                target=become_kernel, args=(theirs, ours, threads)
            ),
        )
        self.process.start()
        theirs.close()
        assert self.process.pid is not None  # it has started
        self.pid = self.process.pid

    def launch(
        self, command: list[str], cwd: str | None = None, env: dict | None = None, **_
    ) -> "WaitingKernel":
        """In place of `jupyter_client.launcher.launch_kernel`. command: python ... -m
        ipykernel_launcher, and arguments."""
        # it leads its own process group by now, which jupyter_client will kill
        self.orders.recv()
        # it ends if we do
        arguments = [
            *command[command.index("-m") + 2 :],
            f"--IPKernelApp.parent_handle={os.getpid()}",
        ]
        self.orders.send((arguments, cwd or os.getcwd(), env or dict(os.environ)))
        return self

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()


def become_kernel(
    orders: Connection, other_end: Connection, threads: int | None
) -> None:
    """Wait for a kernel's arguments, folder and environment, then be that kernel."""
    import torch
    from ipykernel.kernelapp import IPKernelApp
    from threadpoolctl import threadpool_limits

    other_end.close()  # or we would keep our own wait from ending
    os.setsid()
    orders.send("ready")
    try:
        arguments, folder, environment = orders.recv()
    except EOFError:
        return
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if threads:  # libraries that are loaded read no variable again
        torch.set_num_threads(threads)
        threadpool_limits(threads)
    try:
        IPKernelApp.launch_instance(argv=arguments)
    finally:
        # what a lesson left to be done at the end; a fork is ended without
        atexit._run_exitfuncs()


def main(say: Connection, order: dict) -> None:
    """Run the notebook of an order. Says ("cell", "12/40 Heading") before every cell,
    at last ("end", what went wrong)."""
    # Ctrl-C would reach us before the one who waits for us: we are told to stop by a
    # signal
    if hasattr(os, "setsid"):
        os.setsid()
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.environ.clear()
    os.environ.update(order["environment"])
    kernel = WaitingKernel(order["threads"]) if order["fork"] else None
    try:
        say.send(("end", execute(order, lambda text: say.send(("cell", text)), kernel)))
    finally:
        if kernel:
            # had it not ended, or never been told to start, we would wait for it
            kernel.kill()


def execute(order: dict, tell, kernel: WaitingKernel | None) -> str:
    """Papermill; returns what went wrong in one sentence, or ""."""
    warnings.simplefilter("ignore")
    # without socket files, a line about unencrypted TCP at every kernel's start
    logging.disable(logging.WARNING)
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
    from jupyter_client.provisioning import local_provisioner
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    # papermill reports progress only as a bar on stderr: tell the parent before every
    # cell instead
    execute_cell = PapermillNotebookClient.execute_cell

    def telling(self, cell, cell_index, *args, **kwargs):
        if cell.cell_type == "code" and cell.source.strip():
            cells = self.nb.cells
            tell(f"{cell_index + 1}/{len(cells)} {headings(cells)[cell_index]}")
        return execute_cell(self, cell, cell_index, *args, **kwargs)

    PapermillNotebookClient.execute_cell = telling
    if kernel:
        local_provisioner.launch_kernel = kernel.launch
    # files for sockets where the system has them: a free port can be taken by another
    # lesson before the kernel opens it
    sockets = (
        Config()
        if sys.platform == "win32"
        else Config(KernelManager={"transport": "ipc", "ip": order["sockets"]})
    )
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
            config=sockets,
        )
    except PapermillExecutionError as error:
        first = str(error.evalue).strip().splitlines() or [""]
        return f"cell {error.cell_index + 1} raised {error.ename}: {first[0][:300]}"
    except DeadKernelError:
        return "the kernel died: not enough memory, or a crash in a library"
    except CellTimeoutError:
        return (
            f"a cell took longer than {order['timeout']} seconds and was stopped: "
            "--timeout allows more"
        )
    except NoSuchKernel:
        return (
            "there is no kernel called python3: install ipykernel into this environment"
        )
    except Exception as error:  # nobody sees a traceback of this process
        return f"{type(error).__name__}: {error}"
    return ""
