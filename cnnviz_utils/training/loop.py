"""The one training loop: epochs, steps, validation, and the best epoch's weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from cnnviz_utils.base.device import pick_device
from cnnviz_utils.base.paths import as_path
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.loaders import class_weights
from cnnviz_utils.data.sets import ImageSet
from cnnviz_utils.training import feed
from cnnviz_utils.training.adversary import Change
from cnnviz_utils.training.beginning import kept_beginning
from cnnviz_utils.training.checkpoint import identity, keep, take_up
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.epochs import History, Run
from cnnviz_utils.training.step import Stepper
from cnnviz_utils.training.team import current_team, synced_norms


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
    finite = [(n, value.isfinite().all()) for n, value in model.named_parameters()]
    if finite and not torch.stack([fine for _, fine in finite]).all():
        for name in (n for n, fine in finite if not fine):
            raise UsageError(
                f"the weights {name} are not finite before training: "
                "look at where they come from"
            )


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
    checkpoint: str | Path | None = None,
) -> History:
    """Train `model` in place; afterwards it has the weights of the epoch that was best
    on `valid`.

    progress: called after each epoch with its row of the history.
    change: what is done to each batch before the network learns from it (noise, an
        adversary). Then the last epoch's weights are kept: validation is on unchanged
        images, on which such a network is best before it has become robust.
    checkpoint: a file that is written after each epoch. The same call with a file that
        is there goes on from it, to the same bits as without a stop.

    Where the first of the network's `stages` are frozen, what they give is computed
    once and kept: see `beginning`.

    Under `torchrun` the processes train together: each sees its share of the images,
    `config.batch_size` of them in a step; the gradient is the mean over all; only the
    first one writes and calls `progress`; afterwards all have the same weights. See
    docs/scale.md.

    The same seed on the same machine gives the same bits.

    Raises: UsageError, before anything is trained: a set without images, fewer outputs
        than classes, weights that are not finite, a device that there is not, another
        training's checkpoint.
        FloatingPointError: loss or logits became NaN or infinite; the message names
        epoch, steps and learning rate.
    """
    team = current_team()
    device = team.place(pick_device(device))
    check_training(model, train, valid)
    if len(train) < team.size:
        raise UsageError(f"{len(train)} images are too few for {team.size} processes")
    model.to(device).to(memory_format=torch.channels_last)
    file = None if checkpoint is None else as_path(checkpoint, "checkpoint")
    name = identity(model, train, valid, config, change, team) if file else ""
    short = None
    if change is None:
        short = kept_beginning(model, train, valid, config, device)
    weights = (
        class_weights(train.labels, len(train.classes)).to(device)
        if config.class_weights
        else None
    )
    count = classes_in(train, valid)
    rest = short.rest if short else None
    net = team.network(rest or model, device)
    step = Stepper(model, config, device, weights, count, net)
    run = Run(step, config, team, short, change)
    with (
        seeded(config.seed, device),
        synced_norms(model, team, config.sync_batch_norm),
    ):
        if file and (kept := take_up(file, name, step)):
            run.go_on(kept)
        sets = (train, valid) if short else (feed.near(train, device), valid)
        for number in range(len(run.history.rows) + 1, config.epochs + 1):
            run.epoch(number, *sets)
            if file and team.leads:
                keep(file, name, step, run.best, **run.state())
            if progress and team.leads:
                progress(run.history.rows[-1])
    if run.best is not None:
        model.load_state_dict(run.best)
    return run.history
