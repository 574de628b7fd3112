"""From a body plan to pixels: colours, coats, where the animal stands, and the painting of its parts."""

from collections.abc import Container, Iterable, Sequence
from math import cos, hypot, radians, sin
from typing import NamedTuple, TypeVar

import numpy as np

from .bodies import Pose, Shape
from .drawing import DISTANCES, Array, Canvas, blend, bounds, cloud_tile, cover, pieces, window

COATS = ("plain", "stripes", "spots", "patches")
COLOURS = {
    "tan": (0.80, 0.63, 0.40), "russet": (0.72, 0.38, 0.20), "brown": (0.50, 0.35, 0.24), "grey": (0.58, 0.60, 0.63),
    "slate": (0.38, 0.45, 0.55), "cream": (0.92, 0.85, 0.70), "ochre": (0.90, 0.70, 0.26), "orange": (0.95, 0.54, 0.20),
    "coral": (0.91, 0.43, 0.38), "pink": (0.95, 0.62, 0.68), "plum": (0.58, 0.38, 0.60), "teal": (0.22, 0.60, 0.60),
    "blue": (0.33, 0.53, 0.80), "green": (0.47, 0.65, 0.33), "charcoal": (0.30, 0.30, 0.34),
}
ACCENTS = ("orange", "coral", "ochre", "pink", "teal", "blue", "cream")
FIXED = {"ivory": (0.96, 0.92, 0.82), "glow": (0.84, 0.94, 1.0), "white": (0.98, 0.97, 0.94)}
# what people expect: an animal's usual colour and coat
TYPICAL = {
    "elephant": ("grey", "plain"), "giraffe": ("ochre", "patches"), "camel": ("tan", "plain"), "elk": ("brown", "plain"),
    "lion": ("tan", "plain"), "rabbit": ("cream", "plain"), "kangaroo": ("russet", "plain"), "hedgehog": ("brown", "plain"),
    "snake": ("green", "stripes"), "crab": ("coral", "plain"), "octopus": ("plum", "spots"), "starfish": ("orange", "spots"),
    "seahorse": ("ochre", "stripes"), "turtle": ("green", "patches"), "dolphin": ("slate", "plain"), "whale": ("blue", "plain"),
    "goldfish": ("orange", "plain"), "jellyfish": ("pink", "plain"), "owl": ("brown", "spots"), "toucan": ("charcoal", "plain"),
    "flamingo": ("pink", "plain"), "peacock": ("teal", "plain"), "hummingbird": ("green", "plain"), "bat": ("brown", "plain"),
    "butterfly": ("orange", "plain"), "dragonfly": ("teal", "stripes"), "bee": ("ochre", "plain"),
}
_FIXED = {name: np.array(rgb, np.float32)[:, None, None] for name, rgb in FIXED.items()}
T = TypeVar("T")


class Dice:
    """Uniform numbers thrown in advance, used one after the other: what is drawn never depends on what is shown."""

    def __init__(self, numbers: Iterable[float]):
        self._next = iter(numbers).__next__

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self._next()

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self._next() * len(options))]

    def chance(self, probability: float) -> bool:
        return self._next() < probability


class Look(NamedTuple):
    """An animal's coat: the kind of pattern, its coarseness, slant and shift, and a colour (3,) for each paint."""

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


def throw_look(dice: Dice, typical: tuple[str, str] | None, coat: str | None, faithful: float = 0.2) -> Look:
    """A random coat. With probability `faithful` it is the one people expect of the species (`typical`: colour, coat);
    otherwise any colour and coat, so that colour does not give the species away."""
    keep, colour, kind, grain, slant, shift = (dice.chance(faithful), dice.pick(list(COLOURS)), dice.pick(COATS),
                                               dice.between(0.8, 1.25), dice.between(-30, 30), dice.between(0, 1))
    tint = np.array([dice.between(-0.06, 0.06) for _ in range(3)])
    accent, other, foreign = dice.pick(ACCENTS), dice.pick(list(COLOURS)), dice.chance(0.3)
    if typical and keep:
        colour, kind = typical
    base = np.array(COLOURS[colour]) + tint
    second = base * 0.52 if base.mean() > 0.45 else base * 0.45 + 0.48
    if foreign and not keep:
        second = np.array(COLOURS[other])
    pale, murk = dice.between(0.25, 0.75), dice.between(0.15, 0.4)
    glass, ink = np.array(COLOURS[other]) * (1 - pale) + pale, base * murk * 0.6 + 0.04
    cream = np.array((0.66, 0.63, 0.56)) * dice.between(0.7, 1.05)
    own = np.array((base, second, base * 0.3 + cream, base * 0.5, np.array(COLOURS[accent]) + tint, glass, ink))
    own = np.minimum(np.maximum(own, 0), 1).astype(np.float32)[:, :, None, None]
    paints = dict(zip(("coat", "second", "belly", "dark", "accent", "glass", "ink"), own, strict=True)) | _FIXED
    return Look(coat or kind, colour, grain, slant, shift, paints)


class Stand(NamedTuple):
    """Where an animal stands: degrees turned, pixels a body unit, mirrored or not, and the frame's origin in pixels."""

    rotation: float
    unit: float
    flip: bool
    x: float
    y: float


def fit(shapes: Sequence[Shape], size: int, rotation: float, scale: float, flip: bool, where: tuple[float, float],
        ) -> tuple[list[Shape], list[tuple[float, ...]], Stand]:
    """Turn, mirror and scale a body so that it fills `scale` of the picture, and move it inside the frame.

    `where` (-1..1 twice) says how far towards the picture's edges. Returns the shapes in pixels, and their boxes
    (left, top, right, bottom).
    """
    knots = np.concatenate([shape.knots for shape in shapes])
    c, s, mirror = cos(radians(rotation)), sin(radians(rotation)), -1.0 if flip else 1.0
    turn = np.array(((mirror * c, s * mirror, 0), (-s, c, 0), (0, 0, 1)), np.float32)
    knots = knots @ turn
    starts = np.cumsum([0, *(len(shape.knots) for shape in shapes[:-1])])
    boxes = np.concatenate((np.minimum.reduceat(knots[:, :2] - knots[:, 2:], starts),
                            np.maximum.reduceat(knots[:, :2] + knots[:, 2:], starts)), axis=1).tolist()
    for i, shape in enumerate(shapes):
        if shape.kind in ("ellipse", "eye"):
            boxes[i] = bounds(shape.kind, knots[starts[i]:starts[i] + 3])
    left, top, right, bottom = (f(side) for f, side in zip((min, min, max, max), zip(*boxes, strict=True), strict=True))
    unit = scale * size / max(right - left, bottom - top)
    x = size / 2 - (left + right) / 2 * unit + where[0] * (size - (right - left) * unit) / 2
    y = size / 2 - (top + bottom) / 2 * unit + where[1] * (size - (bottom - top) * unit) / 2
    knots *= np.float32(unit)
    knots += np.array((x, y, 0), np.float32)
    boxes = [(x + a * unit, y + b * unit, x + c * unit, y + d * unit) for a, b, c, d in boxes]
    lines = pieces(knots)
    placed = [s._replace(knots=knots[at:at + len(s.knots)], lines=lines[:, at:at + len(s.knots) - 1])
              for s, at in zip(shapes, starts.tolist(), strict=True)]
    return placed, boxes, Stand(rotation, unit, flip, x, y)


def pattern(look: Look, stand: Stand, x: Array, y: Array) -> Array | None:
    """Where the coat shows its second colour, (h, w) in [0, 1], in the body's own frame; None for a plain coat."""
    if look.coat == "plain":
        return None
    angle = radians(stand.rotation)
    px, py = (x - np.float32(stand.x)) * np.float32((-1 if stand.flip else 1) / stand.unit), (y - np.float32(stand.y)) / np.float32(stand.unit)
    if stand.flip:
        angle = -angle
    c, s = np.float32(cos(angle)), np.float32(sin(angle))
    u, v = px * c + py * s + np.float32(8 + look.shift), py * c - px * s + np.float32(8 + look.shift)
    soft = np.float32(stand.unit)
    if look.coat == "stripes":
        lean = np.float32(np.tan(radians(look.slant)))
        wave = np.sin((u + lean * v) * np.float32(19 / look.grain) + np.sin(v * np.float32(7)) * np.float32(0.9))
        return cover(wave * (-0.045 * soft) + np.float32(0.5))
    if look.coat == "spots":
        step = np.float32(0.2 * look.grain)
        row = np.floor(v / step)
        du = (u / step + row * np.float32(0.5)) % 1 - np.float32(0.5)
        dv = v / step - row - np.float32(0.5)
        radius = np.float32(0.3) + np.float32(0.05) * np.sin(row * 2 + np.floor(u / step))
        return cover((np.sqrt(du * du + dv * dv) - radius) * (step * soft))
    tile = cloud_tile(128, 2)
    at = np.float32(105 / look.grain)
    height = tile[(v * at).astype(np.int32) & 255, (u * at).astype(np.int32) & 255]
    return cover((np.float32(0.02) - height) * (np.float32(0.55) * soft))


def paint(canvas: Canvas, shapes: Sequence[Shape], boxes: Sequence[Sequence[float]], names: Sequence[str], look: Look, stand: Stand,
          light: tuple[float, float], hide: Container[str] = ()) -> None:
    """Paint a placed body, back to front, and write part numbers (1 = the first name) where a part covers at least
    half a pixel. Hidden parts are left out; nothing else changes."""
    left, top, right, bottom = (f(values) for f, values in zip((min, min, max, max), zip(*boxes, strict=True), strict=True))
    whole = window((left, top, right, bottom), canvas.size)
    rows, columns = whole
    x, y = canvas.x[:, columns], canvas.y[rows]
    spots = pattern(look, stand, x, y)
    shine = 1 + (x - stand.x) * np.float32(light[0] / canvas.size) + (y - stand.y) * np.float32(light[1] / canvas.size)
    numbers = {name: number for number, name in enumerate(names, 1)}
    base = None
    for shape, box in zip(shapes, boxes, strict=True):
        if not shape.decal:
            base = None
        if shape.part in hide or (shape.decal and base is None):
            continue
        where = window(box, canvas.size)
        if shape.decal:
            where = where and _overlap(where, base[0])
        if where is None:
            continue
        distance = DISTANCES[shape.kind](shape.knots, shape.lines, canvas.x[:, where[1]], canvas.y[where[0]])
        covered = cover(distance)
        if shape.decal:
            covered *= _crop(base[1], base[0], where)
            colour = look.paints[shape.paint] * _crop(base[2], base[0], where)
        else:
            shade = _round(distance, shape, stand.unit) * _crop(shine, whole, where)
            base = (where, covered, shade)
            colour = look.paints[shape.paint]
            if shape.paint == "coat" and spots is not None:
                colour = colour + _crop(spots, whole, where) * (look.paints["second"] - colour)
            colour = _gaze(shape, canvas, where, colour) if shape.kind == "eye" else colour * shade
        blend(canvas, where, covered * np.float32(0.72) if shape.paint == "glass" else covered, colour)
        np.copyto(canvas.parts[where], numbers[shape.part], where=covered >= 0.5)


def _round(distance: Array, shape: Shape, unit: float) -> Array:
    """Shade that rises from a dark outline to full light inside, so that flat shapes look round."""
    thick = float(shape.knots[:, 2].max()) if shape.kind == "stroke" else 0.14 * unit
    depth = max(1.5, min(0.14 * unit, 0.9 * thick))
    shade = np.minimum(distance, 1)
    shade *= np.float32(2.5 / depth)
    np.exp(shade, out=shade)
    shade *= np.float32(-0.5)
    shade += np.float32(0.92 if shape.far else 1.04)
    return shade


def _gaze(shape: Shape, canvas: Canvas, where: tuple[slice, slice], colour: Array) -> Array:
    """An eye's colours: dark rim, white or coloured ball, pupil, glint."""
    (cx, cy, _), (ax, ay, _), _ = shape.knots.tolist()
    radius = hypot(ax - cx, ay - cy)
    dx, dy = canvas.x[:, where[1]] - np.float32(cx), canvas.y[where[0]] - np.float32(cy)
    reach = np.sqrt(dx * dx + dy * dy)
    ink = np.maximum(cover(reach - np.float32(0.58 * radius)), cover(np.float32(radius - 0.35) - reach) * np.float32(0.7))
    colour = colour + ink * (np.float32(0.1) - colour)
    gx, gy = dx + np.float32(0.22 * radius), dy + np.float32(0.25 * radius)
    return colour + cover(np.sqrt(gx * gx + gy * gy) - np.float32(0.2 * radius)) * (1 - colour)


def _overlap(a: tuple[slice, slice], b: tuple[slice, slice]) -> tuple[slice, slice] | None:
    """The window that two windows share, or None."""
    both = tuple(slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return both if all(s.stop > s.start for s in both) else None


def _crop(values: Array, of: tuple[slice, slice], to: tuple[slice, slice]) -> Array:
    """The part of `values`, which fill the window `of`, that lies in the window `to`."""
    return values[to[0].start - of[0].start:to[0].stop - of[0].start, to[1].start - of[1].start:to[1].stop - of[1].start]
