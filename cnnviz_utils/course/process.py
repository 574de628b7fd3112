"""The process that runs one notebook, and its kernel.

Importing torch and what goes with it takes ten seconds and is the same for every
lesson. On Linux it is done once, in multiprocessing's fork server (which starts with
`preload`). This process is forked for each lesson, and the lesson's process is forked
once more for its kernel, so that both start with everything imported. Where there is a
GPU nothing is forked, because CUDA does not work in a forked process.
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
    """Start the process from which lessons are forked, if it is not running yet. It
    imports in the background while the caller goes on."""
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
    """A fork of this process that becomes a kernel when `launch` tells it to. If that
    never happens, it ends when this process ends.

    It has the methods of `subprocess.Popen` that jupyter_client uses.
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
        # "ready": it now leads a process group of its own, which jupyter_client kills
        self.orders.recv()
        # with this argument the kernel ends when this process ends
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

    other_end.close()  # or `recv` would never see that the parent has ended
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
        # a forked process ends without running the functions that a lesson registered
        # with atexit: run them here
        atexit._run_exitfuncs()


def main(say: Connection, order: dict) -> None:
    """Run the notebook of an order. Says ("cell", "12/40 Heading") before every cell,
    at last ("end", what went wrong)."""
    # in a session of its own Ctrl-C does not reach this process: the parent, which
    # waits for it, sends a signal instead
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
            # in case it has not ended, or was never told to start
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

    # papermill reports progress only as a bar on stderr: send the parent a message
    # before every cell instead
    execute_cell = PapermillNotebookClient.execute_cell

    def telling(self, cell, cell_index, *args, **kwargs):
        if cell.cell_type == "code" and cell.source.strip():
            cells = self.nb.cells
            tell(f"{cell_index + 1}/{len(cells)} {headings(cells)[cell_index]}")
        return execute_cell(self, cell, cell_index, *args, **kwargs)

    PapermillNotebookClient.execute_cell = telling
    if kernel:
        local_provisioner.launch_kernel = kernel.launch
    # use socket files where the system has them: between choosing a free port and
    # opening it, another lesson could take it
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
