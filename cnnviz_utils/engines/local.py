"""Here, without anything else: one item after the other, or a few in threads."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from cnnviz_utils.base.device import pick_device
from cnnviz_utils.engines.engine import Answer, Function, Say, nothing, silent


class Local:
    """Items in this process. With one at a time in the caller's own thread, so that
    what they compute is what a plain call would."""

    def __init__(self, device: str = "auto", jobs: int = 1):
        self.device, self.jobs = pick_device(device).type, jobs

    def run(
        self,
        function: Function,
        items: Sequence[Any],
        say: Say = silent,
        stop: Callable[[], None] = nothing,
    ) -> Generator[Answer, None, None]:
        def one(number: int) -> Answer:
            return Answer(
                number, function(items[number], lambda text: say(number, text))
            )

        if self.jobs == 1:
            try:
                yield from map(one, range(len(items)))
            finally:
                stop()
            return
        with ThreadPoolExecutor(self.jobs) as pool:
            running: set[Future] = {pool.submit(one, n) for n in range(len(items))}
            try:
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                stop()

    def close(self) -> None:
        """Nothing was opened."""
