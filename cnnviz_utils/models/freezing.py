"""Which parts of a network learn.

A frozen part keeps every tensor, bit for bit: parameters, and whatever state its
modules hold in buffers (means of BatchNorm or InstanceNorm, vectors of a spectral norm,
counters of one's own).
"""

from collections.abc import Iterable, Iterator
from types import MethodType

import torch
from torch import Tensor, nn

from cnnviz_utils.base.settings import UsageError, belongs
from cnnviz_utils.models.build import layer_names


def _stay_evaluating(module: nn.Module, mode: bool = True) -> nn.Module:
    """What `train` is for a frozen module that holds state: itself in evaluation mode,
    whatever is asked for; the modules in it as asked."""
    nn.Module.train(module, mode)
    module.training = False
    return module


def _forward_with_copies(module: nn.Module, *args, **kwargs):
    """What `forward` is for a frozen module with state in it: it gets copies of the
    buffers, and whatever it writes into them is lost."""
    own = [
        (part, name, buffer)
        for part in module.modules()
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]
    for part, name, buffer in own:
        part._buffers[name] = buffer.clone()
    try:
        return type(module).forward(module, *args, **kwargs)
    finally:
        for part, name, buffer in own:
            part._buffers[name] = buffer


def freeze(model: nn.Module, parts: str | Iterable[str]) -> nn.Module:
    """Stop parts from changing, by name ("features", "stage1", "head.weight"): after
    any number of training steps each of their tensors is bit for bit what it was.

    Parameters no longer get a gradient. A module that holds state in buffers goes on
    changing it in training mode even so; it is kept in evaluation mode, also through a
    later `model.train()`, and computes with copies of its buffers. Dropout in a frozen
    part goes on. Deep copies are frozen on their own; `state_dict` is as before.

    Raises: UsageError (a ValueError): a part that there is not, or a tensor of the part
        that is also used outside it and would learn there (tied weights).
    """
    parts = _known(model, parts)
    for name, other, tensor in _shared(model, parts):
        if tensor.requires_grad or not isinstance(tensor, nn.Parameter):
            raise UsageError(
                f"{name!r} cannot be frozen alone: {other!r} lies in the same memory "
                "and would go on changing; name both parts, or give one its own copy"
            )
    for parameter in _parameters(model, parts):
        parameter.requires_grad_(False)
        # an optimiser would still make a step with it
        parameter.grad = None
    for name, module in model.named_modules(remove_duplicate=False):
        if belongs(name, parts) and any(True for _ in module.buffers()):
            if isinstance(module, torch.jit.ScriptModule):
                raise UsageError(
                    f"{name!r} cannot be frozen: it is scripted, and holds state; "
                    "freeze the network before torch.jit.script"
                )
            # bound, so that a deep copy's holds the copy
            if module._buffers:
                module.__dict__["train"] = MethodType(_stay_evaluating, module)
                module.training = False
            if "forward" not in vars(module):
                module.__dict__["forward"] = MethodType(_forward_with_copies, module)
    return model


def unfreeze(model: nn.Module, parts: str | Iterable[str]) -> nn.Module:
    """Let parts learn again: all their parameters, and the state of their modules,
    which are again in the mode of the whole network.

    Raises: UsageError (a ValueError): a part that there is not, or a tensor of the part
        that is also used in one that stays frozen.
    """
    parts = _known(model, parts)
    for name, other, tensor in _shared(model, parts):
        if isinstance(tensor, nn.Parameter) and not tensor.requires_grad:
            raise UsageError(
                f"{name!r} cannot learn alone: {other!r} lies in the same memory and "
                "is frozen; name both parts, or give one its own copy"
            )
    for parameter in _parameters(model, parts):
        if parameter.is_floating_point() or parameter.is_complex():
            parameter.requires_grad_(True)
    for name, module in model.named_modules(remove_duplicate=False):
        if belongs(name, parts):
            if _overridden(module, "train", _stay_evaluating):
                del module.__dict__["train"]
                module.training = model.training
            if _overridden(module, "forward", _forward_with_copies):
                del module.__dict__["forward"]
    return model


def learning(model: nn.Module) -> list[str]:
    """The names of the parameters that learn."""
    return [
        name for name, parameter in model.named_parameters() if parameter.requires_grad
    ]


def _overridden(module: nn.Module, name: str, function: object) -> bool:
    return getattr(vars(module).get(name), "__func__", None) is function


def _known(model: nn.Module, parts: str | Iterable[str]) -> list[str]:
    parts = [parts] if isinstance(parts, str) else list(parts)
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    names += layer_names(model)
    names += [name for name, _ in model.named_modules(remove_duplicate=False)]
    for part in parts:
        if not any(belongs(name, [part]) for name in names):
            raise UsageError(
                f"{type(model).__name__} has no part {part!r}; it has "
                f"{', '.join(name for name, _ in model.named_children())}"
            )
    return parts


def _parameters(model: nn.Module, parts: list[str]) -> list[nn.Parameter]:
    """By all their names: a tied weight has several."""
    return [
        parameter
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if belongs(name, parts)
    ]


def _shared(model: nn.Module, parts: list[str]) -> Iterator[tuple[str, str, Tensor]]:
    """(name, other name, the other tensor) of tensors of the parts and tensors outside
    them that lie in the same memory."""
    tensors = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    inside: dict[int, list[tuple[str, range]]] = {}
    for name, tensor in tensors:
        if belongs(name, parts):
            memory, place = _place(tensor)
            inside.setdefault(memory, []).append((name, place))
    for other, tensor in tensors:
        if not belongs(other, parts):
            memory, place = _place(tensor)
            for name, mine in inside.get(memory, []):
                if mine.start < place.stop and place.start < mine.stop:
                    yield name, other, tensor


def _place(tensor: Tensor) -> tuple[int, range]:
    """Which piece of memory, and from where to where in it."""
    start = tensor.storage_offset()
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    extent = 1 + sum((size - 1) * stride for size, stride in steps)
    stop = start + extent if tensor.numel() else start
    return tensor.untyped_storage()._cdata, range(start, stop)
