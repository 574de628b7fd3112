"""Which parts of a network learn."""

from collections.abc import Iterable
from types import MethodType

from torch import nn

from cnnviz_utils.base.settings import belongs
from cnnviz_utils.models.build import layer_names


def _stay_evaluating(module: nn.Module, mode: bool = True) -> nn.Module:
    """What `train` is for a frozen BatchNorm: evaluation mode, whatever is asked
    for."""
    return nn.Module.train(module, False)


def freeze(
    model: nn.Module, parts: str | Iterable[str], frozen: bool = True
) -> nn.Module:
    """Stop parts from changing, by name ("features", "stage1"): parameters, and the
    statistics of their BatchNorms.

    A BatchNorm in training mode goes on averaging what it sees even when its parameters
    are frozen; its `train` is therefore overridden, so that a later `model.train()`
    leaves it in evaluation mode. Raises ValueError for a part that there is not.
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
                # bound, so that a deep copy's holds the copy
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
