"""Half precision: whether this machine is fast at it, and what a step of training takes
with and without it."""

import os
import platform
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cnnviz_utils.base.device import pick_device, shortest_seconds
from cnnviz_utils.base.memory import kept_tensors

DTYPES = {"off": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def bfloat16_instructions() -> tuple[str, ...] | None:
    """The names of the CPU's instructions for bfloat16: "avx512_bf16", "amx_bf16", or
    "bf16" on ARM.

    () if it has none, or if oneDNN is told not to use them (ONEDNN_MAX_CPU_ISA). None
    if neither torch nor the system says what the CPU can do.
    """
    limit = (
        os.environ.get("ONEDNN_MAX_CPU_ISA")
        or os.environ.get("DNNL_MAX_CPU_ISA")
        or "ALL"
    ).upper()
    if limit not in ("ALL", "DEFAULT") and not any(
        word in limit for word in ("BF16", "FP16", "AMX", "AVX10")
    ):
        return ()
    if ask := getattr(torch.cpu, "get_capabilities", None):
        return tuple(
            sorted(name for name, there in ask().items() if "bf16" in name and there)
        )
    if Path("/proc/cpuinfo").is_file():
        return tuple(
            sorted(
                {
                    word
                    for word in Path("/proc/cpuinfo").read_text().split()
                    if "bf16" in word
                }
            )
        )
    return None


@lru_cache
def bfloat16_slowdown(repeats: int = 7) -> float:
    """Measure how many times longer a convolution takes in bfloat16 than in float32 on
    this CPU; below 1 bfloat16 is faster."""
    images, layer = torch.rand(8, 32, 32, 32), nn.Conv2d(32, 32, 3)
    half = (images.bfloat16(), nn.Conv2d(32, 32, 3).bfloat16())
    with torch.inference_mode():
        times = shortest_seconds(
            {"full": lambda: layer(images), "half": lambda: half[1](half[0])}, repeats
        )
    return times["half"] / times["full"]


def has_fast_bfloat16(device: str | torch.device = "auto") -> bool:
    """Whether bfloat16 is worth using: on a GPU if its units compute in it, on a CPU if
    it has the instructions.

    On processors other than x86 the instructions alone do not say that torch uses them:
    there it is measured.
    """
    device = pick_device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    found = bfloat16_instructions()
    if found and platform.machine().lower() in ("x86_64", "amd64"):
        return True
    return found != () and bfloat16_slowdown() < 1


def pick_amp(amp: str = "auto", device: str | torch.device = "auto") -> str:
    """ "auto" is the precision that is fast here: "bfloat16" where there is hardware
    for it, else "float16" on a GPU and "off" on a CPU (half precision without the
    instructions is many times slower). Anything else stays as it is.

    Raises:
        ValueError: not one of auto, off, float16, bfloat16.
    """
    if amp not in ("auto", *DTYPES):
        raise ValueError(f"amp must be one of auto, {', '.join(DTYPES)}, not {amp!r}")
    if amp != "auto":
        return amp
    device = pick_device(device)
    return (
        "bfloat16"
        if has_fast_bfloat16(device)
        else "float16"
        if device.type == "cuda"
        else "off"
    )


def kept_bytes(model: nn.Module, images: Tensor, amp: str = "off") -> dict[str, int]:
    """Bytes kept between the forward pass of `images` (N, 3, H, W) and the backward
    pass, each piece of memory once.

    Returns {"activations": ..., "weight_copies": ...}; the latter are the copies of the
    weights that autocast makes in half precision. The weights themselves and the images
    are not counted. `model` is used in the mode (training or evaluation) it is in.
    """
    # sorted: a linear layer keeps its weights transposed
    shapes = {tuple(sorted(p.shape)) for p in model.parameters()}
    sizes = {"activations": 0, "weight_copies": 0}

    def run():
        with torch.autocast(images.device.type, DTYPES[amp], enabled=amp != "off"):
            return model(images)

    for tensor in kept_tensors(run, [*model.parameters(), *model.buffers(), images]):
        copy = (
            tuple(sorted(tensor.shape)) in shapes
            and tensor.dtype == DTYPES[amp] != torch.float32
        )
        sizes["weight_copies" if copy else "activations"] += (
            tensor.untyped_storage().nbytes()
        )
    return sizes


class _Alive(TorchDispatchMode):
    """Notes every tensor that an operation makes, and how many bytes of them exist at
    once."""

    def __init__(self):
        super().__init__()
        self.alive, self.given, self.peak = {}, set(), 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        storages = lambda tree: [
            t.untyped_storage() for t in tree_leaves(tree) if isinstance(t, Tensor)
        ]
        self.given |= {s._cdata for s in storages((args, kwargs))} - self.alive.keys()
        output = function(*args, **(kwargs or {}))
        self.alive |= {
            s._cdata: (StorageWeakRef(s), s.nbytes())
            for s in storages(output)
            if s._cdata not in self.given
        }
        self.alive = {
            key: entry for key, entry in self.alive.items() if not entry[0].expired()
        }
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        return output


def peak_bytes(
    function: Callable[[], object], device: str | torch.device = "cpu"
) -> int:
    """The most bytes that tensors made inside `function` take at one time.

    On a GPU the number comes from the allocator. On a CPU the tensors are counted, so
    it is the same each time, but does not include what an operation uses internally,
    such as a convolution's scratch space.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with _Alive() as mode:
        function()
    return mode.peak
