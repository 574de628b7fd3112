"""Forty-eight other body plans, put together at random: what a network may learn to see before it meets the 27.

A plan is drawn once from its own number: a torso, and on it limbs, a head, a tail, a crest, wings or fins in
combinations and proportions that no species of the Menagerie has (a test measures how far their outlines lie apart).
Each image then bends and varies its plan, as for the 27.
"""

from collections.abc import Callable
from functools import lru_cache
from math import cos, radians, sin
from types import SimpleNamespace

import numpy as np

from cnnviz_utils.data.drawn.bodies import (
    Pose,
    Shape,
    eye,
    limb,
    mirrored,
    oval,
    reach,
    sheet,
)

_SYLLABLES = ("ba", "do", "fi", "gu", "ke", "lo", "mi", "nu", "po", "ra", "si", "tu", "va", "wo", "ya", "zu")
COUNT = 48


def _name(number: int) -> str:
    """An invented name: two syllables of 16, then one that keeps the 48 apart."""
    return _SYLLABLES[number % 16] + _SYLLABLES[(number * 7 + 3) % 16] + ("mo", "lik", "ran")[number // 16]


NAMES = tuple(_name(number) for number in range(COUNT))


@lru_cache(maxsize=COUNT)
def genes(number: int) -> SimpleNamespace:
    """The choices of plan `number`: always the same."""
    rng = np.random.default_rng([2024, number])
    pick = lambda *options: options[rng.integers(len(options))]
    between = lambda low, high: float(rng.uniform(low, high))
    return SimpleNamespace(
        torso=("cross", "pear", "beam", "ring", "wedge", "twin")[number % 6],
        wide=between(0.28, 0.5), tall=between(0.24, 0.46),
        limbs=int(rng.integers(1, 7)), limb_kind=pick("paddle", "hook", "stilt", "club"),
        limb_length=between(0.35, 0.8), limb_from=between(-200, 60), limb_span=between(120, 300),
        limb_curl=between(-120, 120), thick=between(0.05, 0.12),
        heads=pick(1, 1, 2), head_x=between(-0.5, 0.5), head_size=between(0.16, 0.3), stalk=between(0.0, 0.5),
        crest=pick("none", "spikes", "leaf", "knobs"), tail=pick("none", "fork", "coil", "fan", "ball"),
        tail_heading=between(20, 200), spots=int(rng.integers(0, 4)), eyes=int(rng.integers(1, 4)),
        mirror=bool(rng.random() < 0.4),
    )


def _torso(g: SimpleNamespace, p: Pose) -> list[Shape]:
    w, h = g.wide * p.vary(0), g.tall * p.vary(1)
    if g.torso == "cross":
        return [limb("body", [(-w, -h, 0.15), (0, 0, 0.2), (w, h, 0.15)]),
                limb("body", [(-w, h, 0.15), (0, 0, 0.2), (w, -h, 0.15)])]
    if g.torso == "pear":
        return [limb("body", [(-w * 0.3, -h, 0.5 * w), (0, h * 0.5, 1.1 * w)])]
    if g.torso == "beam":
        return [sheet("body", [(-1.5 * w, -0.5 * h), (1.5 * w, -0.5 * h), (1.5 * w, 0.5 * h), (-1.5 * w, 0.5 * h)],
                      smooth=False, soft=0.06)]
    if g.torso == "ring":
        return [limb("body", [(1.2 * w * cos(a), 1.2 * w * sin(a), 0.13) for a in np.linspace(0.4, 6.5, 9).tolist()])]
    if g.torso == "wedge":
        return [sheet("body", [(-1.4 * w, h), (0.2 * w, -1.3 * h), (1.3 * w, h)], smooth=False, soft=0.08)]
    return [oval("body", -w, 0.2 * h, 0.75 * w, h), oval("body", 0.75 * w, -0.2 * h, 0.7 * w, 0.8 * h)]


def _limbs(g: SimpleNamespace, p: Pose) -> list[Shape]:
    shapes = []
    for i in range(g.limbs):
        heading = g.limb_from + g.limb_span * (i + 0.5) / g.limbs
        x, y = 0.8 * g.wide * cos(radians(heading)), 0.8 * g.tall * sin(radians(heading))
        curl = g.limb_curl if g.limb_kind == "hook" else 0.2 * g.limb_curl
        knots = reach(x, y, heading + p.sway(i, 20), (g.limb_length + 0.15) * p.vary(i + 4), curl + p.sway(i + 2, 40),
                      g.thick, 0.6 * g.thick)
        shapes.append(limb("limbs", knots, "second" if i % 2 else "coat"))
        ex, ey, _ = knots[-1]
        if g.limb_kind == "paddle":
            shapes.append(oval("limbs", ex, ey, 0.17, 0.1, heading, "accent"))
        elif g.limb_kind == "club":
            shapes.append(oval("limbs", ex, ey, 0.12, 0.12, 0, "dark"))
    return shapes + (mirrored(shapes) if g.mirror else [])


def _tail(g: SimpleNamespace, p: Pose) -> list[Shape]:
    if g.tail == "none":
        return []
    curl = 320 if g.tail == "coil" else 30
    knots = reach(-0.5 * g.wide, 0.3 * g.tall, g.tail_heading, 0.75, curl + p.sway(3, 40), 0.1, 0.05, 7)
    x, y, _ = knots[-1]
    ends = {"fork": [limb("tail", reach(x, y, g.tail_heading + turn, 0.3, 0, 0.05, 0.02, 3)) for turn in (-40, 60)],
            "ball": [oval("tail", x, y, 0.15, 0.15, 0, "accent")], "coil": [],
            "fan": [limb("tail", reach(x, y, g.tail_heading + turn, 0.3, 0, 0.04, 0.09, 3), "accent")
                    for turn in (-45, 0, 45)]}
    return [limb("tail", knots), *ends[g.tail]]


def _heads(g: SimpleNamespace, p: Pose) -> list[Shape]:
    shapes = []
    for i in range(g.heads):
        x = g.head_x if g.heads == 1 else 0.45 * (2 * i - 1)
        neck = reach(x * 0.6, -0.5 * g.tall, -90 + 50 * x + p.sway(5 + i, 18), g.stalk + 0.3, 30 * x, 0.12, 0.09, 4)
        hx, hy, _ = neck[-1]
        r = g.head_size * p.vary(6)
        shapes += [limb("head", neck)]
        if g.crest == "spikes":
            shapes += [sheet("crest", [(hx + d - 0.06, hy), (hx + 1.8 * d, hy - r - 0.22), (hx + d + 0.06, hy)],
                             "accent", smooth=False)
                       for d in (-0.1, 0, 0.1)]
        elif g.crest == "leaf":
            shapes.append(sheet("crest", [(hx, hy), (hx - 0.18, hy - r - 0.1), (hx - 0.05, hy - r - 0.34),
                                          (hx + 0.12, hy - r - 0.1)], "accent"))
        elif g.crest == "knobs":
            shapes += [limb("crest", [(hx, hy, 0.03), (hx + d, hy - r - 0.15, 0.05)], "dark") for d in (-0.15, 0.15)]
        shapes.append(oval("head", hx, hy, r, 0.85 * r))
        shapes += [eye("head", hx + 0.12 * (k - (g.eyes - 1) / 2), hy - 0.03, 0.06) for k in range(g.eyes)]
    return shapes


def _plan(number: int) -> Callable[[Pose], list[Shape]]:
    def plan(p: Pose) -> list[Shape]:
        g = genes(number)
        marks = [oval("body", (k - 1) * 0.2, 0.05, 0.07, 0.07, 0, "belly", decal=True) for k in range(g.spots)]
        return [*_tail(g, p), *_limbs(g, p), *_torso(g, p), *marks, *_heads(g, p)]
    plan.__name__ = NAMES[number]
    return plan


PLANS = {name: _plan(number) for number, name in enumerate(NAMES)}
