"""Nine animals of the water."""

from math import cos, radians, sin

from cnnviz_utils.data.drawn.bodies import (
    Pose,
    Shape,
    bar,
    eye,
    limb,
    mirrored,
    oval,
    reach,
    sheet,
)


def crab(p: Pose) -> list[Shape]:
    def side(i: int) -> list[Shape]:
        legs = []
        for k in range(4):
            x, y, spread = 0.34 - 0.05 * k, 0.12 + 0.06 * k, 8 + 20 * k + p.step(k + i, 7)
            kx, ky = x + 0.4 * cos(radians(spread)), y - 0.05 + 0.28 * sin(radians(spread))
            legs.append(bar("legs", [(x, y, 0.055), (kx, ky, 0.045), (kx + 0.09, ky + 0.24, 0.018)]))
        arm = reach(0.38, -0.05, -20 + p.sway(i, 14), 0.46, -55 + p.sway(i + 2, 20), 0.07, 0.065, 4)
        return [*legs, limb("claws", arm), *_claw(arm[-1][0], arm[-1][1], -62 + p.sway(i + 4, 25), p.vary(i + 6, 0.15))]

    return [
        *side(0), *mirrored(side(1)),
        bar("eyes", [(-0.13, -0.1, 0.03), (-0.16, -0.34, 0.03)]),
        bar("eyes", [(0.13, -0.1, 0.03), (0.16, -0.34, 0.03)]),
        sheet("body", [(-0.42, -0.14), (0, -0.24), (0.42, -0.14), (0.5, 0.08), (0.28, 0.34), (-0.28, 0.34),
                       (-0.5, 0.08)]),
        oval("body", 0, 0.3, 0.3, 0.12, 0, "belly", decal=True),
        limb("body", [(-0.12, 0.12, 0.014), (0, 0.17, 0.014), (0.12, 0.12, 0.014)], "ink", decal=True),
        eye("eyes", -0.16, -0.36, 0.085), eye("eyes", 0.16, -0.36, 0.085),
    ]


def _claw(x: float, y: float, heading: float, size: float) -> list[Shape]:
    """A pincer: two curved fingers that open towards `heading`."""
    c, s = cos(radians(heading)), sin(radians(heading))
    turn = lambda points: [(x + size * (c * u - s * v), y + size * (s * u + c * v)) for u, v in points]
    upper = turn([(-0.04, -0.02), (0.05, -0.16), (0.24, -0.17), (0.42, -0.03), (0.27, -0.05), (0.13, 0.0)])
    lower = turn([(-0.04, 0.02), (0.06, 0.15), (0.22, 0.15), (0.36, 0.05), (0.24, 0.05), (0.12, 0.0)])
    return [sheet("claws", lower), sheet("claws", upper)]


def octopus(p: Pose) -> list[Shape]:
    arms = []
    for i in range(8):
        lean = (i - 3.5) / 3.5
        curl = -150 * lean + p.sway(i, 70)
        knots = reach(0.3 * lean, 0.1, 90 - 62 * lean, 0.95 * p.vary(8 + i % 8, 0.15), curl, 0.12, 0.03, 6)
        arms.append(limb("arms", knots, far=i % 2 == 0))
    arms.sort(key=lambda arm: not arm.far)
    return [
        *arms,
        limb("head", [(0.02 - 0.05 * p.bend, -0.5, 0.36), (0, -0.2, 0.3), (0, 0.08, 0.24)]),
        oval("head", -0.16 - 0.05 * p.bend, -0.66, 0.09, 0.06, -30, "belly", decal=True),
        eye("head", -0.14, -0.08, 0.1), eye("head", 0.14, -0.08, 0.1),
        limb("head", [(-0.07, 0.12, 0.016), (0, 0.15, 0.016), (0.07, 0.12, 0.016)], "ink"),
    ]


def starfish(p: Pose) -> list[Shape]:
    shapes, marks = [], []
    for i in range(5):
        heading = -90 + 72 * i + 6 * p.jitter[i]
        arm = reach(0, 0, heading, 0.92 * p.vary(5 + i, 0.1), p.sway(i + 3, 45), 0.27, 0.075, 5)
        shapes.append(limb("arms", arm))
        marks += [oval("arms", x, y, r * 0.3, r * 0.3, 0, "belly", decal=True) for x, y, r in arm[2:]]
        shapes += marks[-3:]
    return [
        *shapes, oval("centre", 0, 0, 0.3, 0.3),
        eye("centre", -0.11, -0.06, 0.08), eye("centre", 0.11, -0.06, 0.08),
        limb("centre", [(-0.1, 0.1, 0.018), (0, 0.15, 0.018), (0.1, 0.1, 0.018)], "ink"),
    ]


def seahorse(p: Pose) -> list[Shape]:
    tail = reach(0.0, 0.28, 112, 1.3, -330 + p.sway(0, 60), 0.17, 0.03, 11)
    tail = [(x, y, max(0.035, 0.18 * (1 - i / 8))) for i, (x, y, _) in enumerate(tail)]
    spine = [(0.0, -0.55, 0.15), (-0.1, -0.38, 0.14), (-0.09, -0.16, 0.19), (0.03, 0.06, 0.23)]
    nod = 0.06 * p.bend
    return [
        sheet("fin", [(-0.14, -0.14), (-0.44 * p.vary(1), -0.16), (-0.46 * p.vary(1), 0.12), (-0.12, 0.22)], "accent"),
        limb("body", [*spine, *tail]),
        limb("body", [(x + 0.11, y, r * 0.6) for x, y, r in spine[1:]] + [(0.05, 0.3, 0.07)], "belly", decal=True),
        sheet("head", [(-0.12, -0.62), (-0.16, -0.86), (-0.03, -0.78), (0.04, -0.9), (0.1, -0.66)], "accent",
              soft=0.015),
        limb("head", [(0.1, -0.58, 0.1), (0.26, -0.5 + nod, 0.055), (0.46, -0.44 + nod, 0.05)]),
        oval("head", 0.02, -0.6, 0.2, 0.17, 15), eye("head", 0.08, -0.62, 0.075),
        bar("head", [(0.46, -0.46 + nod, 0.06), (0.48, -0.42 + nod, 0.06)]),
    ]


def turtle(p: Pose) -> list[Shape]:
    flap = p.sway(0, 26)
    front = reach(0.32, 0.16, 70 - flap, 0.75 * p.vary(1), 48, 0.1, 0.03, 5)
    back = reach(-0.52, 0.18, 130 + flap * 0.6, 0.42, 20, 0.09, 0.03, 4)
    fat = lambda knots: [(x, y, r + 0.05 * (0 < i < len(knots) - 1)) for i, (x, y, r) in enumerate(knots)]
    hx, hy = 0.8, -0.08 + 0.06 * p.bend
    shell = [(-0.72, 0.18), (-0.6, -0.1), (-0.3, -0.34), (0.05, -0.38), (0.36, -0.22), (0.54, 0.08), (0.46, 0.22),
             (-0.5, 0.26)]
    return [
        limb("flippers", [(x + 0.14, y - 0.1, r) for x, y, r in fat(front)], far=True),
        limb("tail", reach(-0.66, 0.18, 165, 0.2, 0, 0.05, 0.015, 3)),
        limb("head", [(0.4, 0.08, 0.12), (0.58, hy + 0.06, 0.11), (hx, hy, 0.15)]),
        oval("head", hx + 0.08, hy + 0.1, 0.12, 0.05, 0, "belly", decal=True), eye("head", hx + 0.05, hy - 0.04, 0.055),
        oval("body", -0.08, 0.2, 0.56, 0.15, 0, "belly"),
        sheet("shell", shell, "accent", soft=0.03),
        *(sheet("shell", [(x - w, y), (x - w / 2, y - h), (x + w / 2, y - h), (x + w, y), (x + w / 2, y + h),
                          (x - w / 2, y + h)],
                "dark", smooth=False, soft=0.02, decal=True)
          for x, y, w, h in ((-0.42, 0.02, 0.13, 0.12), (-0.1, -0.1, 0.16, 0.15), (0.22, 0.0, 0.13, 0.12))),
        limb("flippers", fat(back)), limb("flippers", fat(front)),
    ]


def dolphin(p: Pose) -> list[Shape]:
    arch = 0.24 + 0.1 * p.bend
    spine = [(-0.8, 0.36, 0.045), (-0.5, 0.12, 0.12), (-0.15, 0.36 - 1.5 * arch, 0.21), (0.25, 0.34 - 1.5 * arch, 0.23),
             (0.52, 0.16, 0.17)]
    tx, ty = spine[0][:2]
    back = spine[2][1] - 0.17
    return [
        sheet("tail", [(tx + 0.08, ty - 0.04), (tx - 0.14, ty - 0.12), (tx - 0.3, ty - 0.06), (tx - 0.12, ty + 0.04),
                       (tx - 0.1, ty + 0.24), (tx + 0.02, ty + 0.14)]),
        sheet("fin", [(-0.08, back + 0.1), (-0.14, back - 0.16), (-0.32, back - 0.26), (-0.24, back),
                      (-0.26, back + 0.16)]),
        limb("flippers", reach(0.26, 0.2, 100, 0.3, 40, 0.07, 0.02, 4), far=True),
        limb("head", [(0.5, 0.18, 0.14), (0.72, 0.31, 0.06), (0.9, 0.36, 0.04)]),
        limb("body", spine),
        limb("body", [(x + 0.06, y + 0.16, r * 0.75) for x, y, r in spine[1:]] + [(0.72, 0.4, 0.1)], "belly",
             decal=True),
        limb("head", [(0.62, 0.34, 0.012), (0.74, 0.36, 0.012), (0.9, 0.385, 0.012)], "ink"),
        limb("flippers", reach(0.16, 0.18, 112 + p.sway(1, 25), 0.38 * p.vary(2), 40, 0.085, 0.02, 4)),
        eye("head", 0.53, 0.16, 0.05),
    ]


def whale(p: Pose) -> list[Shape]:
    lift = -0.34 - 0.12 * p.bend
    tail = [(-0.3, 0.18, 0.26), (-0.62, 0.12, 0.14), (-0.84, lift + 0.2, 0.075)]
    x, y, spray = -0.86, lift + 0.12, 0.36 * p.vary(0, 0.25)
    return [
        limb("spout", reach(0.32, -0.22, -90, spray + 0.12, -120, 0.04, 0.06, 5), "glow"),
        limb("spout", reach(0.32, -0.22, -90, spray + 0.12, 120, 0.04, 0.06, 5), "glow"),
        sheet("tail", [(x + 0.05, y + 0.12), (x - 0.06, y - 0.04), (x - 0.3, y - 0.16), (x - 0.18, y + 0.06)]),
        sheet("tail", [(x + 0.06, y + 0.12), (x + 0.06, y - 0.06), (x + 0.26, y - 0.22), (x + 0.2, y + 0.02)]),
        limb("body", [(0.42, 0.14, 0.42 * p.vary(1, 0.06)), (0.1, 0.16, 0.42), *tail]),
        oval("body", 0.4, 0.5, 0.62, 0.26, -4, "belly", decal=True),
        *(limb("body", [(0.02 + 0.03 * i, 0.36 + 0.07 * i, 0.012), (0.4, 0.4 + 0.07 * i, 0.012),
                        (0.9, 0.3 + 0.08 * i, 0.012)],
               "dark", decal=True, between=2) for i in range(3)),
        limb("flippers", reach(0.14, 0.38, 105 + p.sway(2, 25), 0.42, 35, 0.1, 0.03, 4)),
        limb("body", [(0.64, 0.26, 0.014), (0.74, 0.3, 0.014), (0.84, 0.24, 0.014)], "ink"),
        eye("body", 0.56, 0.1, 0.06),
    ]


def goldfish(p: Pose) -> list[Shape]:
    wag, tall = 0.14 * p.bend, 0.42 * p.vary(0)
    return [
        sheet("tail", [(-0.34, 0), (-0.6, -0.34), (-0.98, -0.5 + wag), (-0.84, -0.14 + wag), (-0.98, 0.16 + wag),
                       (-0.92, 0.52 + wag), (-0.58, 0.3)], "accent"),
        sheet("fins", [(-0.22, -0.3), (-0.26, -0.66), (0.0, -0.74), (0.22, -0.6), (0.26, -0.3)], "accent"),
        sheet("fins", [(-0.05, 0.34), (-0.22, 0.68), (0.02, 0.62), (0.16, 0.34)], "accent"),
        oval("body", 0.08, 0, 0.54, tall), oval("body", 0.16, 0.32, 0.42, 0.18, -5, "belly", decal=True),
        limb("head", [(0.34, -0.26, 0.014), (0.26, 0.0, 0.014), (0.34, 0.26, 0.014)], "dark", decal=True),
        limb("fins", reach(0.16, 0.08, 150 + p.sway(1, 35), 0.3, 30, 0.05, 0.09, 4), "accent"),
        oval("head", 0.62, 0.08, 0.06, 0.075, 0, "accent"), eye("head", 0.42, -0.1, 0.09),
    ]


def jellyfish(p: Pose) -> list[Shape]:
    tall, wide = 0.62 * p.vary(0, 0.15), 0.62 - 0.08 * p.bend
    rim = [(wide * (1 - i / 4), -0.02 + (0.07 if i % 2 else 0.0)) for i in range(9)]
    dome = [(wide * cos(a) * 1.02, -0.08 - tall * sin(a)) for a in (2.9, 2.4, 1.9, 1.25, 0.75, 0.25)]
    strands = []
    for i in range(7):
        x = wide * (i - 3) / 3.6
        knots = [(x + 0.09 * sin(6.28 * (p.phase + 0.18 * k + 0.13 * i)), -0.02 + 0.19 * k * p.vary(i, 0.2),
                  0.035 - 0.005 * k)
                 for k in range(6)]
        strands.append(limb("tentacles", knots, "second" if i % 2 else "coat", far=i % 2 == 1, between=2))
    return [
        *strands,
        *(limb("tentacles", reach(x, -0.1, 90 + 12 * s, 0.6, s * p.sway(8, 60), 0.1, 0.03, 5), "belly") for x, s in
          ((-0.12, 1), (0.12, -1))),
        sheet("bell", [*rim, *dome]),
        oval("bell", -0.2 * wide, -0.12 - 0.72 * tall, 0.22, 0.1, -18, "belly", decal=True),
        *(oval("bell", wide * u, -0.02, 0.1, 0.09, 0, "second", decal=True) for u in (-0.75, -0.38, 0, 0.38, 0.75)),
        eye("bell", -0.17, -0.28, 0.085), eye("bell", 0.17, -0.28, 0.085),
        limb("bell", [(-0.06, -0.17, 0.014), (0, -0.14, 0.014), (0.06, -0.17, 0.014)], "ink"),
    ]


PLANS = {plan.__name__: plan for plan in
         (crab, octopus, starfish, seahorse, turtle, dolphin, whale, goldfish, jellyfish)}
