"""Each step of a network sent down again, for the deconvnet: ReLU by the paper's rule,
every other by its transpose, written out."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz_utils.viz.operations import (
    BATCH_NORMS,
    CONSTANTS,
    MOVES,
    RESAMPLES,
    RESHAPES,
    depends_on_batch,
    is_view_of_type,
    moved,
    resampling,
)
from cnnviz_utils.viz.tape import Step
from cnnviz_utils.viz.windows import each_axis

# (an input of the step, the signal that goes down to it)
Sent = list[tuple[Tensor, Tensor]]


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
    H, W); no bias. One axis or three go as well.

    `size` (H, W) decides what the stride leaves open: inputs of several sizes have the
    same output size.
    """
    axes = range(len(size))
    stride, padding, dilation = (
        [value] * len(size) if isinstance(value, int) else list(value)
        for value in (stride, padding, dilation)
    )
    reach = lambda i: (
        (signal.shape[2 + i] - 1) * stride[i]
        + dilation[i] * (weight.shape[2 + i] - 1)
        + 1
    )
    rest = [size[i] + 2 * padding[i] - reach(i) for i in axes]
    turned = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d]
    return turned[len(size) - 1](
        signal, weight, None, stride, padding, rest, groups, dilation
    )


def _conv(step: Step, signal: Tensor) -> Sent:
    weights = "a convolution whose weights the image decides"
    (x,) = _one_input(step, weights)
    weight = step["weight"]
    if x is not step["input"]:
        raise ValueError(f"deconvnet cannot undo {weights}")
    names = ("stride", "padding", "dilation", "groups")
    settings = {name: step[name] for name in names}
    if step["transposed"]:  # turned around, it is a convolution
        plain = [F.conv1d, F.conv2d, F.conv3d][x.ndim - 3]
        return [(x, plain(signal, weight, None, **settings))]
    return [(x, transposed_conv(signal, weight, x.shape[2:], **settings))]


def _batch_norm(step: Step, signal: Tensor) -> Sent:
    if depends_on_batch(step):
        raise ValueError(
            "deconvnet cannot undo a BatchNorm without statistics of its own"
        )
    x, weight = step["input"], step["weight"]
    eps = step["epsilon"] if step["eps"] is None else step["eps"]
    scale = (step["running_var"] + eps).rsqrt() * (1 if weight is None else weight)
    axes = (1,) * (x.ndim - 2)
    return [(x, signal * scale.to(signal.dtype).view(-1, *axes))]


def _max_pool(step: Step, signal: Tensor) -> Sent:
    (x,), switches = step.inputs, step.outputs[1]
    return [(x, unpool(signal, switches, x.shape[2:]))]


def _adaptive_average(step: Step, signal: Tensor) -> Sent:
    """Each cell's value is shared out evenly among the pixels it was the average of."""
    (x,), below = step.inputs, torch.zeros_like(step.inputs[0])
    # rounded down, rounded up
    edges = lambda i, full, cells: slice(i * full // cells, -(-(i + 1) * full // cells))
    for i in range(signal.shape[2]):
        for j in range(signal.shape[3]):
            rows = edges(i, x.shape[2], signal.shape[2])
            columns = edges(j, x.shape[3], signal.shape[3])
            cell = below[:, :, rows, columns]
            cell += signal[:, :, i, j, None, None] / cell[0, 0].numel()
    return [(x, below)]


def _average(step: Step, signal: Tensor) -> Sent:
    """Average pooling: each value is shared out evenly among its window. Windows at the
    border can hold fewer numbers than the others (`count_include_pad`, `ceil_mode`)."""
    (x,) = step.inputs
    kernel, stride, (down, right) = (
        each_axis(step[name] or usual, 2)
        for name, usual in (
            ("kernel_size", 1),
            ("stride", step["kernel_size"]),
            ("padding", 0),
        )
    )
    (high, wide), (h, w) = x.shape[2:], signal.shape[2:]
    if step["divisor_override"] is not None:
        signal = signal / step["divisor_override"]
    else:
        inside = F.pad(
            signal.new_ones(1, 1, high, wide),
            [right, right, down, down],
            value=float(step["count_include_pad"]),
        )
        counts = F.avg_pool2d(inside, kernel, stride, 0, True, divisor_override=1)
        signal = signal / counts[..., :h, :w]
    ones = signal.new_ones(x.shape[1], 1, *kernel)
    spread = F.conv_transpose2d(signal, ones, None, stride, groups=x.shape[1])
    below, beside = high + down - spread.shape[2], wide + right - spread.shape[3]
    return [(x, F.pad(spread, [-right, beside, -down, below]))]


def _resample(step: Step, signal: Tensor) -> Sent:
    """Enlarged by interpolation: the same weights, the other way."""
    for axis, weights in enumerate(resampling(step), start=2):
        signal = (signal.movedim(axis, -1) @ weights.T).movedim(-1, axis)
    return [(step.inputs[0], signal)]


def _mean(step: Step, signal: Tensor) -> Sent:
    ((x, summed),) = _sum(step, signal)
    return [(x, summed / (x.numel() // signal.numel()))]


def _sum(step: Step, signal: Tensor) -> Sent:
    (x,) = step.inputs
    dims = step["dim"]
    dims = [dims] if isinstance(dims, int) else list(dims or range(x.ndim))
    dims = {dim % x.ndim for dim in dims}
    kept = [1 if i in dims else size for i, size in enumerate(x.shape)]
    return [(x, signal.reshape(kept).expand(x.shape))]


def _matrix(step: Step, signal: Tensor) -> Sent:
    names = {"addmm": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2")}
    left, right = (step[name] for name in names.get(step.name, ("self", "mat2")))
    (x,) = _one_input(step, "a product of two activations")
    if step["alpha"] not in (None, 1) or (x is not left and x is not right):
        raise ValueError(f"deconvnet cannot undo {step.name!r} with alpha or a bias")
    if x is left:
        return [(x, signal @ right.transpose(-1, -2))]
    return [(x, left.transpose(-1, -2) @ signal)]


def _one_input(step: Step, what: str) -> list[Tensor]:
    if len(step.inputs) > 1:
        raise ValueError(f"deconvnet cannot undo {what}")
    return step.inputs


def _add(step: Step, signal: Tensor) -> Sent:
    return _add_signed(step, signal, 1)


def _subtract(step: Step, signal: Tensor) -> Sent:
    return _add_signed(step, signal, -1)


def _subtract_from(step: Step, signal: Tensor) -> Sent:
    (x,) = _one_input(step, "a difference the wrong way round")
    return [(x, (signal * -step["alpha"]).sum_to_size(x.shape))]


def _add_signed(step: Step, signal: Tensor, sign: int) -> Sent:
    """Summed where the addition broadcast; what is added can have a factor, `alpha`."""
    sent, known = [], {id(x) for x in step.inputs}
    factor = sign * (1 if step["alpha"] is None else step["alpha"])
    for name, scale in (("self", 1), ("other", factor)):
        if id(x := step[name]) in known:
            part = signal if scale == 1 else signal * scale
            sent.append((x, part.sum_to_size(x.shape)))
    return sent


def _multiply(step: Step, signal: Tensor) -> Sent:
    (x,) = _one_input(step, "a product of two activations")
    factor = step["other"] if x is step["self"] else step["self"]
    return [(x, (signal * factor).sum_to_size(x.shape))]


def _divide(step: Step, signal: Tensor) -> Sent:
    (x,) = _one_input(step, "a division by an activation")
    if x is not step["self"] or step["rounding_mode"]:
        raise ValueError(
            "deconvnet cannot undo a division by an activation, or one that is rounded"
        )
    return [(x, (signal / step["other"]).sum_to_size(x.shape))]


def _reshape(step: Step, signal: Tensor) -> Sent:
    return [(step.inputs[0], signal.reshape(step.inputs[0].shape))]


def _moved_back(step: Step, parts: list[Tensor | None]) -> Sent:
    """Where did each number come from? The step itself says it, made with numbered
    places. There the signal goes back to; what was left out gets zero, what was
    repeated the sum."""
    some = next(part for part in parts if part is not None)
    places, count = {}, 0
    for x in step.inputs:
        # exact up to 2 ** 53, and every step knows this type
        numbered = torch.arange(count, count + x.numel(), dtype=torch.float64)
        places[id(x)] = numbered.to(some.device).view(x.shape)
        count += x.numel()
    below = some.new_zeros(count + 1)
    for origin, part in zip(moved(step, places, count), parts, strict=True):
        if part is not None:
            below.index_add_(0, origin.long().flatten(), part.flatten())
    sizes = [x.numel() for x in step.inputs]
    back = below[:count].split(sizes)
    return [(x, one.view(x.shape)) for x, one in zip(step.inputs, back, strict=True)]


DOWN: Mapping[str, Callable[[Step, Tensor], Sent]] = {
    "convolution": _conv, **dict.fromkeys(BATCH_NORMS, _batch_norm),
    # the rule: only positive evidence goes down
    "relu": lambda step, signal: [(step.inputs[0], signal.clamp(min=0))],
    "max_pool2d_with_indices": _max_pool, "adaptive_max_pool2d": _max_pool,
    "avg_pool2d": _average, "_adaptive_avg_pool2d": _adaptive_average,
    "mean": _mean, "sum": _sum, **dict.fromkeys(RESAMPLES, _resample),
    **dict.fromkeys(["mm", "bmm", "addmm", "baddbmm"], _matrix),
    "add": _add, "sub": _subtract, "rsub": _subtract_from,
    "mul": _multiply, "div": _divide,
    "neg": lambda step, signal: [(step.inputs[0], -signal)],
    **dict.fromkeys(RESHAPES, _reshape), **dict.fromkeys(CONSTANTS, lambda step, _: []),
}  # fmt: skip


def undo(step: Step, parts: list[Tensor | None]) -> Sent:
    """Send signals at a step's outputs (None: no signal there) down to its inputs.

    Raises: ValueError: a step that is not known how to undo.
    """
    if step.name in MOVES:
        return _moved_back(step, parts)
    if step.name not in DOWN or is_view_of_type(step):
        raise ValueError(
            f"deconvnet cannot undo {step.name!r}: see "
            "channel_gradient(rule='deconvnet')"
        )
    if any(part is not None for part in parts[1:]):
        raise ValueError(f"deconvnet cannot undo the side results of {step.name!r}")
    if parts[0] is None:
        return []
    return DOWN[step.name](step, parts[0])
