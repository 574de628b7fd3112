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

import numpy as np
import torch

from cnnviz_utils.base.paths import cache_root
from cnnviz_utils.data.cache import Contents, cached_arrays
from cnnviz_utils.data.drawn import source_plans
from cnnviz_utils.data.drawn.backgrounds import BACKGROUNDS
from cnnviz_utils.data.drawn.looks import COATS
from cnnviz_utils.data.drawn.scenes import (
    PARTS,
    REALMS,
    SIZES,
    SPECIES,
    Drawing,
    draw_animal,
    gallery,
    realm_of,
    render,
)
from cnnviz_utils.data.sets import ImageSet, Splits, digest

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
class MenagerieConfig:
    """What to draw. Two settings that differ only in counts give the same animals, as
    far as both have them.

    size: height and width in pixels, 32..224
    seed: another seed is another data set
    train, valid, test: images a species
    tail: most over fewest images of a species in train, falling exponentially in a
        seeded order; 1 = all equal
    shortcut: how often an animal stands in a place of its own realm: 0 (as often as
        chance has it) .. 1 (always)
    test_shortcut: the same for the test split alone; None = as `shortcut`
    label: "species" or "realm"
    plans: "menagerie" (the 27 species) or "source" (48 invented ones, to pretrain on)
    """

    size: int = 64
    seed: int = 0
    train: int = 60
    valid: int = 15
    test: int = 20
    tail: float = 1.0
    shortcut: float = 0.0
    test_shortcut: float | None = None
    label: str = "species"
    plans: str = "menagerie"

    def __post_init__(self):
        whole = {
            "size": SIZES,
            "seed": (0, 2**31 - 1),
            "train": (1, 10**6),
            "valid": (1, 10**6),
            "test": (1, 10**6),
        }
        for name, (low, high) in whole.items():
            value = getattr(self, name)
            if (
                not isinstance(value, int)
                or isinstance(value, bool)
                or not low <= value <= high
            ):
                raise ValueError(
                    f"menagerie: {name} must be a whole number from {low} to {high}, not {value!r}"
                )
        for name, low, high in (
            ("tail", 1, self.train),
            ("shortcut", 0, 1),
            ("test_shortcut", 0, 1),
        ):
            value = getattr(self, name)
            if name == "test_shortcut" and value is None:
                continue
            if (
                not isinstance(value, int | float)
                or isinstance(value, bool)
                or not low <= value <= high
            ):
                raise ValueError(
                    f"menagerie: {name} must be a number from {low} to {high}, not {value!r}"
                )
        for name, options in (
            ("label", ("species", "realm")),
            ("plans", ("menagerie", "source")),
        ):
            if getattr(self, name) not in options:
                choices = " or ".join(map(repr, options))
                raise ValueError(
                    f"menagerie: {name} must be {choices}, not {getattr(self, name)!r}"
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
                images=arrays["images"],
                labels=torch.from_numpy(np.array(arrays["labels"])),
                classes=config.classes,
                fingerprint=f"{fingerprint}-{split}",
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
        yield split, {"images": images, "parts": parts, "labels": labels}, infos
