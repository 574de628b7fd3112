"""Receptive fields: which pixels can reach one place of a layer's map."""

from dataclasses import dataclass

import torch
from torch import nn

from cnnviz_utils.viz.layers import Layer, looking
from cnnviz_utils.viz.tape import Step, record_steps


@dataclass(frozen=True)
class Field:
    """Place (y, x) of the map sees `size` pixels from `start + y * stride` on; each a
    pair (vertical, horizontal).

    Places near the border see less than `size`, because the padding is not image.
    image: its height and width.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]
    image: tuple[int, int]

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """Top, left, bottom, right in pixels. At the border the box is moved, not cut:
        all are of one size."""
        sizes = [min(s, full) for s, full in zip(self.size, self.image, strict=True)]
        first = [
            max(
                0,
                min(
                    self.start[i] + (y, x)[i] * self.stride[i], self.image[i] - sizes[i]
                ),
            )
            for i in (0, 1)
        ]
        return first[0], first[1], first[0] + sizes[0], first[1] + sizes[1]


def receptive_field(
    model: nn.Module, layer: Layer, size: tuple[int, int], channels: int = 3
) -> Field:
    """The receptive field of a layer's places, for images of size (H, W), by walking up
    through the network once.

    Convolution and pooling widen it: by (k - 1) * dilation steps of the stride so far;
    where ways join, the widest counts; behind global pooling or a linear layer it is
    the whole image.

    Raises: ValueError: ways of different strides join, maps change their size
        otherwise, or no pixel reaches the layer.

    Araujo et al. 2019, Computing receptive fields of convolutional neural networks.
    """
    parameter = next(model.parameters())
    blank = torch.zeros(
        1, channels, *size, dtype=parameter.dtype, device=parameter.device
    )
    recording = record_steps(model, blank, layer)
    fields = {id(recording.pixels): Field((1, 1), (1, 1), (0, 0), (size[0], size[1]))}
    with looking(model):
        for step in recording.steps:
            below = [fields[id(x)] for x in step.inputs]
            fields[id(step.output)] = _above(step, below)
    if recording.top not in fields:
        raise ValueError(f"layer {layer!r} does not depend on the pixels")
    return fields[recording.top]


def _above(step: Step, below: list[Field]) -> Field:
    image = below[0].image
    if step.name == "conv2d":
        kernel = tuple(step.argument(1, "weight").shape[2:])
        return _widen(below[0], kernel, *(step.argument(i, n, d) for i, n, d in _CONV))
    if step.name in ("max_pool2d", "avg_pool2d"):
        kernel = step.argument(1, "kernel_size")
        stride = step.argument(2, "stride") or kernel
        dilation = step.argument(4, "dilation", 1) if step.name == "max_pool2d" else 1
        return _widen(
            below[0], kernel, stride, step.argument(3, "padding", 0), dilation
        )
    places, before = (
        step.output.shape[2:],
        max((x.shape[2:] for x in step.inputs), key=torch.Size.numel),
    )
    pooled = step.output.ndim != 4 or places.numel() == 1 < before.numel()
    if pooled or step.name in ("adaptive_avg_pool2d", "adaptive_max_pool2d", "linear"):
        return Field(image, (0, 0), (0, 0), image)
    if places != before:
        raise ValueError(
            f"no receptive field: {step.name!r} makes maps of {tuple(places)} "
            f"from {tuple(before)}"
        )
    return _join(below)


_CONV = [(3, "stride", 1), (4, "padding", 0), (5, "dilation", 1)]


def _widen(field: Field, kernel, stride, padding, dilation) -> Field:
    pair = lambda value: (value, value) if isinstance(value, int) else tuple(value)
    kernel, stride, dilation = map(pair, (kernel, stride, dilation))
    if isinstance(padding, str):  # "valid" or "same"
        padding = tuple(
            dilation[i] * (kernel[i] - 1) // 2 * (padding == "same") for i in (0, 1)
        )
    padding = pair(padding)
    return Field(
        tuple(
            field.size[i] + (kernel[i] - 1) * dilation[i] * field.stride[i]
            for i in (0, 1)
        ),
        tuple(field.stride[i] * stride[i] for i in (0, 1)),
        tuple(field.start[i] - padding[i] * field.stride[i] for i in (0, 1)),
        field.image,
    )


def _join(below: list[Field]) -> Field:
    """From the first pixel that any of them sees to the last."""
    if len({field.stride for field in below}) > 1:
        raise ValueError("no receptive field: ways of different strides join here")
    top, left = (min(field.start[i] for field in below) for i in (0, 1))
    end = [max(field.start[i] + field.size[i] for field in below) for i in (0, 1)]
    size = (end[0] - top, end[1] - left)
    return Field(size, below[0].stride, (top, left), below[0].image)
