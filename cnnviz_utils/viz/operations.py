"""What is known of PyTorch's basic operations: which only move numbers, which are
linear, which are not. What is in none of these lists counts as unknown, never as
harmless."""

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz_utils.viz.tape import Step

# the same numbers under another shape
RESHAPES = {
    "view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "flatten", "unflatten",
    "clone", "alias", "detach", "_to_copy", "lift_fresh", "contiguous", "view_copy",
    "_reshape_alias", "lift_fresh_copy", "_reshape_copy",
}  # fmt: skip
# numbers put elsewhere, repeated, or left out
MOVES = {
    "permute", "transpose", "t", "slice", "select", "narrow", "expand", "repeat", "cat",
    "stack", "split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes",
    "unbind", "chunk", "flip", "roll", "rot90", "index", "index_select",
    "slice_scatter", "select_scatter", "diagonal", "diagonal_scatter", "copy", "unfold",
    "as_strided",
    "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d",
    "replication_pad2d", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "native_channel_shuffle", "im2col", "upsample_nearest1d", "upsample_nearest2d",
    "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "movedim",
}  # fmt: skip
# made in a tensor's shape, but not of its numbers
CONSTANTS = {
    "fill", "zero", "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros",
    "new_ones", "new_full", "new_empty", "rand_like", "randn_like",
}  # fmt: skip
# each number of the output is a sum of the inputs', weighted by their places
RESAMPLES = {
    "upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d",
    "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa",
}  # fmt: skip
BATCH_NORMS = {
    "native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm",
    "_native_batch_norm_legit", "_batch_norm_no_update", "miopen_batch_norm",
    "_native_batch_norm_legit_functional", "_batch_norm_with_update_functional",
    "_batch_norm_with_update",
}  # fmt: skip
INDICES = {"index", "indices", "condition", "mask"}


def moved(step: Step, stand_ins: dict[int, Tensor], blank: float) -> list[Tensor]:
    """A step of RESHAPES or MOVES, made with other tensors of the inputs' shapes.

    stand_ins: one for each input, by the input's id. blank: what a constant becomes
    that the step puts beside them (padding, the class token).

    Raises: ValueError: the indices themselves depend on the image.
    """
    some = next(iter(stand_ins.values()))
    kept = {id(step[name]) for name in INDICES}
    kept |= {id(x) for x in step["indices"] or () if isinstance(x, Tensor)}
    if kept & stand_ins.keys():
        raise ValueError(f"in {step.name!r} the image decides what is taken")

    def exchange(tensor: Tensor) -> Tensor:
        if id(tensor) in stand_ins or id(tensor) in kept:
            return stand_ins.get(id(tensor), tensor)
        return some.new_full(tensor.shape, blank)

    if step.name in RESHAPES:
        # whatever the order in memory: `view` would ask for it
        return [stand_ins[id(step.inputs[0])].reshape(step.outputs[0].shape)]
    if step.name == "copy":
        return [exchange(step["src"]).expand(step.outputs[0].shape)]
    if step.name == "as_strided":
        return [_at_strides(step, exchange(step["self"]), blank)]
    if step.name == "constant_pad_nd":
        return [F.pad(exchange(step["self"]), step["pad"], value=blank)]
    if step.name == "im2col":
        down, right = step["padding"]
        padded = F.pad(exchange(step["self"]), [right, right, down, down], value=blank)
        kernel, dilation, stride = (
            step[name] for name in ("kernel_size", "dilation", "stride")
        )
        return [F.unfold(padded, kernel, dilation, 0, stride)]
    return step.again(exchange)


def _at_strides(step: Step, tensor: Tensor, blank: float) -> Tensor:
    """`as_strided` speaks of places in memory: laid out as the step's own input was."""
    shape, strides = step["self"].shape, step["self"].stride()
    last = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    memory = tensor.new_full((last + 1,), blank)
    memory.as_strided(shape, strides).copy_(tensor)
    offset = step["storage_offset"]
    start = 0 if offset is None else offset - step["self"].storage_offset()
    return memory.as_strided(step["size"], step["stride"], start)


def is_view_of_type(step: Step) -> bool:
    """`x.view(torch.int32)`: the same bits read as other numbers."""
    return str(step.function) in ("aten.view.dtype", "aten.view_copy.dtype")


def depends_on_batch(step: Step) -> bool:
    """A BatchNorm that takes its mean and deviation from the maps themselves."""
    return step["training"] is True or step["running_mean"] is None


def resampling(step: Step) -> list[Tensor]:
    """The matrices (from, to) of a step of RESAMPLES, one for each axis of the image:
    it treats rows and columns apart, so each is found by resampling unit vectors."""
    before, after = step.inputs[0].shape[2:], step.outputs[0].shape[2:]
    scales = ["scales"] if len(after) == 1 else ["scales_h", "scales_w"]
    found = []
    for axis, count in enumerate(before):
        along = lambda values, other, axis=axis: [
            value if i == axis else other for i, value in enumerate(values)
        ]
        units = torch.eye(
            count, dtype=step.outputs[0].dtype, device=step.outputs[0].device
        ).view(1, count, *along(before, 1))
        factors = along([step[name] for name in scales], None)
        sizes, corners = along(after, 1), step["align_corners"]
        resampled = step.function(units, sizes, corners, *factors)
        found.append(resampled.reshape(count, after[axis]))
    return found
