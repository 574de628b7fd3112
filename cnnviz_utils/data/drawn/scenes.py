"""One picture of the Menagerie: a place, an animal, what stands in front of it, light
and grain."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from cnnviz_utils.base.declared import DRAWN_SIZES as SIZES
from cnnviz_utils.data.drawn import (
    source_plans,
    species_air,
    species_land,
    species_water,
)
from cnnviz_utils.data.drawn.animals import fit, paint
from cnnviz_utils.data.drawn.backgrounds import (
    BACKGROUNDS,
    choose,
    paint_front,
    paint_place,
)
from cnnviz_utils.data.drawn.bodies import NEUTRAL
from cnnviz_utils.data.drawn.drawing import grain_tile, new_canvas
from cnnviz_utils.data.drawn.looks import COATS, TYPICAL, Dice, throw_look, throw_pose

REALMS = ("land", "water", "air")
_BY_REALM = {
    "land": species_land.PLANS,
    "water": species_water.PLANS,
    "air": species_air.PLANS,
}
SPECIES: tuple[str, ...] = tuple(name for realm in REALMS for name in _BY_REALM[realm])
PLANS = {
    name: plan for realm in REALMS for name, plan in _BY_REALM[realm].items()
} | source_plans.PLANS
# which random stream is whose
_PLACE = {name: place for place, name in enumerate(PLANS)}
_SINGLE = 3  # the stream of `draw_animal`; 0, 1, 2 are train, valid, test


def _parts_of(name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(shape.part for shape in PLANS[name](NEUTRAL)))


PARTS: dict[str, tuple[str, ...]] = {name: _parts_of(name) for name in PLANS}


def realm_of(species: str) -> str:
    """The realm of a species; invented ones (the source plans) take turns. Raises
    KeyError for an unknown name."""
    for realm in REALMS:
        if species in _BY_REALM[realm]:
            return realm
    if species in source_plans.PLANS:
        return REALMS[source_plans.NAMES.index(species) % 3]
    raise KeyError(
        f"there is no species {species!r}; the Menagerie has {', '.join(SPECIES)}"
    )


@dataclass(frozen=True, eq=False)
class Drawing:
    """One picture: image uint8 (H, W, 3), parts uint8 (H, W) (0 = no animal, k =
    PARTS[species][k - 1]), its label, and what was drawn (species, realm, background,
    coat, colour, pose; `visible`: the share of the animal's pixels that nothing stands
    in front of)."""

    image: np.ndarray
    parts: np.ndarray
    label: int
    info: dict

    @property
    def mask(self) -> np.ndarray:
        """Where the animal is to be seen, bool (H, W)."""
        return self.parts > 0


def draw_animal(
    species: str,
    size: int = 64,
    *,
    seed: int = 0,
    background: str | None = None,
    coat: str | None = None,
    rotation: float | None = None,
    scale: float | None = None,
    flip: bool | None = None,
    bend: float | None = None,
    hide: Collection[str] = (),
    clutter: bool = True,
    noise: bool = True,
) -> Drawing:
    """Draw one animal with the properties that you give. Those that you leave open
    (None) are chosen by the seed, independently of the ones you give.

    background: one of BACKGROUNDS; coat: one of COATS; rotation in degrees, clockwise;
    scale: share of the picture that the animal spans (0.2..1); flip: it looks left;
    bend -1..1; hide: parts to leave out, of PARTS[species];
    clutter: things behind and in front of it; noise: the grain. The label is the
    position in SPECIES (or among the source plans). Raises KeyError for an unknown
    species, ValueError for what else does not exist.
    """
    realm_of(species)
    for name, value, options in (
        ("background", background, BACKGROUNDS),
        ("coat", coat, COATS),
    ):
        if value is not None and value not in options:
            raise ValueError(
                f"draw_animal: there is no {name} {value!r}; choose one of {', '.join(options)}"
            )
    for name, value, low, high in (
        ("size", size, *SIZES),
        ("scale", scale, 0.2, 1),
        ("bend", bend, -1, 1),
    ):
        if value is not None and not low <= value <= high:
            raise ValueError(
                f"draw_animal: {name} must be from {low} to {high}, not {value!r}"
            )
    return render(
        species,
        size,
        (seed, _SINGLE, 0),
        background=background,
        coat=coat,
        rotation=rotation,
        scale=scale,
        flip=flip,
        bend=bend,
        hide=hide,
        clutter=clutter,
        noise=noise,
    )


def gallery(
    size: int = 96, each: int = 1, seed: int = 0, background: str | None = None
) -> list[Drawing]:
    """`each` drawings of every species, one species after the other."""
    return [
        draw_animal(species, size, seed=1000 * seed + k, background=background)
        for species in SPECIES
        for k in range(each)
    ]


def render(
    species: str,
    size: int,
    stream: tuple[int, int, int],
    *,
    shortcut: float = 0.0,
    background: str | None = None,
    coat: str | None = None,
    rotation: float | None = None,
    scale: float | None = None,
    flip: bool | None = None,
    bend: float | None = None,
    hide: Collection[str] = (),
    clutter: bool = True,
    noise: bool = True,
) -> Drawing:
    """Draw from a random stream (seed, split, number). All random numbers are drawn
    first, so that a setting that is given, or a part that is hidden, changes nothing
    else. Raises ValueError for a hidden part that the species does not have."""
    names, realm = PARTS[species], realm_of(species)
    if unknown := sorted(set(hide) - set(names)):
        raise ValueError(
            f"{species} has no part {unknown[0]!r}; its parts: {', '.join(names)}"
        )
    throws = np.random.default_rng([*stream, _PLACE[species]]).random(160).tolist()
    body, coats, place, front, end = (Dice(throws[at:]) for at in (0, 40, 60, 120, 140))
    or_thrown = lambda given, thrown: thrown if given is None else given

    pose = throw_pose(body)
    pose = pose._replace(bend=float(or_thrown(bend, pose.bend)))
    rotation = float(or_thrown(rotation, body.between(-16, 16)))
    scale = float(or_thrown(scale, body.between(0.66, 0.95)))
    flip = bool(or_thrown(flip, body.chance(0.5)))
    where = (body.between(-0.9, 0.9), body.between(-0.9, 0.9))
    look = throw_look(coats, TYPICAL.get(species), coat)
    background = or_thrown(background, choose(place, realm, shortcut))

    canvas = new_canvas(size)
    paint_place(canvas, background, place, clutter)
    animal = fit(PLANS[species](pose), size, rotation, scale, flip, where)
    paint(
        canvas,
        animal,
        names,
        look,
        (end.between(-0.3, 0.3), end.between(-0.45, -0.15)),
        hide,
    )
    whole = max(int(np.count_nonzero(canvas.parts)), 1)
    occluded = front.chance(0.35) and clutter
    if occluded:
        x, y = (
            0.5 + scale * front.between(-0.32, 0.32),
            0.5 + scale * front.between(0.12, 0.42),
        )
        paint_front(
            canvas, background, x, y, front.between(0.7, 1.2), front.between(0, 1)
        )
    image = _develop(canvas.pixels, end, noise)
    info = {
        "species": species,
        "realm": realm,
        "background": background,
        "coat": look.coat,
        "colour": look.colour,
        "rotation": round(rotation, 3),
        "scale": round(scale, 4),
        "flip": flip,
        "bend": round(pose.bend, 4),
        "phase": round(pose.phase, 4),
        "x": round(animal.stand.x / size, 4),
        "y": round(animal.stand.y / size, 4),
        "occluded": occluded,
        "visible": round(int(np.count_nonzero(canvas.parts)) / whole, 4),
    }
    label = _PLACE[species] - (0 if species in SPECIES else len(SPECIES))
    return Drawing(image, canvas.parts, label, info)


def _develop(pixels: np.ndarray, dice: Dice, noise: bool) -> np.ndarray:
    """Light, a warm or cold cast and grain; float (3, H, W) -> uint8 (H, W, 3).
    Overwrites `pixels`."""
    size = pixels.shape[-1]
    gain, warm, sigma = (
        255 * dice.between(0.8, 1.12),
        dice.between(-0.07, 0.07),
        dice.between(0.006, 0.024),
    )
    row, column = int(dice.between(0, size)), int(dice.between(0, size))
    pixels *= np.array((gain * (1 + warm), gain, gain * (1 - warm)), np.float32)[
        :, None, None
    ]
    if noise:
        pixels += grain_tile(size)[
            :, row : row + size, column : column + size
        ] * np.float32(255 * sigma)
    pixels += np.float32(0.5)
    np.maximum(pixels, 0, out=pixels)
    np.minimum(pixels, 255, out=pixels)
    return pixels.astype(np.uint8).transpose(1, 2, 0)
