"""Which steps of a network are not linear: told from what its operations are known to
be, not from a list of activation functions."""

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cnnviz_utils.viz.operations import (
    BATCH_NORMS,
    CONSTANTS,
    MOVES,
    RESAMPLES,
    RESHAPES,
)
from cnnviz_utils.viz.tape import operation_name

# of all of their arguments together
SUMS = {
    "add", "sub", "rsub", "neg", "mean", "sum", "avg_pool1d", "avg_pool2d",
    "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "col2im",
    "native_dropout", "index_add", "scatter_add", "cumsum", "accumulate_grad",
}  # fmt: skip
# with the places of the maxima recorded, as Zeiler and Fergus have it
MAXIMA = {
    "max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d",
    "max_pool1d", "amax", "max",
}  # fmt: skip
# linear as long as only one of these arguments depends on the image
FACTORS = {
    **dict.fromkeys(["mul", "mm", "bmm", "mv", "dot"], (0, 1)),
    **dict.fromkeys(["addmm", "baddbmm", "addmv", "addcmul"], (1, 2)),
    **dict.fromkeys(["convolution", "mkldnn_convolution", "cudnn_convolution"], (0, 1)),
}
# linear as long as this one does not
DECIDES = {"div": 1, "where": 0, "masked_fill": 1, "lerp": 2}
LINEAR = MOVES | RESHAPES | CONSTANTS | RESAMPLES | SUMS | MAXIMA


class Bends(TorchDispatchMode):
    """`with Bends(pixels) as bends: model(pixels)`: the names of all steps that the
    pixels go through and that are not linear.

    What depends on the pixels is known by its piece of memory, which views share.
    """

    def __init__(self, pixels: Tensor) -> None:
        super().__init__()
        self.memory = {_memory(pixels)}
        self.names: dict[str, None] = {}
        # how the step is called in PyTorch's functions, where one is running
        self.called: str | None = None
        # whether the step that is running obeys a rule
        self.ruled = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        on_the_way = [x for x in tensors if _memory(x) in self.memory]
        output = function(*args, **kwargs)
        made = {_memory(x) for x in tree_leaves(output) if isinstance(x, Tensor)}
        # what a step in place or `out=` writes into
        written = {
            _memory(value)
            for argument, value in zip(function._schema.arguments, args, strict=False)
            if isinstance(value, Tensor)
            and argument.alias_info is not None
            and argument.alias_info.is_write
        }
        shape_only = operation_name(function) in CONSTANTS and not written
        if on_the_way and not shape_only:
            self.memory |= made | written
            if not self.ruled:
                self._judge(function, args, kwargs)
        elif not made & {_memory(x) for x in tensors}:
            # new memory, perhaps at an old address
            self.memory -= made
        return output

    def _depends(self, args: tuple, i: int) -> bool:
        return (
            i < len(args)
            and isinstance(args[i], Tensor)
            and _memory(args[i]) in self.memory
        )

    def _judge(self, function: Any, args: tuple, kwargs: dict) -> None:
        name = operation_name(function)
        if name in LINEAR and str(function) not in ("aten.view.dtype",):
            return
        label = (self.called or name).strip("_")
        if name in BATCH_NORMS:
            named = dict(zip(function._schema.arguments, args, strict=False))
            settings = {argument.name: value for argument, value in named.items()}
            if not settings.get("training", False):
                return
            label = "a normalisation with the maps' own mean"
        elif name in FACTORS:
            if sum(self._depends(args, i) for i in FACTORS[name]) < 2:
                return
            label = f"{name} of two activations" if label == name else label
        elif name in DECIDES:
            rounded = kwargs.get("rounding_mode") is not None
            if not rounded and not self._depends(args, DECIDES[name]):
                return
        self.names[label] = None


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
