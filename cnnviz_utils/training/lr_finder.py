"""Which learning rate? One short run that tries them all."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnviz_utils.base.declared import Count
from cnnviz_utils.base.device import pick_device
from cnnviz_utils.base.settings import UsageError, fitting
from cnnviz_utils.data.loaders import batches
from cnnviz_utils.data.sets import ImageSet
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.loop import classes_in, seeded
from cnnviz_utils.training.step import Stepper


@dataclass(frozen=True)
class LrCurve:
    """Learning rates tried and the smoothed loss at each."""

    lrs: list[float]
    losses: list[float]

    @property
    def suggestion(self) -> float:
        """A tenth of the rate at which the loss is lowest. At the lowest point itself
        the steps are already about to become too long."""
        return self.lrs[min(range(len(self.losses)), key=self.losses.__getitem__)] / 10


def find_lr(
    model: nn.Module,
    train: ImageSet,
    config: TrainConfig,
    low: float = 1e-5,
    high: float = 10.0,
    steps: int = 80,
    device: str | torch.device = "auto",
) -> LrCurve:
    """Learning-rate finder (Smith 2017): one short run in which the learning rate grows
    from `low` to `high`.

    It trains a copy; `model` is not changed. The run ends early once the smoothed loss
    is four times its lowest value, or not finite.

    Raises UsageError for fewer than two steps or rates that do not grow,
    FloatingPointError where already the first loss is not finite.
    """
    fitting(steps, Count, "steps")
    if steps < 2:
        raise UsageError(f"a learning-rate finder needs at least 2 steps, not {steps}")
    if not 0 < low < high < math.inf:
        raise UsageError(f"rates must grow from above 0, not from {low} to {high}")
    device = pick_device(device)
    model = copy.deepcopy(model).to(device).train()
    step, generator = (
        Stepper(model, config, device, classes=classes_in(train)),
        torch.Generator().manual_seed(config.seed),
    )
    lrs, losses, smooth = [], [], 0.0
    with seeded(config.seed, device):
        for number, (images, labels) in zip(
            range(steps), endless(train, config, generator, device), strict=False
        ):
            lr = low * (high / low) ** (number / (steps - 1))
            for group in step.optimiser.param_groups:
                group["lr"] = lr
            loss, _ = step(images, labels)
            smooth = 0.8 * smooth + 0.2 * loss.item()
            value = smooth / (1 - 0.8 ** (number + 1))
            if not math.isfinite(value) or (losses and value > 4 * min(losses)):
                break
            lrs.append(lr)
            losses.append(value)
    if not losses:
        raise FloatingPointError(
            "the loss is not finite before the first step: "
            "look at the network and the images"
        )
    return LrCurve(lrs, losses)


def endless(
    data: ImageSet,
    config: TrainConfig,
    generator: torch.Generator,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of one epoch after another."""
    while True:
        yield from batches(
            data,
            config.batch_size,
            shuffle=True,
            augment=config.augment,
            generator=generator,
            device=device,
        )
