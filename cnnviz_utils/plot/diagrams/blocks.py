"""Blocks that networks are built of, drawn from a real block: residual, inception,
depthwise-separable, inverted residual."""

from collections.abc import Callable, Sequence
from itertools import product

from torch import nn

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.plot.diagrams.canvas import WIDTH, Diagram, Sheet
from cnnviz_utils.plot.diagrams.measure import by, leaf_words, shapes, state_of

MAPS = ("light green", "green")
Shapes = dict[str, tuple[int, ...]]


def draw_block(block: nn.Module, shape: Sequence[int]) -> Diagram:
    """How a block works: its layers, the shapes (channels × rows × columns) between
    them, blue where it learns, grey where it is frozen.

    block: a residual block (`conv1`, `conv2`, `downsample`), an inception block
        (`way1`, `way3`, `way5`, `way_pool`), a depthwise-separable one (`depthwise`,
        `pointwise`) or an inverted residual (`expand`, `depthwise`, `project`); it is
        known by the names of its parts. shape: (C, H, W) of what goes in.

    Raises: UsageError: a module with other parts, or a shape that it cannot take.
    """
    parts = {name for name, _ in block.named_children()}
    for needed, draw in KINDS:
        if set(needed) <= parts:
            names = [name for name, _ in block.named_modules() if name]
            try:
                found = shapes(block, shape, names)
            except RuntimeError as error:
                raise UsageError(
                    f"draw_block: a {type(block).__name__} cannot take a shape of "
                    f"{by(shape)}: {error}"
                ) from None
            return draw(block, tuple(shape), found)
    raise UsageError(
        f"draw_block knows no {type(block).__name__}: it takes blocks with the parts "
        + "; or ".join(", ".join(needed) for needed, _ in KINDS)
    )


def layers_of(module: nn.Module) -> list[str]:
    """The layers in a part of a block, in words, without padding and nothing."""
    leaves = [leaf for leaf in module.modules() if not list(leaf.children())]
    words = [leaf_words(leaf) for leaf in leaves]
    return [w for w in words if "padding" not in w and w != "identity"]


def _residual(block: nn.Module, shape: tuple[int, ...], found: Shapes) -> Diagram:
    shortcut = getattr(block, "shortcut", True) is not False
    y = 132.0 if shortcut else 52.0
    sheet, one, two = Sheet(y + 46), *map(block.get_submodule, ("conv1", "conv2"))
    middle, out = found["conv1"], found["conv2"]
    _flow(sheet, 8, 120, y, shape, "x", at=46)
    words = [*layers_of(one), "batch norm", "ReLU"]
    sheet.step(183, y, 124, words, state_of(one))
    _flow(sheet, 245, 350, y, middle)
    sheet.step(412, y, 124, [*layers_of(two), "batch norm"], state_of(two))
    end = 580 if shortcut else 610
    _flow(sheet, 474, end, y, out, "f(x)")
    alt = "a plain block of two convolutions, without a shortcut"
    if shortcut:
        alt = _shortcut(sheet, y, block, found)
    sheet.step(end + 86 if shortcut else end + 26, y, 52, ["ReLU"])
    result = "f(x) + x" if shortcut else "f(x)"
    _flow(sheet, end + 112 if shortcut else end + 52, 815, y, out, result)
    return sheet.done(f"Diagram of {alt}; {by(shape)} becomes {by(out)}")


def _shortcut(sheet: Sheet, y: float, block: nn.Module, found: Shapes) -> str:
    """The way around a residual block's convolutions, and the sum. What it is, in
    words."""
    sheet.circle(594, y, 13)
    sheet.text(594, y, "+", 19, bold=True)
    corners = (98, y), (98, 34), (594, 34), (594, y - 14)
    sheet.arrow(*corners, colour="orange", thick=2)
    sheet.arrow((608, y), (640, y))
    way = dict(block.named_children()).get("downsample")
    if way is None:
        sheet.text(346, 19, "the shortcut: x as it is", 13, "orange", bold=True)
        return "a residual block: two convolutions, plus the input as it is"
    sheet.step(346, 34, 150, layers_of(way), state_of(way))
    sheet.text(510, 20, by(found["downsample"]), 11.5, "soft")
    sheet.text(185, 20, "the shortcut", 13, "orange", bold=True)
    return (
        "a residual block: two convolutions, plus the input through a 1x1 convolution"
    )


def _inception(block: nn.Module, shape: tuple[int, ...], found: Shapes) -> Diagram:
    ways, pitch = ["way1", "way3", "way5", "way_pool"], 88
    sheet = Sheet(pitch * 4 + 24)
    rows = [62.0 + pitch * i for i in range(4)]
    centre = (rows[0] + rows[-1]) / 2
    _flow(sheet, 4, 106, centre, shape, head=False)
    sheet.arrow((106, rows[0]), (106, rows[-1]), head=False)
    for name, y in zip(ways, rows, strict=True):
        parts = dict(block.get_submodule(name).named_children())
        steps = {f"{name}.{part}": step for part, step in parts.items()}
        if any(isinstance(part, nn.Conv2d) for part in parts.values()):
            steps = {name: block.get_submodule(name)}
        places = [390.0] if len(steps) == 1 else [190.0, 440.0]
        sheet.arrow((106, y), (places[0] - 62, y))
        ends = [place - 62 for place in places[1:]] + [640.0]
        for place, end, (layer, step) in zip(places, ends, steps.items(), strict=True):
            sheet.step(place, y, 124, layers_of(step), state_of(step))
            _flow(sheet, place + 62, end, y, found[layer])
    sheet.box(640, rows[0] - 30, 26, rows[-1] - rows[0] + 60, MAPS)
    sheet.text(653, 18, "side by side", 12.5, bold=True)
    total = [found[name][0] for name in ways]
    out = (sum(total), *found["way1"][1:])
    _flow(sheet, 666, 822, centre, out)
    sheet.text(748, centre + 18, " + ".join(map(str, total)), 12, "soft")
    sheet.text(748, centre + 35, f"= {out[0]} channels", 12, "soft")
    return sheet.done(
        f"Diagram of an inception block: four ways side by side give "
        f"{' + '.join(map(str, total))} channels; {by(shape)} becomes {by(out)}"
    )


def _separable(block: nn.Module, shape: tuple[int, ...], found: Shapes) -> Diagram:
    sheet = Sheet(268)
    between, out = found["depthwise"], found["pointwise"]
    places, y = (90.0, 415.0, 740.0), 138.0
    counts = (4, 4, 6)
    dots = [
        [(x, y + 24 * (i - (n - 1) / 2)) for i in range(n)]
        for x, n in zip(places, counts, strict=True)
    ]
    for a, b in zip(dots[0], dots[1], strict=True):
        sheet.arrow((a[0] + 11, a[1]), (b[0] - 11, b[1]), thick=1.2, colour="blue")
    for a, b in product(dots[1], dots[2]):
        line = (a[0] + 11, a[1]), (b[0] - 11, b[1])
        sheet.arrow(*line, head=False, thick=0.8, colour="orange")
    for column in dots:
        for x, at in column:
            sheet.box(x - 9, at - 9, 18, 18, MAPS, 2)
    for x, size in zip(places, (shape, between, out), strict=True):
        sheet.text(x, 224, by(size), 12, "soft")
    said = ("each channel has its own kernel", "all channels are mixed at each place")
    weights, area = [], 1
    for x, name, words in zip(
        (252, 578), ("depthwise", "pointwise"), said, strict=True
    ):
        part = block.get_submodule(name)
        [kernels] = [p for p in part.parameters() if p.ndim == 4]
        weights.append(kernels.numel())
        area *= kernels[0, 0].numel()
        line = f"{layers_of(part)[0]}: {kernels.numel():,} weights"
        sheet.step(x, 26, 236, [line], state_of(part), bold=True)
        sheet.text(x, 58, words, 11.5, "soft")
    full = shape[0] * out[0] * area
    both = f"{weights[0]:,} + {weights[1]:,} = {sum(weights):,}"
    total = f"{both} weights; one full convolution: {full:,}"
    sheet.text(WIDTH / 2, 252, total, 12.5)
    return sheet.done(
        "Diagram of a depthwise-separable block: first a kernel for each channel, "
        f"then a 1x1 convolution that mixes channels; {by(shape)} becomes {by(out)}; "
        f"{total}"
    )


def _inverted(block: nn.Module, shape: tuple[int, ...], found: Shapes) -> Diagram:
    y = 150.0 if block.shortcut else 112.0
    sheet = Sheet(y + 116)
    steps = ("expand", "depthwise", "project")
    tensors = [shape, *(found[name] for name in steps)]
    most = max(size[0] for size in tensors)
    places = [70.0 + 212 * i for i in range(4)]
    heights = [16 + 104 * size[0] / most for size in tensors]
    for x, high, size in zip(places, heights, tensors, strict=True):
        sheet.box(x - 12, y - high / 2, 24, high, MAPS, 2)
        sheet.text(x, y + 76, by(size), 12, "soft")
    for i, name in enumerate(steps):
        part = block.get_submodule(name)
        x = (places[i] + places[i + 1]) / 2
        words = layers_of(part) or ["as it is"]
        sheet.arrow((places[i] + 16, y), (places[i + 1] - 16, y))
        sheet.step(x, y, 112, words, state_of(part))
        said = ("widen", "look around", "narrow, no ReLU")[i] if layers_of(part) else ""
        if said:
            sheet.text(x, y - 46, said, 12.5, bold=True)
    end = "there is no shortcut: the shape changes"
    if block.shortcut:
        last = places[-1]
        sheet.circle(last + 62, y, 13)
        sheet.text(last + 62, y, "+", 19, bold=True)
        sheet.arrow((last + 16, y), (last + 48, y))
        sheet.arrow(
            (places[0], y - heights[0] / 2 - 3),
            (places[0], 34),
            (last + 62, 34),
            (last + 62, y - 14),
            colour="orange",
            thick=2,
        )
        end = "the shortcut joins the narrow ends"
    sheet.text(WIDTH / 2, 17, end, 13, "orange", bold=True)
    sheet.text(WIDTH / 2, y + 100, "height of a bar: its channels", 12, "soft")
    return sheet.done(
        f"Diagram of an inverted residual block: channels are widened from {shape[0]} "
        f"to {tensors[1][0]}, seen depthwise, narrowed to {tensors[3][0]}; {end}"
    )


def _flow(
    sheet: Sheet,
    start: float,
    end: float,
    y: float,
    shape: Sequence[int],
    name: str = "",
    head: bool = True,
    at: float | None = None,
) -> None:
    """An arrow with the shape that it carries above it, and its name below, both in the
    middle or `at` another place."""
    middle = at or (start + end) / 2
    sheet.arrow((start, y), (end, y), head=head)
    sheet.text(middle, y - 12, by(shape), 11.5, "soft")
    if name:
        sheet.text(middle, y + 14, name, 13, bold=True)


KINDS: tuple[tuple[tuple[str, ...], Callable[..., Diagram]], ...] = (
    (("expand", "depthwise", "project"), _inverted),
    (("depthwise", "pointwise"), _separable),
    (("way1", "way3", "way5", "way_pool"), _inception),
    (("conv1", "conv2"), _residual),
)
