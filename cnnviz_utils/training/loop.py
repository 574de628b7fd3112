"""The one training loop: epochs, steps, validation, and the best epoch's weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnviz_utils.base.device import pick_device
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.loaders import batches, class_weights
from cnnviz_utils.data.sets import ImageSet
from cnnviz_utils.training.adversary import Change
from cnnviz_utils.training.beginning import kept_beginning
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.evaluation import predict
from cnnviz_utils.training.losses import (
    check_outputs,
    heads_of,
    loss_of,
    refuse_overflow,
)
from cnnviz_utils.training.optimiser import lr_factor, make_optimiser, steps_per_epoch

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class History:
    """What happened in training, one dict for each epoch: epoch, lr, train_loss,
    train_accuracy, valid_loss, valid_accuracy, seconds, skipped (steps that the
    gradient scaler left out)."""

    rows: list[dict] = field(default_factory=list)

    def frame(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(self.rows)

    @property
    def best_epoch(self) -> int:
        """The epoch (from 1) with the highest validation accuracy, the first of
        equals."""
        return max(self.rows, key=lambda row: (row["valid_accuracy"], -row["epoch"]))[
            "epoch"
        ]


def autocast(device: torch.device, amp: str) -> torch.autocast:
    """The context in which the forward pass computes: half precision where asked for,
    float32 otherwise."""
    dtype = {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(
        amp, torch.float32
    )
    return torch.autocast(device.type, dtype=dtype, enabled=amp != "off")


def classes_in(*sets: ImageSet) -> int:
    """How many outputs a network needs for every label of these sets."""
    return 1 + max(int(data.labels.max()) for data in sets)


def check_training(model: nn.Module, train: ImageSet, valid: ImageSet) -> None:
    """Raises UsageError for what could only fail later: a set without images, images of
    two sizes, weights that are no numbers or in half precision."""
    for name, data in {"train": train, "valid": valid}.items():
        if not len(data):
            raise UsageError(f"the {name} set has no images")
    if train.images.shape[1:] != valid.images.shape[1:]:
        raise UsageError(
            f"train has images {tuple(train.images.shape[1:])}, "
            f"valid {tuple(valid.images.shape[1:])}: load both at one size"
        )
    for name, value in model.named_parameters():
        if value.is_floating_point() and value.dtype != torch.float32:
            kind = str(value.dtype).removeprefix("torch.")
            raise UsageError(
                f"the weights {name} are {kind}, and training is in float32: call "
                "model.float(), and say amp= for half precision"
            )
        if not value.isfinite().all():
            raise UsageError(
                f"the weights {name} are not finite before training: "
                "look at where they come from"
            )


@dataclass
class Stepper:
    """One step of training after another: forward pass, loss, gradients, optimiser.
    `fit` and `find_lr` use it.

    config decides loss, precision and clipping; weights: one a class for the loss, or
    None; classes: how many outputs the network must have; rest: what runs in the
    model's place where its beginning has run already (see `beginning`), or None;
    skipped counts the steps that the gradient scaler left out because a gradient had
    overflowed in float16.
    """

    model: nn.Module
    config: TrainConfig
    device: torch.device
    weights: Tensor | None = None
    classes: int = 0
    rest: nn.Module | None = None
    skipped: int = 0

    def __post_init__(self):
        self.optimiser = make_optimiser(self.model, self.config)
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.config.amp == "float16"
        )

    def set_lr(self, factor: float) -> None:
        """Set every group's learning rate to `factor` times its peak."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * factor

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Learn from one batch: images (n, 3, H, W), labels (n,) -> the loss, and
        logits (n, classes) before the step, both detached."""
        with autocast(self.device, self.config.amp):
            output = (self.rest or self.model)(images)
            logits, auxiliary = heads_of(output)
            check_outputs(logits, len(images), self.classes)
            loss = loss_of(logits, auxiliary, labels, self.config, self.weights)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self.config.clip is not None:
            self.scaler.unscale_(self.optimiser)
            learning = [
                p for group in self.optimiser.param_groups for p in group["params"]
            ]
            nn.utils.clip_grad_norm_(learning, self.config.clip)
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.skipped += int(self.scaler.get_scale() < scale)
        return loss.detach(), logits.detach()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global random generator (from which dropout draws) inside the block, and
    restore its state afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def fit(
    model: nn.Module,
    train: ImageSet,
    valid: ImageSet,
    config: TrainConfig,
    device: str | torch.device = "auto",
    progress: Callable[[dict], None] | None = None,
    change: Change | None = None,
) -> History:
    """Train `model` in place; afterwards it has the weights of the epoch that was best
    on `valid`.

    progress: called after each epoch with its row of the history.
    change: what is done to each batch before the network learns from it (noise, an
        adversary). Then the last epoch's weights are kept: validation is on unchanged
        images, on which such a network is best before it has become robust.

    Where the first of the network's `stages` are frozen, what they give is computed
    once and kept: see `beginning`.

    The same seed on the same machine gives the same bits.

    Raises: UsageError, before anything is trained: a set without images, fewer outputs
        than classes, weights that are not finite, a device that there is not.
        FloatingPointError: loss or logits became NaN or infinite; the message names
        epoch, steps and learning rate.
    """
    device = pick_device(device)
    check_training(model, train, valid)
    model.to(device).to(memory_format=torch.channels_last)
    weights = (
        class_weights(train.labels, len(train.classes)).to(device)
        if config.class_weights
        else None
    )
    started = time.perf_counter()
    short = None
    if change is None:
        short = kept_beginning(model, train, valid, config, device)
    rest = short.rest if short else None
    count = classes_in(train, valid)
    step = Stepper(model, config, device, weights, count, rest)
    history, best = History(), None
    generator = torch.Generator().manual_seed(config.seed)
    steps, done = steps_per_epoch(len(train), config), 0
    with seeded(config.seed, device):
        for epoch in range(1, config.epochs + 1):
            skipped_before = step.skipped
            loss_sum = torch.zeros((), dtype=torch.float64, device=device)
            right = torch.zeros((), dtype=torch.int64, device=device)
            seen = 0
            model.train()
            for images, labels in batches(
                short.seen_in(epoch) if short else train,
                config.batch_size,
                shuffle=True,
                augment=None if short else config.augment,
                balanced=config.balanced_sampling,
                drop_last=config.drop_last,
                generator=generator,
                device=device,
            ):
                step.set_lr(lr_factor(config, done, steps))
                if change is not None:
                    images = change(model, images, labels, generator)
                loss, logits = step(images, labels)
                loss_sum += loss.double() * len(labels)
                right += (logits.argmax(1) == labels).sum()
                seen, done = seen + len(labels), done + 1
            lr = step.optimiser.param_groups[0]["lr"]
            where = (
                f"epoch {epoch} (steps {done - steps + 1} to {done}, "
                f"learning rate {lr:.3g})"
            )
            refuse_overflow(loss_sum, "the loss", where)
            valid_logits, valid_labels = predict(
                rest or model, short.valid if short else valid, device=device
            )
            # the last step can do that
            refuse_overflow(valid_logits, "an output of the network", where)
            history.rows.append(
                {
                    "epoch": epoch,
                    "lr": lr,
                    "train_loss": float(loss_sum) / seen,
                    "train_accuracy": int(right) / seen,
                    "valid_loss": float(F.cross_entropy(valid_logits, valid_labels)),
                    "valid_accuracy": float(
                        (valid_logits.argmax(1) == valid_labels).double().mean()
                    ),
                    "seconds": time.perf_counter() - started,
                    "skipped": step.skipped - skipped_before,
                }
            )
            if change is None and history.best_epoch == epoch:
                best = {
                    name: value.detach().clone()
                    for name, value in model.state_dict().items()
                }
            started = time.perf_counter()
            if progress:
                progress(history.rows[-1])
    if best is not None:
        model.load_state_dict(best)
    return history
