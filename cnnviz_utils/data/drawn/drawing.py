"""Signed-distance shapes, painted with soft edges: the brush behind the Menagerie.

A signed distance is the distance in pixels to a shape's edge, negative inside. `0.5 -
distance`, cut to [0, 1], is how much of a pixel the shape covers, so edges are smooth
at every size without drawing anything larger first. Every shape is a few knots (x, y,
radius): to turn, scale or mirror an animal is to move its knots.
"""

from functools import lru_cache
from math import hypot
from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Canvas(NamedTuple):
    """A picture being painted: pixels float32 (3, H, W) in [0, 1], parts uint8 (H, W),
    and pixel centres."""

    pixels: Array
    parts: Array
    x: Array  # (1, W)
    y: Array  # (H, 1)

    @property
    def size(self) -> int:
        return self.parts.shape[0]


@lru_cache(maxsize=32)
def _centres(size: int) -> Array:
    return np.arange(size, dtype=np.float32) + np.float32(0.5)


def new_canvas(size: int) -> Canvas:
    """An empty canvas of size x size pixels."""
    centres = _centres(size)
    pixels, parts = (
        np.zeros((3, size, size), np.float32),
        np.zeros((size, size), np.uint8),
    )
    return Canvas(pixels, parts, centres[None, :], centres[:, None])


# ---- signed distances in pixels, (h, w), at pixels x (1, w), y (h, 1)


def pieces(knots: Array) -> Array:
    """What is needed for the distances to the n - 1 lines from knot to knot, computed
    once for all of an animal's knots (n, 3): (7, n - 1, 1, 1), the direction (two
    numbers), the change of radius for each pixel, the length, the radius at the start,
    and where the start lies along and across the direction."""
    x, y, r = knots.T
    lines = np.empty((7, len(x) - 1), np.float32)
    np.subtract(knots[1:].T, knots[:-1].T, out=lines[:3])
    dx, dy, _, length, radius, along, across = lines
    np.sqrt(dx * dx + dy * dy + np.float32(1e-8), out=length)
    lines[:3] /= length
    radius[:] = r[:-1]
    x, y = x[:-1], y[:-1]
    np.add(x * dx, y * dy, out=along)
    np.subtract(x * dy, y * dx, out=across)
    return lines[:, :, None, None]


def _offsets(lines: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """For each of n lines and each pixel: where along it the nearest point lies, and
    the distance to that, squared."""
    dx, dy, _, length, _, along, across = lines
    forward = x * dx + (y * dy - along)
    aside = x * dy - (y * dx + across)
    nearest = np.minimum(forward, length)
    np.maximum(nearest, 0, out=nearest)
    forward -= nearest
    forward *= forward
    aside *= aside
    forward += aside
    return nearest, forward


def stroke(knots: Array, lines: Array, x: Array, y: Array) -> Array:
    """Distance to a line through the knots, as thick at each knot as its radius says: a
    chain of tapered capsules.

    Between knots the radius is interpolated along the axis: exact for equal radii, a
        close bound for others.
    """
    nearest, distance = _offsets(lines, x, y)
    np.sqrt(distance, out=distance)
    nearest *= lines[2]
    nearest += lines[4]
    distance -= nearest
    return np.minimum.reduce(distance, axis=0)


def polygon(knots: Array, lines: Array, x: Array, y: Array) -> Array:
    """Distance to a polygon whose last knot is its first, its corners rounded outwards
    by the first knot's radius."""
    edge = np.sqrt(np.minimum.reduce(_offsets(lines, x, y)[1], axis=0))
    px, py = knots.T[:2, :, None, None]
    above = py > y
    rise = py[1:] - py[:-1]
    rise[rise == 0] = 1e-6
    crossing = px[:-1] + (y - py[:-1]) * ((px[1:] - px[:-1]) / rise)
    # this edge does not cross the pixel's row
    crossing[above[:-1] == above[1:]] = np.inf
    # an odd number of crossings to the left
    inside = np.logical_xor.reduce(crossing < x, axis=0)
    np.negative(edge, out=edge, where=inside)
    edge -= knots[0, 2]
    return edge


def ellipse(knots: Array, lines: Array, x: Array, y: Array) -> Array:
    """Distance to an ellipse with knots centre, end of one half axis, end of the other.
    It is the ellipse's equation divided by its gradient's length: exact at the edge, and
    to first order near it."""
    (cx, cy, _), (ax, ay, _), (bx, by, _) = knots.tolist()
    ax, ay, bx, by = ax - cx, ay - cy, bx - cx, by - cy
    aa, bb = ax * ax + ay * ay, bx * bx + by * by
    px, py = x - cx, y - cy
    u = px * (ax / aa) + py * (ay / aa)
    v = px * (bx / bb) + py * (by / bb)
    u *= u
    v *= v
    level = u + v
    level -= 1
    u *= 4 / aa
    v *= 4 / bb
    u += v
    u += np.float32(1e-6)
    level /= np.sqrt(u, out=u)
    return level


DISTANCES = {"stroke": stroke, "ellipse": ellipse, "polygon": polygon, "eye": ellipse}


def bounds(kind: str, knots: Array) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a shape in the units of its knots."""
    points = knots.tolist()
    if kind in ("ellipse", "eye"):
        (cx, cy, _), (ax, ay, _), (bx, by, _) = points
        rx, ry = hypot(ax - cx, bx - cx), hypot(ay - cy, by - cy)
        return cx - rx, cy - ry, cx + rx, cy + ry
    return (
        min(x - r for x, _, r in points),
        min(y - r for _, y, r in points),
        max(x + r for x, _, r in points),
        max(y + r for _, y, r in points),
    )


def window(
    box: tuple[float, float, float, float], size: int
) -> tuple[slice, slice] | None:
    """Rows and columns of the canvas that a box touches (one pixel wider, for the soft
    edge); None if outside."""
    left, top = max(int(box[0] - 1), 0), max(int(box[1] - 1), 0)
    right, bottom = min(int(box[2] + 2), size), min(int(box[3] + 2), size)
    return (
        (slice(top, bottom), slice(left, right))
        if right > left and bottom > top
        else None
    )


def cover(distance: Array) -> Array:
    """Share of each pixel that is covered, in [0, 1]. Overwrites nothing."""
    covered = np.float32(0.5) - distance
    np.maximum(covered, 0, out=covered)
    return np.minimum(covered, 1, out=covered)


def blend(
    canvas: Canvas, where: tuple[slice, slice], covered: Array, colour: Array
) -> None:
    """Lay a colour, (3,) or (3, h, w), over the canvas's window as far as `covered` (h,
    w) says."""
    region = canvas.pixels[:, where[0], where[1]]
    if colour.ndim == 1:
        colour = colour[:, None, None]
    change = colour - region
    change *= covered
    region += change


def fill(
    canvas: Canvas,
    kind: str,
    knots: Array,
    colour: Array,
    opacity: float = 1.0,
) -> tuple[tuple[slice, slice], Array] | None:
    """Paint one flat shape; returns its window and what it covers of it, (h, w), or
    None if outside the canvas."""
    where = window(bounds(kind, knots), canvas.size)
    if where is None:
        return None
    lines = knots if kind == "ellipse" else pieces(knots)  # an ellipse needs none
    covered = cover(
        DISTANCES[kind](knots, lines, canvas.x[:, where[1]], canvas.y[where[0]])
    )
    blend(
        canvas, where, covered * np.float32(opacity) if opacity < 1 else covered, colour
    )
    return where, covered


# ---- noise


@lru_cache(maxsize=32)
def cloud_tile(size: int, octaves: int = 4) -> Array:
    """Smooth noise (2 size, 2 size) in [-1, 1], the same landscape at every size;
    windows of it texture the grounds."""
    total = np.zeros((2 * size, 2 * size), np.float32)
    at = np.arange(2 * size) / (2 * size)
    for octave in range(octaves):
        cells = 6 * 2**octave
        lattice = np.random.default_rng([7, octave]).uniform(-1, 1, (cells, cells))
        low = np.floor(at * cells).astype(int)
        part = at * cells - low
        part = part * part * (3 - 2 * part)
        rows = (
            lattice[low] * (1 - part)[:, None]
            + lattice[(low + 1) % cells] * part[:, None]
        )
        both = rows[:, low] * (1 - part) + rows[:, (low + 1) % cells] * part
        total += (0.5**octave * both).astype(np.float32)
    return total / np.abs(total).max()


@lru_cache(maxsize=32)
def grain_tile(size: int) -> Array:
    """Normal noise (3, 2 size, 2 size), standard deviation 1; windows of it are the
    sensor's grain."""
    return np.random.default_rng([11, size]).standard_normal(
        (3, 2 * size, 2 * size), dtype=np.float32
    )
