"""Which parts of a network learn."""

from collections.abc import Iterable
from types import MethodType

from torch import nn

from cnnviz_utils.base.settings import belongs
from cnnviz_utils.models.build import layer_names


def _stay_evaluating(module: nn.Module, mode: bool = True) -> nn.Module:
    """The method `train` of a frozen BatchNorm: it stays in evaluation mode, whatever
    `mode` is."""
    return nn.Module.train(module, False)


def freeze(
    model: nn.Module, parts: str | Iterable[str], frozen: bool = True
) -> nn.Module:
    """Freeze parts of a network by name ("features", "stage1"): their parameters, and
    the running statistics of their BatchNorms.

    A BatchNorm in training mode goes on updating its statistics even when its
    parameters are frozen. Its method `train` is therefore replaced, so that a later
    `model.train()` leaves it in evaluation mode.

    Raises ValueError for a part that the network does not have.
    """
    parts = [parts] if isinstance(parts, str) else list(parts)
    names = [name for name, _ in model.named_parameters()] + layer_names(model)
    for part in parts:
        if not any(belongs(name, [part]) for name in names):
            raise ValueError(
                f"{type(model).__name__} has no part {part!r}; it has "
                f"{', '.join(name for name, _ in model.named_children())}"
            )
    for name, parameter in model.named_parameters():
        if belongs(name, parts):
            parameter.requires_grad_(not frozen)
    for name, module in model.named_modules():
        if belongs(name, parts) and isinstance(module, nn.modules.batchnorm._BatchNorm):
            if frozen:
                # a bound method: a deep copy of the model then holds the copy's module
                module.__dict__["train"] = MethodType(_stay_evaluating, module)
            else:
                module.__dict__.pop("train", None)
            module.train(module.training and not frozen)
    return model


def unfreeze(model: nn.Module, parts: str | Iterable[str]) -> nn.Module:
    """Let parts learn again, BatchNorm statistics included."""
    return freeze(model, parts, frozen=False)


def learning(model: nn.Module) -> list[str]:
    """The names of the parameters that learn."""
    return [
        name for name, parameter in model.named_parameters() if parameter.requires_grad
    ]
