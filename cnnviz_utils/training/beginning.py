"""Fast where nothing learns: what the frozen beginning of a network makes of an image
is the same in every epoch, so it is computed once and kept.

`fit` asks `kept_beginning`. Without augmentation the result is that of the long way;
with augmentation, `TrainConfig.views` versions of each image are drawn beforehand and
come up in turn. Wherever it is not certain that the beginning gives the same maps each
time, the answer is None, and `fit` goes the long way.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cnnviz_utils.base import pictures
from cnnviz_utils.base.device import moved
from cnnviz_utils.base.files import cached
from cnnviz_utils.base.hooks import evaluating, logits_of
from cnnviz_utils.base.paths import cache_root
from cnnviz_utils.base.room import keep_latest, reserved, used_now
from cnnviz_utils.data import augment
from cnnviz_utils.data.augment import Augment
from cnnviz_utils.data.loaders import batches
from cnnviz_utils.data.sets import ImageSet
from cnnviz_utils.models.networks import run_stages
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.identity import state_bytes, what_it_computes

log = logging.getLogger("cnnviz")
# more is not kept on disk for one data set
MOST_BYTES = 4e9
# of all that is kept; what was not used for longest goes
MOST_TOGETHER = 6e9
# layers that give the same output for the same input in training, too
STEADY = (
    nn.Sequential,
    nn.Conv2d,
    nn.Linear,
    nn.ReLU,
    nn.ReLU6,
    nn.Hardswish,
    nn.Identity,
    nn.Flatten,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
)
# code whose blocks draw nothing and remember nothing, but for the layers in them
STEADY_CODE = ("cnnviz_utils.models.", "torchvision.models.resnet")
HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


@dataclass(frozen=True)
class Maps:
    """What a beginning made of a data set, for `batches` and `predict` in the data
    set's place.

    kept: (views, N, ...), a memory map; maps (h, w, C) have their channels last.
    turn: image i is seen in view (turn + i) % views.
    """

    kept: np.ndarray
    labels: Tensor
    classes: tuple[str, ...]
    turn: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def on(
        self, device: str | torch.device, index: int | slice | Sequence[int] | Tensor
    ) -> tuple[Tensor, Tensor]:
        """Maps (n, C, h, w), or numbers (n, C), and labels (n,) on a device."""
        # a tensor of one number would count as the number
        chosen = index if isinstance(index, int | slice) else np.asarray(index)
        rows = np.arange(len(self))[chosen]
        views = (self.turn + rows) % len(self.kept)
        found = torch.from_numpy(np.array(self.kept[views, rows]))
        found = found.movedim(-1, -3) if self.kept.ndim == 5 else found
        return moved(found, device), moved(self.labels[index], device)


class Rest(nn.Module):
    """The stages of a network from the first that learns; its parameters are the
    network's own."""

    def __init__(self, whole: nn.Module, stages: Sequence[str]):
        super().__init__()
        self.whole, self.names = whole, tuple(stages)

    def forward(self, x: Tensor) -> Tensor:
        return run_stages(self.whole, x, self.names)


@dataclass(frozen=True)
class Beginning:
    """A data set in the form in which the rest of the network takes it."""

    rest: Rest
    train: Maps
    valid: Maps

    def seen_in(self, epoch: int) -> Maps:
        """The training set in an epoch (from 1): the views come up in turn."""
        return replace(self.train, turn=epoch - 1)


def stages_of(model: nn.Module) -> list[str]:
    """What the network declares as its stages, none if it does not."""
    return [str(name) for name in getattr(model, "stages", ())]


def frozen_stages(model: nn.Module) -> list[str]:
    """The stages before the first that learns or does not always give the same; none if
    no weights lie in them, or the network declares no `stages`.

    A network that has a list `stages` says by it that its forward pass is these parts,
    one after the other, in training and in evaluation.
    """
    frozen: list[str] = []
    with _training(model):
        for name in stages_of(model):
            if name != "flatten" and not _steady(getattr(model, name)):
                break
            frozen.append(name)
    weights = [
        p for n in frozen if n != "flatten" for p in getattr(model, n).parameters()
    ]
    return frozen if weights and len(frozen) < len(stages_of(model)) else []


@contextmanager
def _training(model: nn.Module) -> Iterator[None]:
    """Every part in the mode that it has in training: a frozen BatchNorm evaluates even
    then, see `freeze`."""
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _steady(part: nn.Module) -> bool:
    """Whether it neither learns, nor draws, nor counts, nor is watched by a hook; asked
    in training mode."""
    if any(parameter.requires_grad for parameter in part.parameters()):
        return False
    for module in part.modules():
        kind, code = type(module), type(module).__module__
        if kind is nn.BatchNorm2d:
            fine = module.track_running_stats and not module.training
        elif kind in (nn.Dropout, nn.Dropout2d):
            fine = module.p == 0 or not module.training
        else:
            fine = kind in STEADY or code.startswith(STEADY_CODE)
        if not fine or _changed(module):
            return False
    return True


def _changed(module: nn.Module) -> bool:
    """Whether hooks, or a forward that is not `freeze`'s, do more than the layer's kind
    says."""
    function = getattr(vars(module).get("forward"), "__func__", None)
    freezes = getattr(function, "__module__", "") == "cnnviz_utils.models.freezing"
    other = "forward" in vars(module) and not freezes
    return other or any(getattr(module, hook) for hook in HOOKS)


@torch.no_grad()
def kept_beginning(
    model: nn.Module,
    train: ImageSet,
    valid: ImageSet,
    config: TrainConfig,
    device: torch.device,
) -> Beginning | None:
    """The frozen beginning's maps of both sets, computed now or found in the cache; or
    None, where the long way has to be gone: nothing is frozen, half precision, too
    large to keep, no more epochs than views, a kind of augmentation or data set that is
    not known here."""
    views = config.views if config.augment else min(config.views, 1)
    known = config.epochs > views and type(config.augment) in (Augment, type(None))
    sets = type(train) is type(valid) is ImageSet and len(train) and len(valid)
    watched = _changed(model)
    front = frozen_stages(model) if known and views and sets and not watched else []
    if not front or config.amp != "off":
        return None
    rest = Rest(model, stages_of(model)[len(front) :])
    with evaluating(model):
        images, _ = train.on(device, slice(0, 2))
        maps = run_stages(model, images, front)
        if not torch.equal(logits_of(model(images)), logits_of(rest(maps))):
            return None
        size = maps[0].numel() * maps.element_size()
        if size * max(views * len(train), len(valid)) > MOST_BYTES:
            return None
        make = partial(_maps, model, front, device=device)
        try:
            learned = make(train, views, config.augment, config.batch_size, config.seed)
            return Beginning(rest, learned, make(valid, 1, None, 256, 0))
        except OSError as error:
            log.warning("the frozen beginning runs in every epoch: %s", error)
            return None


def _maps(
    model: nn.Module,
    front: Sequence[str],
    data: ImageSet,
    views: int,
    change: Augment | None,
    batch_size: int,
    seed: int,
    *,
    device: torch.device,
) -> Maps:
    def make(folder: Path) -> None:
        generator = torch.Generator().manual_seed(seed)
        file: np.memmap | None = None
        for view in range(views):
            start = 0
            for images, _ in batches(
                data, batch_size, augment=change, generator=generator, device=device
            ):
                maps = run_stages(model, images, front).cpu()
                maps = maps.movedim(1, -1) if maps.ndim == 4 else maps
                if file is None:
                    shape = (views, len(data), *maps.shape[1:])
                    file = reserved(
                        folder / "maps.npy", shape, maps.numpy().dtype, "kept maps"
                    )
                file[view, start : start + len(maps)] = maps.numpy()
                start += len(maps)
        if file is not None:
            file.flush()

    asked = (data.fingerprint, views, change, batch_size, seed, list(front))
    stamp = hashlib.sha256(str(asked).encode())
    parts = [getattr(model, name) for name in front if name != "flatten"]
    for part in parts:
        stamp.update("".join([repr(part), *what_it_computes(part)]).encode())
        stamp.update(state_bytes(part))
    code = [inspect.getsource(part) for part in (make, augment, pictures)]
    stamp.update(f"{device.type} {torch.__version__} {code}".encode())
    folder = cache_root() / f"maps-{stamp.hexdigest()[:16]}"
    read = lambda found: np.load(found / "maps.npy", mmap_mode="r")
    kept = cached(folder, make, read)
    used_now(folder)
    keep_latest(folder.parent, "maps-*", MOST_TOGETHER)
    return Maps(kept, data.labels, data.classes)
