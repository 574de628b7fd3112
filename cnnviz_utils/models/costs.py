"""What a network costs: parameters, multiply-adds, memory in training, time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from cnnviz_utils.base.declared import BatchSize, Count, Side
from cnnviz_utils.base.device import shortest_seconds
from cnnviz_utils.base.hooks import evaluating
from cnnviz_utils.base.memory import kept_tensors
from cnnviz_utils.base.settings import fitting

if TYPE_CHECKING:
    import pandas as pd

aten = torch.ops.aten
# PyTorch's counter has no formula for the CPU's name of the same thing
CPU_ATTENTION = {aten._scaled_dot_product_flash_attention_for_cpu}
Found = TypeVar("Found")


@dataclass(frozen=True)
class Costs:
    """What a network costs for one image. Parts that only run in training (GoogLeNet's
    auxiliary heads) count in `training_bytes` alone.

    parameters: how many numbers are learned.
    multiply_adds: of convolutions, matrix products and attention; a multiplication
        together with an addition counts as one.
    activations: how many numbers convolutions and linear layers put out (Radosavovic et
        al. 2020).
    training_bytes: what must be kept until the gradient has been computed, in float32,
        without the weights.
    """

    parameters: int
    multiply_adds: int
    activations: int
    training_bytes: int


def without_values(model: nn.Module) -> dict[str, Tensor]:
    """The network's parameters and buffers on the "meta" device, where tensors have
    shapes but no values and operations cost nothing."""
    blank = lambda tensor: torch.empty_like(
        tensor, device="meta", requires_grad=tensor.requires_grad
    )
    return {
        name: blank(tensor)
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    }


class Meter(TorchDispatchMode):
    """What each operation costs, booked to the module that is running.

    The formulas are those of PyTorch's FlopCounterMode, which knows convolutions (also
    transposed, of one to three axes), matrix products and attention, whether they are
    called by a layer or written into `forward`. It counts a multiply-add as two.
    """

    def __init__(self, parameters: Mapping[int, int]) -> None:
        """parameters: how many numbers each holds, by its place in memory."""
        super().__init__()
        self.unseen, self.running = dict(parameters), []
        self.rows: dict[str, dict] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs, packet = kwargs or {}, function._overloadpacket
        if packet not in flop_registry:
            with self:
                parts = function.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        output = function(*args, **kwargs)
        new = 0
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor):
                new += self.unseen.pop(tensor.untyped_storage()._cdata, 0)
        formula = flop_registry.get(packet)
        if packet in CPU_ATTENTION:
            formula = flop_registry[aten._scaled_dot_product_flash_attention]
        if new or formula:
            row = self.row()
            row["parameters"] += new
        if formula:
            flops = formula(*args, **kwargs, out_val=output)
            row["multiply_adds"] += flops // 2
            if packet in (aten.convolution, aten.mm, aten.addmm):
                row["activations"] += output.numel()
        return output

    def row(self) -> dict:
        name, kind = self.running[-1]
        zero = {"parameters": 0, "multiply_adds": 0, "activations": 0}
        return self.rows.setdefault(name, {"kind": kind, "shape": None, **zero})

    def enter(self, name: str, module: nn.Module) -> None:
        self.running.append((name, type(module).__name__))

    def leave(self, output: object) -> None:
        name, _kind = self.running.pop()
        shapes = [
            tuple(x.shape[1:]) for x in tree_leaves(output) if isinstance(x, Tensor)
        ]
        if name in self.rows and shapes:
            self.rows[name]["shape"] = shapes[0]


def layer_costs(model: nn.Module, size: int, channels: int = 3) -> pd.DataFrame:
    """A row for each layer that uses parameters of its own or computes products, in the
    order in which they run, for one image of size x size.

    Columns: kind, shape (of the output, of the first if there are several, without the
    batch), parameters, multiply_adds (of convolutions, matrix products and attention,
    half of what PyTorch's FlopCounterMode counts), activations (numbers that
    convolutions and linear layers give out). The index holds the layers' names; what a
    network does outside its layers has the name of its class. A layer that runs twice
    has its multiply-adds counted twice and its parameters once, and a tied weight
    counts where it is first used. The network may live on any device; it is left as it
    was.

    Not counted: additions alone, products with one factor a number (BatchNorm, gates),
    interpolation, pooling, Fourier transforms.
    """
    import pandas as pd

    fitting(size, Side, "size")
    rows = _without_values_first(
        model,
        lambda state, device: _measure(
            model, state, torch.zeros(1, channels, size, size, device=device)
        ),
    )
    columns = ["kind", "shape", "parameters", "multiply_adds", "activations"]
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=None if rows else columns
    )


def _measure(
    model: nn.Module, state: dict[str, Tensor], image: Tensor
) -> dict[str, dict]:
    names = {id(p): name for name, p in model.named_parameters()}
    meter = Meter(
        {
            state[name].untyped_storage()._cdata: state[name].numel()
            for name in names.values()
        }
    )
    handles = []
    for name, module in model.named_modules():
        name = name or type(model).__name__
        before = lambda module, _inputs, name=name: meter.enter(name, module)
        after = lambda _module, _inputs, output: meter.leave(output)
        handles.append(module.register_forward_pre_hook(before))
        handles.append(module.register_forward_hook(after))
    try:
        with evaluating(model), torch.no_grad(), meter:
            functional_call(model, state, image)
    finally:
        for handle in handles:
            handle.remove()
    return meter.rows


def _without_values_first(
    model: nn.Module, run: Callable[[dict[str, Tensor], torch.device], Found]
) -> Found:
    """A run without values. Where a network needs them (it asks for a value, or holds
    tensors that are no buffers), one with copies of its own."""
    try:
        return run(without_values(model), torch.device("meta"))
    except (RuntimeError, NotImplementedError):
        state = {
            name: tensor.detach().clone().requires_grad_(tensor.requires_grad)
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]
        }
        device = next((x.device for x in state.values()), torch.device("cpu"))
        return run(state, device)


def training_bytes(
    model: nn.Module, size: int, channels: int = 3, batch: int = 2
) -> int:
    """How many bytes autograd keeps for each image between the forward and the backward
    pass, without the weights. Memory that several tensors share counts once. Nothing
    changes, not even BatchNorm's statistics."""
    modes = [(module, module.training) for module in model.modules()]

    def run(state: dict[str, Tensor], device: torch.device) -> list[Tensor]:
        images = torch.zeros(batch, channels, size, size, device=device)
        model.train()
        return kept_tensors(
            lambda: functional_call(model, state, images), state.values()
        )

    try:
        kept = _without_values_first(model, run)
    finally:
        for module, training in modes:
            module.training = training
    return sum(tensor.untyped_storage().nbytes() for tensor in kept) // batch


def count_costs(model: nn.Module, size: int, channels: int = 3) -> Costs:
    """The four sums for one image of size x size."""
    table = layer_costs(model, size, channels)
    return Costs(
        parameters=int(table["parameters"].sum()),
        multiply_adds=int(table["multiply_adds"].sum()),
        activations=int(table["activations"].sum()),
        training_bytes=training_bytes(model, size, channels),
    )


def images_per_second(
    models: Mapping[str, nn.Module],
    size: int,
    batch: int = 8,
    repeats: int = 5,
    device: str | torch.device = "cpu",
) -> dict[str, float]:
    """How many images of size x size each network classifies a second, by the shortest
    of `repeats` times.

    The networks take turns, so that whatever else the machine does slows all of them.
    Compare only numbers of one call.
    """
    fitting(batch, BatchSize, "batch")
    fitting(repeats, Count, "repeats")
    images = torch.rand(batch, 3, size, size, device=device)

    def classify(model: nn.Module) -> None:
        with evaluating(model), torch.inference_mode():
            model(images)

    seconds = shortest_seconds(
        {name: partial(classify, model) for name, model in models.items()}, repeats
    )
    return {name: batch / shortest for name, shortest in seconds.items()}
