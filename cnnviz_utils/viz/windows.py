"""Where the kernels of convolutions and pooling stand, and the outermost border of what
they see (see `viz.reach`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz_utils.viz.tape import Step

# the border of what no pixel reaches
NOTHING = float("inf")


@dataclass(frozen=True)
class Edge:
    """Which of the four borders: 0 top, 1 left, 2 bottom, 3 right. beyond: whether the
    image goes on outside; limit: that border of the whole image; stride: of a map of
    one place."""

    which: int
    beyond: bool
    limit: int
    stride: tuple[int, int]


def each_axis(
    values: int | Sequence[int] | None, count: int, usual: int = 1
) -> list[int]:
    """One setting for each axis, however it was given."""
    values = [values] if isinstance(values, int) else list(values or [usual])
    return values * count if len(values) == 1 else values


class Window:
    """The kernel of a convolution or pooling: where it stands, and the outermost border
    in it, that of a map of any number of axes."""

    def __init__(
        self, step: Step, places: Sequence[int], kernel: int | Sequence[int]
    ) -> None:
        self.places, count = list(places), len(places)
        self.kernel = each_axis(kernel, count)
        self.stride = each_axis(step["stride"] or self.kernel, count)
        self.padding = each_axis(step["padding"], count, 0)
        self.dilation = each_axis(step["dilation"], count)
        self.pool = [F.max_pool1d, F.max_pool2d, F.max_pool3d][count - 1]

    def slide(self, border: Tensor, edge: Edge) -> Tensor:
        """Convolution and pooling."""
        for axis, places in enumerate(self.places):
            reach = (places - 1) * self.stride[axis] + self._extent(axis)
            before = self.padding[axis]
            after = reach - before - border.shape[axis + 2]
            border = _continued(border, axis, before, after, edge)
        return -self.pool(-border, self.kernel, self.stride, 0, self.dilation)

    def spread(self, border: Tensor) -> Tensor:
        """Transposed convolution: `stride` apart, nothing between, then a convolution
        of stride 1."""
        for axis, places in enumerate(self.places):
            dim, stride = axis + 2, self.stride[axis]
            extent = self._extent(axis)
            shape = list(border.shape)
            shape[dim] = (shape[dim] - 1) * stride + 1
            apart = border.new_full(shape, NOTHING)
            where = torch.arange(0, shape[dim], stride, device=border.device)
            apart.index_copy_(dim, where, border)
            before = extent - 1 - self.padding[axis]
            after = places + extent - 1 - before - shape[dim]
            border = _padded(apart, axis, before, after)
        return -self.pool(-border, self.kernel, 1, 0, self.dilation)

    def _extent(self, axis: int) -> int:
        return (self.kernel[axis] - 1) * self.dilation[axis] + 1


def _padded(border: Tensor, axis: int, before: int, after: int) -> Tensor:
    """With places that see nothing, or fewer places where a number is negative."""
    pads = [0, 0] * (border.ndim - 3 - axis) + [before, after]
    return F.pad(border, pads, value=NOTHING)


def _continued(
    border: Tensor, axis: int, before: int, after: int, edge: Edge
) -> Tensor:
    """With padding. Where the image goes on, so does an even sequence of borders."""
    dim, count = axis + 2, border.shape[axis + 2]
    padded = _padded(border, axis, before, after)
    if not edge.beyond or border.ndim != 4 or not border.numel():
        return padded
    if count > 1:
        steps = border.diff(dim=dim)
        distance = steps.flatten()[0]
        if not torch.equal(steps, distance.expand(steps.shape)):
            return padded
    else:
        along = edge.which % 2 == axis
        distance = (edge.stride[axis] if along else 0) * (1 if edge.which < 2 else -1)
    for places, first in ((before, 0), (after, before + count)):
        if places > 0:
            known = before if first == 0 else before + count - 1
            away = torch.arange(first, first + places, device=border.device) - known
            shape = [-1 if i == dim else 1 for i in range(4)]
            values = padded.narrow(dim, known, 1) + (away * distance).view(shape)
            padded.narrow(dim, first, places).copy_(values)
    return padded
