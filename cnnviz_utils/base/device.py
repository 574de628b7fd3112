"""Where to compute, and how long it takes there."""

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from cnnviz_utils.base.declared import Device
from cnnviz_utils.base.settings import UsageError, fitting


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """ "auto" is the GPU if there is one, else the CPU. Raises UsageError for a device
    that is not here."""
    if isinstance(device, torch.device):
        return device
    fitting(device, Device, "device")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = torch.device(device)
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"there is no GPU {found.index or 0} here: say cpu, or auto")
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("there is no Apple GPU here: say cpu, or auto")
    return found


def moved(values: Tensor, device: str | torch.device) -> Tensor:
    """The values on a device. The way to a GPU leads through memory that it reads by
    itself, so that neither waits for the other."""
    device = torch.device(device)
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def shortest_seconds(
    functions: Mapping[str, Callable[[], object]], repeats: int = 5, enough: float = 2.0
) -> dict[str, float]:
    """The shortest of `repeats` times of each function, in seconds. One that takes
    longer than `enough` seconds is timed only once.

    The shortest, because whatever else the machine does can only add to a time. The
    functions take turns, so that a slow minute slows all of them: compare only numbers
    of one call.
    """
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    times = dict.fromkeys(functions, float("inf"))
    for round_ in range(repeats + 1):  # the first round warms up
        for name, function in functions.items():
            if enough < times[name] < float("inf"):
                continue
            wait()
            started = time.perf_counter()
            function()
            wait()
            if round_:
                times[name] = min(times[name], time.perf_counter() - started)
    return times
