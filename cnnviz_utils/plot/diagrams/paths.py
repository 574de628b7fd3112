"""The ways through a network: Grad-CAM's path, and the deconvnet up and down."""

from collections.abc import Sequence

from torch import nn

from cnnviz_utils.base.hooks import get_layer, layer_name
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.plot.diagrams.canvas import WIDTH, Diagram, Sheet
from cnnviz_utils.plot.diagrams.measure import by, leaf_words, shapes, state_of

MAPS = ("light green", "green")
BACK = ("light orange", "orange")
# the way down: a layer's mirror image, and what the way up hands over to it
MIRRORS: dict[type[nn.Module], tuple[str, str]] = {
    nn.Conv2d: ("transposed", "filters"),
    nn.ReLU: ("ReLU", ""),
    nn.MaxPool2d: ("unpool", "switches"),
}


def draw_grad_cam(model: nn.Module, layer: str, size: int = 64) -> Diagram:
    """Grad-CAM's path with the shapes of a real network: forward to the maps of a layer
    and on to the logits, back from one logit to the maps, averaged to a weight for each
    channel, summed to a map.

    layer: one that gives maps (C, h, w), by name.

    Raises: KeyError: no such layer. UsageError: a layer without maps.
    """
    name = layer_name(model, layer)
    children = [child for child, _ in model.named_children()]
    found = shapes(model, (3, size, size), [name, *children])
    maps, logits = found[name], list(found.values())[-1]
    if len(maps) != 3:
        raise UsageError(
            f"draw_grad_cam: {name!r} gives {by(maps)}, no maps (C, h, w): take a "
            "layer before the average"
        )
    channels, grid, image = maps[0], by(maps[1:]), by((size, size))
    sheet, top, low, end = Sheet(306), 54.0, 186.0, 272.0
    sheet.text(14, 13, "1  forward", 13, bold=True, align="left")
    sheet.step(74, top, 120, ["image", by((3, size, size))], MAPS, bold=True)
    sheet.step(262, top, 140, ["layers up to", name])
    sheet.step(432, top, 124, ["maps A", by(maps)], MAPS, bold=True)
    sheet.step(596, top, 116, ["the layers", "behind it"])
    last = [f"{logits[0]} logits", "take one: y"]
    sheet.step(756, top, 120, last, MAPS, bold=True)
    for start, stop in ((134, 191), (332, 369), (494, 537), (654, 695)):
        sheet.arrow((start, top), (stop, top))
    sheet.arrow(
        (756, top + 24), (756, low), (712, low), colour="orange", dashed=True, thick=2
    )
    asked = "2  back: how y grows with A"
    sheet.text(746, low - 40, asked, 12.5, "orange", bold=True, align="right")
    sheet.step(630, low, 158, ["gradient ∂y/∂A", by(maps)], BACK, bold=True)
    sheet.arrow((550, low), (475, low), colour="orange", thick=2)
    sheet.text(512, low - 13, "3  mean", 12.5, "orange", bold=True)
    weights = [f"{channels} weights w", f"mean over {grid}"]
    sheet.step(400, low, 148, weights, BACK, bold=True)
    sheet.arrow((325, low), (251, low))
    sheet.text(288, low - 13, "4  sum", 12.5, bold=True)
    sheet.arrow((400, top + 24), (400, 112), (166, 112), (166, low - 25))
    sheet.text(283, 124, "the maps themselves", 11.5, "soft")
    sheet.step(166, low, 166, ["ReLU( Σ w·A )", grid], MAPS, bold=True)
    sheet.arrow((166, low + 24), (166, end), (316, end))
    sheet.text(240, end - 13, "5  enlarge", 12.5, bold=True)
    sheet.step(430, end, 224, [f"a map for the image, {image}"], MAPS)
    return sheet.done(
        f"Diagram of Grad-CAM at {name}: forward to maps of {by(maps)} and {logits[0]} "
        f"logits; the gradient of one logit goes back to the maps, its mean gives "
        f"{channels} weights; the weighted sum of the maps, after a ReLU, is a map of "
        f"{grid}, enlarged to {image}"
    )


def draw_deconvnet(model: nn.Module, layers: Sequence[str], size: int = 64) -> Diagram:
    """The deconvnet with the shapes of a real network: up through convolutions, ReLUs
    and max-poolings, and down again through their mirror images. Poolings hand their
    switches over.

    layers: names of single layers (nn.Conv2d, nn.ReLU, nn.MaxPool2d) in the order in
        which they run, from the first on; 6 at most.

    Raises: KeyError: no such layer. UsageError: a layer of another kind, or too many.
    """
    modules = [get_layer(model, layer) for layer in layers]
    unknown = [type(m).__name__ for m in modules if not isinstance(m, tuple(MIRRORS))]
    if unknown or not 1 <= len(layers) <= 6:
        raise UsageError(
            "draw_deconvnet takes 1 to 6 layers, each a Conv2d, ReLU or MaxPool2d, not "
            f"{len(layers)}" + (f" with a {unknown[0]}" if unknown else "")
        )
    found = shapes(model, (3, size, size), layers)
    sizes = [(3, size, size), *found.values()]
    pitch = (WIDTH - 100) / (len(modules) + 1)
    sheet, up, down = Sheet(288), 74.0, 218.0
    wide, end = min(104.0, pitch - 16), 80 + pitch * (len(modules) + 0.5)
    title = "down: each step by its mirror image"
    sheet.text(12, 18, "up: what the network does", 13, bold=True, align="left")
    sheet.text(12, 276, title, 13, "orange", bold=True, align="left")
    sheet.step(44, up, 76, ["image"], MAPS, bold=True)
    sheet.step(44, down, 76, ["picture"], BACK, bold=True)
    at = 82.0
    for i, module in enumerate(modules):
        x = 58 + pitch * (i + 1)
        sheet.arrow((at, up), (x - wide / 2, up))
        sheet.arrow((x - wide / 2, down), (at, down), colour="orange")
        sheet.step(x, up, wide, [leaf_words(module)], state_of(module))
        mirror, handed = next(v for k, v in MIRRORS.items() if isinstance(module, k))
        sheet.step(x, down, wide, [mirror], BACK)
        _said(sheet, (at + x - wide / 2) / 2, up - 26, down + 26, sizes[i])
        if handed:
            sheet.arrow((x, up + 17), (x, down - 17), dashed=True, colour="blue")
            sheet.text(x - 5, (up + down) / 2, handed, 12, "blue", align="right")
        at = x + wide / 2
    corners = (at, up), (end, up), (end, down), (at, down)
    sheet.arrow(*corners, colour="orange")
    _said(sheet, (at + end) / 2, up - 26, down + 26, sizes[-1])
    sheet.step(end, 146, 112, ["keep one", "activation"], ("paper", "orange"))
    steps = ", ".join(leaf_words(m) for m in modules)
    return sheet.done(
        f"Diagram of the deconvnet: up through {steps}, from {by(sizes[0])} to "
        f"{by(sizes[-1])}; all but one activation set to zero; down through the mirror "
        "images of these steps, poolings by their switches, convolutions by their "
        "filters transposed"
    )


def _said(
    sheet: Sheet, x: float, above: float, below: float, shape: Sequence[int]
) -> None:
    """A shape beside the arrows of both ways, on two lines."""
    for y in (above, below):
        sheet.text(x, y, by(shape), 11.5, "soft")
