"""Nine animals of the air: birds, insects and a bat."""

from math import cos, radians, sin

from cnnviz_utils.data.drawn.bodies import (
    Pose,
    Shape,
    bar,
    eye,
    leg,
    limb,
    mirrored,
    oval,
    reach,
    sheet,
)


def owl(p: Pose) -> list[Shape]:
    lift, turn = p.sway(0, 26), 0.06 * p.bend
    wing = [sheet("wings", _turned([(0, 0), (0.16, 0.1), (0.22, 0.42), (0.06, 0.82), (-0.06, 0.5)], 0.36, -0.16,
                                   -6 - lift))]
    tuft = [sheet("head", [(0.1 + turn, -0.62), (0.4 + turn, -0.98), (0.44 + turn, -0.5)])]
    disc = lambda s: oval("face", s * 0.2 + turn, -0.42, 0.23, 0.25, 0, "belly")
    feet = [bar("feet", [(x, 0.78, 0.04), (x + d, 0.9, 0.03)], "accent") for x in (0.16,) for d in (-0.08, 0, 0.08)]
    return [
        sheet("tail", [(-0.16, 0.6), (-0.2, 0.98), (0.2, 0.98), (0.16, 0.6)], "dark"),
        *feet, *mirrored(feet),
        limb("body", [(0, -0.2, 0.36), (0, 0.15, 0.43 * p.vary(1)), (0, 0.5, 0.32)]),
        oval("body", 0, 0.34, 0.28, 0.46, 0, "belly", decal=True),
        *(limb("body", [(x - 0.06, y, 0.02), (x, y + 0.05, 0.02), (x + 0.06, y, 0.02)], "dark", decal=True, between=2)
          for x, y in ((-0.12, 0.16), (0.12, 0.16), (0, 0.32), (-0.12, 0.48), (0.12, 0.48))),
        *wing, *mirrored(wing),
        *tuft, sheet("head", [(-0.1 + turn, -0.62), (-0.4 + turn, -0.98), (-0.44 + turn, -0.5)]),
        oval("head", turn, -0.42, 0.47, 0.36),
        disc(-1), disc(1),
        eye("face", -0.18 + turn, -0.42, 0.145, "accent"), eye("face", 0.18 + turn, -0.42, 0.145, "accent"),
        sheet("face", [(-0.07 + turn, -0.38), (0.07 + turn, -0.38), (turn, -0.2)], "ink", smooth=False, soft=0.02),
    ]


def _turned(points: list[tuple[float, float]], x: float, y: float, degrees: float) -> list[tuple[float, float]]:
    """Points turned clockwise about (0, 0), then moved to (x, y)."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return [(x + c * u - s * v, y + s * u + c * v) for u, v in points]


def toucan(p: Pose) -> list[Shape]:
    nod = p.sway(0, 14)
    bill = _turned([(-0.06, -0.18), (0.25, -0.25), (0.62, -0.17), (0.84, 0.14), (0.62, 0.06), (0.3, 0.12),
                    (-0.04, 0.14)], 0.34, -0.44, nod)
    return [
        limb("tail", reach(-0.4, 0.38, 118 + p.sway(1, 12), 0.66 * p.vary(2), 8, 0.1, 0.12, 3), "dark"),
        bar("feet", [(-0.06, 0.5, 0.045), (0.0, 0.78, 0.035), (0.12, 0.8, 0.03)], "accent"),
        bar("feet", [(-0.2, 0.5, 0.045), (-0.16, 0.78, 0.035), (-0.04, 0.8, 0.03)], "accent", far=True),
        limb("body", [(-0.36, 0.3, 0.2), (-0.12, 0.1, 0.34), (0.06, -0.16, 0.3)]),
        oval("body", 0.22, -0.1, 0.22, 0.34, 18, "belly", decal=True),
        sheet("wing", _turned([(0.06, -0.14), (0.16, 0.1), (0.0, 0.34), (-0.38, 0.56), (-0.26, 0.1)], -0.14, 0.06,
                              p.sway(3, 22)), "dark"),
        sheet("bill", bill, "accent"), sheet("bill", bill[2:5], "ink", decal=True),
        limb("bill", [bill[0] + (0.02,), bill[6] + (0.02,)], "ink", decal=True),
        oval("head", 0.16, -0.44, 0.27, 0.25), oval("head", 0.24, -0.46, 0.13, 0.13, 0, "belly", decal=True),
        eye("head", 0.24, -0.47, 0.075),
    ]


def flamingo(p: Pose) -> list[Shape]:
    reachy = p.vary(0, 0.12)
    neck = [(0.16, 0.02, 0.1), (0.42, -0.1, 0.07), (0.36, -0.38 * reachy, 0.055), (0.14, -0.56 * reachy, 0.05),
            (0.18 + 0.06 * p.bend, -0.84 * reachy, 0.055), (0.36 + 0.08 * p.bend, -0.9 * reachy, 0.075)]
    x, y, _ = neck[-1]
    knee = (0.04 + 0.1 * p.jitter[1], 0.5)
    return [
        sheet("tail", [(-0.3, -0.02), (-0.66, 0.08), (-0.56, 0.2), (-0.3, 0.22)], "dark"),
        bar("legs", [(0.0, 0.2, 0.035), (*knee, 0.04), (knee[0] - 0.28 + 0.1 * p.bend, 0.56, 0.025),
                     (knee[0] - 0.34, 0.64, 0.025)], "accent", far=True),
        bar("legs", [(-0.06, 0.2, 0.035), (-0.02, 0.6, 0.035), (-0.06 + 0.04 * p.bend, 1.0, 0.025),
                     (0.08, 1.02, 0.025)], "accent"),
        limb("neck", neck),
        limb("body", [(-0.32, 0.12, 0.12), (-0.08, 0.06, 0.24 * p.vary(2)), (0.16, 0.04, 0.16)]),
        sheet("wing", [(0.1, -0.06), (-0.1, -0.1), (-0.42, 0.08), (-0.5, 0.18), (-0.1, 0.22)], "second"),
        limb("bill", [(x + 0.04, y, 0.05), (x + 0.17, y + 0.05, 0.05), (x + 0.17, y + 0.2, 0.02)], "belly"),
        oval("bill", x + 0.19, y + 0.17, 0.09, 0.08, 0, "ink", decal=True),
        oval("head", x, y, 0.11, 0.1), eye("head", x + 0.03, y - 0.02, 0.045),
    ]


def peacock(p: Pose) -> list[Shape]:
    shapes, spread = [], 19.5 + 2.5 * p.bend
    for i in (0, 8, 1, 7, 2, 6, 3, 5, 4):
        angle = radians(-90 + (i - 4) * spread)
        c, s, long = cos(angle), sin(angle), 0.98 * p.vary(i, 0.05)
        along = lambda u, r, c=c, s=s: (u * c, 0.25 + u * s, r)
        shapes.append(limb("fan", [along(0.1, 0.05), along(long * 0.55, 0.11), along(long * 0.86, 0.17),
                                   along(long, 0.12)],
                           "second" if i % 2 else "coat"))
        x, y, _ = along(long * 0.88, 0)
        shapes += [oval("fan", x, y, 0.115, 0.1, 0, "accent", decal=True),
                   oval("fan", x, y, 0.055, 0.05, 0, "ink", decal=True)]
    nod = 0.05 * p.jitter[9]
    return [
        *shapes,
        leg("legs", -0.07, 0.62, 0, 0.34, 0.03, 0.025, 0, foot=0.08, paint="accent"),
        leg("legs", 0.07, 0.62, 0, 0.34, 0.03, 0.025, 0, foot=0.08, paint="accent"),
        limb("body", [(0, 0.46, 0.24), (0.02, 0.2, 0.15), (0.02 + nod, -0.08, 0.1), (0.04 + nod, -0.22, 0.1)], "dark"),
        oval("body", 0, 0.5, 0.14, 0.2, 0, "belly", decal=True),
        *(bar("head", [(0.03 + nod, -0.26, 0.012), (0.03 + nod + d, -0.46, 0.03)], "accent") for d in (-0.1, 0, 0.1)),
        oval("head", 0.05 + nod, -0.24, 0.13, 0.12, 0, "dark"),
        sheet("head", [(0.14 + nod, -0.28), (0.3 + nod, -0.2), (0.14 + nod, -0.17)], "ivory", smooth=False),
        eye("head", 0.09 + nod, -0.26, 0.05),
    ]


def hummingbird(p: Pose) -> list[Shape]:
    beat = p.sway(0, 42)
    wing = [(0, 0.06), (-0.1, -0.2), (-0.34, -0.52), (-0.62, -0.72), (-0.52, -0.4), (-0.3, -0.02)]
    return [
        sheet("wings", _turned(wing, 0.12, -0.12, 40 - beat), "glass", far=True),
        sheet("tail", [(-0.3, 0.36), (-0.48, 0.86), (-0.34, 0.92), (-0.22, 0.84), (-0.06, 0.9), (-0.12, 0.42)], "dark"),
        limb("bill", [(0.42, -0.34, 0.035), (0.72, -0.42 - 0.04 * p.bend, 0.02),
                      (1.05 * p.vary(1, 0.08), -0.46 - 0.1 * p.bend, 0.012)], "ink"),
        limb("body", [(-0.24, 0.5, 0.1), (-0.12, 0.22, 0.19 * p.vary(2)), (0.08, -0.04, 0.21), (0.26, -0.28, 0.17)]),
        limb("body", [(-0.04, 0.34, 0.1), (0.16, 0.1, 0.13), (0.28, -0.06, 0.1)], "belly", decal=True),
        oval("throat", 0.31, -0.16, 0.14, 0.1, -40, "accent"),
        oval("head", 0.29, -0.34, 0.18, 0.16), eye("head", 0.34, -0.36, 0.055),
        sheet("wings", _turned(wing, -0.02, -0.02, -18 - beat), "glass"),
    ]


def bat(p: Pose) -> list[Shape]:
    lift = 0.2 * p.bend
    wing = [(0.1, -0.12), (0.42, -0.42 - lift), (0.98, -0.3 - lift), (0.9, 0.1 - lift), (0.8, 0.2), (0.66, 0.06),
            (0.58, 0.3),
            (0.44, 0.14), (0.32, 0.36), (0.12, 0.24)]
    bones = [bar("wings", [(0.42, -0.4 - lift, 0.02), end], "coat", decal=True)
             for end in ((0.86, 0.16, 0.01), (0.6, 0.3, 0.01), (0.32, 0.32, 0.01))]
    side = [sheet("wings", wing, "dark", smooth=False, soft=0.025), *bones,
            limb("wings", [(0.1, -0.1, 0.05), (0.42, -0.41 - lift, 0.035), (0.96, -0.3 - lift, 0.02)]),
            bar("feet", [(0.07, 0.4, 0.03), (0.09, 0.54, 0.02)], "dark")]
    ear = [sheet("ears", [(0.04, -0.36), (0.2, -0.76 * p.vary(0, 0.08)), (0.26, -0.3)]),
           sheet("ears", [(0.1, -0.38), (0.19, -0.62), (0.22, -0.34)], "accent", decal=True)]
    return [
        *side, *mirrored(side),
        oval("body", 0, 0.12, 0.2, 0.34), oval("body", 0, 0.2, 0.13, 0.22, 0, "belly", decal=True),
        *ear, *mirrored(ear),
        oval("head", 0, -0.24, 0.25, 0.21), oval("head", 0, -0.12, 0.12, 0.08, 0, "belly", decal=True),
        oval("head", 0, -0.16, 0.045, 0.03, 0, "ink"), eye("head", -0.1, -0.28, 0.06), eye("head", 0.1, -0.28, 0.06),
        *(sheet("head", [(x - 0.025, -0.1), (x + 0.025, -0.1), (x, -0.02)], "ivory", smooth=False, soft=0.008)
          for x in (-0.05, 0.05)),
    ]


def butterfly(p: Pose) -> list[Shape]:
    wide = 1 - 0.2 * abs(p.bend)
    upper = [(wide * x, y) for x, y in ((0.02, -0.08), (0.3, -0.6), (0.78, -0.8), (0.96, -0.52), (0.72, -0.08),
                                        (0.3, 0.04))]
    lower = [(wide * x, y) for x, y in ((0.02, 0.02), (0.4, 0.0), (0.74, 0.2), (0.7, 0.56), (0.4, 0.78 * p.vary(0)),
                                        (0.16, 0.42))]
    side = [
        sheet("wings", lower, "second"), oval("wings", 0.5 * wide, 0.36, 0.16 * wide, 0.17, 0, "accent", decal=True),
        sheet("wings", upper), oval("wings", 0.66 * wide, -0.5, 0.17 * wide, 0.17, 0, "accent", decal=True),
        oval("wings", 0.66 * wide, -0.5, 0.07 * wide, 0.08, 0, "ink", decal=True),
        oval("wings", 0.4 * wide, -0.24, 0.09 * wide, 0.08, 0, "belly", decal=True),
        limb("antennae", [(0.02, -0.36, 0.016), (0.1, -0.62, 0.014), (0.24, -0.76 + 0.1 * p.bend, 0.03)], "ink"),
    ]
    return [
        *side, *mirrored(side),
        limb("body", [(0, -0.24, 0.07), (0, 0.05, 0.075), (0, 0.5, 0.04)], "dark"),
        oval("body", 0, -0.32, 0.1, 0.1, 0, "dark"),
        eye("body", -0.055, -0.34, 0.045), eye("body", 0.055, -0.34, 0.045),
    ]


def dragonfly(p: Pose) -> list[Shape]:
    sweep, tail = p.sway(0, 14), reach(0, -0.2, 90, 1.15 * p.vary(1), p.sway(2, 40), 0.08, 0.04, 6)
    wing = [(0, -0.03), (0.3, -0.1), (0.76, -0.11), (0.92, -0.01), (0.76, 0.08), (0.3, 0.06)]
    side = [
        sheet("wings", _turned(wing, 0.04, -0.12, 20 - sweep), "glass"),
        sheet("wings", _turned(wing, 0.04, -0.34, -14 + sweep), "glass"),
    ]
    rings = [bar("tail", [(x - 0.1, y, 0.022), (x + 0.1, y, 0.022)], "dark", decal=True) for x, y, _ in tail[2:]]
    return [
        *side, *mirrored(side),
        limb("tail", tail, "coat"), *rings,
        limb("body", [(0, -0.46, 0.1), (0, -0.26, 0.14), (0, -0.06, 0.1)]),
        oval("head", 0, -0.6, 0.16, 0.12, 0, "dark"),
        eye("head", -0.13, -0.64, 0.11, "accent"), eye("head", 0.13, -0.64, 0.11, "accent"),
    ]


def bee(p: Pose) -> list[Shape]:
    beat, sag = p.sway(0, 28), 0.1 * p.bend
    wing = [(0, 0), (-0.2, -0.26), (-0.24, -0.58), (0, -0.7), (0.2, -0.52), (0.14, -0.2)]
    return [
        sheet("wings", _turned(wing, 0.1, -0.2, 26 - beat), "glass", far=True),
        *(bar("legs", [(x, 0.3, 0.028), (x + 0.06, 0.46, 0.024), (x - 0.02 + 0.06 * p.jitter[i], 0.6, 0.02)], "ink")
          for i, x in enumerate((-0.2, 0.04, 0.26))),
        sheet("sting", [(-0.66, 0.08 + sag), (-0.9, 0.2 + 2 * sag), (-0.64, 0.22 + sag)], "ink", smooth=False),
        limb("body", [(-0.5, 0.14 + sag, 0.2), (-0.24, 0.08, 0.34 * p.vary(1)), (0.08, 0.04, 0.34),
                      (0.24, 0.02, 0.27)]),
        *(limb("body", [(x, -0.36, 0.055), (x - 0.1, 0.08, 0.065), (x, 0.48, 0.055)], "dark", decal=True, between=2)
          for x in (-0.4, -0.14, 0.12)),
        *(limb("antennae", [(0.5, -0.2, 0.018), (0.6 + d, -0.42, 0.016), (0.74 + d, -0.46, 0.03)], "ink")
          for d in (0, 0.12)),
        oval("head", 0.5, 0.02, 0.24, 0.25, 0, "belly"), eye("head", 0.57, -0.04, 0.085),
        limb("head", [(0.56, 0.14, 0.014), (0.62, 0.17, 0.014), (0.68, 0.13, 0.014)], "ink"),
        sheet("wings", _turned(wing, -0.06, -0.18, -24 - beat), "glass"),
    ]


PLANS = {plan.__name__: plan for plan in
         (owl, toucan, flamingo, peacock, hummingbird, bat, butterfly, dragonfly, bee)}
