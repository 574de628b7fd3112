"""A copy of a network that gives the same numbers sooner: BatchNorm folded into the
convolutions, channels last.

Both are worth something for pictures, because pictures never train. At test time
BatchNorm is one factor and one offset a channel, which the convolution before it can
carry itself: a pass over every map is saved. In channels-last order (N, H, W, C in
memory) convolutions find the numbers that they multiply side by side.
"""

import copy
from collections import OrderedDict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from cnnviz_utils.base.device import shortest_seconds
from cnnviz_utils.viz.layers import check_images, looking
from cnnviz_utils.viz.operations import BATCH_NORMS, depends_on_batch
from cnnviz_utils.viz.tape import Step, StepError, Tape

Pair = tuple[nn.Conv2d, nn.BatchNorm2d]
# how far rounding may take the copy's numbers, as a part of the largest
ROUNDING = {torch.float64: 1e-10, torch.float32: 1e-4}


def fast_copy(
    model: nn.Module,
    images: Tensor,
    *,
    fold: bool | None = None,
    channels_last: bool | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """A faster copy for pictures, in evaluation mode, its parameters frozen; the model
    itself is left as it is. Hooks stay with the model: the copy has none of them.

    images (n, 3, H, W) in [0, 1]: on a CPU one or two are enough. The steps that they
    go through show which BatchNorm follows which convolution. A pair is folded where
    nothing else takes the convolution's output, and both are PyTorch's own classes (a
    subclass may do more: timm's BatchNormAct2d has a ReLU inside) with plain weights
    (not those of weight or spectral norm, or pruned); all others stay as they are.

    fold, channels_last: whether to; None: on a CPU both, but in float32 not channels
        last where maps are smaller than a kernel. On a GPU either may cost time: there
        each is tried on these images, which should be as many as will be asked about,
        and the fastest is kept. The images should have the size of those.
    dtype: torch.bfloat16 or torch.float16 for a copy that computes in half precision.
        It takes and gives float32; where the processor has the units for it, it is
        several times as fast.

    `copy.error` says how far what the copy gives for these images is from what the
    model gives, as a part of the largest number: about 1e-6 in float32, 5e-3 in
    bfloat16.
    Layers keep their names, but a folded convolution now gives what its BatchNorm gave,
    and the BatchNorm passes it on.

    Raises: ValueError: what the copy gives for these images is further from the
        model's than rounding goes.
    """
    with looking(model):
        images = check_images(images, model)
        if not len(images):
            raise ValueError("images: one or two are needed, and there is none")
        expected, roomy = _roomy(_bare(model), images)
        on_gpu = images.device.type == "cuda"
        either = [True, False] if on_gpu else [True]
        layouts = [True, False] if on_gpu else [roomy or dtype is not None]
        ways = [
            (folded, last)
            for folded in (either if fold is None else [fold])
            for last in (layouts if channels_last is None else [channels_last])
        ]
        copies = {way: _changed(model, images, *way, dtype) for way in ways}
        fast = copies[ways[0]]
        if len(copies) > 1:
            times = shortest_seconds(
                {str(way): partial(net, images) for way, net in copies.items()}
            )
            fast = copies[min(ways, key=lambda way: times[str(way)])]
        error = _difference(fast(images), expected)
    if not error <= ROUNDING.get(dtype or images.dtype, 0.05):
        raise ValueError(
            f"the copy of {type(model).__name__} is {error:.3g} of its largest output "
            f"off: use {'float32' if dtype else 'fold=False'}"
        )
    fast.error = error  # type: ignore[assignment]
    return fast


def _roomy(bare: nn.Module, images: Tensor) -> tuple[Any, bool]:
    """(what the network gives, whether channels last is worth it on a CPU in float32).

    It is not where a convolution over all channels is given maps smaller than its
    kernel, as ResNet-18's last are at 64 px: there it takes a tenth more time. For
    depthwise convolutions, and in half precision, it always is.
    """
    small: list[bool] = []

    def look(module: nn.Module, inputs: tuple, named: dict) -> None:
        assert isinstance(module, nn.Conv2d)
        maps = inputs[0] if inputs else named["input"]
        for side, kernel, dilation in zip(
            maps.shape[-2:], module.kernel_size, module.dilation, strict=True
        ):
            small.append(dilation * (kernel - 1) >= side)

    for module in bare.modules():
        if isinstance(module, nn.Conv2d) and module.groups == 1:
            module.register_forward_pre_hook(look, with_kwargs=True)
    return bare(images), not any(small)


def _bare(model: nn.Module) -> nn.Module:
    """A copy without hooks, in evaluation mode, frozen."""
    return _without_hooks(model).eval().requires_grad_(False)


def _changed(
    model: nn.Module,
    images: Tensor,
    fold: bool,
    channels_last: bool,
    dtype: torch.dtype | None,
) -> nn.Module:
    """A copy of a network without its hooks, changed as asked."""
    fast = _bare(model)
    if fold:
        for convolution, norm in _pairs(fast, images):
            _fold(fast, convolution, norm)
    if channels_last:
        fast = fast.to(memory_format=torch.channels_last)
    if dtype is not None:
        fast = fast.to(dtype)
        fast.register_forward_pre_hook(partial(_narrowed, dtype))
        fast.register_forward_hook(_widened)
    return fast


def _narrowed(dtype: torch.dtype, _module: nn.Module, inputs: Any) -> Any:
    """What a half-precision copy is given, as it takes it."""
    return tree_map(
        lambda x: x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x,
        inputs,
    )


def _widened(_module: nn.Module, _inputs: Any, output: Any) -> Any:
    """What it gives, in float32."""
    return tree_map(
        lambda x: x.float() if isinstance(x, Tensor) and x.is_floating_point() else x,
        output,
    )


def _difference(ours: object, expected: object) -> float:
    """The largest difference as a part of the largest number, of all the tensors that a
    network gives."""
    worst = 0.0
    for a, b in zip(tree_leaves(ours), tree_leaves(expected), strict=True):
        if isinstance(b, Tensor) and b.is_floating_point() and b.numel():
            largest = max(1e-6, float(b.abs().max()))
            off = float((a - b).abs().max()) / largest
            worst = off if not off <= worst else worst
    return worst


HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks",
    "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
)  # fmt: skip


def _without_hooks(model: nn.Module) -> nn.Module:
    """A deep copy without the hooks, which may hold anything. The hooks of
    torch.nn.utils that make a weight (old weight and spectral norm, pruning) stay: they
    are part of what the network computes."""
    instead: dict[int, object] = {}
    for module in model.modules():
        for name in HOOKS:
            kept: OrderedDict = OrderedDict()
            if name == "_forward_pre_hooks":
                kept.update(
                    (key, copy.deepcopy(hook))
                    for key, hook in module._forward_pre_hooks.items()
                    if type(hook).__module__.startswith("torch.nn.utils.")
                )
            instead[id(getattr(module, name))] = kept
        for value in vars(module).values():
            # such hooks leave a weight that PyTorch cannot copy
            if isinstance(value, Tensor) and not value.is_leaf:
                instead[id(value)] = value.detach().clone()
    return copy.deepcopy(model, instead)


def _pairs(model: nn.Module, images: Tensor) -> list[Pair]:
    """(convolution, BatchNorm) where the one's output goes into the other and nowhere
    else, both used once in a forward pass."""
    pixels = images.detach().clone()
    tape, handles = Tape(pixels), []
    # the steps of each call
    calls: dict[nn.Module, list[list[Step]]] = {}
    starts: dict[nn.Module, int] = {}

    def enter(module: nn.Module, _inputs: object) -> None:
        starts[module] = len(tape.steps)

    def leave(module: nn.Module, _inputs: object, _output: object) -> None:
        calls.setdefault(module, []).append(tape.steps[starts[module] :])

    try:
        for module in model.modules():
            if type(module) in (nn.Conv2d, nn.BatchNorm2d):
                handles.append(module.register_forward_pre_hook(enter))
                handles.append(module.register_forward_hook(leave))
        with tape:
            tape.run(model)
    except StepError:  # then nothing is known of what belongs together
        return []
    finally:
        for handle in handles:
            handle.remove()
    takers: dict[int, list[Step]] = {}
    for step in tape.steps:
        for x in {id(x) for x in step.inputs}:
            takers.setdefault(x, []).append(step)
    made: dict[int, nn.Conv2d] = {}
    pairs: list[Pair] = []
    for module, often in calls.items():
        if type(module) is nn.Conv2d and len(often) == 1 and often[0]:
            step = often[0][-1]
            # its own weight, not one that is made anew in each pass
            plain = module._parameters.get("weight") is step["weight"]
            if step.name == "convolution" and plain:
                made[id(step.outputs[0])] = module
    for module, often in calls.items():
        if type(module) is not nn.BatchNorm2d or len(often) > 1 or len(often[0]) != 1:
            continue
        step = often[0][0]
        source = id(step["input"]) if step.name in BATCH_NORMS else None
        if source in made and len(takers[source]) == 1 and not depends_on_batch(step):
            pairs.append((made[source], module))
    return pairs


def _fold(model: nn.Module, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """gamma * (W x + b - mean) / std + beta = (gamma / std * W) x + (gamma / std * (b -
    mean) + beta)."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt() * (
        1 if norm.weight is None else norm.weight
    )
    bias = 0 if convolution.bias is None else convolution.bias
    offset = scale * (bias - norm.running_mean) + (
        0 if norm.bias is None else norm.bias
    )
    convolution.weight = nn.Parameter(
        convolution.weight * scale[:, None, None, None], requires_grad=False
    )
    convolution.bias = nn.Parameter(offset, requires_grad=False)
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child is norm:
                setattr(parent, name, nn.Identity())
