"""Twelve places, four a realm: sky or water, ground, clutter behind the animal, and
something that may stand in front.

A place is painted in units of the picture (0..1, y down), so it looks the same at every
size. Its colours are muted, and its clutter (tufts, rocks, bubbles, far birds and fish)
holds nothing that is part of a species.
"""

import numpy as np

from cnnviz_utils.data.drawn.clutter import THINGS, Spot
from cnnviz_utils.data.drawn.drawing import Array, Canvas, blend, cloud_tile, cover
from cnnviz_utils.data.drawn.looks import Dice

PLACES = {
    "land": ("meadow", "desert", "forest", "snow"),
    "water": ("sea_floor", "open_water", "reef", "kelp"),
    "air": ("sky", "clouds", "dusk", "night"),
}
BACKGROUNDS = tuple(kind for kinds in PLACES.values() for kind in kinds)

# top and bottom of the sky or water, the ground (None: there is none), clutter behind,
# what may stand in front
_SCENES: dict[str, tuple] = {
    "meadow": (
        (0.60, 0.78, 0.90),
        (0.86, 0.92, 0.86),
        (0.50, 0.67, 0.34),
        ("cloud", "tuft", "tuft", "bush"),
        "tuft",
    ),
    "desert": (
        (0.70, 0.82, 0.88),
        (0.96, 0.90, 0.76),
        (0.87, 0.74, 0.50),
        ("sun", "rock", "rock", "cactus"),
        "rock",
    ),
    "forest": (
        (0.55, 0.68, 0.56),
        (0.74, 0.80, 0.62),
        (0.40, 0.46, 0.28),
        ("tree", "tree", "bush", "tuft"),
        "bush",
    ),
    "snow": (
        (0.62, 0.73, 0.84),
        (0.80, 0.86, 0.92),
        (0.87, 0.91, 0.96),
        ("fir", "fir", "flake", "flake"),
        "drift",
    ),
    "sea_floor": (
        (0.25, 0.55, 0.70),
        (0.45, 0.72, 0.76),
        (0.78, 0.72, 0.54),
        ("rock", "weed", "bubble", "rock"),
        "rock",
    ),
    "open_water": (
        (0.42, 0.72, 0.84),
        (0.10, 0.32, 0.55),
        None,
        ("ray", "bubble", "minnow", "bubble"),
        "bubble",
    ),
    "reef": (
        (0.30, 0.68, 0.74),
        (0.22, 0.50, 0.64),
        (0.66, 0.56, 0.56),
        ("coral", "coral", "minnow", "weed"),
        "coral",
    ),
    "kelp": (
        (0.36, 0.60, 0.52),
        (0.12, 0.34, 0.36),
        None,
        ("weed", "weed", "weed", "bubble"),
        "weed",
    ),
    "sky": (
        (0.40, 0.66, 0.90),
        (0.78, 0.90, 0.97),
        None,
        ("cloud", "cloud", "gull", "sun"),
        "cloud",
    ),
    "clouds": (
        (0.66, 0.74, 0.84),
        (0.92, 0.93, 0.95),
        None,
        ("cloud", "cloud", "cloud", "gull"),
        "cloud",
    ),
    "dusk": (
        (0.36, 0.34, 0.56),
        (0.97, 0.66, 0.46),
        None,
        ("sun", "cloud", "gull", "gull"),
        "cloud",
    ),
    "night": (
        (0.10, 0.12, 0.28),
        (0.28, 0.32, 0.52),
        None,
        ("moon", "star", "star", "cloud"),
        "cloud",
    ),
}


def choose(dice: Dice, realm: str, shortcut: float) -> str:
    """A place: with probability `shortcut` one of the realm's own, otherwise any of the
    twelve."""
    own, mine, any_of = (
        dice.chance(shortcut),
        dice.pick(PLACES[realm]),
        dice.pick(BACKGROUNDS),
    )
    return mine if own else any_of


def paint_place(canvas: Canvas, kind: str, dice: Dice, clutter: bool = True) -> None:
    """Fill the canvas with a place: sky or water, ground, and clutter if wanted."""
    top, bottom, ground, things, _ = _SCENES[kind]
    size = canvas.size
    tint = np.array([dice.between(-0.05, 0.05) for _ in range(3)]) + dice.between(
        -0.08, 0.05
    )
    row, column = int(dice.between(0, size)), int(dice.between(0, size))
    horizon, steep, wave = (
        dice.between(0.5, 0.8),
        dice.between(-0.05, 0.05),
        dice.between(0, 6.28),
    )
    texture = cloud_tile(size)[row : row + size, column : column + size]
    high, low = (
        (tint + rgb).astype(np.float32)[:, None, None] for rgb in (top, bottom)
    )
    np.add(
        high + (low - high) * (canvas.y / np.float32(size)),
        texture * np.float32(0.05),
        out=canvas.pixels,
    )
    if ground is None:
        horizon = 1.0
    else:
        _paint_ground(canvas, tint + ground, texture, horizon, steep, wave)
    for thing in things:
        x, y, scale, vary = (
            dice.between(0.02, 0.98),
            dice.between(0, 1),
            dice.between(0.75, 1.3),
            dice.between(0, 1),
        )
        if dice.chance(0.8) and clutter:
            THINGS[thing](canvas, Spot(x, y, scale, vary, horizon, tint))


def _paint_ground(
    canvas: Canvas,
    colour: Array,
    texture: Array,
    horizon: float,
    steep: float,
    wave: float,
) -> None:
    """Rolling ground below the horizon (0..1), darker towards the viewer."""
    size = canvas.size
    across = canvas.x * np.float32(1 / size)
    rows = slice(int((horizon - 0.08) * size), size)
    hills = np.sin(across * 5 + np.float32(wave)) * np.float32(steep)
    hills += np.sin(across * 13 + np.float32(2 * wave)) * np.float32(0.02)
    depth = canvas.y[rows] / np.float32(size) - np.float32(horizon) - hills
    shade = (
        np.float32(1.04) - np.float32(0.35) * depth + np.float32(0.1) * texture[rows]
    )
    colour = colour.astype(np.float32)[:, None, None] * shade
    blend(canvas, (rows, slice(0, size)), cover(depth * np.float32(-size)), colour)


def paint_front(
    canvas: Canvas, kind: str, x: float, y: float, scale: float, vary: float
) -> None:
    """Stand the place's own thing in front of what is painted, about (x, y) (0..1), and
    take what it covers out of the parts."""
    THINGS[_SCENES[kind][4]](canvas, Spot(x, y, scale, vary, None, np.zeros(3)))
