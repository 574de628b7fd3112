"""The one interface of all engines, and the choice of one by name."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import Field

from cnnviz_utils.base.checked import Checked
from cnnviz_utils.base.settings import UsageError, check_name

ENGINES = ("local", "ray")
# the number of the item that speaks, and what it says
Say = Callable[[int, str], None]
# an item, and a way to say how far it is -> anything that can be pickled
Function = Callable[[Any, Callable[[str], None]], Any]


@dataclass(frozen=True)
class Answer:
    """What became of an item: its position, what the function returned, and, where the
    process or machine that had it died once too often, that in one sentence ("" if
    not)."""

    number: int
    value: Any = None
    problem: str = ""


@dataclass(frozen=True)
class Share(Checked):
    """What each item has for itself while it runs, and how often it may be begun. With
    nothing said it has as many cores as this process computes with, and a GPU where
    there is one and the device is not cpu."""

    cpus: (
        Annotated[
            int,
            Field(ge=1, le=4096, description="cores, and threads that compute"),
        ]
        | None
    ) = None
    gpus: (
        Annotated[
            float,
            Field(
                ge=0,
                le=64,
                description="whole GPUs, or a part of one below 1 (0.5: two share it)",
            ),
        ]
        | None
    ) = None
    retries: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="how often it is begun again after its process or machine died",
        ),
    ] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gpus and self.gpus > 1 and self.gpus != int(self.gpus):
            raise UsageError(
                "gpus is a part of one GPU or a whole number of them, "
                f"not {self.gpus:g}"
            )


class Engine(Protocol):
    """Does items of work, each once, in any order.

    Errors that the function raises end `run` and come out of it; a death of the process
    that ran it does not. Whatever ends the caller's loop early (Ctrl-C, an error)
    leaves no work running behind.
    """

    @property
    def device(self) -> str:
        """ "cuda" if items compute on a GPU, else "cpu" (or "mps")."""
        ...

    def run(
        self,
        function: Function,
        items: Sequence[Any],
        say: Say = ...,
        stop: Callable[[], None] = ...,
    ) -> Generator[Answer, None, None]:
        """An answer for each item, as soon as it is there.

        function and items: for Ray what can be pickled; the function computes with as
        many threads as its share says.
        stop: where items run in this process, called at the end, also at an early one,
            before those that still run are waited for: it ends the processes that the
            function has started. Those on Ray die with their task.
        """
        ...

    def close(self) -> None:
        """Let go of what the engine has opened."""
        ...


def silent(number: int, text: str) -> None:
    """Nobody listens."""


def nothing() -> None:
    """No process is to be stopped."""


def share_of(cpus: int | None, gpus: float | None, retries: int | None) -> Share | None:
    """The share in which these are as given; None if none is. Raises UsageError for a
    value out of range."""
    if cpus is None and gpus is None and retries is None:
        return None
    return Share(cpus, gpus, Share.retries if retries is None else retries)


def make_engine(
    name: str = "local",
    *,
    device: str = "auto",
    address: str | None = None,
    share: Share | None = None,
    jobs: int = 1,
) -> Engine:
    """An engine by name.

    device: as for `pick_device`, where the items run.
    address: of a running Ray cluster, "host:6379" or "auto"; without it the one that
        RAY_ADDRESS names or that runs on this machine, or else one is started here.
    share: what each item has, for Ray.
    jobs: how many items at a time, for the local one, in threads of this process:
        for functions that wait for processes of their own.

    Raises UsageError: no such engine; an address without Ray; Ray is not installed, is
    not there, or has less than an item asks for.
    """
    check_name("engine", name, ENGINES)
    if name == "local":
        from cnnviz_utils.engines.local import Local

        if address or share:
            raise UsageError(
                "an address, and shares of cores and GPUs, are for Ray: "
                "add --engine ray"
            )
        return Local(device, jobs)
    from cnnviz_utils.engines.on_ray import OnRay

    return OnRay(device, address, share)
