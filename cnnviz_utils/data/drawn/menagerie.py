"""The Menagerie: a data set that is drawn, not downloaded. 27 species, nine of land,
nine of water, nine of air.

Image i of a split depends only on the settings, the split and i: any image can be drawn
alone, in any order, with the same bits. With each comes what a photo never has: the
exact mask of every part, and what was drawn.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from cnnviz_utils.base.checked import Checked
from cnnviz_utils.base.declared import Count, DrawnSize, Probability, Seed
from cnnviz_utils.base.paths import cache_root
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.cache import Contents, cached_arrays
from cnnviz_utils.data.drawn import source_plans
from cnnviz_utils.data.drawn.backgrounds import BACKGROUNDS
from cnnviz_utils.data.drawn.looks import COATS
from cnnviz_utils.data.drawn.scenes import (
    PARTS,
    REALMS,
    SPECIES,
    Drawing,
    draw_animal,
    gallery,
    realm_of,
    render,
)
from cnnviz_utils.data.sets import ImageSet, Rows, Splits, digest, hash_rows

__all__ = [
    "BACKGROUNDS",
    "COATS",
    "PARTS",
    "REALMS",
    "SPECIES",
    "Drawing",
    "MenagerieConfig",
    "draw",
    "draw_animal",
    "gallery",
    "menagerie",
    "realm_of",
    "redraw",
]

SPLITS = ("train", "valid", "test")
# whoever changes how animals are drawn gets a new cache, not an old picture
_CODE = (
    "drawing",
    "bodies",
    "looks",
    "animals",
    "clutter",
    "backgrounds",
    "species_land",
    "species_water",
    # what draws; how it is stored is not part of it
    "species_air",
    "source_plans",
    "scenes",
    "menagerie",
)


@dataclass(frozen=True)
class MenagerieConfig(Checked):
    """What to draw. Two settings that differ only in counts give the same animals, as
    far as both have them. A value out of range raises UsageError, a ValueError."""

    WHAT = "menagerie: "

    size: DrawnSize = 64
    seed: Seed = 0
    train: Annotated[Count, Field(description="images a species to learn from")] = 60
    valid: Annotated[Count, Field(description="images a species to choose by")] = 15
    test: Annotated[Count, Field(description="images a species to test on")] = 20
    tail: Annotated[
        float,
        Field(
            ge=1,
            description="most over fewest images of a species in train, falling "
            "exponentially in a seeded order; 1 = all equal, at most `train`",
        ),
    ] = 1.0
    shortcut: Annotated[
        Probability,
        Field(
            description="how often an animal stands in a place of its own realm: 0 (as "
            "often as chance has it) .. 1 (always)"
        ),
    ] = 0.0
    test_shortcut: Annotated[
        Probability | None,
        Field(description="the same for the test split alone; None = as `shortcut`"),
    ] = None
    label: Literal["species", "realm"] = "species"
    plans: Annotated[
        Literal["menagerie", "source"],
        Field(description="the 27 species, or 48 invented ones to pretrain on"),
    ] = "menagerie"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tail > self.train:
            raise UsageError(
                f"menagerie: tail must be at most train, {self.train}, not {self.tail}"
            )

    @property
    def species(self) -> tuple[str, ...]:
        """The species that are drawn, in the order of the images."""
        return SPECIES if self.plans == "menagerie" else source_plans.NAMES

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels."""
        return REALMS if self.label == "realm" else self.species

    def counts(self, split: str) -> tuple[int, ...]:
        """Images of each species in a split; only train has a tail. Raises KeyError for
        an unknown split."""
        if split not in SPLITS:
            raise KeyError(
                f"menagerie: there is no split {split!r}; choose train, valid or test"
            )
        number = len(self.species)
        if split != "train" or self.tail == 1:
            return (getattr(self, split),) * number
        rank = np.random.default_rng([self.seed, 99]).permutation(number)
        return tuple(
            max(1, round(self.train * self.tail ** (-r / (number - 1))))
            for r in rank.tolist()
        )


@lru_cache(maxsize=1)
def _code_fingerprint() -> str:
    """Changes whenever the source text of a module that draws does."""
    return digest(
        b"".join(
            Path(__file__).with_name(f"{module}.py").read_bytes() for module in _CODE
        )
    )


@lru_cache(maxsize=64)
def _ends(config: MenagerieConfig, split: str) -> np.ndarray:
    """Where each species ends: images lie species by species, as files in folders
    do."""
    return np.cumsum(config.counts(split))


def draw(config: MenagerieConfig, split: str, index: int) -> Drawing:
    """Image `index` of a split: the same bits whenever it is drawn. Raises IndexError
    beyond the split's end."""
    return redraw(config, split, index)


def redraw(
    config: MenagerieConfig, split: str, index: int, hide: Collection[str] = ()
) -> Drawing:
    """The data set's image again, without the parts named in `hide`; every pixel that
    they did not touch is as it was.

    Raises ValueError for a part that the species does not have, IndexError beyond the
    split's end.
    """
    ends = _ends(config, split)
    if not 0 <= index < ends[-1]:
        raise IndexError(
            f"menagerie: {split} has images 0 to {ends[-1] - 1}, not {index}"
        )
    kind = int(np.searchsorted(ends, index, side="right"))
    number = int(index) - (int(ends[kind - 1]) if kind else 0)
    shortcut = config.shortcut
    if split == "test" and config.test_shortcut is not None:
        shortcut = config.test_shortcut
    drawing = render(
        config.species[kind],
        config.size,
        (config.seed, SPLITS.index(split), number),
        shortcut=shortcut,
        hide=hide,
    )
    label = REALMS.index(drawing.info["realm"]) if config.label == "realm" else kind
    return replace(
        drawing, label=label, info={"split": split, "index": int(index), **drawing.info}
    )


def menagerie(config: MenagerieConfig | None = None) -> Splits:
    """The whole data set, memory-mapped from the cache; drawn first if it is not there
    (at 64 px some 600 a second)."""
    config = config or MenagerieConfig()
    fingerprint = digest(
        json.dumps(asdict(config), sort_keys=True) + _code_fingerprint()
    )
    sets = []
    for split, arrays, infos in cached_arrays(
        cache_root() / f"menagerie-{fingerprint}", lambda: _draw_all(config)
    ):
        sets.append(
            ImageSet(
                images=Rows(arrays["images"], hashes=np.array(arrays["hashes"])),
                labels=torch.from_numpy(np.array(arrays["labels"])),
                classes=config.classes,
                parts=arrays["parts"],
                has_mask=np.ones(len(infos), bool),
                paths=tuple(f"{split}/{i}" for i in range(len(infos))),
                info=tuple(infos),
            )
        )
    return Splits(
        "menagerie" if config.plans == "menagerie" else "menagerie_source", *sets
    )


def _draw_all(config: MenagerieConfig) -> Iterator[Contents]:
    """Split by split: images (N, 3, H, W), parts (N, H, W), labels (N,), and what was
    drawn."""
    for split in SPLITS:
        total, size = sum(config.counts(split)), config.size
        images, parts = (
            np.empty((total, 3, size, size), np.uint8),
            np.empty((total, size, size), np.uint8),
        )
        labels, infos = np.empty(total, np.int64), []
        for i in range(total):
            drawing = draw(config, split, i)
            images[i], parts[i], labels[i] = (
                drawing.image.transpose(2, 0, 1),
                drawing.parts,
                drawing.label,
            )
            infos.append(drawing.info)
        arrays: dict[str, np.ndarray] = {"images": images, "parts": parts}
        arrays |= {"labels": labels, "hashes": hash_rows(images)}
        yield split, arrays, infos
