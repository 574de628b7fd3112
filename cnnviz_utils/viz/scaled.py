"""A gradient in numbers of any precision."""

import torch
from torch import Tensor


def scaled_gradient(output: Tensor, start: Tensor, leaf: Tensor) -> Tensor | None:
    """The gradient of sum(start * output) for the leaf, float32, or None where the
    output does not depend on it. Nothing is deposited in any `.grad`.

    16-bit gradients of early layers are so small that they vanish: they are scaled up
    on the way, by less where that is too much, and down again in float32.

    Raises: ValueError: the gradient is beyond float16 however it is scaled, a
        re-entrant checkpoint lies on the way, or the network overwrites what it needs.
    """
    if not output.requires_grad:
        return None
    half = torch.float16 in (output.dtype, leaf.dtype)
    scales = [2.0**power for power in (10, 5, 0, -5, -10)] if half else [1.0]
    for scale in scales:
        try:
            (gradient,) = torch.autograd.grad(
                output, leaf, scale * start, retain_graph=half, allow_unused=True
            )
        except RuntimeError as error:
            if "modified by an inplace operation" in str(error):
                raise ValueError(
                    "the network changes in place what its own gradient needs, so that "
                    "PyTorch can't give one: leave out inplace=True, or the step that "
                    "ends in _, behind this layer"
                ) from None
            if "use_reentrant" not in str(error):
                raise
            raise ValueError(
                "a re-entrant checkpoint of the network lies behind this layer, and "
                "PyTorch gives no single gradient through it: switch checkpointing "
                "off, or use checkpoint(..., use_reentrant=False)"
            ) from None
        if gradient is None:
            return None
        if not half or gradient.isfinite().all():
            return gradient.float() / scale
    raise ValueError(
        "the activations or gradients of this network are beyond float16 (65504): "
        "use float32 or bfloat16"
    )
