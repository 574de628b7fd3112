"""On Ray: the processes of this machine, or the machines of a cluster.

Ray places an item where its share of cores and GPUs is free, sets CUDA_VISIBLE_DEVICES
there, and begins it again elsewhere when its process or machine dies.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any

import torch

from cnnviz_utils.base.device import pick_device
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.engines.engine import (
    Answer,
    Function,
    Say,
    Share,
    nothing,
    silent,
)
from cnnviz_utils.engines.listener import Listener

# what names places is the same for every process of one piece of work
TOLD = ("CNNVIZ_DATA", "CNNVIZ_CACHE", "CUBLAS_WORKSPACE_CONFIG")
PAUSE = 0.5  # seconds between two looks at what the items say
HEARD = 5.0  # seconds that an item waits at most until its last word has arrived


class OnRay:
    """Items as Ray's tasks.

    By default an item has as many cores as this process computes with: the same number
    of threads gives the same bits as the local engine.
    """

    def __init__(
        self,
        device: str = "auto",
        address: str | None = None,
        share: Share | None = None,
    ):
        self.ray = _ray()
        self.asked = device
        self.opened = not self.ray.is_initialized()
        if self.opened:
            _connect(self.ray, address)
        try:
            self._fill(share or Share())
            self.device = self._device()
            self._check_room()
        except BaseException:
            self.close()
            raise

    def _fill(self, share: Share) -> None:
        """What the share leaves open is as usual."""
        there = self.ray.cluster_resources().get("GPU", 0) >= 1
        wanted = self.asked == "auto" or self.asked.startswith("cuda")
        usual = 1.0 if there and wanted else 0.0
        self.gpus = usual if share.gpus is None else share.gpus
        self.cpus = share.cpus or torch.get_num_threads()
        self.retries = share.retries

    def _device(self) -> str:
        """What an item finds where it runs."""
        if self.asked == "cpu" or (self.asked == "auto" and not self.gpus):
            return "cpu"
        if self.asked in ("auto", "cuda", "cuda:0"):
            if not self.gpus:
                raise UsageError(
                    "the device cuda needs a share of a GPU: add --gpus 1, "
                    "or a part of one such as --gpus 0.5"
                )
            return "cuda"
        pick_device(self.asked)  # a name that is none
        raise UsageError(
            f"with Ray the device is cpu, cuda or auto, not {self.asked}: "
            "each process sees only the GPUs that it was given"
        )

    def _check_room(self) -> None:
        """Raises UsageError if no machine could ever run an item: Ray would wait."""
        machines = [
            node["Resources"] for node in self.ray.nodes() if node.get("Alive", True)
        ]
        most = {k: max((m.get(k, 0) for m in machines), default=0) for k in KINDS}
        for kind, asked in (("CPU", self.cpus), ("GPU", self.gpus)):
            if asked > most[kind]:
                raise UsageError(
                    f"each run asks for {asked:g} {KINDS[kind]}, and no machine of "
                    f"this cluster has more than {most[kind]:g}: ask for fewer"
                )

    def run(
        self,
        function: Function,
        items: Sequence[Any],
        say: Say = silent,
        stop: Callable[[], None] = nothing,  # ours die with the task's process
    ) -> Generator[Answer, None, None]:
        ray, listener = self.ray, self._listener()
        remote = ray.remote(_do).options(
            num_cpus=self.cpus,
            num_gpus=self.gpus,
            max_retries=self.retries,
            retry_exceptions=False,
        )
        told = {name: os.environ[name] for name in TOLD if name in os.environ}
        numbers: dict[Any, int] = {
            remote.remote(function, item, n, self.cpus, listener, told): n
            for n, item in enumerate(items)
        }
        try:
            while numbers:
                done, _ = ray.wait(list(numbers), timeout=PAUSE)
                for number, text in self._said(listener):
                    say(number, text)
                for task in done:
                    yield self._answer(numbers.pop(task), task)
        finally:
            for task in numbers:
                ray.cancel(task, force=True)
            ray.kill(listener)

    def _answer(self, number: int, task: Any) -> Answer:
        errors = self.ray.exceptions
        try:
            return Answer(number, self.ray.get(task))
        except errors.RayTaskError as error:  # the function's own
            raise error.cause from None
        except errors.RayError as error:
            kind = type(error).__name__
            return Answer(
                number,
                problem=f"what ran it died {self.retries + 1} times "
                f"({WORDS.get(kind, kind)})",
            )

    def _said(self, listener: Any) -> list[tuple[int, str]]:
        """What was said since the last time. Words may be lost, results not: if the
        process that keeps them died, it begins anew."""
        try:
            return self.ray.get(listener.take.remote())
        except self.ray.exceptions.RayError:
            return []

    def _listener(self) -> Any:
        """Keeps what the items say until it is asked; it lives on this machine, so that
        no other's death takes it."""
        here = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self.ray.get_runtime_context().get_node_id(), soft=True
        )
        options = {"num_cpus": 0, "scheduling_strategy": here, "max_restarts": -1}
        return self.ray.remote(Listener).options(**options).remote()

    def close(self) -> None:
        """Leave the cluster; one that was started for this engine ends."""
        if self.opened and self.ray.is_initialized():
            self.ray.shutdown()


KINDS = {"CPU": "cores", "GPU": "GPUs"}
WORDS = {
    "WorkerCrashedError": "its process ended",
    "NodeDiedError": "its machine was lost",
    "OutOfMemoryError": "no memory was left",
    "LocalRayletDiedError": "its machine was lost",
    "TaskUnschedulableError": "no machine that is left can run it",
}


def _do(
    function: Function,
    item: Any,
    number: int,
    threads: int,
    listener: Any,
    told: dict[str, str],
) -> Any:
    """Runs in a process of Ray's."""
    import ray

    os.environ.update(told)
    torch.set_num_threads(threads)
    said: list[Any] = []

    def say(text: str) -> None:
        said[:] = [listener.hear.remote(number, text)]

    value = function(item, say)
    if said:  # words before deeds: the answer does not overtake them
        ray.wait(said, timeout=HEARD)
    return value


def _ray() -> Any:
    """The library, told to send nothing about its use. Raises UsageError where it is
    not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray would hide all GPUs by itself in a later version; say it now
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ImportError:
        raise UsageError(
            'Ray is not installed: pip install "cnnviz[ray]", or use --engine local'
        ) from None
    return ray


def _connect(ray: Any, address: str | None) -> None:
    """Raises UsageError if no cluster answers at the address, or none starts here."""
    ours = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except Exception as error:  # a bare one where starting takes too long
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        asked = address or os.environ.get("RAY_ADDRESS")
        if not asked:
            raise UsageError(
                f"Ray does not start here ({first[:120]}): is the machine busy? "
                "Try it again, or use --engine local"
            ) from None
        raise UsageError(
            f"no Ray cluster answers at {asked} ({first[:120]}): "
            "start one with `ray start --head`, or leave the address out"
        ) from None
    if callable(ours) and threading.current_thread() is threading.main_thread():
        # the command's own handler ends Ray too; Ray's prints its libraries' stacks
        signal.signal(signal.SIGTERM, ours)
