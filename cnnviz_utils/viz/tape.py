"""A record of what a network computes, step by step: enough to walk it again, upwards
or downwards."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from cnnviz_utils.base.hooks import get_layer, one_tensor
from cnnviz_utils.viz.layers import Layer, check_images, find_layer, looking


@dataclass(frozen=True, eq=False)
class Step:
    """One call of one function.

    name: "conv2d", "relu", "add", ...; whether it worked in place makes no difference
    inputs: the arguments that depend on the image (two for a shortcut's sum, none of
        the weights)
    switches: of max-pooling only: where in its plane each maximum was, (N, C, h, w),
        counted row by row
    """

    name: str
    args: tuple
    kwargs: dict
    inputs: list[Tensor]
    output: Tensor
    switches: Tensor | None = None

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument, however it was passed."""
        return (
            self.args[position]
            if position < len(self.args)
            else self.kwargs.get(name, default)
        )


class Tape(TorchFunctionMode):
    """`with Tape(pixels) as tape: model(pixels)`: every function that the pixels go
    through, in order.

    PyTorch shows each function to the mode before it runs, so modules used twice,
    `F.relu` and `+` are seen as well. A tensor is known by its `id`, which is its own
    as long as the tape holds it. An in-place operation returns the tensor it was given:
    the same name then stands for the new value, which is right for a walk in either
    direction.
    """

    def __init__(self, pixels: Tensor) -> None:
        super().__init__()
        self.pixels, self.steps, self.known = pixels, [], {id(pixels)}

    def __torch_function__(self, function: Callable, types, args=(), kwargs=None):
        kwargs, switches = kwargs or {}, None
        name = getattr(function, "__name__", "?").strip("_")
        flat = [
            part
            for arg in (*args, *kwargs.values())
            for part in (arg if isinstance(arg, list | tuple) else [arg])
        ]
        inputs = [
            part for part in flat if isinstance(part, Tensor) and id(part) in self.known
        ]
        if name == "max_pool2d":
            output, switches = F.max_pool2d(*args, **{**kwargs, "return_indices": True})
        else:
            output = function(*args, **kwargs)
        if inputs:  # of several outputs (chunk, split) each is a step
            for part in output if isinstance(output, list | tuple) else [output]:
                if isinstance(part, Tensor):
                    self.steps.append(Step(name, args, kwargs, inputs, part, switches))
                    self.known.add(id(part))
        return output


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
    Raises ValueError where the layer does not run."""
    last = {}
    with looking(model):
        # the first layer may work in place
        pixels = check_images(images).detach().clone()
        layer = find_layer(model, layer, pixels)
        tape = Tape(pixels)

        def note(_module, _inputs, output):
            _, top = one_tensor(output, layer)
            last.update(steps=len(tape.steps), maps=top.clone(), top=id(top))

        handle = get_layer(model, layer).register_forward_hook(note)
        try:
            with tape:
                model(pixels)
        finally:
            handle.remove()
    if not last:
        raise ValueError(
            f"layer {layer!r} does not run in a forward pass of this network"
        )
    return Recording(pixels, tape.steps[: last["steps"]], last["maps"], last["top"])
