"""Max-pooling and its switches as numbers."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.plot.diagrams.canvas import WIDTH, Diagram, Sheet
from cnnviz_utils.plot.diagrams.grids import draw_grid
from cnnviz_utils.plot.diagrams.measure import by

# four windows side by side are told apart by these
WINDOWS = (
    ("light blue", "line"),
    ("light orange", "line"),
    ("light green", "line"),
    ("light yellow", "line"),
)


def draw_pooling(maps: Tensor, kernel: int = 2) -> Diagram:
    """Max-pooling as numbers, with its switches (where each maximum was), and what
    unpooling makes of them: each maximum back in its place, zeros elsewhere.

    maps: (H, W), sides up to 8 and multiples of the window's side `kernel`; windows
        stand side by side. Of equal numbers the first is the maximum, as in torch.

    Raises: UsageError: another shape.
    """
    maps, pooled, places, back = _pooled(maps, kernel)
    columns = maps.shape[1]
    side = min(40.0, 230 / max(maps.shape))
    high, wide = (n * side for n in pooled.shape)
    sheet = Sheet(max(maps.shape[0] * side, 2 * high + 52) + 62)
    middle = sheet.height / 2 + 4
    highest = {divmod(int(place), columns) for place in places.flatten()}

    def window(r: int, c: int) -> tuple[str, str]:
        return WINDOWS[r // kernel % 2 * 2 + c // kernel % 2]

    def kept(r: int, c: int) -> tuple[str, str] | None:
        return window(r, c) if (r, c) in highest else None

    size, far = by(maps.shape), WIDTH - 10 - columns * side
    draw_grid(sheet, (10, middle), side, maps, f"map, {size}", window, highest)
    draw_grid(sheet, (far, middle), side, back, f"unpooled, {size}", kept, highest)
    start = WIDTH / 2 - wide / 2
    above, below = middle - high / 2 - 20, middle + high / 2 + 20
    shrunk = lambda r, c: window(r * kernel, c * kernel)
    name = f"maxima, {by(pooled.shape)}"
    draw_grid(sheet, (start, above), side, pooled, name, shrunk)
    _switches(sheet, (start, below), side, places, kernel, columns, shrunk)
    one, two = 10 + columns * side + 12, start - 12
    for y in (above, below):
        sheet.arrow((one, middle), (two, y))
        sheet.arrow((WIDTH - two, y), (WIDTH - one, middle))
    sheet.text((one + two) / 2, 14, f"max-pool {kernel}×{kernel}", 13, bold=True)
    sheet.text(WIDTH - (one + two) / 2, 14, "unpool", 13, bold=True)
    return sheet.done(
        f"Max-pooling as numbers: a map of {size} becomes {by(pooled.shape)} maxima "
        "and as many switches, which say where each maximum was; unpooling puts the "
        "maxima back there"
    )


def _pooled(maps: Tensor, kernel: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The map, its maxima, their places in the map counted row by row, and the map
    unpooled; all (H, W)."""
    maps = torch.as_tensor(maps).double()
    if maps.ndim != 2 or max(maps.shape) > 8 or any(s % kernel for s in maps.shape):
        raise UsageError(
            "draw_pooling takes one map (H, W) of 8 x 8 at most whose sides are "
            f"multiples of {kernel}, not {tuple(maps.shape)}"
        )
    pooled, places = F.max_pool2d(maps[None, None], kernel, return_indices=True)
    back = F.max_unpool2d(pooled, places, [kernel, kernel])
    return maps, pooled[0, 0], places[0, 0], back[0, 0]


def _switches(
    sheet: Sheet,
    place: tuple[float, float],
    side: float,
    places: Tensor,
    kernel: int,
    columns: int,
    look: Callable[[int, int], tuple[str, str]],
) -> None:
    """For each window a small one with a dot where its maximum was. columns: of the map
    that `places` count in."""
    (rows, across), small = places.shape, side / kernel
    x, y = place[0], place[1] - rows * side / 2
    for r, c in product(range(rows), range(across)):
        left, top = x + c * side, y + r * side
        sheet.box(left, top, side, side, look(r, c), radius=0)
        for step in (i * small for i in range(1, kernel)):
            for line in (
                ((left + step, top), (left + step, top + side)),
                ((left, top + step), (left + side, top + step)),
            ):
                sheet.arrow(*line, head=False, thick=0.6, colour="line")
        row, column = (n % kernel for n in divmod(int(places[r, c]), columns))
        dot = left + (column + 0.5) * small, top + (row + 0.5) * small
        sheet.circle(*dot, small * 0.28, ("ink", "ink"))
    middle = x + across * side / 2
    sheet.text(middle, y + rows * side + 15, "switches: where it was", 12, "soft")
