"""Convolution as numbers."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.plot.diagrams.canvas import WIDTH, Diagram, Sheet
from cnnviz_utils.plot.diagrams.grids import draw_grid, number
from cnnviz_utils.plot.diagrams.measure import by

WINDOW = ("light orange", "orange")
RESULT = ("light green", "green")
KERNEL = ("light blue", "blue")
BORDER = ("grey", "line")


def draw_convolution(
    image: Tensor,
    kernel: Tensor,
    stride: int = 1,
    padding: int = 0,
    at: tuple[int, int] = (0, 0),
) -> Diagram:
    """A convolution as numbers: the image with its border of zeros, the kernel, what
    comes out, and the sum behind one number of it.

    image: (H, W), up to 8 x 8; kernel: (k, k); at: row and column of the number in
        the result whose window is marked.

    Raises: UsageError: another shape, or a place that is not in the result.
    """
    image, kernel, padded, result = _convolved(image, kernel, stride, padding)
    row, column = at
    if not (0 <= row < result.shape[0] and 0 <= column < result.shape[1]):
        raise UsageError(
            f"draw_convolution: at={at} is not in the result, {by(result.shape)}"
        )
    grids = padded, kernel, result
    columns = sum(grid.shape[1] for grid in grids)
    side = min(42.0, (WIDTH - 150) / columns)
    high = max(grid.shape[0] for grid in grids) * side
    sheet, middle = Sheet(high + 120), 12 + high / 2
    gap = min(100, (WIDTH - columns * side - 20) / 2)
    inside = _within((row * stride, column * stride), kernel.shape)
    known = _within((padding, padding), image.shape)
    looks = (
        lambda r, c: WINDOW if inside(r, c) else None if known(r, c) else BORDER,
        lambda r, c: KERNEL,
        lambda r, c: RESULT if (r, c) == at else None,
    )
    around = f" and {padding} of zeros around" if padding else ""
    names = f"image, {by(image.shape)}{around}", f"kernel, {by(kernel.shape)}"
    left = (WIDTH - columns * side - 2 * gap) / 2
    for grid, name, look, sign in zip(
        grids, (*names, f"result, {by(result.shape)}"), looks, "∗= ", strict=True
    ):
        draw_grid(sheet, (left, middle), side, grid, name, look)
        left += grid.shape[1] * side + gap
        if sign.strip():
            sheet.text(left - gap / 2, middle, sign, 25, bold=True)
    seen = padded[row * stride :, column * stride :]
    seen = seen[: kernel.shape[0], : kernel.shape[1]]
    total = number(float(result[at]))
    sheet.text(WIDTH / 2, sheet.height - 52, f"{_sum(seen, kernel)} = {total}", 13.5)
    rule = (
        f"stride {stride}, padding {padding}:  ({image.shape[0]} + 2·{padding} − "
        f"{kernel.shape[0]}) // {stride} + 1 = {result.shape[0]} rows"
    )
    sheet.text(WIDTH / 2, sheet.height - 20, rule, 13, "soft")
    return sheet.done(
        f"A convolution as numbers: image {by(image.shape)}, kernel "
        f"{by(kernel.shape)}, stride {stride}, padding {padding}, result "
        f"{by(result.shape)}; the number in row {row}, column {column} is {total}"
    )


def _convolved(
    image: Tensor, kernel: Tensor, stride: int, padding: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Image, kernel, the image with its border, and what comes out, all (H, W)."""
    image, kernel = torch.as_tensor(image).double(), torch.as_tensor(kernel).double()
    if image.ndim != 2 or kernel.ndim != 2 or max(*image.shape, *kernel.shape) > 8:
        raise UsageError(
            "draw_convolution takes one image (H, W) of 8 x 8 at most and one kernel "
            f"(k, k), not {tuple(image.shape)} and {tuple(kernel.shape)}"
        )
    padded = F.pad(image, (padding,) * 4)
    if any(k > p for k, p in zip(kernel.shape, padded.shape, strict=True)):
        raise UsageError(
            f"draw_convolution: a kernel of {by(kernel.shape)} is larger than the "
            f"image with its border, {by(padded.shape)}"
        )
    result = F.conv2d(padded[None, None], kernel[None, None], stride=stride)[0, 0]
    return image, kernel, padded, result


def _within(
    corner: tuple[int, int], extent: Sequence[int]
) -> Callable[[int, int], bool]:
    """Whether a cell lies in a rectangle."""
    rows, columns = (range(a, a + n) for a, n in zip(corner, extent, strict=True))
    return lambda r, c: r in rows and c in columns


def _sum(seen: Tensor, kernel: Tensor) -> str:
    """The products of a window and a kernel, written out; those with 0 left out where
    they are too many for a line."""
    pairs = list(zip(seen.flatten().tolist(), kernel.flatten().tolist(), strict=True))
    if len(pairs) > 9:
        pairs = [(a, b) for a, b in pairs if a and b]
    signed = [
        f"{number(a)}·{number(b)}" if b >= 0 else f"{number(a)}·({number(b)})"
        for a, b in pairs
    ]
    if len(signed) > 14:
        signed = [*signed[:7], "…", signed[-1]]
    return " + ".join(signed) or "0"
