"""A kernel that is shut in, and what one of its cells may cost."""

import contextlib
import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat

from cnnviz_utils.grading.sandbox import Limits, Place, command

STEP = 0.2  # seconds between two looks at what it uses
PATIENCE = 10  # seconds from an interrupt to the end
MOST_TEXT = 100_000  # characters of one cell's printed text that are kept
LARGEST = 64_000_000  # bytes of one message; larger ones are not received
LATE = 3  # seconds that the last output may come after the cell's end
START = 180  # seconds


@dataclass
class Ran:
    """What a cell left. problem: why it was stopped, "" if it was not. error: the first
    line of what it raised. ended: whether the kernel is gone."""

    outputs: list = field(default_factory=list)
    problem: str = ""
    error: str = ""
    ended: bool = False
    seconds: float = 0.0
    printed: int = 0  # bytes
    found: Any = None  # what `ask` asked for


class Kernel:
    """A kernel in a place, shut in by one of sandbox.METHODS.

    Used with `with`; raises OSError if it does not start.
    """

    def __init__(
        self,
        place: Place,
        method: str,
        limits: Limits,
        secret: Sequence[Path] = (),
    ) -> None:
        self.place, self.method, self.limits = place, method, limits
        self.secret = secret
        self.looked = 0.0
        self.deadline = time.monotonic() + limits.seconds

    def __enter__(self) -> "Kernel":
        import zmq
        from jupyter_client import BlockingKernelClient
        from jupyter_client.connect import write_connection_file

        # children that lose their parent become ours, so that they can be ended
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        sockets = self.place["sockets"]
        for old in sockets.iterdir():
            old.unlink()
        file, _ = write_connection_file(
            str(sockets / "c.json"), transport="ipc", ip=str(sockets / "k")
        )
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", file]
        argv.append("--HistoryManager.enabled=False")
        words = command(self.method, self.place, argv, self.limits, self.secret)
        self.log = (self.place.folder / "kernel.log").open("wb+")
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        context = zmq.Context()
        context.setsockopt(zmq.MAXMSGSIZE, LARGEST)
        self.client = BlockingKernelClient(context=context)
        self.client.load_connection_file(file)
        self.client.start_channels()
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error) -> None:
        self.end()
        self.client.stop_channels()
        with contextlib.suppress(Exception):
            self.client.context.destroy(linger=0)
        self.log.close()

    def _wait_until_ready(self) -> None:
        started = time.monotonic()
        while time.monotonic() < started + START:
            if self.process.poll() is not None:
                break
            try:
                self.client.wait_for_ready(timeout=2)
                return
            except RuntimeError:
                continue
        self.log.seek(0)
        said = self.log.read().decode(errors="replace").strip().splitlines()[-1:]
        raise OSError(f"no kernel could be started: {' '.join(said)}")

    def end(self) -> None:
        """Kill the kernel and all that it has started."""
        import psutil

        for _ in range(20):
            with contextlib.suppress(psutil.Error):
                mine = psutil.Process().children(recursive=True)
                for one in mine:
                    with contextlib.suppress(psutil.Error):
                        one.kill()
                psutil.wait_procs(mine, timeout=1)
                if not psutil.Process().children(recursive=True):
                    break
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)

    def run(self, code: str, limit: float | None = None) -> Ran:
        """Run a cell, and keep what it shows."""
        return self._execute(code, limit or self.limits.cell, keep="")

    def ask(self, code: str, mime: str, limit: float = 60) -> Ran:
        """Run our own code, and look for what it publishes under a MIME type."""
        return self._execute(code, limit, keep=mime)

    def _execute(self, code: str, limit: float, keep: str) -> Ran:
        ran, started = Ran(), time.monotonic()
        # our own questions come after the notebook's time
        deadline = started + limit if keep else self.deadline
        end = min(started + limit, deadline)
        number = self.client.execute(code, silent=bool(keep), allow_stdin=False)
        stopping = replied = 0.0
        while True:
            message = self._next()
            now = time.monotonic()
            if message is None:
                replied = replied or (now if self._replied(number) else 0.0)
                if replied and now > replied + LATE:
                    # what was too large cut the connection: nothing more comes here
                    most = min(self.limits.output, LARGEST / 1e6)
                    ran.problem = f"it printed more than {most:g} MB, and some was lost"
                    self.end()
                    ran.ended = True
                    break
            if message is not None:
                ran.printed += len(json.dumps(message["content"], default=str))
                mine = message["parent_header"].get("msg_id") == number
                if mine and take(ran, message, keep):
                    break
            if self.process.poll() is not None:
                ran.problem, ran.ended = ran.problem or "it ended its kernel", True
                break
            problem, final = self._too_much(ran, now)
            if not problem and now > end:
                whole = now > deadline and not keep
                of = f"the notebook {self.limits.seconds:g}" if whole else f"{limit:g}"
                problem = f"it took longer than {of} s"
            if problem and not stopping:
                ran.problem, stopping = problem, now
                self._interrupt()
            if final or (stopping and now > stopping + PATIENCE):
                self.end()
                ran.ended = True
                break
        with contextlib.suppress(Exception):
            while True:  # replies that nobody waits for
                self.client.get_shell_msg(timeout=0)
        ran.seconds = time.monotonic() - started
        return ran

    def _next(self) -> dict | None:
        try:
            return self.client.get_iopub_msg(timeout=STEP)
        except Empty:
            return None
        except Exception:  # not a message of the protocol: nobody's
            return None

    def _replied(self, number: str) -> bool:
        """Whether the kernel says that the cell has ended."""
        with contextlib.suppress(Exception):
            reply = self.client.get_shell_msg(timeout=0)
            return reply["parent_header"].get("msg_id") == number
        return False

    def _interrupt(self) -> None:
        message = self.client.session.msg("interrupt_request", {})
        self.client.control_channel.send(message)

    def _too_much(self, ran: Ran, now: float) -> tuple[str, bool]:
        """(what it uses too much of or "", whether it has to be killed at once)."""
        if ran.printed > self.limits.output * 1e6:
            return f"it printed more than {self.limits.output:g} MB", False
        if now < self.looked + STEP:
            return "", False
        self.looked = now
        import psutil

        family = []
        with contextlib.suppress(psutil.Error):
            family = psutil.Process().children(recursive=True)
        if len(family) > self.limits.processes:
            return f"it started more than {self.limits.processes} processes", True
        if memory_of(family, self.limits.memory * 1e9) > self.limits.memory * 1e9:
            return f"it used more than {self.limits.memory:g} GB of memory", True
        if self._written() > self.limits.files * 1e6:
            return f"it wrote more than {self.limits.files:g} MB of files", True
        return "", False

    def _written(self) -> int:
        """Bytes in the folders that it may write to."""
        import os

        total = 0
        for name in ("work", "home", "cache"):
            for folder, _, files in os.walk(self.place[name]):
                for file in files[:10_000]:
                    with contextlib.suppress(OSError):
                        total += os.lstat(os.path.join(folder, file)).st_size
        return total


def memory_of(family: list, most: float) -> float:
    """Bytes that processes use together. What they share is counted once for each, as
    long as that is not more than `most`; then each one's own, which takes longer."""
    import psutil

    rough = exact = 0
    for one in family:
        with contextlib.suppress(psutil.Error):
            rough += one.memory_info().rss
    if rough <= most:
        return rough
    for one in family:
        with contextlib.suppress(psutil.Error):
            exact += one.memory_full_info().uss
    return exact


def take(ran: Ran, message: dict, keep: str) -> bool:
    """Put a message of a cell's into what it left; True if it was the last one."""
    kind, content = message["msg_type"], message["content"]
    if kind == "status":
        return content.get("execution_state") == "idle"
    if kind == "clear_output":
        ran.outputs.clear()
    if kind not in ("stream", "display_data", "execute_result", "error"):
        return False
    if keep and keep in content.get("data", {}):
        ran.found = content["data"][keep]
        return False
    if kind == "error":
        first = (str(content.get("evalue", "")).splitlines() or [""])[0]
        ran.error = f"{content.get('ename')}: {first}"[:500]
    try:
        output = nbformat.v4.output_from_msg(message)
    except (ValueError, KeyError, TypeError):
        return False
    last = ran.outputs[-1] if ran.outputs else None
    if kind == "stream" and last and last.get("name") == output.name:
        if len(last.text) < MOST_TEXT:
            last.text += output.text[:MOST_TEXT]
    elif len(ran.outputs) < 1000:
        if kind == "stream":
            output.text = output.text[:MOST_TEXT]
        ran.outputs.append(output)
    return False
