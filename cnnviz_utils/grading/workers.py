"""The processes that grade, one for each submission, seen from the one that starts
them."""

import os
import subprocess
import sys
import threading
from pathlib import Path


class Workers:
    """Those that are running, so that all can be stopped at once. In another process
    (an engine's) it begins with none."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen] = set()
        self.lock = threading.Lock()
        self.stopped = False

    def __reduce__(self):
        return Workers, ()

    def stop(self) -> None:
        """End what is running; one that is started later ends at once."""
        with self.lock:
            self.stopped = True
            for process in self.running:
                process.kill()
            ending = [*self.running]
        for process in ending:
            process.wait()

    def run(self, order: Path, limit: float, threads: int) -> str:
        """Carry out an order (a file). What went wrong with the process itself, "" if
        nothing did."""
        words = [sys.executable, "-m", "cnnviz_utils.grading.worker", str(order)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        with (order.parent / "log").open("wb+") as log, self.lock:
            if self.stopped:
                return "interrupted"
            process = subprocess.Popen(
                words, env=environment, stdout=subprocess.DEVNULL, stderr=log
            )
            self.running.add(process)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return f"it took more than {limit:g} s"
        finally:
            process.kill()
            process.wait()
            with self.lock:
                self.running.discard(process)
        said = (order.parent / "log").read_text(errors="replace").strip().splitlines()
        return "" if code == 0 else (said[-1][:300] if said else f"exit code {code}")
