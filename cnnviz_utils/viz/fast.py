"""A copy of a network that gives the same numbers sooner: BatchNorm folded into the
convolutions, channels last.

Both are worth something for pictures, because pictures never train. At test time
BatchNorm is one factor and one offset a channel, which the convolution before it can
carry itself: a pass over every map is saved. In channels-last order (N, H, W, C in
memory) convolutions find the numbers that they multiply side by side.
"""

import copy
from collections import Counter

import torch
from torch import Tensor, nn

from cnnviz_utils.viz.layers import check_images, looking


def fast_copy(
    model: nn.Module, images: Tensor, *, fold: bool = True, channels_last: bool = True
) -> nn.Module:
    """A faster copy for pictures, in evaluation mode, its parameters frozen; the model
    itself is left as it is.

    images (n, 3, H, W) in [0, 1]: one or two are enough. They show which BatchNorm
    follows which convolution, and the copy's logits for them are compared with the
    model's.

    Layers keep their names, but a folded convolution now gives what its BatchNorm gave,
    and the BatchNorm passes it on. Maps equal the model's to rounding (about 1e-6 of
    the largest).

    Raises: ValueError: the copy does not give the model's logits (a convolution whose
        output goes elsewhere too).
    """
    with looking(model):
        fast = copy.deepcopy(model).eval().requires_grad_(False)
        expected = model(check_images(images))
        if fold:
            for convolution, norm in _pairs(fast, images):
                _fold(fast, convolution, norm)
        if channels_last:
            fast = fast.to(memory_format=torch.channels_last)
        error = float((fast(images) - expected).abs().max())
    if not error <= 1e-3 * max(1e-6, float(expected.abs().max())):
        raise ValueError(
            f"folding changed the logits of {type(model).__name__} by {error:.3g}: "
            "use fold=False"
        )
    return fast


def _pairs(model: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """(convolution, BatchNorm) where the one's output is the other's input, both used
    once in a forward pass."""
    made_by, pairs, calls, handles = {}, [], Counter(), []

    def watch(module, inputs, output):
        calls[module] += 1
        if type(module) is nn.Conv2d:
            # kept, so that its id stays its own
            made_by[id(output)] = (module, output, output._version)
        elif (
            isinstance(module, nn.BatchNorm2d)
            and module.running_var is not None
            and id(inputs[0]) in made_by
        ):
            convolution, _output, version = made_by[id(inputs[0])]
            # nothing has changed it in place on the way
            if inputs[0]._version == version:
                pairs.append((convolution, module))

    try:
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                handles.append(module.register_forward_hook(watch))
        model(images)
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in pairs if calls[pair[0]] == calls[pair[1]] == 1]


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
        for name, child in parent.named_children():
            if child is norm:
                setattr(parent, name, nn.Identity())
