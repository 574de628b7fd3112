"""How a body is written down: parts as shapes in a body frame, bent by a pose.

The frame: x to the right (animals look right), y DOWN, about one unit from the middle
to an end. A plan is a function `plan(pose) -> list[Shape]`, drawn from back to front.
Its size does not matter, because drawing fits it to the picture.
Paints are roles, not colours: each image draws its own palette.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import cos, radians, sin
from typing import NamedTuple

import numpy as np

Knot = Sequence[float]  # x, y, radius


class Shape(NamedTuple):
    """One shape of a part. `decal` shapes are painted only onto the last shape that is
    not a decal."""

    part: str
    kind: str  # "stroke", "ellipse", "polygon" or "eye": see drawing.DISTANCES
    knots: np.ndarray  # float32 (n, 3): x, y, radius
    paint: str  # "coat", "second", "belly", "dark", "accent", "ivory", "ink", "glow", "glass"
    decal: bool = False
    far: bool = False  # on the far side of the body: in shade
    # drawing.pieces of the knots, once they are placed
    lines: np.ndarray | None = None


class Pose(NamedTuple):
    """How one animal stands: `bend` -1..1 of necks, tails and wings, `phase` 0..1 of
    the gait, 16 x `jitter` -1..1."""

    bend: float
    phase: float
    jitter: tuple[float, ...]

    def vary(self, i: int, amount: float = 0.1) -> float:
        """A factor near 1 for the i-th proportion, another one for each animal."""
        return 1 + amount * self.jitter[i]

    def sway(self, i: int, degrees: float) -> float:
        """An angle: mostly the whole body's bend, partly this limb's own."""
        return degrees * (0.65 * self.bend + 0.35 * self.jitter[i])

    def step(self, i: int, degrees: float = 18) -> float:
        """The i-th leg's swing in a walk."""
        return degrees * sin(6.2832 * (self.phase + 0.25 * i))


NEUTRAL = Pose(0.0, 0.0, (0.0,) * 16)


@lru_cache(maxsize=64)
def _spline(count: int, closed: bool, between: int) -> np.ndarray:
    """Matrix (samples, count) of a Catmull-Rom curve through `count` points; a closed
    one ends where it begins."""
    spans = count if closed else count - 1
    rows = np.zeros((spans * between + 1, count))
    for row in range(len(rows)):
        span, t = (
            min(row // between, spans - 1),
            row / between - min(row // between, spans - 1),
        )
        weights = (
            -t + 2 * t**2 - t**3,
            2 - 5 * t**2 + 3 * t**3,
            t + 4 * t**2 - 3 * t**3,
            t**3 - t**2,
        )
        for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
            at = span + offset
            rows[row, at % count if closed else min(max(at, 0), count - 1)] += (
                weight / 2
            )
    return rows.astype(np.float32)


def limb(
    part: str,
    knots: Sequence[Knot],
    paint: str = "coat",
    *,
    decal: bool = False,
    far: bool = False,
    between: int = 2,
) -> Shape:
    """A smooth line through knots (x, y, radius): necks, tails, arms, whole fishes."""
    points = np.array(knots, np.float32)
    if len(points) > 2:
        points = _spline(len(points), False, between) @ points
    return Shape(part, "stroke", points, paint, decal, far)


def bar(
    part: str,
    knots: Sequence[Knot],
    paint: str = "coat",
    *,
    decal: bool = False,
    far: bool = False,
) -> Shape:
    """Straight pieces from knot to knot: jointed legs, antennae, stripes."""
    return Shape(part, "stroke", np.array(knots, np.float32), paint, decal, far)


def oval(
    part: str,
    x: float,
    y: float,
    rx: float,
    ry: float,
    tilt: float = 0,
    paint: str = "coat",
    *,
    decal: bool = False,
    far: bool = False,
) -> Shape:
    """An ellipse with half axes rx, ry; `tilt` in degrees turns it clockwise."""
    c, s = cos(radians(tilt)), sin(radians(tilt))
    knots = np.array(
        ((x, y, 0), (x + rx * c, y + rx * s, 0), (x - ry * s, y + ry * c, 0)),
        np.float32,
    )
    return Shape(part, "ellipse", knots, paint, decal, far)


def eye(part: str, x: float, y: float, r: float = 0.06, paint: str = "white") -> Shape:
    """A round eye with pupil and glint."""
    return oval(part, x, y, r, r, 0, paint)._replace(kind="eye")


def sheet(
    part: str,
    points: Sequence[Sequence[float]],
    paint: str = "coat",
    *,
    soft: float = 0.02,
    smooth: bool = True,
    decal: bool = False,
    far: bool = False,
) -> Shape:
    """A filled outline through points (x, y): fins, wings, ears. Smooth curve, or
    straight edges with soft corners."""
    outline = np.full((len(points) + (not smooth), 3), soft, np.float32)
    outline[: len(points), :2] = points
    if smooth:
        outline = _spline(len(points), True, 3) @ outline
    else:
        outline[-1] = outline[0]
    return Shape(part, "polygon", outline, paint, decal, far)


def reach(
    x: float,
    y: float,
    heading: float,
    length: float,
    curl: float,
    r0: float,
    r1: float,
    count: int = 5,
) -> list[Knot]:
    """Knots of a limb from (x, y) towards `heading` (degrees: 0 right, 90 down) that
    turns by `curl` on its way."""
    knots: list[Knot] = [(x, y, r0)]
    step = length / (count - 1)
    for i in range(1, count):
        angle = radians(heading + curl * (i - 0.5) / (count - 1))
        x, y = x + step * cos(angle), y + step * sin(angle)
        knots.append((x, y, r0 + (r1 - r0) * i / (count - 1)))
    return knots


def leg(
    part: str,
    x: float,
    y: float,
    swing: float,
    length: float,
    r0: float,
    r1: float,
    knee: float = 12,
    *,
    foot: float = 0.0,
    paint: str = "coat",
    far: bool = False,
) -> Shape:
    """A jointed leg from the hip (x, y) down; `swing` and `knee` in degrees; `foot`:
    how far the foot points ahead."""
    upper, lower = radians(90 - swing - knee / 2), radians(90 - swing + knee / 2)
    kx, ky = x + length / 2 * cos(upper), y + length / 2 * sin(upper)
    fx, fy = kx + length / 2 * cos(lower), ky + length / 2 * sin(lower)
    knots = [(x, y, r0), (kx, ky, (r0 + r1) / 2), (fx, fy, r1)]
    return bar(
        part, [*knots, (fx + foot, fy, r1 * 0.9)] if foot else knots, paint, far=far
    )


def four_legs(
    pose: Pose,
    back: float,
    front: float,
    y: float,
    length: float,
    r0: float,
    r1: float,
    *,
    knee: float = 10,
    swing: float = 16,
    hoof: float = 0,
) -> tuple[list[Shape], list[Shape]]:
    """The far pair (to draw before the body) and the near pair (after it) of a walking
    animal."""
    pairs = []
    for near in (0, 1):
        pair = []
        for x, bent, i in ((back, knee, 2 * near), (front, -knee * 0.4, 1 - 2 * near)):
            x = x + 0.07 * (1 - 2 * near)
            pair.append(
                leg(
                    "legs",
                    x,
                    y,
                    pose.step(i, swing),
                    length,
                    r0,
                    r1,
                    bent,
                    far=not near,
                )
            )
            if hoof:
                fx, fy, _ = pair[-1].knots[-1]
                pair.append(
                    oval(
                        "legs",
                        fx + hoof * 0.3,
                        fy,
                        hoof,
                        hoof * 0.7,
                        0,
                        "dark",
                        far=not near,
                    )
                )
        pairs.append(pair)
    return pairs[0], pairs[1]


def mirrored(shapes: Sequence[Shape]) -> list[Shape]:
    """The same shapes on the other side of x = 0."""
    return [
        s._replace(knots=s.knots * np.array((-1, 1, 1), np.float32)) for s in shapes
    ]
