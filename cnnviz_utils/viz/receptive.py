"""Receptive fields: which pixels can reach one place of a layer's map."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cnnviz_utils.base.declared import Sides
from cnnviz_utils.base.settings import fitting_sides
from cnnviz_utils.viz.layers import Layer, find_layer, looking
from cnnviz_utils.viz.layouts import Size, read_maps
from cnnviz_utils.viz.located import prefix_tokens
from cnnviz_utils.viz.reach import reach
from cnnviz_utils.viz.tape import record_steps


@dataclass(frozen=True)
class Field:
    """What the places (y, x) of a map see; pairs are (vertical, horizontal), in pixels.

    Where all places see windows of one size at one distance, as behind convolutions and
    pooling, `size`, `stride` and `start` describe them as if the image went on beyond
    its border: place (y, x) sees `size` pixels from `start + (y, x) * stride` on, and
    `size` can be larger than the image. Otherwise (global pooling, attention, a shifted
    map) `size` is the largest window, `stride` and `start` are (0, 0).

    image: its height and width
    seen: int64 (h, w, 4): top, left, bottom, right of what each place sees of the image
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]
    image: tuple[int, int]
    seen: Tensor = field(repr=False, compare=False)

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """Top, left, bottom, right in pixels of a window that holds all that the place
        sees. At the border the window is moved, not cut: all are of one size."""
        sizes = [min(s, full) for s, full in zip(self.size, self.image, strict=True)]
        regular = self.stride != (0, 0)
        first = [
            self.start[i] + (y, x)[i] * self.stride[i]
            if regular
            else int(self.seen[y, x, i])
            for i in (0, 1)
        ]
        top, left = (max(0, min(first[i], self.image[i] - sizes[i])) for i in (0, 1))
        return top, left, top + sizes[0], left + sizes[1]


def receptive_field(
    model: nn.Module,
    layer: Layer,
    size: tuple[int, int],
    channels: int = 3,
    *,
    layout: str = "channels_first",
    grid: Size | None = None,
) -> Field:
    """The receptive field of a layer's places, for images of size (H, W).

    layer: a name, a module, or None for `last_spatial_layer`; layout, grid: how it lays
    its output out, as for `layer_gradients`. An output (1, C) is one place.

    How: the network runs once on a blank image and its steps are recorded. Then, in
    place of numbers, each step is given the four borders of what its inputs see, and
    passes on the outermost of those that go into each of its outputs (`viz.reach`).

    It says what *can* reach a place: a weight that happens to be zero and a mask of
    attention count as open.

    Raises: ValueError: no pixel reaches the layer, or there is a step on the way of
        which nothing is known; the message names it.

    Araujo et al. 2019, Computing receptive fields of convolutional neural networks.
    """
    size = fitting_sides(size, Sides)
    parameter = next(model.parameters(), torch.zeros(()))
    blank = torch.zeros(
        1, channels, *size, dtype=parameter.dtype, device=parameter.device
    )
    with looking(model):
        name = find_layer(model, layer, blank, layout, grid)
        recording = record_steps(model, blank, name)
        prefix = prefix_tokens(model)

        def by_place(borders: list[Tensor]) -> Tensor:
            """Top, left, bottom, right of what each place sees, (h, w, 4)."""
            if borders[0].ndim != 2:
                borders = [
                    read_maps(border, blank, layout, name, grid, prefix)
                    for border in borders
                ]
            top, left, bottom, right = (
                border.amin((0, 1)) if border.ndim == 4 else border.amin().view(1, 1)
                for border in borders
            )
            return torch.stack([top, left, -bottom, -right], -1)

        seen = by_place(reach(recording, beyond=False).borders)
        endless = reach(recording, beyond=True)
        windows = by_place(endless.borders)
    image = (size[0], size[1])
    if not torch.isfinite(seen).any():
        raise ValueError(f"layer {name!r} does not depend on the pixels")
    regular = _regular(windows, endless.stride, image)
    if regular:
        return Field(*regular, image, seen.nan_to_num(0, 0, 0).long())
    # a place that sees nothing: an empty window
    seen = torch.where(torch.isfinite(seen).all(-1, keepdim=True), seen, 0).long()
    sizes = (seen[..., 2:] - seen[..., :2]).flatten(0, 1).amax(0).tolist()
    return Field(tuple(sizes), (0, 0), (0, 0), image, seen)


def _regular(
    windows: Tensor, stride: tuple[int, int], image: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None:
    """(size, stride, start) where every place's window is of one size and they stand at
    one distance; None otherwise."""
    h, w = windows.shape[:2]
    whole = windows.new_tensor([0, 0, *image])
    # one place that sees the whole image, as behind global pooling, has no stride
    if not torch.isfinite(windows).all() or (
        h == w == 1 and windows.equal(whole.expand_as(windows))
    ):
        return None
    distance = (
        float(windows[1, 0, 0] - windows[0, 0, 0]) if h > 1 else stride[0],
        float(windows[0, 1, 1] - windows[0, 0, 1]) if w > 1 else stride[1],
    )
    rows, columns = (
        torch.arange(n, dtype=windows.dtype, device=windows.device) for n in (h, w)
    )
    expected = windows[0, 0].expand(h, w, 4).clone()
    expected[..., 0::2] += (rows * distance[0])[:, None, None]
    expected[..., 1::2] += (columns * distance[1])[None, :, None]
    if not torch.equal(expected, windows) or min(distance) <= 0:
        return None
    top, left, bottom, right = windows[0, 0].int().tolist()
    step = (int(distance[0]), int(distance[1]))
    return (bottom - top, right - left), step, (top, left)
