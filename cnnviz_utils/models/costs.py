"""What a network costs: parameters, multiply-adds, memory in training, time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call

from cnnviz_utils.base.device import shortest_seconds
from cnnviz_utils.base.hooks import evaluating
from cnnviz_utils.base.memory import kept_tensors

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Costs:
    """What a network costs for one image. Parts that only run in training (GoogLeNet's
    auxiliary heads) count in `training_bytes` alone.

    parameters: how many numbers are learned.
    multiply_adds: of convolutions and linear layers; a multiplication together with an
        addition counts as one.
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


def layer_costs(model: nn.Module, size: int, channels: int = 3) -> pd.DataFrame:
    """A table with one row for each layer that has parameters, in the order in which
    they run, for one image of size x size pixels.

    Columns: kind, shape (of the output, without the batch), parameters, multiply_adds,
    activations (0 for layers that are neither convolution nor linear). The index holds
    the layers' names. A layer that runs twice has its multiply-adds counted twice and
    its parameters once. The network may live on any device; it is left as it was.
    """
    import pandas as pd

    rows: dict[str, dict] = {}

    def note(layer: nn.Module, name: str, output: Tensor) -> None:
        row = rows.setdefault(
            name,
            {
                "kind": type(layer).__name__,
                "shape": tuple(output.shape[1:]),
                "parameters": sum(p.numel() for p in layer.parameters(recurse=False)),
                "multiply_adds": 0,
                "activations": 0,
            },
        )
        # each number of the output takes one multiply-add for each weight of a filter
        if isinstance(layer, nn.Conv2d | nn.Linear):
            row["multiply_adds"] += output[0].numel() * layer.weight[0].numel()
            row["activations"] += output[0].numel()

    handles = [
        layer.register_forward_hook(
            lambda layer, _inputs, output, name=name: note(layer, name, output)
        )
        for name, layer in model.named_modules()
        if list(layer.parameters(recurse=False))
    ]
    try:
        with evaluating(model), torch.no_grad():
            functional_call(
                model,
                without_values(model),
                torch.empty(1, channels, size, size, device="meta"),
            )
    finally:
        for handle in handles:
            handle.remove()
    return pd.DataFrame.from_dict(rows, orient="index")


def training_bytes(
    model: nn.Module, size: int, channels: int = 3, batch: int = 2
) -> int:
    """How many bytes autograd keeps for each image between the forward and the backward
    pass, without the weights. Memory that several tensors share counts once. Nothing is
    computed, and nothing changes, not even BatchNorm's statistics."""
    state = without_values(model)
    modes = [(module, module.training) for module in model.modules()]
    images = torch.empty(batch, channels, size, size, device="meta")
    model.train()
    try:
        kept = kept_tensors(
            lambda: functional_call(model, state, images), state.values()
        )
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
    images = torch.rand(batch, 3, size, size, device=device)

    def classify(model: nn.Module) -> None:
        with evaluating(model), torch.inference_mode():
            model(images)

    seconds = shortest_seconds(
        {name: partial(classify, model) for name, model in models.items()}, repeats
    )
    return {name: batch / shortest for name, shortest in seconds.items()}
