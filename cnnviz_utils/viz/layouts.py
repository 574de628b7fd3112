"""How a layer lays out its output, and how to read it as maps (N, C, h, w).

Convolutional networks keep channels first, (N, C, h, w). Some transformers and parts of
ConvNeXt keep them last, (N, h, w, C); others have a row of tokens, (N, T, C): a few
that belong to no place (the class token, registers), then one for each patch, row by
row. Nothing in a tensor says which it is, and a wrong reading gives a map that means
nothing. So the caller says it, and what can't be a picture of these images is refused.
"""

import math

from torch import Tensor

from cnnviz_utils.base.settings import UsageError, check_name

LAYOUTS = ("channels_first", "channels_last", "tokens")
# tokens before the patches: a class token, one of distillation, up to 8 registers
MOST_PREFIX_TOKENS = 10

Size = tuple[int, int]


def sides(pictures: Tensor) -> Size:
    """Height and width of (..., H, W)."""
    return pictures.shape[-2], pictures.shape[-1]


def fits(places: Size, image: Size) -> bool:
    """Whether h x w places can be a reduced picture of H x W pixels: the same
    proportions, but for a place and a half that borders and rounding can take."""
    (h, w), (high, wide) = places, image
    return abs(h - w * high / wide) <= 1.5 or abs(w - h * wide / high) <= 1.5


def find_grid(tokens: int, image: Size, prefix: int | None = None) -> Size | None:
    """The grid (h, w) of T tokens of an image of H x W pixels: the image's own
    proportions, and as many places as tokens, less a few at the front (`prefix`, where
    it is known). None if there is no such grid."""
    common = math.gcd(*image)
    high, wide = image[0] // common, image[1] // common
    for extra in range(MOST_PREFIX_TOKENS + 1) if prefix is None else [prefix]:
        # h = high * times and w = wide * times
        times = math.isqrt(max(tokens - extra, 0) // (high * wide))
        if times and high * wide * times**2 == tokens - extra:
            return high * times, wide * times
    return None


def read_maps(
    output: Tensor,
    image: Tensor,
    layout: str,
    layer: str,
    grid: Size | None = None,
    prefix: int | None = None,
) -> Tensor:
    """A layer's output as maps (N, C, h, w), a view of it.

    image: the images (N, channels, H, W). layout: one of LAYOUTS. grid: (h, w) of the
    tokens, found where it is not given; prefix: how many tokens come before the
    patches, where that is known.

    Raises: ValueError: the output can't be maps of these images in this layout; the
        message says what it could be.
    """
    check_name("layout", layout, LAYOUTS)
    if grid is not None and layout != "tokens":
        raise UsageError(f"grid is for layout='tokens', not for {layout!r}")
    shape, size = tuple(output.shape), sides(image)
    asked = f"{len(image)} images of {size[0]} x {size[1]} px"
    gives = f"layer {layer!r} gives {shape} for {asked}"
    if output.ndim not in (3, 4):
        raise ValueError(f"{gives}, not maps (N, C, h, w): take one before the pooling")
    if len(output) != len(image):
        raise ValueError(
            f"{gives}, not one map an image (windows, or the batch in another place): "
            "take a layer that gives (N, ...)"
        )
    if layout == "tokens":
        return _read_tokens(output, gives, size, grid, prefix)
    first, last = sides(output), (shape[1], shape[2])
    if output.ndim == 3:
        tokens = find_grid(shape[1], size, prefix) is not None and shape[1] > 1
        hint = (
            "tokens: say layout='tokens'" if tokens else "take one before the pooling"
        )
        raise ValueError(f"{gives}, not maps (N, C, h, w): {hint}")
    if layout == "channels_first":
        if not fits(first, size) and fits(last, size):
            raise ValueError(
                f"{gives}, which is no picture of {first[0]} x {first[1]} places, but "
                f"can be one of {last[0]} x {last[1]}: say layout='channels_last'"
            )
        return output
    if not fits(last, size) and fits(first, size):
        raise ValueError(
            f"{gives}, which is no picture of {last[0]} x {last[1]} places, but can be "
            f"one of {first[0]} x {first[1]}: say layout='channels_first'"
        )
    return output.permute(0, 3, 1, 2)


def _read_tokens(
    output: Tensor, gives: str, size: Size, grid: Size | None, prefix: int | None
) -> Tensor:
    if output.ndim != 3:
        raise ValueError(f"{gives}, not tokens (N, T, C)")
    tokens = output.shape[1]
    grid = grid or find_grid(tokens, size, prefix)
    if grid is None or not 0 < grid[0] * grid[1] <= tokens:
        what = "no grid of the image's proportions" if grid is None else f"not {grid}"
        raise ValueError(f"{gives}: {tokens} tokens are {what}; give grid=(h, w)")
    patches = output[:, tokens - grid[0] * grid[1] :]
    return patches.transpose(1, 2).unflatten(2, grid)
