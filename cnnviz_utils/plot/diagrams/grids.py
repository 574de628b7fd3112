"""Numbers in cells."""

from collections.abc import Callable, Collection
from itertools import product

from torch import Tensor

from cnnviz_utils.plot.diagrams.canvas import Sheet


def number(value: float) -> str:
    """As short as two decimals allow, with a true minus."""
    return f"{round(value, 2) + 0:g}".replace("-", "−")


def draw_grid(
    sheet: Sheet,
    place: tuple[float, float],
    side: float,
    values: Tensor,
    name: str,
    look: Callable[[int, int], tuple[str, str] | None],
    bold: Collection[tuple[int, int]] = (),
) -> None:
    """Numbers in cells of that side, with their name below. place: the left end and the
    middle of the height; look: row and column -> the colours of a cell, None for those
    of paper; bold: cells whose numbers are."""
    rows, columns = values.shape
    x, y = place[0], place[1] - rows * side / 2
    longest = max(len(number(float(v))) for v in values.flatten())
    size = max(11.0, min(15.0, side / (0.62 * max(longest, 2) + 0.3)))

    def colours(cell: tuple[int, int]) -> tuple[str, str]:
        return look(*cell) or ("paper", "line")

    cells = product(range(rows), range(columns))
    # marked cells last, so that their edges are whole
    for r, c in sorted(cells, key=lambda cell: colours(cell)[1] != "line"):
        sheet.box(x + c * side, y + r * side, side, side, colours((r, c)), radius=0)
        centre = x + (c + 0.5) * side, y + (r + 0.5) * side
        words = number(float(values[r, c]))
        sheet.text(*centre, words, size, bold=(r, c) in bold)
    sheet.text(x + columns * side / 2, y + rows * side + 15, name, 12, "soft")
