"""Signed-distance shapes, painted with soft edges: the brush behind the Menagerie.

A signed distance is the distance in pixels to a shape's edge, negative inside. `0.5 - distance`, cut to [0, 1],
is how much of a pixel the shape covers, so edges are smooth at every size without drawing anything larger first.
Every shape is a few knots (x, y, radius): to turn, scale or mirror an animal is to move its knots.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Canvas(NamedTuple):
    """A picture being painted: pixels float32 (3, H, W) in [0, 1], parts uint8 (H, W), and pixel centres."""

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
    pixels, parts = np.zeros((3, size, size), np.float32), np.zeros((size, size), np.uint8)
    return Canvas(pixels, parts, centres[None, :], centres[:, None])


# ---- signed distances: knots (n, 3) in pixels, x (1, w), y (h, 1) -> (h, w)

def segments(start: Array, end: Array, x: Array, y: Array) -> Array:
    """Distance to the union of straight tapered capsules; `start` and `end` are (n, 3) knots (x, y, radius).

    The radius is interpolated along the axis, which is exact for equal radii and a close bound for tapered ones.
    """
    sx, sy, sr = start.T[:, :, None, None]
    dx, dy, dr = (end - start).T[:, :, None, None]
    px, py = x - sx, y - sy
    inverse = 1 / (dx * dx + dy * dy + np.float32(1e-6))
    along = px * (dx * inverse) + py * (dy * inverse)
    np.minimum(along, 1, out=along)
    np.maximum(along, 0, out=along)
    px = px - along * dx
    py = py - along * dy
    px *= px
    py *= py
    px += py
    np.sqrt(px, out=px)
    along *= dr
    along += sr
    px -= along
    return np.minimum.reduce(px, axis=0)


def stroke(knots: Array, x: Array, y: Array) -> Array:
    """Distance to a line through the knots, as thick at each knot as its radius says."""
    return segments(knots[:-1], knots[1:], x, y)


def ellipse(knots: Array, x: Array, y: Array) -> Array:
    """Distance to an ellipse given by its centre and the ends of its two half axes (first order, exact at the edge)."""
    (cx, cy, _), (ax, ay, _), (bx, by, _) = knots.tolist()
    ax, ay, bx, by = ax - cx, ay - cy, bx - cx, by - cy
    aa, bb = ax * ax + ay * ay, bx * bx + by * by
    px, py = x - cx, y - cy
    u = px * (ax / aa) + py * (ay / aa)
    v = px * (bx / bb) + py * (by / bb)
    u *= u
    v *= v
    level = np.sqrt(u + v)
    u *= 1 / aa
    v *= 1 / bb
    u += v
    slope = np.sqrt(u, out=u)
    slope += np.float32(1e-6)
    return level * (level - 1) / slope


def polygon(knots: Array, x: Array, y: Array) -> Array:
    """Distance to a closed polygon, its corners rounded outwards by the first knot's radius."""
    following = np.concatenate((knots[1:], knots[:1]))
    sx, sy, _ = knots.T[:, :, None, None]
    ex, ey, _ = following.T[:, :, None, None]
    flat = np.concatenate((knots[:, :2], np.zeros_like(knots[:, :1])), axis=1)
    edge = segments(flat, np.concatenate((flat[1:], flat[:1])), x, y)
    rise = ey - sy
    crossing = sx + (y - sy) * ((ex - sx) / np.where(rise == 0, np.float32(1e-6), rise))
    crossing[(sy > y) == (ey > y)] = np.inf                       # this edge does not cross the pixel's row
    left = np.logical_xor.reduce(crossing < x, axis=0)            # an odd number of crossings: inside
    return np.where(left, -edge, edge) - knots[0, 2]


DISTANCES = {"stroke": stroke, "ellipse": ellipse, "polygon": polygon, "eye": ellipse}


def bounds(kind: str, knots: Array) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a shape in the units of its knots."""
    if kind in ("ellipse", "eye"):
        (cx, cy, _), (ax, ay, _), (bx, by, _) = knots.tolist()
        rx, ry = np.hypot(ax - cx, bx - cx), np.hypot(ay - cy, by - cy)
        return cx - rx, cy - ry, cx + rx, cy + ry
    low, high = (knots[:, :2] - knots[:, 2:]).min(0), (knots[:, :2] + knots[:, 2:]).max(0)
    return *low.tolist(), *high.tolist()


def window(box: tuple[float, float, float, float], size: int) -> tuple[slice, slice] | None:
    """Rows and columns of the canvas that a box touches (one pixel wider, for the soft edge); None if outside."""
    left, top = max(int(box[0] - 1), 0), max(int(box[1] - 1), 0)
    right, bottom = min(int(box[2] + 2), size), min(int(box[3] + 2), size)
    return (slice(top, bottom), slice(left, right)) if right > left and bottom > top else None


def cover(distance: Array) -> Array:
    """Share of each pixel that is covered, in [0, 1]. Overwrites nothing."""
    covered = np.float32(0.5) - distance
    np.maximum(covered, 0, out=covered)
    return np.minimum(covered, 1, out=covered)


def blend(canvas: Canvas, where: tuple[slice, slice], covered: Array, colour: Array) -> None:
    """Lay a colour, (3,) or (3, h, w), over the canvas's window as far as `covered` (h, w) says."""
    region = canvas.pixels[:, where[0], where[1]]
    if colour.ndim == 1:
        colour = colour[:, None, None]
    change = colour - region
    change *= covered
    region += change


def fill(canvas: Canvas, kind: str, knots: Array, colour: Array, opacity: float = 1.0,
         ) -> tuple[tuple[slice, slice], Array] | None:
    """Paint one flat shape; returns its window and what it covers of it, (h, w), or None if outside the canvas."""
    where = window(bounds(kind, knots), canvas.size)
    if where is None:
        return None
    covered = cover(DISTANCES[kind](knots, canvas.x[:, where[1]], canvas.y[where[0]]))
    blend(canvas, where, covered * np.float32(opacity) if opacity < 1 else covered, colour)
    return where, covered


# ---- noise

@lru_cache(maxsize=32)
def cloud_tile(size: int, octaves: int = 4) -> Array:
    """Smooth noise (2 size, 2 size) in [-1, 1], the same landscape at every size; windows of it texture the grounds."""
    total = np.zeros((2 * size, 2 * size), np.float32)
    at = np.arange(2 * size) / (2 * size)
    for octave in range(octaves):
        cells = 6 * 2**octave
        lattice = np.random.default_rng([7, octave]).uniform(-1, 1, (cells, cells))
        low = np.floor(at * cells).astype(int)
        part = at * cells - low
        part = part * part * (3 - 2 * part)
        rows = lattice[low] * (1 - part)[:, None] + lattice[(low + 1) % cells] * part[:, None]
        both = rows[:, low] * (1 - part) + rows[:, (low + 1) % cells] * part
        total += (0.5**octave * both).astype(np.float32)
    return total / np.abs(total).max()


@lru_cache(maxsize=32)
def grain_tile(size: int) -> Array:
    """Normal noise (3, 2 size, 2 size), standard deviation 1; windows of it are the sensor's grain."""
    return np.random.default_rng([11, size]).standard_normal((3, 2 * size, 2 * size), dtype=np.float32)
