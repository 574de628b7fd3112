"""What a diagram says about a module: the shapes that go through it, whether it learns,
and what it is in words."""

import re
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from cnnviz_utils.base.hooks import capture, evaluating
from cnnviz_utils.plot.diagrams.canvas import FROZEN, LEARNS, NO_WEIGHTS, PARTLY


def shapes(
    model: nn.Module, shape: Sequence[int], layers: Iterable[str]
) -> dict[str, tuple[int, ...]]:
    """The shape of each layer's output for one input of that shape (C, H, W), without
    the batch, in the order in which the layers run. Nothing in the module changes."""
    first = next(iter([*model.parameters(), *model.buffers()]), torch.zeros(1))
    zeros = torch.zeros(1, *shape, device=first.device, dtype=first.dtype)
    with torch.no_grad(), evaluating(model), capture(model, layers) as maps:
        model(zeros)
    return {str(name): tuple(value.shape[1:]) for name, value in maps.items()}


def state_of(module: nn.Module) -> tuple[str, str]:
    """The colours of a module: whether all, some or none of its parameters learn."""
    learning = [p.requires_grad for p in module.parameters()]
    if not learning:
        return NO_WEIGHTS
    return LEARNS if all(learning) else PARTLY if any(learning) else FROZEN


def weights_in(module: nn.Module) -> str:
    """How many weights, in few letters: "9.1 k weights"; nothing where none."""
    count = sum(p.numel() for p in module.parameters())
    if not count:
        return ""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.3g}{letter} weights"
    return f"{count} weights"


def by(shape: Sequence[int]) -> str:
    """A shape as text: "16 × 32 × 32"."""
    return " × ".join(map(str, shape))


def leaf_words(module: nn.Module) -> str:
    """A layer in a word or two."""
    if isinstance(module, nn.Conv2d):
        kernel, stride = module.kernel_size, module.stride[0]
        deep = module.groups > 1 and module.groups == module.in_channels
        kind = "depthwise" if deep else "conv"
        return f"{kind} {kernel[0]}×{kernel[1]}" + (f" /{stride}" if stride > 1 else "")
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        kind = "max" if isinstance(module, nn.MaxPool2d) else "mean"
        kernel = module.kernel_size
        return f"{kind}-pool {kernel if isinstance(kernel, int) else kernel[0]}"
    name = type(module).__name__
    known = {
        "AdaptiveAvgPool2d": "average",
        "Linear": "linear",
        "ReLU": "ReLU",
        "ReLU6": "ReLU6",
    }
    if name.startswith("BatchNorm"):
        return "batch norm"
    return known.get(name, _spaced(name))


def in_words(module: nn.Module) -> list[str]:
    """What a part of a network is made of, in a few short lines."""
    children = list(module.children())
    if not children:
        return [leaf_words(module)]
    if not isinstance(module, nn.Sequential):
        return [_spaced(type(module).__name__)]
    kinds = {type(child) for child in children}
    if (
        len(kinds) == 1
        and next(iter(kinds)) is not nn.Sequential
        and list(children[0].children())
    ):
        count = f"{len(children)} × " if len(children) > 1 else ""
        return [count + _spaced(kinds.pop().__name__)]
    lines = [
        leaf_words(leaf)
        for leaf in module.modules()
        if not list(leaf.children()) and not isinstance(leaf, MINOR)
    ]
    lines = [line for line in lines if "padding" not in line]
    if len(lines) > 3:
        lines = [re.sub(r"[ \d×/]+$", "", line) for line in lines]
    counted = {line: lines.count(line) for line in dict.fromkeys(lines)}
    return [f"{n} × {line}" if n > 1 else line for line, n in counted.items()][:3]


# said of no stage: what stands behind every convolution, and what changes no number
MINOR = (
    nn.Identity,
    nn.Flatten,
    nn.Dropout,
    nn.ReLU,
    nn.ReLU6,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
)


def _spaced(name: str) -> str:
    """ "ResidualBlock" -> "residual block"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
