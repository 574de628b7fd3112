"""The optimiser, and how its learning rates change during training."""

import math

import torch
from torch import nn

from cnnviz_utils.base.settings import UsageError, belongs, nearest
from cnnviz_utils.training.config import TrainConfig


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict]:
    """The parameters that learn, in groups of equal peak learning rate. Where several
    names in `lrs` fit a parameter, the longest one decides.

    Raises UsageError where nothing learns, or for a name in `lrs` that no parameter
    has.
    """
    rates, names = dict(config.lrs), [name for name, _ in model.named_parameters()]
    for part in rates:
        if not any(belongs(name, [part]) for name in names):
            parts = dict.fromkeys(name.split(".")[0] for name in names)
            raise UsageError(
                f"lrs: this network has no part {part!r}" + nearest(part, parts)
            )
    groups: dict[float, list] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            fitting = [part for part in rates if belongs(name, [part])]
            groups.setdefault(
                rates[max(fitting, key=len)] if fitting else config.lr, []
            ).append(parameter)
    if not groups:
        raise UsageError("nothing in this model learns: every parameter is frozen")
    return [
        {"params": parameters, "lr": lr, "peak": lr}
        for lr, parameters in groups.items()
    ]


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser of the parameters that are not frozen."""
    groups = parameter_groups(model, config)
    if config.optimiser == "sgd":
        return torch.optim.SGD(
            groups,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            fused=True,
        )
    kind = torch.optim.Adam if config.optimiser == "adam" else torch.optim.AdamW
    return kind(
        groups,
        betas=(config.momentum, 0.999),
        weight_decay=config.weight_decay,
        fused=True,
    )


def lr_factor(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """The factor by which the peak learning rate is multiplied at a step of training,
    counted from 0.

    "one_cycle" (Smith 2018): up from 1/25 over the first quarter, then down to
    1/10,000, both along half a cosine.
    """
    total = config.epochs * steps_per_epoch
    if config.schedule == "step":
        return config.gamma ** (step // steps_per_epoch // config.step_size)
    if config.schedule == "cosine":
        return 0.5 + 0.5 * math.cos(math.pi * step / total)
    if config.schedule == "one_cycle":
        warm = max(1, round(0.25 * total))
        low, high, share = (
            (1 / 25, 1.0, step / warm)
            if step < warm
            else (1.0, 1e-4, (step - warm) / max(1, total - warm))
        )
        return high + (low - high) * (0.5 + 0.5 * math.cos(math.pi * share))
    return 1.0


def steps_per_epoch(images: int, config: TrainConfig) -> int:
    """How many steps an epoch has, at least one."""
    return max(
        1,
        images // config.batch_size
        if config.drop_last
        else -(-images // config.batch_size),
    )
