"""A record of what a network computes, step by step: enough to walk it again, upwards
or downwards.

The steps are PyTorch's own basic operations ("aten"), to which modules, functions,
methods, operators and scripted code all come down. `torch.func.functionalize` takes
out writing in place: `x[:, :2] = y` becomes a step that makes a new x of x and y.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functionalize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from cnnviz_utils.base.hooks import get_layer, one_tensor
from cnnviz_utils.viz.layers import Layer, check_images, find_layer, looking


@dataclass(frozen=True, eq=False)
class Step:
    """One call of one basic operation.

    function: the operation, as `torch.ops.aten.convolution.default`
    inputs: the arguments that depend on the image (two for a shortcut's sum, none of
        the weights)
    outputs: the tensors that it gave: most give one; max-pooling gives the maxima and
        the places where they were
    """

    function: Any
    args: tuple
    kwargs: dict
    inputs: list[Tensor]
    outputs: list[Tensor]

    @property
    def name(self) -> str:
        """ "convolution", "relu", "add", ..."""
        return operation_name(self.function)

    def __getitem__(self, name: str) -> Any:
        """An argument by its name in PyTorch's declaration, however it was passed; None
        if there is none of that name."""
        for i, argument in enumerate(self.function._schema.arguments):
            if argument.name == name:
                if i < len(self.args):
                    return self.args[i]
                return self.kwargs.get(name, argument.default_value)
        return None

    def again(self, exchange: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """The same operation on other tensors: what `exchange` gives for each."""
        swap = lambda part: exchange(part) if isinstance(part, Tensor) else part
        args, kwargs = tree_map(swap, (self.args, self.kwargs))
        return tree_leaves(self.function(*args, **kwargs))


def operation_name(function: Any) -> str:
    """ "relu" of `torch.ops.aten.relu_.default`: in place or not is all the same."""
    return function._schema.name.partition("::")[2].rstrip("_")


class StepError(ValueError):
    """A network computes with something that is no operation of PyTorch's."""


class Tape(TorchDispatchMode):
    """`with Tape(pixels) as tape: tape.run(model)`: every operation that the pixels go
    through, in order. A tensor is known by its `id`, which is its own as long as the
    tape holds it."""

    def __init__(self, pixels: Tensor) -> None:
        super().__init__()
        self.pixels, self.steps, self.known = pixels, [], {id(pixels)}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        inputs = [
            part
            for part in tree_leaves((args, kwargs or {}))
            if isinstance(part, Tensor) and id(part) in self.known
        ]
        if inputs:
            # `as_strided_` writes no numbers
            if function._schema.is_mutable and operation_name(function) != "as_strided":
                raise StepError(
                    f"{function._schema.name.partition('::')[2]!r} writes in place "
                    "inside another operation of PyTorch's (circular padding does), "
                    "which cannot be followed"
                )
            outputs = [x for x in tree_leaves(output) if isinstance(x, Tensor)]
            self.steps.append(Step(function, args, kwargs or {}, inputs, outputs))
            self.known.update(map(id, outputs))
        return output

    def run(self, model: nn.Module) -> None:
        """A forward pass. Attention is computed step by step, not by PyTorch's short
        cut for inference, which is one operation.

        Raises: StepError: a step of the network cannot be recorded.
        """

        def forward(pixels: Tensor) -> None:
            model(pixels)

        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            functionalize(forward, remove="mutations")(self.pixels)
        except RuntimeError as error:
            if "setup_context" not in str(error):
                raise
            raise StepError(
                f"{type(model).__name__} computes with an autograd.Function of its "
                "own, whose steps cannot be recorded: write it with PyTorch's functions"
            ) from error
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


@dataclass(frozen=True, eq=False)
class Recording:
    """The way from the pixels up to a layer: the steps, its output as it was then
    (`maps`), and the output's id."""

    pixels: Tensor
    steps: list[Step]
    maps: Tensor
    top: int


def record_steps(model: nn.Module, images: Tensor, layer: Layer) -> Recording:
    """Run the network on images (N, 3, H, W) in evaluation mode without gradients, and
    keep the way up to a layer. A module that runs twice counts with its last output.

    Raises: ValueError: the layer does not run, gives no tensor or several, or does not
        depend on the pixels, or a step cannot be recorded.
    """
    last = {}
    with looking(model):
        # the first layer may work in place
        pixels = check_images(images, model).detach().clone()
        name = find_layer(model, layer, pixels)
        tape = Tape(pixels)

        def note(_module, _inputs, output):
            _, tensor = one_tensor(output, name)
            before = len(tape.steps)
            tensor.clone()  # a step of its own: the output as it is now
            last.update(steps=len(tape.steps), depends=len(tape.steps) > before)

        handle = get_layer(model, name).register_forward_hook(note)
        try:
            with tape:
                tape.run(model)
        finally:
            handle.remove()
    if not last:
        raise ValueError(
            f"layer {name!r} does not run in a forward pass of this network"
        )
    if not last["depends"]:
        raise ValueError(f"layer {name!r} does not depend on the pixels")
    steps = tape.steps[: last["steps"]]
    maps = steps[-1].outputs[0]
    return Recording(pixels, steps, maps, id(maps))
