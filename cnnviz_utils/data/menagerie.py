"""The Menagerie: a data set that is drawn, not downloaded. 27 species, nine of land, nine of water, nine of air.

Image i of a split depends only on the settings, the split and i: any image can be drawn alone, in any order, with the
same bits. With each comes what a photo never has: the exact mask of every part, and what was drawn.
"""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from ..paths import cache_root
from . import source_plans, species_air, species_land, species_water
from .animals import COATS, TYPICAL, Dice, fit, paint, throw_look, throw_pose
from .backgrounds import BACKGROUNDS, choose, paint_front, paint_place
from .bodies import NEUTRAL, Pose
from .cache import cached_arrays, code_fingerprint
from .drawing import grain_tile, new_canvas
from .sets import ImageSet, Splits, digest

REALMS = ("land", "water", "air")
_BY_REALM = {"land": species_land.PLANS, "water": species_water.PLANS, "air": species_air.PLANS}
SPECIES: tuple[str, ...] = tuple(name for realm in REALMS for name in _BY_REALM[realm])
_PLANS = {name: plan for realm in REALMS for name, plan in _BY_REALM[realm].items()} | source_plans.PLANS
_CODE = ("drawing", "bodies", "animals", "backgrounds", "species_land", "species_water", "species_air",
         "source_plans", "menagerie")
_SPLITS = {"train": 0, "valid": 1, "test": 2}
_SINGLE = 3   # the random stream of `draw_animal`


def _parts_of(name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(shape.part for shape in _PLANS[name](NEUTRAL)))


PARTS: dict[str, tuple[str, ...]] = {name: _parts_of(name) for name in _PLANS}


def realm_of(species: str) -> str:
    """The realm of a species; source plans take turns. Raises KeyError for an unknown name."""
    for realm in REALMS:
        if species in _BY_REALM[realm]:
            return realm
    if species in source_plans.PLANS:
        return REALMS[source_plans.NAMES.index(species) % 3]
    raise KeyError(f"there is no species {species!r}; the Menagerie has {', '.join(SPECIES)}")


@dataclass(frozen=True)
class MenagerieConfig:
    """What to draw. Two settings that differ only in counts give the same animals, as far as both have them.

    size: height and width in pixels, 32..224
    seed: another seed is another data set
    train, valid, test: images a class
    tail: largest over smallest class count in train, falling exponentially over the classes in a seeded order; 1 = equal
    shortcut: how often an animal stands in a place of its own realm, 0 (places independent of realms) .. 1 (always)
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
        for name, low, high in (("size", 32, 224), ("seed", 0, 2**31 - 1), ("train", 1, 10**6), ("valid", 1, 10**6),
                                ("test", 1, 10**6)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
                raise ValueError(f"menagerie: {name} must be a whole number from {low} to {high}, not {value!r}")
        for name, low, high in (("tail", 1, self.train), ("shortcut", 0, 1), ("test_shortcut", 0, 1)):
            value = getattr(self, name)
            if name == "test_shortcut" and value is None:
                continue
            if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
                raise ValueError(f"menagerie: {name} must be a number from {low} to {high}, not {value!r}")
        for name, options in (("label", ("species", "realm")), ("plans", ("menagerie", "source"))):
            if getattr(self, name) not in options:
                raise ValueError(f"menagerie: {name} must be {' or '.join(map(repr, options))}, not {getattr(self, name)!r}")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The species that are drawn, in the order of the images."""
        return SPECIES if self.plans == "menagerie" else source_plans.NAMES

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels."""
        return REALMS if self.label == "realm" else self.kinds

    def counts(self, split: str) -> tuple[int, ...]:
        """Images of each species in a split. Only train has a tail. Raises KeyError for an unknown split."""
        if split not in _SPLITS:
            raise KeyError(f"menagerie: there is no split {split!r}; choose train, valid or test")
        number = len(self.kinds)
        if split != "train" or self.tail == 1:
            return (int(getattr(self, split)),) * number
        rank = np.random.default_rng([self.seed, 99]).permutation(number)
        return tuple(max(1, round(self.train * self.tail ** (-r / (number - 1)))) for r in rank.tolist())


@dataclass(frozen=True, eq=False)
class Drawing:
    """One picture: image uint8 (H, W, 3), parts uint8 (H, W) (0 = no animal, k = PARTS[species][k - 1]), its label,
    and what was drawn."""

    image: np.ndarray
    parts: np.ndarray
    label: int
    info: dict

    @property
    def mask(self) -> np.ndarray:
        """Where the animal is to be seen, bool (H, W)."""
        return self.parts > 0


@lru_cache(maxsize=64)
def _ends(config: MenagerieConfig, split: str) -> np.ndarray:
    return np.cumsum(config.counts(split))


def draw(config: MenagerieConfig, split: str, index: int) -> Drawing:
    """Image `index` of a split: the same bits whenever it is drawn. Raises IndexError beyond the split's end."""
    return redraw(config, split, index)


def redraw(config: MenagerieConfig, split: str, index: int, hide: Collection[str] = ()) -> Drawing:
    """The data set's image again, without the parts named in `hide`; every pixel that they did not touch is as before.

    Raises ValueError for a part that the species does not have.
    """
    ends = _ends(config, split)
    if not 0 <= index < ends[-1]:
        raise IndexError(f"menagerie: {split} has images 0 to {ends[-1] - 1}, not {index}")
    kind = int(np.searchsorted(ends, index, side="right"))
    number = int(index) - (int(ends[kind - 1]) if kind else 0)
    shortcut = config.test_shortcut if split == "test" and config.test_shortcut is not None else config.shortcut
    species = config.kinds[kind]
    drawing = _render(species, config.size, (config.seed, _SPLITS[split], kind, number), shortcut=shortcut, hide=hide)
    label = REALMS.index(realm_of(species)) if config.label == "realm" else kind
    return replace(drawing, label=label, info={"split": split, "index": int(index), **drawing.info})


def draw_animal(species: str, size: int = 64, *, seed: int = 0, background: str | None = None, coat: str | None = None,
                rotation: float | None = None, scale: float | None = None, flip: bool | None = None,
                bend: float | None = None, hide: Collection[str] = (), clutter: bool = True, noise: bool = True) -> Drawing:
    """One animal as you want it; what you leave open (None) is drawn from the seed, and never depends on the rest.

    background: one of BACKGROUNDS; coat: one of COATS; rotation in degrees, clockwise; scale: share of the picture that
    the animal spans (0.2..1); flip: looks left; bend -1..1; hide: parts to leave out, of PARTS[species]; clutter: things
    behind and in front of it; noise: the grain. Raises KeyError or ValueError for what does not exist.
    """
    for name, value, options in (("background", background, BACKGROUNDS), ("coat", coat, COATS)):
        if value is not None and value not in options:
            raise ValueError(f"there is no {name} {value!r}; choose one of {', '.join(options)}")
    for name, value, low, high in (("size", size, 32, 224), ("scale", scale, 0.2, 1), ("bend", bend, -1, 1)):
        if value is not None and not low <= value <= high:
            raise ValueError(f"draw_animal: {name} must be from {low} to {high}, not {value!r}")
    realm_of(species)
    kind = SPECIES.index(species) if species in SPECIES else 27 + source_plans.NAMES.index(species)
    return _render(species, size, (seed, _SINGLE, kind, 0), background=background, coat=coat, rotation=rotation,
                   scale=scale, flip=flip, bend=bend, hide=hide, clutter=clutter, noise=noise)


def gallery(size: int = 96, each: int = 1, seed: int = 0, background: str | None = None) -> list[Drawing]:
    """`each` drawings of every species, one species after the other."""
    return [draw_animal(species, size, seed=seed * 1000 + k, background=background) for species in SPECIES for k in range(each)]


def _render(species: str, size: int, stream: tuple[int, ...], *, shortcut: float = 0.0, background: str | None = None,
            coat: str | None = None, rotation: float | None = None, scale: float | None = None, flip: bool | None = None,
            bend: float | None = None, hide: Collection[str] = (), clutter: bool = True, noise: bool = True) -> Drawing:
    """Place, animal, what stands in front, light and grain, each from its own throws of the stream."""
    names, realm = PARTS[species], realm_of(species)
    if unknown := set(hide) - set(names):
        raise ValueError(f"a {species} has no {sorted(unknown)[0]!r}; its parts: {', '.join(names)}")
    throws = np.random.default_rng([*stream, len(_PLANS)]).random(160).tolist()
    body, coats, place, front, end = (Dice(throws[a:b]) for a, b in ((0, 40), (40, 60), (60, 120), (120, 140), (140, 160)))
    or_thrown = lambda given, thrown: thrown if given is None else given

    pose = throw_pose(body)
    pose = Pose(float(or_thrown(bend, pose.bend)), pose.phase, pose.jitter)
    rotation = float(or_thrown(rotation, body.between(-16, 16)))
    scale = float(or_thrown(scale, body.between(0.66, 0.95)))
    flip = bool(or_thrown(flip, body.chance(0.5)))
    where = (body.between(-0.9, 0.9), body.between(-0.9, 0.9))
    look = throw_look(coats, TYPICAL.get(species), coat)
    background = or_thrown(background, choose(place, realm, shortcut))

    canvas = new_canvas(size)
    paint_place(canvas, background, place, clutter)
    shapes, boxes, stand = fit(_PLANS[species](pose), size, rotation, scale, flip, where)
    light = (end.between(-0.3, 0.3), end.between(-0.45, -0.15))
    paint(canvas, shapes, boxes, names, look, stand, light, hide)
    whole = int(np.count_nonzero(canvas.parts))
    if occluded := front.chance(0.35) and clutter:
        x, y = (front.between(-0.32, 0.32) * scale + 0.5, front.between(0.12, 0.42) * scale + 0.5)
        paint_front(canvas, background, x, y, front.between(0.7, 1.2), front.between(0, 1))
    gain, warm, sigma = end.between(0.8, 1.12), end.between(-0.07, 0.07), end.between(0.006, 0.024)
    corner = (end.between(0, 1), end.between(0, 1))
    image = _develop(canvas.pixels, gain, warm, sigma if noise else 0.0, corner)
    info = {"species": species, "realm": realm, "background": background, "coat": look.coat, "colour": look.colour,
            "rotation": round(rotation, 3), "scale": round(scale, 4), "flip": flip, "bend": round(pose.bend, 4),
            "phase": round(pose.phase, 4), "centre": [round(stand.x / size, 4), round(stand.y / size, 4)],
            "occluded": occluded, "visible": round(np.count_nonzero(canvas.parts) / max(whole, 1), 4)}
    return Drawing(image, canvas.parts, list(SPECIES).index(species) if species in SPECIES else 0, info)


def _develop(pixels: np.ndarray, gain: float, warm: float, sigma: float, corner: tuple[float, float]) -> np.ndarray:
    """Light, a warm or cold cast, grain; then uint8 (H, W, 3), a view of (3, H, W)."""
    size = pixels.shape[-1]
    pixels *= np.array((255 * gain * (1 + warm), 255 * gain, 255 * gain * (1 - warm)), np.float32)[:, None, None]
    if sigma:
        row, column = int(corner[0] * size), int(corner[1] * size)
        pixels += grain_tile(size)[:, row:row + size, column:column + size] * np.float32(255 * sigma)
    pixels += np.float32(0.5)
    np.maximum(pixels, 0, out=pixels)
    np.minimum(pixels, 255, out=pixels)
    return pixels.astype(np.uint8).transpose(1, 2, 0)


def menagerie(config: MenagerieConfig | None = None) -> Splits:
    """The whole data set, memory-mapped from the cache; drawn first if it is not there (about a millisecond or two
    an image at 64 px)."""
    config = config or MenagerieConfig()
    fingerprint = digest(json.dumps(asdict(config), sort_keys=True) + code_fingerprint(_CODE))
    folder = cache_root() / f"menagerie-{fingerprint}"
    sets = []
    for split, arrays, infos in cached_arrays(folder, lambda: _draw_all(config)):
        paths = tuple(f"{split}/{i}" for i in range(len(infos)))
        sets.append(ImageSet(arrays["images"], torch.from_numpy(np.array(arrays["labels"])), config.classes,
                             f"{fingerprint}-{split}", arrays["parts"], np.ones(len(infos), bool), paths, infos))
    return Splits("menagerie" if config.plans == "menagerie" else "menagerie_source", *sets)


def _draw_all(config: MenagerieConfig):
    """Split by split: its name, its arrays (images (N, 3, H, W), parts, labels), and what was drawn."""
    for split in _SPLITS:
        total, size = sum(config.counts(split)), config.size
        images, parts = np.empty((total, 3, size, size), np.uint8), np.empty((total, size, size), np.uint8)
        labels, infos = np.empty(total, np.int64), []
        for i in range(total):
            drawing = draw(config, split, i)
            images[i], parts[i], labels[i] = drawing.image.transpose(2, 0, 1), drawing.parts, drawing.label
            infos.append(drawing.info)
        yield split, {"images": images, "parts": parts, "labels": labels}, infos
