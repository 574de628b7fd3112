"""What a training does in each of its epochs, and what it has seen so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz_utils.data.sets import ImageSet, Labelled
from cnnviz_utils.training import feed
from cnnviz_utils.training.adversary import Change
from cnnviz_utils.training.beginning import Beginning
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.evaluation import predict
from cnnviz_utils.training.optimiser import lr_factor, steps_per_epoch
from cnnviz_utils.training.step import Stepper
from cnnviz_utils.training.team import Team

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


@dataclass
class Run:
    """A training on its way: an epoch after the other, what they gave, and the best
    one's weights."""

    step: Stepper
    config: TrainConfig
    team: Team
    short: Beginning | None
    change: Change | None
    history: History = field(default_factory=History)
    best: dict[str, Tensor] | None = None

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.config.seed)

    def state(self) -> dict:
        """What a checkpoint has to keep of it, besides the step's own state."""
        return {"history": self.history.rows, "generator": self.generator.get_state()}

    def go_on(self, kept: dict) -> None:
        """Stand where `state` was taken."""
        self.history.rows = kept["history"]
        self.generator.set_state(kept["generator"])
        self.best = kept["best"]

    def own_generator(self, number: int) -> torch.Generator:
        """What draws this process's augmentation and dropout: the one generator, or in
        a team one of its own in each epoch."""
        if self.team.size == 1:
            return self.generator
        seed = hash((self.config.seed, number, self.team.rank)) % 2**63
        torch.manual_seed(seed)
        return torch.Generator().manual_seed(seed)

    def steps(self, images: int) -> int:
        """How many steps an epoch has."""
        size = self.config.batch_size * self.team.size
        steps = steps_per_epoch(images, replace(self.config, batch_size=size))
        over = images % size
        short = not self.config.drop_last and 0 < over < self.team.size
        return max(1, steps - short)

    def epoch(self, number: int, train: Labelled, valid: ImageSet) -> None:
        """One pass over the training set, and validation; `number` counts from 1."""
        started, step, team = time.perf_counter(), self.step, self.team
        device, model = step.device, step.model
        steps, skipped_before = self.steps(len(train)), step.skipped
        done = (number - 1) * steps
        own = self.own_generator(number)
        loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        right = torch.zeros((), dtype=torch.int64, device=device)
        seen = 0
        model.train()
        for images, labels, share in feed.epoch(
            self.short.seen_in(number) if self.short else train,
            self.config,
            device,
            self.generator,
            None if self.short else self.config.augment,
            team,
            own,
        ):
            step.set_lr(lr_factor(self.config, done, steps))
            if self.change is not None:
                images = self.change(model, images, labels, own)
            loss, logits = step(images, labels, share)
            loss_sum += loss.double() * len(labels)
            right += (logits.argmax(1) == labels).sum()
            seen, done = seen + len(labels), done + 1
        lr = step.optimiser.param_groups[0]["lr"]
        where = (
            f"epoch {number} (steps {done - steps + 1} to {done}, "
            f"learning rate {lr:.3g})"
        )
        loss_sum, right, all_seen = map(
            team.sum, (loss_sum, right, torch.tensor(seen, device=device))
        )
        seen = int(all_seen)
        refuse_overflow(loss_sum, "the loss", where)
        team.average_statistics(model)
        valid_logits, valid_labels = self.validate(valid)
        # the last step can do that
        refuse_overflow(valid_logits, "an output of the network", where)
        self.history.rows.append(
            {
                "epoch": number,
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
        if self.change is None and self.history.best_epoch == number:
            self.best = {
                name: value.detach().clone()
                for name, value in model.state_dict().items()
            }

    def validate(self, valid: ImageSet) -> tuple[Tensor, Tensor]:
        """Logits and labels of the whole set, of which each process computes a part."""
        device, team = self.step.device, self.team
        if self.short:
            return predict(self.short.rest, self.short.valid, device=device)
        if len(valid) < team.size or team.size == 1:
            return predict(self.step.model, valid, device=device)
        part = valid.subset(team.part(torch.arange(len(valid))))
        logits, _ = predict(self.step.model, part, device=device)
        return team.joined(logits.to(device), len(valid)).cpu(), valid.labels


def refuse_overflow(values: Tensor, what: str, where: str) -> None:
    """Raises FloatingPointError, with what can be done about it, unless all values are
    finite."""
    if not values.isfinite().all():
        raise FloatingPointError(
            f"{what} became NaN or infinite in {where}: "
            "a smaller learning rate or gradient clipping may help"
        )
