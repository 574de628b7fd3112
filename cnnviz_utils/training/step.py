"""One step of training: forward pass, loss, gradients, optimiser."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.losses import check_outputs, heads_of, loss_of
from cnnviz_utils.training.optimiser import make_optimiser


def autocast(device: torch.device, amp: str) -> torch.autocast:
    """The context in which the forward pass computes: half precision where asked for,
    float32 otherwise."""
    dtype = {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(
        amp, torch.float32
    )
    return torch.autocast(device.type, dtype=dtype, enabled=amp != "off")


@dataclass
class Stepper:
    """One step of training after another: forward pass, loss, gradients, optimiser.
    `fit` and `find_lr` use it.

    config decides loss, precision and clipping; weights: one a class for the loss, or
    None; classes: how many outputs the network must have; net: what runs in the model's
    place (the rest of it, where its beginning has run already, or the copy of a team),
    or None.

    Nothing here waits for a GPU: what is to be known of a step stays on the device
    until somebody asks.
    """

    model: nn.Module
    config: TrainConfig
    device: torch.device
    weights: Tensor | None = None
    classes: int = 0
    net: nn.Module | None = None
    _skipped: Tensor | None = field(default=None, repr=False)

    def __post_init__(self):
        self.optimiser = make_optimiser(self.model, self.config)
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.config.amp == "float16"
        )

    @property
    def skipped(self) -> int:
        """How many steps the gradient scaler left out because a gradient had overflowed
        in float16."""
        return 0 if self._skipped is None else int(self._skipped)

    @skipped.setter
    def skipped(self, count: int) -> None:
        self._skipped = torch.tensor(count, device=self.device)

    def set_lr(self, factor: float) -> None:
        """Set every group's learning rate to `factor` times its peak."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * factor

    def __call__(
        self, images: Tensor, labels: Tensor, share: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Learn from one batch: images (n, 3, H, W), labels (n,) -> the loss, and
        logits (n, classes) before the step, both detached. share: the gradient is
        multiplied by this."""
        with autocast(self.device, self.config.amp):
            output = (self.net or self.model)(images)
            logits, auxiliary = heads_of(output)
            check_outputs(logits, len(images), self.classes)
            loss = loss_of(logits, auxiliary, labels, self.config, self.weights)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss if share == 1 else loss * share).backward()
        if self.config.clip is not None:
            self.scaler.unscale_(self.optimiser)
            learning = [
                p for group in self.optimiser.param_groups for p in group["params"]
            ]
            nn.utils.clip_grad_norm_(learning, self.config.clip)
        self.scaler.step(self.optimiser)
        if self.scaler.is_enabled():
            # get_scale() would wait for the GPU at every step
            scale = self.scaler._scale
            assert scale is not None
            before = scale.clone()
            self.scaler.update()
            less = (scale < before).long()
            self._skipped = less if self._skipped is None else self._skipped + less
        return loss.detach(), logits.detach()
