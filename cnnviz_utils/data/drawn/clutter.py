"""What fills the backgrounds: tufts, rocks, trees, bubbles, weeds, clouds, far birds and fish. None of it
belongs to a species.

Things are painted in units of the picture (0..1, y down), so that they look the same at every size.
"""

from math import cos, radians, sin
from typing import NamedTuple

import numpy as np

from cnnviz_utils.data.drawn.drawing import Array, Canvas, fill


class Spot(NamedTuple):
    """Where a thing stands and how: `vary` (0..1) makes it a little different from others of its kind,
    `tint` (3,) is what the place adds to its colours.

    Behind the animal it finds its own height below the horizon. In front of it (`horizon` None) its foot is at y, and
    what it covers is taken out of the canvas's parts.
    """

    x: float
    y: float
    scale: float
    vary: float
    horizon: float | None
    tint: Array


def _put(canvas: Canvas, kind: str, knots: list[tuple[float, float, float]], colour: Array, opacity: float = 1.0,
         front: bool = False) -> None:
    """Paint one flat shape whose knots are in units of the picture."""
    knots = np.array(knots, np.float32) * np.float32(canvas.size)
    painted = fill(canvas, kind, knots, colour, opacity)
    if front and painted is not None:
        where, covered = painted
        np.copyto(canvas.parts[where], 0, where=covered >= 0.5)


def _oval(x: float, y: float, rx: float, ry: float) -> list[tuple[float, float, float]]:
    return [(x, y, 0), (x + rx, y, 0), (x, y + ry, 0)]


def _shade(rgb: tuple[float, float, float], tint: Array, factor: float = 1.0) -> Array:
    return np.minimum(np.maximum((tint + rgb) * factor, 0), 1).astype(np.float32)


def _foot(y: float, horizon: float | None) -> float:
    """Where a thing on the ground stands: its own y in front of the animal, else somewhere below the horizon."""
    return y if horizon is None else min(horizon, 0.93) + 0.02 + y * (0.98 - min(horizon, 0.93))


def tuft(canvas: Canvas, at: Spot) -> None:
    x, y, scale, vary, horizon, tint = at
    y, tall, lean = _foot(y, horizon), 0.16 * scale, 0.08 * (vary - 0.5)
    foot = (x, y, 0.018 * scale)
    blades = [(x - 0.5 * tall + lean, y - 0.75 * tall, 0.005), foot, (x + lean, y - 1.1 * tall, 0.005), foot,
              (x + 0.45 * tall + lean, y - 0.8 * tall, 0.005)]
    _put(canvas, "stroke", blades, _shade((0.33 + 0.08 * vary, 0.54, 0.25), tint), front=horizon is None)


def rock(canvas: Canvas, at: Spot) -> None:
    x, y, scale, vary, horizon, tint = at
    y, front = _foot(y, horizon), horizon is None
    grey = _shade((0.52 + 0.1 * vary, 0.50, 0.48), tint)
    points = [(-0.11, 0.02), (-0.08, -0.06), (0.0, -0.1 - 0.03 * vary), (0.07, -0.06), (0.11, 0.02), (-0.11, 0.02)]
    _put(canvas, "polygon", [(x + u * scale, y + v * scale, 0.02 * scale) for u, v in points], grey, front=front)
    lit = [(-0.07, -0.01), (-0.05, -0.06), (0.0, -0.09 - 0.03 * vary), (-0.01, -0.03), (-0.07, -0.01)]
    _put(canvas, "polygon", [(x + u * scale, y + v * scale, 0.01) for u, v in lit], np.minimum(grey * 1.15, 1))


def bush(canvas: Canvas, at: Spot) -> None:
    x, y, scale, vary, horizon, tint = at
    y, front = _foot(y, horizon), horizon is None
    crown = [(-0.1, -0.02, 0.055), (0, -0.07 - 0.02 * vary, 0.075), (0.1, -0.02, 0.055)]
    _put(canvas, "stroke", [(x + u * scale, y + v * scale, r * scale) for u, v, r in crown],
         _shade((0.32, 0.48, 0.26), tint), front=front)
    _put(canvas, "ellipse", _oval(x - 0.02 * scale, y - 0.09 * scale, 0.055 * scale, 0.04 * scale),
         _shade((0.40, 0.55, 0.31), tint))


def tree(canvas: Canvas, at: Spot) -> None:
    x, y, scale, vary, horizon, tint = at
    y = _foot(y * 0.4, horizon)
    _put(canvas, "stroke", [(x, y, 0.03 * scale), (x + 0.05 * (vary - 0.5), y - 0.75, 0.02 * scale)],
         _shade((0.38, 0.30, 0.24), tint))
    _put(canvas, "ellipse", _oval(x, y - 0.55 * scale, 0.17 * scale, 0.2 * scale), _shade((0.30, 0.46, 0.28), tint))
    _put(canvas, "ellipse", _oval(x + 0.06, y - 0.62 * scale, 0.12 * scale, 0.13 * scale),
         _shade((0.37, 0.53, 0.32), tint))


def fir(canvas: Canvas, at: Spot) -> None:
    x, y, scale, vary, horizon, tint = at
    y = _foot(y * 0.4, horizon)
    steps = ((0, 0), (0.12, 0), (0.05, -0.13), (0.09, -0.13), (0, -0.38))
    outline = [*((x + u * scale, y + v * scale) for u, v in steps),
               *((x - u * scale, y + v * scale) for u, v in steps[-2::-1])]
    _put(canvas, "polygon", [(*corner, 0.004) for corner in outline],
         _shade((0.28, 0.42, 0.38), tint, 0.9 + 0.25 * vary))


def cactus(canvas: Canvas, at: Spot) -> None:
    x, y, scale, vary, horizon, tint = at
    y, green = _foot(y, horizon), _shade((0.42, 0.56, 0.36), tint)
    side = 1 if vary > 0.5 else -1
    _put(canvas, "stroke", [(x, y, 0.028 * scale), (x, y - 0.26 * scale, 0.028 * scale)], green)
    _put(canvas, "stroke", [(x, y - 0.1 * scale, 0.018), (x + side * 0.08 * scale, y - 0.1 * scale, 0.018),
                            (x + side * 0.08 * scale, y - 0.19 * scale, 0.018)], green)


def drift(canvas: Canvas, at: Spot) -> None:
    x, y, scale, _turn, horizon, tint = at
    y, front = _foot(y, horizon), horizon is None
    _put(canvas, "ellipse", _oval(x, y + 0.02, 0.17 * scale, 0.09 * scale), _shade((0.84, 0.89, 0.95), tint),
         front=front)
    _put(canvas, "ellipse", _oval(x, y + 0.035, 0.16 * scale, 0.09 * scale), _shade((0.95, 0.97, 0.99), tint),
         front=front)


def flake(canvas: Canvas, at: Spot) -> None:
    x, y, scale, vary, _horizon, tint = at
    for i in range(3):
        u, v = (x + 0.31 * i) % 1, (y + 0.43 * i + 0.2 * vary) % 1
        _put(canvas, "ellipse", _oval(u, v, 0.011 * scale, 0.011 * scale), _shade((1, 1, 1), tint), 0.9)


def weed(canvas: Canvas, at: Spot) -> None:
    x, y, scale, vary, horizon, tint = at
    front, foot = horizon is None, y if horizon is None else 1.02
    tall = 0.3 * scale if front else (0.35 + 0.4 * y) * scale
    knots = [(x + 0.035 * sin(i * 1.3 + 6.28 * vary), foot - tall * i / 5, 0.024 * scale * (1 - i / 6))
             for i in range(6)]
    _put(canvas, "stroke", knots, _shade((0.24 + 0.16 * vary, 0.48, 0.30), tint), front=front)


def coral(canvas: Canvas, at: Spot) -> None:
    x, y, scale, vary, horizon, tint = at
    y, front = _foot(y, horizon), horizon is None
    colour = _shade(((0.85, 0.48, 0.45), (0.80, 0.55, 0.68), (0.90, 0.68, 0.42))[int(vary * 2.999)], tint)
    knots = [(x, y + 0.08 * scale, 0.032 * scale)]
    for lean in (-38, 4, 42):
        a = radians(lean - 90 + 20 * vary)
        knots += [(x, y, 0.028 * scale), (x + 0.17 * scale * cos(a), y + 0.17 * scale * sin(a), 0.022 * scale)]
    _put(canvas, "stroke", knots, colour, front=front)


def bubble(canvas: Canvas, at: Spot) -> None:
    x, y, scale, vary, horizon, tint = at
    if horizon is None:
        y -= 0.06
    for i, r in enumerate((0.04, 0.022)):
        u, v = x + 0.07 * i * (vary - 0.4), y - 0.08 * i * scale
        r *= 1.5 * scale if horizon is None else scale
        _put(canvas, "ellipse", _oval(u, v, r, r), _shade((0.72, 0.88, 0.95), tint), 0.85, horizon is None)
        _put(canvas, "ellipse", _oval(u - 0.3 * r, v - 0.3 * r, 0.35 * r, 0.35 * r), _shade((0.97, 0.99, 1), tint))


def minnow(canvas: Canvas, at: Spot) -> None:
    x, y, _scale, vary, _horizon, tint = at
    side = 1 if vary > 0.5 else -1
    for i in range(2):
        u, v = (x + 0.11 * i) % 1, (y + 0.07 * (i % 2)) % 1
        _put(canvas, "stroke", [(u - side * 0.025, v, 0.004), (u, v, 0.013), (u + side * 0.02, v, 0.006)],
             _shade((0.62, 0.74, 0.80), tint), 0.8)


def ray(canvas: Canvas, at: Spot) -> None:
    x, _y, scale, vary, _horizon, tint = at
    foot = x + 0.5 * (vary - 0.5)
    _put(canvas, "stroke", [(x, -0.05, 0.03), (foot, 1.2, 0.12 * scale)], _shade((0.80, 0.93, 0.95), tint), 0.13)


def cloud(canvas: Canvas, at: Spot) -> None:
    x, y, scale, vary, horizon, tint = at
    front, size = horizon is None, scale * (0.6 if horizon is None else 1.0)
    white, y = _shade((0.96, 0.96, 0.97), tint, 0.93), y if front else 0.05 + 0.6 * y
    puffs = [(-0.13, 0.02, 0.035), (-0.05, -0.02, 0.065), (0.03, -0.03 - 0.02 * vary, 0.07), (0.09, 0.0, 0.05),
             (0.16, 0.025, 0.03)]
    _put(canvas, "stroke", [(x + u * size, y + v * size, r * size) for u, v, r in puffs], white, 1.0 if front else 0.75,
         front)


def gull(canvas: Canvas, at: Spot) -> None:
    x, y, scale, vary, _horizon, tint = at
    for i in range(2):
        u, v, w = (x + 0.14 * i) % 1, 0.05 + 0.5 * y + 0.05 * i, 0.035 * scale
        _put(canvas, "stroke", [(u - w, v - 0.6 * w * vary, 0.005), (u - 0.4 * w, v - 0.5 * w, 0.006), (u, v, 0.006),
                                (u + 0.4 * w, v - 0.5 * w, 0.006), (u + w, v - 0.6 * w * vary, 0.005)],
             _shade((0.33, 0.35, 0.42), tint))


def sun(canvas: Canvas, at: Spot) -> None:
    x, y, scale, _turn, _horizon, tint = at
    _disc(canvas, x, 0.1 + 0.25 * y, 0.07 * scale, _shade((1.0, 0.90, 0.62), tint))


def moon(canvas: Canvas, at: Spot) -> None:
    x, y, scale, _turn, _horizon, tint = at
    _disc(canvas, x, 0.1 + 0.25 * y, 0.06 * scale, _shade((0.93, 0.92, 0.84), tint))


def _disc(canvas: Canvas, x: float, y: float, r: float, colour: Array) -> None:
    _put(canvas, "ellipse", _oval(x, y, 1.5 * r, 1.5 * r), colour, 0.25)
    _put(canvas, "ellipse", _oval(x, y, r, r), colour)


def star(canvas: Canvas, at: Spot) -> None:
    x, y, _scale, vary, _horizon, tint = at
    for i in range(3):
        u, v = (x + 0.37 * i) % 1, (y + 0.23 * i + 0.3 * vary * i) % 0.9
        r = 0.006 + 0.004 * ((i + vary) % 1)
        _put(canvas, "ellipse", _oval(u, v, r, r), _shade((0.95, 0.95, 0.85), tint))


THINGS = {thing.__name__: thing for thing in (
    tuft, rock, bush, tree, fir, cactus, drift, flake, weed, coral,
    bubble, minnow, ray, cloud, gull, sun, moon, star)}
