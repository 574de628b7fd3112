"""`load_data` gives any data set by name, `batches` cuts it up: decoded once, augmented
a batch at a time."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from cnnviz_utils.base.declared import (
    DATA_SETS,
    BatchSize,
    Broken,
    Seed,
    Share,
    Size,
)
from cnnviz_utils.base.paths import data_root
from cnnviz_utils.base.settings import UsageError, check_name, fitting, nearest
from cnnviz_utils.data.augment import Augment
from cnnviz_utils.data.drawn.menagerie import MenagerieConfig, menagerie
from cnnviz_utils.data.photos import collections as photos
from cnnviz_utils.data.sets import ImageSet, Labelled, Splits

NAMES = DATA_SETS
# what the readers of photos are asked
PHOTO_SETTINGS = {
    "size": Size,
    "seed": Seed,
    "valid": Share,
    "test": Share,
    "broken": Broken,
    "split": Literal["published", "stratified", "nine_tenths", "own"],
}


def load_data(
    name: str = "menagerie",
    root: str | Path | None = None,
    size: int = 64,
    seed: int = 0,
    **settings,
) -> Splits:
    """A data set in three sets, at size x size pixels. Reads local files only; nothing
    is ever downloaded.

    `settings` are those of `MenagerieConfig` for the Menagerie, `split` for caltech101,
    `valid` and `test` (shares) for folders, `broken` ("refuse" or "skip") for all
    photos (drawn sets ignore it). `root` is where photos lie: by default
    CNNVIZ_DATA, or the checkout's `data/`; for "folder" it is the folder itself.

    Raises: UsageError, a ValueError: no such data set or setting (the nearest name is
        given), or a value out of range. ValueError: files that are no images.
        FileNotFoundError: the files are not there; the message says what belongs where.
    """
    check_name("data set", name, NAMES)
    if name.startswith("menagerie"):
        settings.pop("broken", None)  # drawn images are never broken
        plans = "source" if name == "menagerie_source" else "menagerie"
        return _call(
            name,
            MenagerieConfig,
            size=size,
            seed=seed,
            **({"plans": plans} | settings),
            then=menagerie,
        )
    where = data_root(root)
    if name == "folder" and root in (None, ""):
        raise FileNotFoundError(
            "the data set 'folder' needs a root: "
            "the folder that holds the class folders"
        )
    readers = {
        "caltech101": photos.caltech101,
        "tinyimagenet30": photos.tinyimagenet30,
        "tinyimagenet": photos.tinyimagenet,
        "folder": photos.folder,
        "caltech256": photos.caltech256,
        "caltech101_realms": photos.caltech101_realms,
        "caltech256_realms": photos.caltech256_realms,
    }
    return _call(name, readers[name], where, size=size, seed=seed, **settings)


def _call(name: str, function, *args, then=lambda result: result, **settings):
    """Call `function` after checking that it has parameters of these names."""
    known = [
        p for p in inspect.signature(function).parameters if p not in ("root", "name")
    ]
    for setting in settings:
        if setting not in known:
            raise UsageError(
                f"{name} has no setting {setting!r}{nearest(setting, known)}"
            )
    if function is not MenagerieConfig:  # which checks its own
        settings = {
            key: fitting(value, PHOTO_SETTINGS[key], f"{name}: {key}")
            if key in PHOTO_SETTINGS
            else value
            for key, value in settings.items()
        }
        kept = sum(settings.get(key, 0.2) for key in ("valid", "test") if key in known)
        if kept >= 1:
            raise UsageError(
                f"{name}: valid and test together must be below 1, not {kept:g}"
            )
    return then(function(*args, **settings))


# what a processor answers at a time: with more, the maps of a layer no longer fit into
# its cache, and the memory for them is asked for anew
PIXELS = 300_000


def at_once(data: ImageSet, device: torch.device) -> int:
    """How many images to show a network at a time: 256, on a CPU fewer if they are
    large (73 of 64 px, 32 of 96 px), but at least 8."""
    if device.type != "cpu":
        return 256
    return min(256, max(8, PIXELS // data.size**2))


def batches(
    data: Labelled,
    batch_size: int,
    *,
    shuffle: bool = False,
    augment: Augment | None = None,
    balanced: bool = False,
    drop_last: bool = False,
    generator: torch.Generator | None = None,
    device: str | torch.device = "cpu",
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of images float32 (n, 3, H, W) in [0, 1] with labels (n,). See `drawn`
    for the order."""
    for chosen in drawn(
        data,
        batch_size,
        shuffle=shuffle,
        balanced=balanced,
        drop_last=drop_last,
        generator=generator,
    ):
        images, labels = data.on(device, chosen)
        yield (augment(images, generator) if augment else images), labels


def drawn(
    data: Labelled,
    batch_size: int,
    *,
    shuffle: bool = False,
    balanced: bool = False,
    drop_last: bool = False,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """The positions of one epoch's images, int64 (n,) a batch.

    balanced: draw as many images as the set has, with replacement, every class equally
        often on average.

    Raises UsageError without images, for a batch size below 1, or if `drop_last` would
    leave nothing.
    """
    fitting(batch_size, BatchSize, "batch_size")
    if not len(data):
        raise UsageError("the set has no images: there is nothing to cut into batches")
    if drop_last and len(data) < batch_size:
        raise UsageError(
            f"a batch of {batch_size} is more than the {len(data)} images there are, "
            "and drop_last leaves out the incomplete one: use a smaller batch_size"
        )
    if balanced:
        weights = class_weights(data.labels, len(data.classes))[data.labels]
        order = torch.multinomial(
            weights.double(), len(data), replacement=True, generator=generator
        )
    else:
        order = (
            torch.randperm(len(data), generator=generator)
            if shuffle
            else torch.arange(len(data))
        )
    for chosen in order.split(batch_size):
        if not (drop_last and len(chosen) < batch_size):
            yield chosen


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Weights (classes,) inverse to the classes' counts, with mean 1 over the images. A
    class without images has weight 0."""
    counts = torch.bincount(labels, minlength=classes).float()
    weights = torch.where(counts > 0, 1 / counts.clamp(min=1), torch.zeros(()))
    return weights * len(labels) / (counts * weights).sum()
