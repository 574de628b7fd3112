"""What autograd keeps between the forward and the backward pass."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


def kept_tensors(
    run: Callable[[], object], without: Iterable[Tensor] = ()
) -> list[Tensor]:
    """The tensors that a forward pass (`run`) keeps for the backward pass, one for each
    piece of memory.

    Those that lie in the memory of the tensors `without` (weights, images) are left
    out. Works on the "meta" device too, where nothing is computed.
    """
    left_out = {tensor.untyped_storage()._cdata for tensor in without}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()._cdata
        if place not in left_out:
            # as long as we hold it, its memory is not used for another tensor
            kept[place] = tensor.detach()
        return tensor

    with torch.enable_grad(), saved_tensors_hooks(keep, lambda tensor: tensor):
        output = run()
    del output
    return list(kept.values())
