"""How the lessons' networks are trained, and weights to borrow: each network is trained
once and then read from the cache."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cnnviz_utils.base.settings import check_name
from cnnviz_utils.data.augment import Augment
from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.data.sets import Splits
from cnnviz_utils.models.build import build_model, load_weights
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.epochs import History
from cnnviz_utils.training.store import fit_or_load, plain_weights

# the more usual settings: more momentum and no label smoothing at a lower learning
# rate. They need more epochs than `recipe` and give smoother filters in late layers
# (lesson 08)
GENTLE = {
    "lr": 4e-3,
    "momentum": 0.9,
    "label_smoothing": 0.0,
    "augment": Augment(flip=0.5, shift=0.1),
}
# data sets that weights are borrowed from: the settings they are loaded with, what
# differs from the recipe, and the epochs of networks with batch normalisation and of
# those without
SOURCES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[int, int]]] = {
    "menagerie_source": (
        {"seed": 0, "train": 60, "valid": 10, "test": 10},
        {},
        (6, 11),
    ),
    # the published table of docs/results.md was made with these
    "tinyimagenet30": ({"seed": 0}, GENTLE | {"batch_size": 64}, (15, 45)),
}


def recipe(epochs: int = 6, seed: int = 0) -> TrainConfig:
    """The settings that lesson 02 arrives at: AdamW with little momentum, the one-cycle
    schedule, label smoothing, mirrored and shifted images."""
    return TrainConfig(
        optimiser="adamw",
        lr=1e-2,
        momentum=0.7,
        weight_decay=0.02,
        schedule="one_cycle",
        epochs=epochs,
        batch_size=32,
        label_smoothing=0.1,
        augment=Augment(flip=0.5, shift=0.05),
        seed=seed,
    )


def normed(model: nn.Module) -> bool:
    """Whether a network has batch normalisation."""
    return any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def recipe_for(
    model: nn.Module, epochs: int = 6, seed: int = 0, **changes: Any
) -> TrainConfig:
    """The recipe with `changes`. Networks without batch normalisation diverge at its
    learning rate and get a quarter of it."""
    settings = replace(recipe(epochs, seed), **changes)
    return settings if normed(model) else replace(settings, lr=settings.lr / 4)


def train(
    model: nn.Module,
    sets: Splits,
    epochs: int = 6,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[dict], None] | None = None,
) -> History:
    """Train `model` in place by the recipe, or load the result if the same run was made
    before. `progress`: see `fit`."""
    return fit_or_load(
        model,
        sets.train,
        sets.valid,
        recipe_for(model, epochs, seed),
        device,
        progress=progress,
    )


def source_weights(
    source: str,
    build: Callable[[int], nn.Module],
    size: int = 64,
    root: str | Path | None = None,
    device: str = "auto",
    progress: Callable[[dict], None] | None = None,
) -> dict[str, Tensor]:
    """Weights learned on a source data set: trained the first time, kept in the cache,
    and read from there afterwards.

    build: makes the network for a number of classes, with the same first weights each
        time.
    size: height and width of the images in pixels.

    Raises:
        UsageError: no such source. FileNotFoundError: its photos are not there.
    """
    check_name("source of weights", source, SOURCES)
    settings, changes, (with_norm, without) = SOURCES[source]
    sets = load_data(source, root=root, size=size, **settings)
    model = build(len(sets.classes))
    config = recipe_for(model, with_norm if normed(model) else without, **changes)
    fit_or_load(model, sets.train, sets.valid, config, device, progress=progress)
    return plain_weights(model)


def borrowed(
    name: str,
    num_classes: int,
    source: str | Path | None,
    *,
    size: int = 64,
    seed: int = 0,
    **options,
) -> nn.Module:
    """`build_model` with weights that were learned on another data set. Where they do
    not exist yet, they are trained first.

    source: a data set of SOURCES ("menagerie_source", "tinyimagenet30"), on which this
    network is trained the first time (see `source_weights`); or whatever `build_model`
    takes: "imagenet", a file, None. The last layer stays as `seed` drew it where the
    classes are others.
    """
    if source not in SOURCES:
        return build_model(name, num_classes, source, size=size, seed=seed, **options)
    model = build_model(name, num_classes, size=size, seed=seed, **options)
    load_weights(
        model,
        source_weights(
            source, lambda n: build_model(name, n, size=size, **options), size
        ),
    )
    return model
