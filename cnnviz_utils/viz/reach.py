"""How far each number of a network sees: the borders of what reaches it, passed on from
step to step.

For every number of a tensor four borders are kept: its top and left pixel, and the
bottom and right one, these with the sign turned so that "further out" is smaller for
all four. A step passes on the smallest of what goes into each of its outputs. A number
that no pixel reaches has the border `inf`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

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
from cnnviz_utils.viz.tape import Recording, Step
from cnnviz_utils.viz.windows import NOTHING, Edge, Window, each_axis

# one number in, one number out, though PyTorch does not mark them so
POINTWISE = {"hardswish", "_prelu_kernel", "log_sigmoid_forward", "native_dropout"}
# over some dimensions, `dim`: the output has one number for all of them ...
REDUCTIONS = {
    "mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "prod",
    "linalg_vector_norm", "norm", "logsumexp", "std_mean", "any", "all",
}  # fmt: skip
# ... or each of its numbers depends on all of them
SHARES = {"_softmax", "_log_softmax", "_safe_softmax"}
ATTENTION = {
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
}  # fmt: skip
ADAPTIVE = {
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d",
    "adaptive_max_pool3d",
}  # fmt: skip
POOLS = {
    "max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool1d", "avg_pool2d",
    "avg_pool3d",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Reach:
    """borders: four tensors of a tensor's shape: top, left, -bottom, -right, bottom and
    right exclusive. stride: how far a step of one place goes in pixels, needed only for
    maps of one place, whose borders do not tell."""

    borders: list[Tensor]
    stride: tuple[int, int]


See = dict[int, Tensor]


def reach(recording: Recording, beyond: bool) -> Reach:
    """What the recorded layer's numbers see.

    beyond: whether the image goes on outside its border, so that padding sees as many
    pixels as any place; otherwise padding sees nothing.

    Raises: ValueError: a step of which nothing is known.
    """
    high, wide = recording.pixels.shape[2:]
    # on the CPU, wherever the network is: on "meta" tensors have no numbers
    rows = torch.arange(high, dtype=torch.float32, device="cpu")[:, None]
    columns = torch.arange(wide, dtype=torch.float32, device="cpu")
    borders = [
        border.expand(recording.pixels.shape)
        for border in (rows, columns, -1 - rows, -1 - columns)
    ]
    found = {id(recording.pixels): Reach(borders, (1, 1))}
    last = {id(x): i for i, step in enumerate(recording.steps) for x in step.inputs}
    for i, step in enumerate(recording.steps):
        if not all(id(x) in found for x in step.inputs):
            raise ValueError(
                f"no receptive field: {step.name!r} takes an unknown side result"
            )
        below = [found[id(x)] for x in step.inputs]
        rule, stride = _rule(step), _stride(step, below[0].stride)
        outputs = []
        for k, limit in enumerate((0, 0, -high, -wide)):
            edge = Edge(k, beyond, limit, below[0].stride)
            see = {
                id(x): one.borders[k] for x, one in zip(step.inputs, below, strict=True)
            }
            outputs.append(rule(step, see, edge))
        for tensor, borders in zip(
            step.outputs, zip(*outputs, strict=True), strict=False
        ):
            found[id(tensor)] = Reach(list(borders), stride)
        for x in step.inputs:
            if last[id(x)] == i:  # no longer needed
                found.pop(id(x), None)
    return found[recording.top]


def _rule(step: Step) -> Callable[[Step, See, Edge], list[Tensor]]:
    name = step.name
    if name in RULES and not is_view_of_type(step):
        return RULES[name]
    if torch.Tag.pointwise in step.function.tags:
        return _pointwise
    raise ValueError(f"no receptive field: nothing is known of the step {name!r}")


def _stride(step: Step, stride: tuple[int, int]) -> tuple[int, int]:
    if step.name != "convolution" and step.name not in POOLS:
        return stride
    steps = each_axis(step["stride"] or step["kernel_size"], 2)
    return stride[0] * steps[0], stride[1] * steps[1]


def _of(step: Step, name: str, see: See) -> Tensor:
    """What an argument sees: nothing, if it is a constant."""
    value = step[name]
    shape = value.shape if isinstance(value, Tensor) else ()
    blank = next(iter(see.values())).new_full((), NOTHING)
    return see[id(value)] if id(value) in see else blank.expand(shape)


def _lean(border: Tensor) -> Tensor:
    """Without repetitions: dimensions along which `expand` repeats, cut to 1."""
    for dim, (size, stride) in enumerate(
        zip(border.shape, border.stride(), strict=True)
    ):
        if size > 1 and stride == 0:
            border = border.narrow(dim, 0, 1)
    return border


def _over(border: Tensor, dims: Sequence[int], edge: Edge) -> Tensor:
    """The outermost border over some dimensions, which are kept with size 1. Who looks
    at several places of the whole map sees the image, and nothing beyond."""
    dims = [dim % border.ndim for dim in dims]
    kept = [1 if i in dims else size for i, size in enumerate(border.shape)]
    if not dims:
        return border
    border = _lean(border)
    outermost = border.amin(dims, keepdim=True)
    if edge.beyond and not torch.equal(outermost, border.amax(dims, keepdim=True)):
        outermost = outermost.clamp(min=edge.limit)
    return outermost.expand(kept)


def _least(borders: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """The outermost of several, broadcast to a shape."""
    return reduce(torch.minimum, map(_lean, borders)).expand(shape)


def _pointwise(step: Step, see: See, edge: Edge) -> list[Tensor]:
    return [_least(list(see.values()), step.outputs[0].shape)]


def _move(step: Step, see: See, edge: Edge) -> list[Tensor]:
    return moved(step, see, NOTHING)


def _constant(step: Step, see: See, edge: Edge) -> list[Tensor]:
    return [_of(step, "value", see).expand(step.outputs[0].shape)]


def _halves(step: Step, see: See, edge: Edge) -> list[Tensor]:
    (border,) = see.values()
    return [_least(border.chunk(2, step["dim"]), step.outputs[0].shape)]


def _reduction(step: Step, see: See, edge: Edge) -> list[Tensor]:
    (border,) = see.values()
    dims = step["dim"]
    dims = [dims] if isinstance(dims, int) else list(dims or range(border.ndim))
    reduced = _over(border, dims, edge)
    return [reduced.reshape(x.shape) for x in step.outputs]


def _share(step: Step, see: See, edge: Edge) -> list[Tensor]:
    (border,) = see.values()
    return [_over(border, [step["dim"]], edge).expand(border.shape)]


def _layer_norm(step: Step, see: See, edge: Edge) -> list[Tensor]:
    border = _of(step, "input", see)
    dims = range(-len(step["normalized_shape"]), 0)
    return [_over(border, dims, edge).expand(border.shape)]


def _group_norm(step: Step, see: See, edge: Edge) -> list[Tensor]:
    border = _of(step, "input", see)
    groups = border.reshape(len(border), step["group"], -1)
    shared = _over(groups, [2], edge).expand(groups.shape)
    return [shared.reshape(border.shape)]


def _batch_norm(step: Step, see: See, edge: Edge) -> list[Tensor]:
    border = _of(step, "input", see)
    if depends_on_batch(step):
        dims = [dim for dim in range(border.ndim) if dim != 1]
        border = _over(border, dims, edge).expand(border.shape)
    return [border]


def _matrix(step: Step, see: See, edge: Edge) -> list[Tensor]:
    names = {"addmm": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2")}
    left, right = names.get(step.name, ("self", "mat2"))
    shape = step.outputs[0].shape
    rows = _over(_of(step, left, see), [-1], edge)
    columns = _over(_of(step, right, see), [-2], edge)
    bias = [_of(step, "self", see)] if step.name in names else []
    return [_least([rows, columns, *bias], shape)]


def _attention(step: Step, see: See, edge: Edge) -> list[Tensor]:
    mask = step["attn_mask"] if step["attn_bias"] is None else step["attn_bias"]
    if step["is_causal"] or (mask is not None and torch.isinf(mask).any()):
        raise ValueError("no receptive field: attention that is masked")
    queries = _over(_of(step, "query", see), [-1], edge)
    keys = _over(_of(step, "key", see), [-2, -1], edge)
    values = _over(_of(step, "value", see), [-2], edge)
    parts = [queries, keys, values]
    if id(mask) in see:
        parts.append(_over(see[id(mask)], [-1], edge))
    return [_least(parts, step.outputs[0].shape)]


def _resample(step: Step, see: See, edge: Edge) -> list[Tensor]:
    (border,) = see.values()
    for axis, weights in enumerate(resampling(step), start=2):
        taken = [weights[:, i].nonzero().flatten() for i in range(weights.shape[1])]
        border = torch.cat(
            [border.index_select(axis, some).amin(axis, True) for some in taken], axis
        )
    return [border]


def _adaptive_pool(step: Step, see: See, edge: Edge) -> list[Tensor]:
    (border,) = see.values()
    size = list(step["output_size"])
    pool = {2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}[len(size)]
    shape = step.outputs[0].shape
    return [-pool(-_lean_channels(border), size).expand(shape)] * len(step.outputs)


def _pool(step: Step, see: See, edge: Edge) -> list[Tensor]:
    (border,) = see.values()
    shape = step.outputs[0].shape
    window = Window(step, shape[2:], step["kernel_size"])
    return [window.slide(_lean_channels(border), edge).expand(shape)] * len(
        step.outputs
    )


def _lean_channels(border: Tensor) -> Tensor:
    """One channel, where all see the same."""
    return border[:, :1] if border.stride(1) == 0 else border


def _convolution(step: Step, see: See, edge: Edge) -> list[Tensor]:
    border, weight = _of(step, "input", see), step["weight"]
    shape, groups = step.outputs[0].shape, step["groups"]
    if border.stride(1) == 0:
        border = border[:, :1]
    else:
        border = border.unflatten(1, (groups, -1)).amin(2)
        groups = border.shape[1]
    window = Window(step, shape[2:], weight.shape[2:])
    border = window.spread(border) if step["transposed"] else window.slide(border, edge)
    if border.shape[1] > 1:
        border = border.repeat_interleave(shape[1] // groups, 1)
    others = [see[id(x)].amin() for x in (weight, step["bias"]) if id(x) in see]
    return [_least([border, *others], shape) if others else border.expand(shape)]


RULES: dict[str, Callable[[Step, See, Edge], list[Tensor]]] = {
    **dict.fromkeys(RESHAPES | MOVES, _move),
    **dict.fromkeys(POINTWISE, _pointwise),
    **dict.fromkeys(CONSTANTS, _constant),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(SHARES, _share),
    **dict.fromkeys(BATCH_NORMS, _batch_norm),
    **dict.fromkeys(ATTENTION, _attention),
    **dict.fromkeys(RESAMPLES, _resample),
    **dict.fromkeys(ADAPTIVE, _adaptive_pool),
    **dict.fromkeys(POOLS, _pool),
    **dict.fromkeys(["mm", "bmm", "addmm", "baddbmm"], _matrix),
    "native_layer_norm": _layer_norm, "native_group_norm": _group_norm,
    "convolution": _convolution, "glu": _halves,
}  # fmt: skip
