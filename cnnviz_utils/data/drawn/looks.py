"""Colours and coats, drawn at random for each image. Every species can have every one, so
that no species can be recognised by its colour alone."""

from collections.abc import Iterable, Sequence
from math import cos, radians, sin, tan
from typing import NamedTuple, TypeVar

import numpy as np

from cnnviz_utils.data.drawn.bodies import Pose
from cnnviz_utils.data.drawn.drawing import Array, cloud_tile, cover

COATS = ("plain", "stripes", "spots", "patches")
COLOURS = {
    "tan": (0.80, 0.63, 0.40),
    "russet": (0.72, 0.38, 0.20),
    "brown": (0.50, 0.35, 0.24),
    "grey": (0.58, 0.60, 0.63),
    "slate": (0.38, 0.45, 0.55),
    "cream": (0.92, 0.85, 0.70),
    "ochre": (0.90, 0.70, 0.26),
    "orange": (0.95, 0.54, 0.20),
    "coral": (0.91, 0.43, 0.38),
    "pink": (0.95, 0.62, 0.68),
    "plum": (0.58, 0.38, 0.60),
    "teal": (0.22, 0.60, 0.60),
    "blue": (0.33, 0.53, 0.80),
    "green": (0.47, 0.65, 0.33),
    "charcoal": (0.30, 0.30, 0.34),
}
ACCENTS = ("orange", "coral", "ochre", "pink", "teal", "blue", "cream")
# what people expect: an animal's usual colour and coat
TYPICAL = {
    "elephant": ("grey", "plain"),
    "giraffe": ("ochre", "patches"),
    "camel": ("tan", "plain"),
    "elk": ("brown", "plain"),
    "lion": ("tan", "plain"),
    "rabbit": ("cream", "plain"),
    "kangaroo": ("russet", "plain"),
    "hedgehog": ("brown", "plain"),
    "snake": ("green", "stripes"),
    "crab": ("coral", "plain"),
    "octopus": ("plum", "spots"),
    "starfish": ("orange", "spots"),
    "seahorse": ("ochre", "stripes"),
    "turtle": ("green", "patches"),
    "dolphin": ("slate", "plain"),
    "whale": ("blue", "plain"),
    "goldfish": ("orange", "plain"),
    "jellyfish": ("pink", "plain"),
    "owl": ("brown", "spots"),
    "toucan": ("charcoal", "plain"),
    "flamingo": ("pink", "plain"),
    "peacock": ("teal", "plain"),
    "hummingbird": ("green", "plain"),
    "bat": ("brown", "plain"),
    "butterfly": ("orange", "plain"),
    "dragonfly": ("teal", "stripes"),
    "bee": ("ochre", "plain"),
}
_NAMES = tuple(COLOURS)
_FIXED = {
    name: np.array(rgb, np.float32)[:, None, None]
    for name, rgb in {
        "ivory": (0.96, 0.92, 0.82),
        "glow": (0.84, 0.94, 1.0),
        "white": (0.98, 0.97, 0.94),
    }.items()
}
T = TypeVar("T")


class Dice:
    """Uniform random numbers that are drawn in advance and used one after the other, so
    that hiding one thing does not change the random choices of the others."""

    def __init__(self, numbers: Iterable[float]):
        self._next = iter(numbers).__next__

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self._next()

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self._next() * len(options))]

    def chance(self, probability: float) -> bool:
        return self._next() < probability


class Look(NamedTuple):
    """An animal's coat: the kind of pattern, its coarseness, slant and shift, and a
    colour (3,) for each paint."""

    coat: str
    colour: str
    grain: float
    slant: float
    shift: float
    paints: dict[str, Array]


def throw_pose(dice: Dice) -> Pose:
    """A random pose."""
    bend, phase = dice.between(-1, 1), dice.between(0, 1)
    return Pose(bend, phase, tuple(dice.between(-1, 1) for _ in range(16)))


def throw_look(
    dice: Dice, typical: tuple[str, str] | None, coat: str | None, faithful: float = 0.2
) -> Look:
    """A random coat. With probability `faithful` it is the one people expect of the
    species (`typical`: colour, coat); otherwise any colour and coat, so that colour
    does not give the species away."""
    keep, colour, kind = dice.chance(faithful), dice.pick(_NAMES), dice.pick(COATS)
    grain, slant, shift = (
        dice.between(0.8, 1.25),
        dice.between(-30, 30),
        dice.between(0, 1),
    )
    tint = np.array([dice.between(-0.06, 0.06) for _ in range(3)])
    accent, other, foreign = dice.pick(ACCENTS), dice.pick(_NAMES), dice.chance(0.3)
    pale, murk, cream = (
        dice.between(0.25, 0.75),
        dice.between(0.09, 0.24),
        dice.between(0.7, 1.05),
    )
    if typical and keep:
        colour, kind = typical
    base = np.array(COLOURS[colour]) + tint
    second = base * 0.52 if base.mean() > 0.45 else base * 0.45 + 0.48
    if foreign and not keep:
        second = np.array(COLOURS[other])
    thrown = np.array(
        (
            base,
            second,
            base * 0.3 + np.array((0.66, 0.63, 0.56)) * cream,
            base * 0.5,
            np.array(COLOURS[accent]) + tint,
            np.array(COLOURS[other]) * (1 - pale) + pale,
            base * murk + 0.04,
        )
    )
    thrown = np.minimum(np.maximum(thrown, 0), 1).astype(np.float32)[:, :, None, None]
    paints = (
        dict(
            zip(
                ("coat", "second", "belly", "dark", "accent", "glass", "ink"),
                thrown,
                strict=True,
            )
        )
        | _FIXED
    )
    return Look(coat or kind, colour, grain, slant, shift, paints)


class Stand(NamedTuple):
    """Where an animal stands: degrees turned, pixels a body unit, mirrored or not, and
    the frame's origin in pixels."""

    rotation: float
    unit: float
    flip: bool
    x: float
    y: float


def pattern(look: Look, stand: Stand, x: Array, y: Array) -> Array | None:
    """Where the coat shows its second colour, (h, w) in [0, 1], in the body's own
    frame; None for a plain coat."""
    if look.coat == "plain":
        return None
    mirror = -1 if stand.flip else 1
    angle, unit = mirror * radians(stand.rotation), np.float32(stand.unit)
    px, py = (
        (x - np.float32(stand.x)) * (mirror / unit),
        (y - np.float32(stand.y)) / unit,
    )
    # 8: keeps both positive
    c, s, shift = (
        np.float32(cos(angle)),
        np.float32(sin(angle)),
        np.float32(8 + look.shift),
    )
    u, v = px * c + py * s + shift, py * c - px * s + shift
    if look.coat == "stripes":
        lean = np.float32(tan(radians(look.slant)))
        wave = np.sin(
            (u + lean * v) * np.float32(19 / look.grain)
            + np.sin(v * np.float32(7)) * np.float32(0.9)
        )
        return cover(wave * (-0.045 * unit) + np.float32(0.5))
    if look.coat == "spots":
        step = np.float32(0.2 * look.grain)
        row = np.floor(v / step)
        du = (u / step + row * np.float32(0.5)) % 1 - np.float32(0.5)
        dv = v / step - row - np.float32(0.5)
        radius = np.float32(0.3) + np.float32(0.05) * np.sin(
            row * 2 + np.floor(u / step)
        )
        return cover((np.sqrt(du * du + dv * dv) - radius) * (step * unit))
    tile = cloud_tile(128, 2)
    at = np.float32(150 / look.grain)
    height = tile[(v * at).astype(np.int32) & 255, (u * at).astype(np.int32) & 255]
    return cover((np.float32(0.02) - height) * (np.float32(0.55) * unit))
