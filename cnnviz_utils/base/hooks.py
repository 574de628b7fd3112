"""Look inside a network. Afterwards its modes, hooks and `.grad` are as they were
before."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn


def get_layer(model: nn.Module, name: str) -> nn.Module:
    """The layer of that name, as in `model.named_modules()`.

    Raises:
        KeyError: no such layer; the message lists the names that there are.
    """
    layers = dict(model.named_modules())
    if name not in layers or not name:
        known = ", ".join(n for n in layers if n)
        raise KeyError(
            f"{type(model).__name__} has no layer {name!r}; its layers: {known}"
        )
    return layers[name]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put the model into evaluation mode (BatchNorm uses its running statistics, no
    dropout) inside the block, and give every module its own mode back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def capture(model: nn.Module, layers: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Keep the outputs of named layers: `with capture(model, ["stage3"]) as maps:
    model(x)`.

    Afterwards `maps["stage3"]` is a clone of the layer's last output, (N, C, h, w) for
    a convolution. The clone matters: an in-place operation behind the layer
    (`nn.ReLU(inplace=True)`) would otherwise rewrite it. Still attached to the graph
    when gradients are on.
    """
    maps: dict[str, Tensor] = {}
    handles = []
    try:
        for name in layers:

            def keep(_module, _inputs, output, name=name):
                if not isinstance(output, Tensor):
                    raise ValueError(
                        f"layer {name!r} gives {type(output).__name__}, not one tensor"
                    )
                maps[name] = output.clone()

            handles.append(get_layer(model, name).register_forward_hook(keep))
        yield maps
    finally:
        for handle in handles:
            handle.remove()
