"""The deconvnet of Zeiler and Fergus (2014), written out: what in the image made this
activation so strong?

The network runs forward and each step is written down. Then one activation is sent down
the same steps again: pooling is undone with the recorded switches, a ReLU is applied to
what comes down, a convolution is turned around with its own filters transposed, a
shortcut's sum sends the signal both ways. No gradient is computed here; that
`channel_gradient(rule="deconvnet")` gives the same numbers is a fact that a test holds,
not how this works.

Where the paper says nothing: biases are dropped, BatchNorm is its fixed scaling of test
time, transposed.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnviz_utils.viz.gradients import keep_strongest
from cnnviz_utils.viz.layers import Layer, Targets, looking
from cnnviz_utils.viz.tape import Recording, Step, record_steps

# (an input of the step, the signal that goes down to it)
Sent = list[tuple[Tensor, Tensor]]


def deconvnet(
    model: nn.Module, images: Tensor, layer: Layer = None, channels: Targets = None
) -> Tensor:
    """The strongest activation of one channel of a layer in each image, projected down
    to the pixels.

    images (N, 3, H, W) in [0, 1] -> (N, 3, H, W), signed, not normalised. channels:
    one, one an image, or None for each image's strongest. All other activations are set
    to zero first. A silent channel gives a zero picture.

    Raises: KeyError: no such layer. ValueError: no such channel, or a step on the way
        down that is not known how to undo.

    Zeiler and Fergus 2014, Visualizing and understanding convolutional networks.
    """
    recording = record_steps(model, images, layer)
    with looking(model):
        return descend(recording, keep_strongest(recording.maps, channels)).float()


def descend(recording: Recording, signal: Tensor) -> Tensor:
    """Send a signal of the recorded layer's shape down to the pixels. Where ways meet,
    the signals add up."""
    arrived = {recording.top: signal}
    for step in reversed(recording.steps):
        if id(step.output) not in arrived:
            continue  # beside the way down
        if step.name not in DOWN:
            raise ValueError(
                f"deconvnet cannot undo {step.name!r}: "
                "see channel_gradient(rule='deconvnet')"
            )
        for tensor, part in DOWN[step.name](step, arrived.pop(id(step.output))):
            arrived[id(tensor)] = (
                arrived[id(tensor)] + part if id(tensor) in arrived else part
            )
    if id(recording.pixels) not in arrived:
        raise ValueError("this layer does not depend on the pixels")
    return arrived[id(recording.pixels)]


def unpool(signal: Tensor, switches: Tensor, size: Sequence[int]) -> Tensor:
    """Max-pooling undone: each value goes back to the place of its maximum, (N, C, h,
    w) -> (N, C, H, W).

    Where windows overlap, one place can be the maximum of several: their values add up
    (`scatter_add`), which makes it the adjoint of pooling. `nn.MaxUnpool2d` keeps only
    one of them, right only where windows do not overlap.
    """
    plane = signal.new_zeros(*signal.shape[:2], size[0] * size[1])
    return plane.scatter_add_(2, switches.flatten(2), signal.flatten(2)).unflatten(
        2, size
    )


def transposed_conv(
    signal: Tensor,
    weight: Tensor,
    size: Sequence[int],
    stride=1,
    padding=0,
    dilation=1,
    groups: int = 1,
) -> Tensor:
    """A convolution turned around, with the same filters: (N, C_out, h, w) -> (N, C_in,
    H, W); no bias.

    `size` (H, W) decides what the stride leaves open: inputs of several sizes have the
    same output size.
    """
    stride, padding, dilation = [
        (p, p) if isinstance(p, int) else tuple(p) for p in (stride, padding, dilation)
    ]
    reach = lambda i: (
        (signal.shape[2 + i] - 1) * stride[i]
        + dilation[i] * (weight.shape[2 + i] - 1)
        + 1
    )
    rest = [size[i] + 2 * padding[i] - reach(i) for i in (0, 1)]
    return F.conv_transpose2d(
        signal, weight, None, stride, padding, rest, groups, dilation
    )


def _conv(step: Step, signal: Tensor) -> Sent:
    x, weight = step.argument(0, "input"), step.argument(1, "weight")
    names = enumerate(
        {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}.items(), start=3
    )
    settings = {
        name: step.argument(position, name, usual) for position, (name, usual) in names
    }
    if isinstance(settings["padding"], str):
        raise ValueError(
            "deconvnet needs a convolution's padding in numbers, "
            f"not {settings['padding']!r}"
        )
    return [(x, transposed_conv(signal, weight, x.shape[2:], **settings))]


def _batch_norm(step: Step, signal: Tensor) -> Sent:
    x, variance, weight = (
        step.argument(0, "input"),
        step.argument(2, "running_var"),
        step.argument(3, "weight"),
    )
    scale = (variance + step.argument(7, "eps", 1e-5)).rsqrt() * (
        1 if weight is None else weight
    )
    return [(x, signal * scale.to(signal.dtype)[:, None, None])]


def _max_pool(step: Step, signal: Tensor) -> Sent:
    (x,) = step.inputs
    assert step.switches is not None  # the tape keeps them for max-pooling
    return [(x, unpool(signal, step.switches, x.shape[2:]))]


def _adaptive_average(step: Step, signal: Tensor) -> Sent:
    """Each cell's value is shared out evenly among the pixels it was the average of."""
    (x,), below = step.inputs, torch.zeros_like(step.inputs[0])
    # rounded down, rounded up
    edges = lambda i, full, cells: slice(i * full // cells, -(-(i + 1) * full // cells))
    for i in range(signal.shape[2]):
        for j in range(signal.shape[3]):
            cell = below[
                :,
                :,
                edges(i, x.shape[2], signal.shape[2]),
                edges(j, x.shape[3], signal.shape[3]),
            ]
            cell += signal[:, :, i, j, None, None] / cell[0, 0].numel()
    return [(x, below)]


def _average(step: Step, signal: Tensor) -> Sent:
    """Average pooling is a convolution of each channel with an even filter."""
    (x,), kernel = step.inputs, step.argument(1, "kernel_size")
    kernel = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
    stride, padding = (
        step.argument(2, "stride") or kernel,
        step.argument(3, "padding", 0),
    )
    if step.argument(4, "ceil_mode", False) or step.argument(6, "divisor_override"):
        raise ValueError(
            "deconvnet cannot undo average pooling with ceil_mode "
            "or a divisor of its own"
        )
    if padding not in (0, (0, 0)) and not step.argument(5, "count_include_pad", True):
        raise ValueError(
            "deconvnet cannot undo average pooling "
            "that leaves its padding out of the count"
        )
    even = signal.new_full((x.shape[1], 1, *kernel), 1 / (kernel[0] * kernel[1]))
    return [
        (x, transposed_conv(signal, even, x.shape[2:], stride, padding, 1, x.shape[1]))
    ]


def _mean(step: Step, signal: Tensor) -> Sent:
    (x,) = step.inputs
    if x.ndim != 4 or signal.shape[:2] != x.shape[:2]:
        raise ValueError("deconvnet can undo a mean over height and width only")
    return [(x, (signal.flatten(1)[:, :, None, None] / x[0, 0].numel()).expand_as(x))]


def _linear(step: Step, signal: Tensor) -> Sent:
    return [(step.inputs[0], signal @ step.argument(1, "weight"))]


def _add(step: Step, signal: Tensor) -> Sent:
    _no_factor(step)
    # summed where the addition broadcast
    return [(x, signal.sum_to_size(x.shape)) for x in step.inputs]


def _no_factor(step: Step) -> None:
    if step.kwargs.get("alpha", 1) != 1:
        raise ValueError(f"deconvnet cannot undo {step.name!r} with alpha")


def _subtract(step: Step, signal: Tensor) -> Sent:
    _no_factor(step)
    return [
        (x, (signal if x is step.args[0] else -signal).sum_to_size(x.shape))
        for x in step.inputs
    ]


def _multiply(step: Step, signal: Tensor) -> Sent:
    if len(step.inputs) > 1:
        raise ValueError("deconvnet cannot undo a product of two activations")
    (x,) = step.inputs
    factor = next(
        (
            a
            for a in (*step.args, step.kwargs.get("other"))
            if a is not x and a is not None
        ),
        1,
    )
    return [(x, signal * factor)]


def _divide(step: Step, signal: Tensor) -> Sent:
    if (
        len(step.inputs) > 1
        or step.inputs[0] is not step.argument(0, "input")
        or step.kwargs.get("rounding_mode")
    ):
        raise ValueError(
            "deconvnet cannot undo a division by an activation, or one that is rounded"
        )
    return [(step.inputs[0], signal / step.argument(1, "other"))]


def _concatenate(step: Step, signal: Tensor) -> Sent:
    along = step.argument(1, "dim", 0)
    return list(
        zip(
            step.inputs,
            signal.split([x.shape[along] for x in step.inputs], along),
            strict=True,
        )
    )


def _reshape(step: Step, signal: Tensor) -> Sent:
    return [(step.inputs[0], signal.reshape(step.inputs[0].shape))]


DOWN: Mapping[str, Callable[[Step, Tensor], Sent]] = {
    "conv2d": _conv, "batch_norm": _batch_norm, "linear": _linear,
    # the rule: only positive evidence goes down
    "relu": lambda step, signal: [(step.inputs[0], signal.clamp(min=0))],
    "max_pool2d": _max_pool,
    "adaptive_avg_pool2d": _adaptive_average,
    "avg_pool2d": _average,
    "mean": _mean,
    "add": _add,
    "iadd": _add,
    "sub": _subtract,
    "mul": _multiply,
    "div": _divide,
    "cat": _concatenate,
} | dict.fromkeys(
    ["flatten", "reshape", "view", "squeeze", "unsqueeze", "dropout", "dropout2d",
     "feature_dropout", "contiguous", "clone", "detach", "to", "float"],
    _reshape,
)  # fmt: skip
