"""Look inside a network. Afterwards its modes, hooks and `.grad` are as they were
before."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

from cnnviz_utils.base.ranges import check_floats
from cnnviz_utils.base.settings import UsageError, nearest


def every_module(model: nn.Module) -> list[nn.Module]:
    """`model.modules()`, each once, without the names that take most of its time."""
    found, waiting = {id(model): model}, [model]
    while waiting:
        for child in waiting.pop()._modules.values():
            if child is not None and id(child) not in found:
                found[id(child)] = child
                waiting.append(child)
    return list(found.values())


def _by_path(model: nn.Module, name: str) -> nn.Module | None:
    """The module of a name such as "layer4.1.relu", None if there is none."""
    found: nn.Module | None = model
    for part in name.split("."):
        # a scripted network's has no `get`
        inside = {} if found is None else found._modules
        found = inside[part] if part in inside else None  # noqa: SIM401
    return found


def layer_name(model: nn.Module, layer: str | nn.Module) -> str:
    """The name of a layer that is given by name or as the module itself. A module that
    is registered under several names has the first of them.

    Raises: KeyError: no such layer; the message lists the names that there are.
    """
    if isinstance(layer, str) and _by_path(model, layer):
        return layer
    names = [
        (name, module)
        for name, module in model.named_modules(remove_duplicate=False)
        if name
    ]
    if isinstance(layer, nn.Module):
        for name, module in names:
            if module is layer:
                return name
        wrong = "the whole network" if layer is model else "a module of another network"
        raise KeyError(
            f"layer is {wrong}, a {type(layer).__name__}, not a layer inside this "
            f"{type(model).__name__}"
        )
    if not isinstance(layer, str):
        raise KeyError(f"layer is a name or a module, not {layer!r}")
    if layer not in dict(names):
        known = nearest(layer, [name for name, _ in names])
        raise KeyError(f"{type(model).__name__} has no layer {layer!r}{known}")
    return layer


def get_layer(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    """The layer of that name, any name of it in `model.named_modules`. A module of the
    network is its own answer.

    Raises: KeyError: no such layer; the message lists the names that there are.
        UsageError: it is scripted or traced, and shows nothing of what it does.
    """
    name = layer_name(model, layer)
    module = _by_path(model, name)
    assert module is not None
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError(
            f"layer {name!r} is scripted or traced, and shows nothing of what it does: "
            "take the network as it was before torch.jit"
        )
    return module


def tensors_in(output: object) -> dict[object, Tensor]:
    """The tensors that a module gave: itself (under None), or those in a tuple, list or
    dict, by their place in it."""
    if isinstance(output, Tensor):
        return {None: output}
    if isinstance(output, Mapping):
        items = output.items()
    else:
        items = enumerate(output) if isinstance(output, list | tuple) else ()
    return {key: value for key, value in items if isinstance(value, Tensor)}


def logits_of(output: object) -> Tensor:
    """The logits (N, classes) in what a network gave: the tensor itself, what is called
    "logits" in a dict or a named tuple, or the one tensor of that shape in a tuple.

    Raises: ValueError: there are none, or it can't be told which they are.
    """
    if isinstance(output, Tensor):
        if output.ndim == 2:
            return output
        found = str(tuple(output.shape))
    else:
        named = (
            output.get("logits")
            if isinstance(output, Mapping)
            else getattr(output, "logits", None)
        )
        candidates = [t for t in tensors_in(output).values() if t.ndim == 2]
        if isinstance(named, Tensor) and named.ndim == 2:
            return named
        if len(candidates) == 1:
            return candidates[0]
        shapes = [str(tuple(t.shape)) for t in tensors_in(output).values()]
        found = f"a {type(output).__name__} of {', '.join(shapes) or 'no tensors'}"
    raise ValueError(
        f"the network must give logits (N, classes), but it gives {found}: "
        "wrap it in a module whose forward gives one number a class "
        "(of a map of classes, the mean over the places that are asked about)"
    )


def in_its_type(model: nn.Module, images: Tensor) -> Tensor:
    """Images in the floating type that the network computes in, that of its first
    weights: a network made `.half()` takes no float32. Raises UsageError for bytes."""
    check_floats(images)
    weights = next((p for p in model.parameters() if p.is_floating_point()), None)
    return images if weights is None else images.to(weights.dtype)


def one_tensor(output: object, layer: str) -> tuple[object, Tensor]:
    """The one tensor of a layer's output and its place in it.

    Raises: ValueError: there are none, or several to choose from.
    """
    found = tensors_in(output)
    if len(found) != 1:
        what = f"{len(found)} tensors" if found else "no tensor"
        raise ValueError(
            f"layer {layer!r} gives a {type(output).__name__} of {what}: take a layer "
            "that gives one"
        )
    return next(iter(found.items()))


def with_tensor(output: Any, place: object, tensor: Tensor) -> Any:
    """A module's output with another tensor at one place, of the same type."""
    if place is None:
        return tensor
    if isinstance(output, Mapping):
        changed: Any = copy(output)
        changed[place] = tensor
        return changed
    values = [tensor if i == place else value for i, value in enumerate(output)]
    if hasattr(output, "_fields"):
        return type(output)(*values)
    return type(output)(values)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put the model into evaluation mode (BatchNorm uses its running statistics, no
    dropout) inside the block, and give every module its own mode back afterwards."""
    modes = [(module, module.training) for module in every_module(model)]
    if any(training for _, training in modes):  # most often none is
        model.eval()
    try:
        yield model
    finally:
        for module, training in modes:
            if module.training != training:
                module.training = training


@contextmanager
def capture(
    model: nn.Module, layers: Iterable[str | nn.Module]
) -> Iterator[dict[str | nn.Module, Tensor]]:
    """Keep the outputs of layers: `with capture(model, ["stage3"]) as maps: model(x)`.

    Afterwards `maps["stage3"]` is a clone of the layer's last output, (N, C, h, w) for
    a convolution. The clone matters: an in-place operation behind the layer
    (`nn.ReLU(inplace=True)`) would otherwise rewrite it. Still attached to the graph
    when gradients are on.

    Raises: KeyError: no such layer. ValueError: a layer that gives several tensors.
    """
    maps: dict[str | nn.Module, Tensor] = {}
    handles = []
    try:
        for layer in layers:
            name = layer_name(model, layer)

            def keep(_module, _inputs, output, layer=layer, name=name):
                maps[layer] = one_tensor(output, name)[1].clone()

            handles.append(get_layer(model, layer).register_forward_hook(keep))
        yield maps
    finally:
        for handle in handles:
            handle.remove()
