"""From a body plan to pixels: where the animal stands, and the painting of its
parts."""

from collections.abc import Container, Sequence
from math import cos, hypot, radians, sin
from typing import NamedTuple

import numpy as np

from cnnviz_utils.data.drawn.bodies import Shape
from cnnviz_utils.data.drawn.drawing import (
    DISTANCES,
    Array,
    Canvas,
    blend,
    bounds,
    cover,
    pieces,
    window,
)
from cnnviz_utils.data.drawn.looks import Look, Stand, pattern

Box = tuple[float, float, float, float]  # left, top, right, bottom
Window = tuple[slice, slice]  # rows, columns


class Body(NamedTuple):
    """A body put in its place: shapes in pixels, the box of each, and where it
    stands."""

    shapes: list[Shape]
    boxes: list[Box]
    stand: Stand


def fit(
    shapes: Sequence[Shape],
    size: int,
    rotation: float,
    scale: float,
    flip: bool,
    where: tuple[float, float],
) -> Body:
    """Mirror, turn and scale a body so that its longer side fills `scale` of the
    picture, and move it in the frame: `where` (-1..1 twice) says how far towards the
    picture's edges."""
    c, s, mirror = cos(radians(rotation)), sin(radians(rotation)), -1.0 if flip else 1.0
    matrix = np.array(((mirror * c, s * mirror, 0), (-s, c, 0), (0, 0, 1)), np.float32)
    knots = np.concatenate([shape.knots for shape in shapes]) @ matrix
    starts = np.cumsum([0, *(len(shape.knots) for shape in shapes[:-1])])
    points, radius = knots[:, :2], knots[:, 2:]
    corners = (
        np.minimum.reduceat(points - radius, starts),
        np.maximum.reduceat(points + radius, starts),
    )
    boxes = np.concatenate(corners, axis=1).tolist()
    for i, shape in enumerate(shapes):
        if shape.kind in ("ellipse", "eye"):
            boxes[i] = bounds(shape.kind, knots[starts[i] : starts[i] + 3])
    left, top, right, bottom = _around(boxes)
    unit = scale * size / max(right - left, bottom - top)
    x = (
        size / 2
        - (left + right) / 2 * unit
        + where[0] * (size - (right - left) * unit) / 2
    )
    y = (
        size / 2
        - (top + bottom) / 2 * unit
        + where[1] * (size - (bottom - top) * unit) / 2
    )
    knots = knots * np.float32(unit) + np.array((x, y, 0), np.float32)
    lines = pieces(knots)
    placed = [
        shape._replace(
            knots=knots[at : at + len(shape.knots)],
            lines=lines[:, at : at + len(shape.knots) - 1],
        )
        for shape, at in zip(shapes, starts.tolist(), strict=True)
    ]
    boxes = [
        (x + a * unit, y + b * unit, x + c * unit, y + d * unit) for a, b, c, d in boxes
    ]
    return Body(placed, boxes, Stand(rotation, unit, flip, x, y))


def paint(
    canvas: Canvas,
    body: Body,
    names: Sequence[str],
    look: Look,
    light: tuple[float, float],
    hide: Container[str] = (),
) -> None:
    """Paint a body, back to front, and write part numbers (1 = the first name) where a
    part covers at least half a pixel. Hidden parts are left out; nothing else changes.
    `light`: how much brighter to the right and further down."""
    stand = body.stand
    whole = window(_around(body.boxes), canvas.size)
    if whole is None:
        return  # all of it is outside
    x, y = canvas.x[:, whole[1]], canvas.y[whole[0]]
    spots = pattern(look, stand, x, y)
    shine = (
        1
        + (x - stand.x) * np.float32(light[0] / canvas.size)
        + (y - stand.y) * np.float32(light[1] / canvas.size)
    )
    numbers = {name: number for number, name in enumerate(names, 1)}
    base = None  # window, cover and shade of the last shape that can carry decals
    for shape, box in zip(body.shapes, body.boxes, strict=True):
        base = base if shape.decal else None
        if shape.part in hide or (shape.decal and base is None):
            continue
        where = window(box, canvas.size)
        if where is not None and base is not None:
            where = _overlap(where, base[0])
        if where is None:
            continue
        lines = shape.knots if shape.lines is None else shape.lines
        distance = DISTANCES[shape.kind](
            shape.knots, lines, canvas.x[:, where[1]], canvas.y[where[0]]
        )
        covered, colour = cover(distance), look.paints[shape.paint]
        if base is not None:
            covered *= _crop(base[1], base[0], where)
            colour = colour * _crop(base[2], base[0], where)
        else:
            shade = _round(distance, shape, stand.unit) * _crop(shine, whole, where)
            base = (where, covered, shade)
            if shape.paint == "coat" and spots is not None:
                colour = colour + _crop(spots, whole, where) * (
                    look.paints["second"] - colour
                )
            colour = (
                _gaze(shape, canvas, where, colour)
                if shape.kind == "eye"
                else colour * shade
            )
        blend(
            canvas,
            where,
            covered * np.float32(0.72) if shape.paint == "glass" else covered,
            colour,
        )
        np.copyto(canvas.parts[where], numbers[shape.part], where=covered >= 0.5)


def _round(distance: Array, shape: Shape, unit: float) -> Array:
    """Shade that rises from a dark outline to full light inside, so that flat shapes
    look round."""
    thick = float(shape.knots[:, 2].max()) if shape.kind == "stroke" else 0.14 * unit
    depth = max(1.5, min(0.14 * unit, 0.9 * thick))
    shade = np.minimum(distance, 1)
    shade *= np.float32(2.5 / depth)
    np.exp(shade, out=shade)
    shade *= np.float32(-0.5)
    shade += np.float32(0.92 if shape.far else 1.04)
    return shade


def _gaze(shape: Shape, canvas: Canvas, where: Window, colour: Array) -> Array:
    """An eye's colours: dark rim, white or coloured ball, pupil, glint."""
    (cx, cy, _), (ax, ay, _), _ = shape.knots.tolist()
    radius = hypot(ax - cx, ay - cy)
    dx, dy = canvas.x[:, where[1]] - np.float32(cx), canvas.y[where[0]] - np.float32(cy)
    reach = np.sqrt(dx * dx + dy * dy)
    rim = cover(np.float32(radius - 0.35) - reach) * np.float32(0.7)
    ink = np.maximum(cover(reach - np.float32(0.58 * radius)), rim)
    colour = colour + ink * (np.float32(0.1) - colour)
    gx, gy = dx + np.float32(0.22 * radius), dy + np.float32(0.25 * radius)
    return colour + cover(np.sqrt(gx * gx + gy * gy) - np.float32(0.2 * radius)) * (
        1 - colour
    )


def _around(boxes: Sequence[Box]) -> Box:
    """The box around all boxes."""
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _overlap(a: Window, b: Window) -> Window | None:
    """The window that two windows share, or None."""
    rows, columns = (
        slice(max(p.start, q.start), min(p.stop, q.stop))
        for p, q in zip(a, b, strict=True)
    )
    return (
        (rows, columns)
        if rows.stop > rows.start and columns.stop > columns.start
        else None
    )


def _crop(values: Array, of: Window, to: Window) -> Array:
    """The part of `values`, which fill the window `of`, that lies in the window
    `to`."""
    top, left = of[0].start, of[1].start
    return values[
        to[0].start - top : to[0].stop - top, to[1].start - left : to[1].stop - left
    ]
