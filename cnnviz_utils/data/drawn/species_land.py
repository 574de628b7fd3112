"""Nine animals of the land, in side view, looking right."""

from math import cos, radians, sin

from cnnviz_utils.data.drawn.bodies import (
    Pose,
    Shape,
    bar,
    eye,
    four_legs,
    leg,
    limb,
    oval,
    reach,
    sheet,
)


def elephant(p: Pose) -> list[Shape]:
    far, near = four_legs(p, -0.42, 0.22, 0.15, 0.62, 0.15, 0.12, knee=4, swing=11)
    trunk = reach(0.78, -0.18, 62, 0.95 * p.vary(0), -20 + p.sway(1, 95), 0.14, 0.055, 6)
    return [
        limb("tail", reach(-0.66, -0.12, 110, 0.42, p.sway(2, 40), 0.035, 0.025), "dark"),
        *far,
        oval("body", -0.12, 0, 0.6, 0.43 * p.vary(3)), oval("body", -0.12, 0.28, 0.5, 0.2, 0, "belly", decal=True),
        *near,
        limb("tusks", reach(0.72, 0.0, 65, 0.38, -70, 0.045, 0.012), "ivory", far=True),
        oval("head", 0.6, -0.26, 0.29, 0.3), limb("trunk", trunk),
        limb("tusks", reach(0.66, 0.02, 65, 0.4, -75, 0.05, 0.012), "ivory"),
        sheet("ears", [(0.5, -0.5), (0.3, -0.55), (0.12, -0.38), (0.16, -0.08), (0.34, 0.1), (0.45, -0.1)]),
        oval("ears", 0.3, -0.25, 0.1, 0.2, 10, "accent", decal=True),
        eye("head", 0.68, -0.3, 0.06),
    ]


def giraffe(p: Pose) -> list[Shape]:
    far, near = four_legs(p, -0.45, 0.05, 0.2, 0.72, 0.075, 0.04, swing=14, hoof=0.05)
    neck = reach(0.05, 0.08, -66 + p.sway(0, 14), 0.95 * p.vary(1), p.sway(2, 26), 0.16, 0.075)
    x, y, _ = neck[-1]
    return [
        limb("tail", [*reach(-0.5, 0.05, 120, 0.4, p.sway(3, 40), 0.025, 0.02, 4)], "dark"),
        *far,
        limb("neck", [(kx - 0.05, ky - 0.03, r) for kx, ky, r in neck], "dark"),
        limb("body", [(-0.42, 0.17, 0.18), (-0.18, 0.12, 0.2), (0.04, 0.1, 0.2)]),
        *near,
        limb("neck", neck),
        bar("head", [(x - 0.02, y, 0.022), (x - 0.05, y - 0.19, 0.03)], "dark"),
        bar("head", [(x + 0.05, y, 0.022), (x + 0.05, y - 0.19, 0.03)], "dark"),
        sheet("head", [(x - 0.06, y - 0.03), (x - 0.2, y - 0.12), (x - 0.2, y - 0.02)], "belly"),
        limb("head", [(x - 0.01, y - 0.02, 0.1), (x + 0.14, y + 0.06, 0.07), (x + 0.24, y + 0.1, 0.06)]),
        oval("head", x + 0.27, y + 0.11, 0.1, 0.1, 0, "belly", decal=True),
        eye("head", x + 0.04, y - 0.03, 0.05),
    ]


def camel(p: Pose) -> list[Shape]:
    far, near = four_legs(p, -0.45, 0.17, 0.2, 0.66, 0.085, 0.05, swing=14, hoof=0.065)
    neck = reach(0.24, 0.08, 22 + p.sway(0, 12), 0.72 * p.vary(1), -125 + p.sway(2, 18), 0.14, 0.08, 6)
    x, y, _ = neck[-1]
    hump = 0.26 * p.vary(3, 0.2)
    return [
        limb("tail", reach(-0.58, 0.02, 110, 0.36, p.sway(4, 40), 0.03, 0.02), "dark"),
        *far,
        limb("humps", [(-0.44, 0.04, 0.2), (-0.36, -0.08 - 0.5 * hump, 0.16), (-0.33, -0.18 - hump, 0.07)]),
        limb("humps", [(-0.02, 0.04, 0.2), (0.03, -0.08 - 0.5 * hump, 0.16), (0.06, -0.18 - hump, 0.07)]),
        limb("neck", neck),
        limb("body", [(-0.44, 0.08, 0.2), (-0.14, 0.12, 0.25), (0.16, 0.08, 0.21)]),
        oval("body", -0.15, 0.34, 0.4, 0.14, 0, "belly", decal=True),
        *near,
        sheet("head", [(x - 0.05, y - 0.05), (x - 0.12, y - 0.19), (x + 0.02, y - 0.1)], "dark"),
        limb("head", [(x, y - 0.02, 0.11), (x + 0.14, y + 0.02, 0.085), (x + 0.27, y + 0.06, 0.085)]),
        bar("head", [(x + 0.2, y + 0.1, 0.012), (x + 0.34, y + 0.08, 0.012)], "dark", decal=True),
        eye("head", x + 0.05, y - 0.05, 0.055),
    ]


def elk(p: Pose) -> list[Shape]:
    far, near = four_legs(p, -0.45, 0.12, 0.2, 0.62, 0.085, 0.04, hoof=0.05)
    neck = reach(0.12, 0.08, -48 + p.sway(0, 16), 0.44, p.sway(1, 20), 0.16, 0.1, 4)
    x, y, _ = neck[-1]
    return [
        *_antler(x + 0.06, y - 0.08, p.vary(2, 0.15), far=True),
        oval("tail", -0.62, 0.02, 0.09, 0.06, -40, "belly"),
        *far,
        limb("neck", neck, "dark"),
        limb("body", [(-0.44, 0.1, 0.19), (-0.16, 0.12, 0.21), (0.12, 0.1, 0.22)]),
        oval("body", -0.16, 0.33, 0.36, 0.12, 0, "belly", decal=True),
        *near,
        sheet("head", [(x - 0.02, y), (x - 0.2, y - 0.08), (x - 0.16, y + 0.05)]),
        limb("head", [(x, y, 0.12), (x + 0.16, y + 0.08, 0.085), (x + 0.3, y + 0.14, 0.075)]),
        oval("head", x + 0.36, y + 0.14, 0.06, 0.07, 0, "dark", decal=True),
        eye("head", x + 0.06, y - 0.01, 0.05),
        *_antler(x - 0.02, y - 0.06, p.vary(2, 0.15)),
    ]


def _antler(x: float, y: float, size: float, far: bool = False) -> list[Shape]:
    beam = [(x + kx * size, y + ky * size, r) for kx, ky, r in
            ((0, 0, 0.04), (-0.12, -0.16, 0.038), (-0.16, -0.36, 0.034), (-0.04, -0.58, 0.02))]
    shapes = [limb("antlers", beam, "ivory", far=far)]
    for at, dx, dy in ((1, 0.22, -0.12), (2, 0.2, -0.1), (2, -0.18, -0.12)):
        bx, by, _ = beam[at]
        shapes.append(bar("antlers", [(bx, by, 0.03), (bx + dx * size, by + dy * size, 0.018)], "ivory", far=far))
    return shapes


def lion(p: Pose) -> list[Shape]:
    far, near = four_legs(p, -0.5, 0.12, 0.22, 0.5, 0.12, 0.085, swing=14)
    tail = reach(-0.62, 0.0, 190, 0.6, 90 + p.sway(0, 70), 0.04, 0.035)
    hx, hy, size = 0.42, -0.2 + 0.08 * p.bend, 0.42 * p.vary(1)
    mane = [(hx + cos(a) * size * w, hy + sin(a) * size * w)
            for a, w in ((radians(i * 18), 1.0 if i % 2 else 0.82) for i in range(20))]
    return [
        limb("tail", tail), oval("tail", tail[-1][0], tail[-1][1], 0.12, 0.085, -60, "dark"),
        *far,
        limb("body", [(-0.5, 0.12, 0.22), (-0.2, 0.14, 0.21), (0.18, 0.1, 0.25)]),
        oval("body", -0.16, 0.36, 0.4, 0.12, 0, "belly", decal=True),
        *near,
        sheet("mane", mane, "dark", smooth=False, soft=0.03),
        oval("head", hx - 0.2, hy - 0.22, 0.085, 0.085), oval("head", hx + 0.2, hy - 0.22, 0.085, 0.085),
        oval("head", hx, hy, 0.27, 0.28), oval("head", hx, hy + 0.17, 0.17, 0.13, 0, "belly", decal=True),
        sheet("head", [(hx - 0.07, hy + 0.05), (hx + 0.07, hy + 0.05), (hx, hy + 0.13)], "ink", soft=0.015,
              smooth=False),
        bar("head", [(hx, hy + 0.1, 0.014), (hx, hy + 0.2, 0.014), (hx - 0.07, hy + 0.24, 0.014)], "ink"),
        eye("head", hx - 0.11, hy - 0.06, 0.06), eye("head", hx + 0.11, hy - 0.06, 0.06),
    ]


def rabbit(p: Pose) -> list[Shape]:
    hx, hy, ear = 0.3, -0.12, 0.62 * p.vary(0, 0.15)
    shapes = [oval("tail", -0.6, 0.5, 0.14, 0.13, 0, "belly")]
    for i, (x, lean) in enumerate(((hx - 0.02, -78), (hx - 0.14, -100))):
        knots = reach(x, hy - 0.1, lean + p.sway(1 + i, 16), ear, p.sway(3 + i, 60) - 10, 0.07, 0.065, 4)
        knots[1] = (*knots[1][:2], 0.1)
        knots[2] = (*knots[2][:2], 0.1)
        shapes.append(limb("ears", knots, far=not i))
        shapes.append(limb("ears", [(kx, ky, 0.45 * r) for kx, ky, r in knots[1:]], "accent", decal=True))
    return [
        *shapes,
        leg("legs", 0.22, 0.45, 4 + p.step(1, 8), 0.38, 0.09, 0.07, 0, foot=0.1, far=True),
        limb("body", [(-0.32, 0.46, 0.3), (-0.08, 0.34, 0.29), (0.16, 0.2, 0.22)]),
        oval("body", 0.26, 0.42, 0.16, 0.26, 20, "belly", decal=True),
        leg("legs", 0.14, 0.45, p.step(0, 8), 0.4, 0.09, 0.07, 0, foot=0.12),
        oval("legs", -0.32, 0.55, 0.25 * p.vary(5), 0.24), bar("legs", [(-0.38, 0.8, 0.075), (-0.05, 0.82, 0.07)]),
        oval("head", hx, hy, 0.28, 0.24, 10), oval("head", hx + 0.16, hy + 0.12, 0.16, 0.12, 0, "belly", decal=True),
        oval("head", hx + 0.27, hy, 0.045, 0.035, 0, "accent"), eye("head", hx + 0.08, hy - 0.05, 0.065),
    ]


def kangaroo(p: Pose) -> list[Shape]:
    lean = p.sway(0, 8)
    spine = reach(-0.22, 0.32, -58 + lean, 0.75, 22, 0.28, 0.12, 5)
    x, y, _ = spine[-1]
    arm = reach(x - 0.02, y + 0.16, 50 + p.sway(1, 30), 0.34, -60 + p.sway(2, 30), 0.06, 0.04, 4)
    return [
        limb("tail", reach(-0.32, 0.4, 155, 0.95 * p.vary(3), -55 + p.sway(4, 30), 0.17, 0.035, 6)),
        limb("arms", [(kx + 0.08, ky - 0.02, r) for kx, ky, r in arm], far=True),
        bar("legs", [(-0.1, 0.42, 0.15), (0.12, 0.66, 0.07), (-0.16, 0.84, 0.05), (0.24, 0.86, 0.04)], far=True),
        limb("body", spine), limb("body", [(kx + 0.13, ky + 0.1, r * 0.6) for kx, ky, r in spine], "belly", decal=True),
        oval("legs", -0.16, 0.46, 0.25 * p.vary(5), 0.2, 40),
        bar("legs", [(-0.02, 0.6, 0.11), (-0.28, 0.82, 0.06), (0.14, 0.87, 0.05)]),
        limb("arms", arm),
        sheet("head", [(x - 0.02, y - 0.12), (x - 0.12, y - 0.42), (x + 0.05, y - 0.3)], far=True),
        limb("head", [(x, y - 0.05, 0.13), (x + 0.14, y - 0.02, 0.1), (x + 0.27, y + 0.04, 0.065)]),
        sheet("head", [(x - 0.1, y - 0.12), (x - 0.25, y - 0.38), (x - 0.07, y - 0.34), (x + 0.02, y - 0.15)]),
        oval("head", x + 0.32, y + 0.03, 0.035, 0.04, 0, "ink"), eye("head", x + 0.07, y - 0.08, 0.055),
    ]


def hedgehog(p: Pose) -> list[Shape]:
    spines, tall = [], 0.62 * p.vary(0)
    for i in range(27):
        a = radians(168 + i * 196 / 26)
        far = (1.0 if i % 2 else 0.8) * (1 + 0.06 * p.jitter[i % 16])
        spines.append((-0.12 + 0.72 * far * cos(a), 0.3 + tall * far * sin(a) * 1.15))
    face = [(0.36, 0.28, 0.22), (0.58, 0.36 + 0.05 * p.bend, 0.13), (0.8, 0.38 + 0.1 * p.bend, 0.05)]
    return [
        *(leg("legs", x, 0.42, p.step(i, 20), 0.26, 0.07, 0.055, 0, foot=0.06, paint="belly", far=i % 2 == 0)
          for i, x in enumerate((-0.38, -0.46, 0.28, 0.2))),
        oval("body", -0.08, 0.32, 0.56, 0.26, 0, "belly"),
        sheet("spines", spines, "dark", smooth=False, soft=0.012),
        *(oval("spines", -0.12 + r * cos(radians(a)), 0.28 + r * 0.8 * sin(radians(a)), 0.1, 0.022, a, "second",
               decal=True)
          for r in (0.28, 0.5) for a in range(195, 340, 29)),
        limb("head", face, "belly"), oval("head", 0.3, 0.12, 0.09, 0.1, 0, "second"),
        oval("head", 0.84, 0.37 + 0.1 * p.bend, 0.06, 0.055, 0, "ink"), eye("head", 0.52, 0.26, 0.06),
    ]


def snake(p: Pose) -> list[Shape]:
    body = []
    for i in range(12):
        t = i / 11
        radius = 0.04 + 0.115 * sin(min(1.0, 0.2 + t) * 2.2) ** 2
        wave = (0.2 + 0.2 * t + 0.06 * p.jitter[1]) * sin(6.2832 * (0.3 * p.jitter[5] + 1.7 * t))
        body.append((-0.8 + 1.0 * t, 0.4 + wave, radius))
    neck = reach(*body[-1][:2], -10 + p.sway(2, 20), 0.85 * p.vary(3), -95 + p.sway(4, 20), 0.13, 0.1, 5)[1:]
    x, y, _ = neck[-1]
    return [
        limb("tongue", [(x + 0.2, y - 0.02, 0.014), (x + 0.36, y, 0.014), (x + 0.44, y - 0.06, 0.012)], "accent"),
        limb("tongue", [(x + 0.2, y - 0.02, 0.014), (x + 0.36, y, 0.014), (x + 0.44, y + 0.06, 0.012)], "accent"),
        limb("body", [*body, *neck]),
        limb("body", [(kx + 0.05, ky + 0.05, r * 0.5) for kx, ky, r in [*body, *neck]], "belly", decal=True),
        limb("head", [(x - 0.02, y, 0.13), (x + 0.1, y - 0.03, 0.15), (x + 0.24, y - 0.01, 0.09)]),
        eye("head", x + 0.11, y - 0.08, 0.07),
    ]


PLANS = {plan.__name__: plan for plan in
         (elephant, giraffe, camel, elk, lion, rabbit, kangaroo, hedgehog, snake)}
