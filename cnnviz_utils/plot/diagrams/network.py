"""A network as its stages, with the shapes that go through them."""

import math
from collections.abc import Sequence
from textwrap import wrap

from torch import nn

from cnnviz_utils.base.hooks import get_layer
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.plot.diagrams.canvas import (
    FROZEN,
    LEARNS,
    NO_WEIGHTS,
    PARTLY,
    WIDTH,
    Diagram,
    Sheet,
)
from cnnviz_utils.plot.diagrams.measure import (
    by,
    in_words,
    shapes,
    state_of,
    weights_in,
)

MOST = 8  # stages in a row
MEANING = {
    LEARNS: "learns",
    PARTLY: "learns in part",
    FROZEN: "frozen",
    NO_WEIGHTS: "has no weights",
}
ROW = 138  # units that a row takes below its boxes


def draw_network(
    model: nn.Module,
    size: int = 64,
    stages: Sequence[str] | None = None,
    channels: int = 3,
) -> Diagram:
    """The stages of a network in the order in which they run: what each is made of, how
    many weights it has, and the shape (channels × rows × columns) of what it gives.
    Blue learns, grey is frozen (`requires_grad` of its parameters decides).

    model: takes images (N, channels, size, size). stages: names of layers; by default
    the network's own `stages`, or its children.

    Raises: KeyError: no such layer. UsageError: none of the layers runs.
    """
    own: Sequence[str] = getattr(model, "stages", ())
    names = list(stages or own)
    children = dict(model.named_children())
    names = [name for name in names if stages or name in children] or list(children)
    image = (channels, size, size)
    given = shapes(model, image, names)
    if not stages:
        given = worth_showing(model, given, image)
    if not given:
        raise UsageError(f"no stage of this {type(model).__name__} runs on images")
    rows = balanced(list(given))
    pitch = min(150, WIDTH / (max(map(len, rows)) + 1))
    left = (WIDTH - pitch * (len(rows[0]) + 1)) / 2
    said = {name: _lines(name, get_layer(model, name), pitch - 10) for name in given}
    high = 30 + 14 * max(map(len, said.values()))
    sheet = Sheet(len(rows) * (high + ROW) + 30)
    before: tuple[int, ...] = image
    for line, row in enumerate(rows):
        top = line * (high + ROW) + 8
        axis = top + high + 58
        _volume(sheet, left + pitch / 2, axis, before, size)
        label = "image" if line == 0 else "from above"
        sheet.text(left + pitch / 2, axis + 41, label, 11.5, bold=True)
        for i, name in enumerate(row, start=1):
            x = left + pitch * (i + 0.5)
            start = x - pitch + _reach(before, size) + 6
            end = x - _reach(given[name], size) - 5
            sheet.arrow((start, axis), (end, axis))
            corner = x - pitch + 5, top
            _operation(sheet, corner, (pitch - 10, high), name, model, said[name])
            below = (x - pitch / 2, top + high), (x - pitch / 2, axis)
            sheet.arrow(*below, head=False, thick=1, colour="line")
            _volume(sheet, x, axis, given[name], size)
            before = given[name]
    kinds = {name: MEANING[state_of(get_layer(model, name))] for name in given}
    _legend(sheet, {look: w for look, w in MEANING.items() if w in kinds.values()})
    listed = "; ".join(f"{k} ({kinds[k]}) gives {by(v)}" for k, v in given.items())
    return sheet.done(
        f"The stages of a {type(model).__name__} for images of {size} px: {listed}"
    )


def balanced(names: list[str]) -> list[list[str]]:
    """As few rows of at most MOST names as will do, of about the same length."""
    most = -(-len(names) // -(-len(names) // MOST))
    return [names[i : i + most] for i in range(0, len(names), most)]


def worth_showing(
    model: nn.Module, given: dict[str, tuple[int, ...]], before: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    """The stages without those that have no weights and leave the shape as it was
    `before`: normalisation, dropout."""
    kept = {}
    for name, shape in given.items():
        if weights_in(get_layer(model, name)) or shape != before:
            kept[name] = shape
        before = shape
    return kept


def _lines(name: str, module: nn.Module, width: float) -> list[str]:
    """What stands under a stage's name: its parts, its weights."""
    letters = int((width - 4) / 6.3)
    lines = [part for line in in_words(module) for part in wrap(line, letters)][:3]
    return [line for line in lines if line != name] + wrap(weights_in(module), letters)


def _operation(
    sheet: Sheet,
    corner: tuple[float, float],
    extent: tuple[float, float],
    name: str,
    model: nn.Module,
    lines: Sequence[str],
) -> None:
    """What a stage does: a box with its name, its parts and its weights."""
    (x, y), (width, _) = corner, extent
    sheet.box(x, y, *extent, state_of(get_layer(model, name)))
    size = max(11.0, min(13.0, (width - 8) / (0.72 * len(name))))
    sheet.text(x + width / 2, y + 14, name, size, bold=True)
    for i, words in enumerate(lines):
        sheet.text(x + width / 2, y + 32 + 14 * i, words, 11)


def _front(shape: Sequence[int], size: int) -> tuple[float, float]:
    """Side of the front face and depth of the solid that stands for a tensor."""
    if len(shape) < 3 or max(shape[1:]) == 1:
        return 9.0, 12 + 7.5 * math.log2(math.prod(shape))
    return 8 + 34 * min(1.0, max(shape[1:]) / size) ** 0.6, 2 + 2.4 * math.log2(
        shape[0]
    )


def _reach(shape: Sequence[int], size: int) -> float:
    """Units from the middle of a solid to its left or right end."""
    side, depth = _front(shape, size)
    return (
        side / 2 if len(shape) < 3 or max(shape[1:]) == 1 else (side + depth * 0.7) / 2
    )


def _volume(sheet: Sheet, x: float, y: float, shape: Sequence[int], size: int) -> None:
    """Maps as a solid: as large in front as the maps are, as deep as there are
    channels; numbers as a column. The shape is written below."""
    side, depth = _front(shape, size)
    if len(shape) < 3 or max(shape[1:]) == 1:
        high = min(depth, 88)
        sheet.box(x - side / 2, y - high / 2, side, high, ("light green", "green"), 0)
    else:
        slant = depth * 0.7
        left, top = x - (side + slant) / 2, y - (side - slant) / 2
        right = left + side
        colours = ("light green", "green")
        sheet.shape(
            [
                (left, top),
                (left + slant, top - slant),
                (right + slant, top - slant),
                (right, top),
            ],
            colours,
        )
        sheet.shape(
            [
                (right, top),
                (right + slant, top - slant),
                (right + slant, top + side - slant),
                (right, top + side),
            ],
            colours,
        )
        sheet.shape(
            [(left, top), (right, top), (right, top + side), (left, top + side)],
            colours,
        )
    sheet.text(x, y + 58, by(shape), 11.5, "soft")


def _legend(sheet: Sheet, found: dict[tuple[str, str], str]) -> None:
    """What the colours of the boxes mean, only those that occur."""
    x, y = 14.0, sheet.height - 18
    for colours, words in found.items():
        sheet.box(x, y - 7, 14, 14, colours, 3)
        sheet.text(x + 21, y, words, 12, "soft", align="left")
        x += 44 + 7.2 * len(words)
