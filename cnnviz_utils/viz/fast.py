"""A copy of a network that gives the same numbers sooner: BatchNorm folded into the convolutions, channels last,
weights packed.

All three are worth something for pictures, because pictures never train. At test time BatchNorm is one factor and
one offset a channel, which the convolution before it can carry itself: a pass over every map is saved. In
channels-last order (N, H, W, C in memory) convolutions find the numbers that they multiply side by side. And weights
that stay as they are need to be put into the processor's favourite order only once, not at every call.
"""

import copy
from collections import Counter

import torch
from torch import Tensor, nn

from cnnviz_utils.viz.layers import check_images, looking


def fast_copy(
    model: nn.Module, images: Tensor, *, fold: bool = True, channels_last: bool = True, pack: bool = True
) -> nn.Module:
    """A faster copy for pictures, in evaluation mode, its parameters frozen; the model itself is left as it is.

    images (n, 3, H, W) in [0, 1]: one or two are enough. They show which BatchNorm follows which convolution, and
    the copy's logits for them are compared with the model's.

    pack: only with channels_last, which is the order that packed convolutions give their maps in.

    Layers keep their names, but a folded convolution now gives what its BatchNorm gave, and the BatchNorm passes it
    on. Maps equal the model's to rounding (about 1e-6 of the largest).

    Raises:
        ValueError: the copy does not give the model's logits (a convolution whose output goes elsewhere too).
    """
    with looking(model):
        fast = copy.deepcopy(model).eval().requires_grad_(False)
        expected = model(check_images(images))
        if fold:
            for convolution, norm in _pairs(fast, images):
                _fold(fast, convolution, norm)
        if channels_last:
            fast = fast.to(memory_format=torch.channels_last)
            if pack and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
                _pack(fast)
        error = float((fast(images) - expected).abs().max())
    if not error <= 1e-3 * max(1e-6, float(expected.abs().max())):
        raise ValueError(f"folding changed the logits of {type(model).__name__} by {error:.3g}: use fold=False")
    return fast


class PackedConv2d(nn.Conv2d):
    """A convolution whose weights lie in the order in which the processor's kernels (oneDNN) read them.

    On a map with few places (2 x 2 under a kernel of 3 x 3) most of the kernel lies outside. There the convolution is
    multiplied as what it is, a matrix from all numbers of the map to all numbers of the next: 16 products a pair of
    channels in place of 36.

    PyTorch's compiler calls the same operators; there is no public way to them. Only where nothing watches: with
    gradients, or where each function is recorded (`Tape`), it is the ordinary convolution that it was made of.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        self.__dict__.update(convolution.__dict__)  # the same parameters, hooks and settings
        self.packed = None, None  # what for, and the weights

    def forward(self, x: Tensor) -> Tensor:
        usual = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        plain = x.ndim == 4 and len(x) and x.shape[1] == self.in_channels  # the rest has its own ways and sentences
        if not (usual and plain) or torch.is_grad_enabled() or torch._C._is_torch_function_mode_enabled():
            return super().forward(x)
        settings = list(self.padding), list(self.stride), list(self.dilation), self.groups
        as_matrix = self.groups == 1 and (x.shape[2] * x.shape[3]) ** 2 <= 2 * self.weight[0, 0].numel()  # and a small one
        # the best order is another for one image than for sixteen (not a matrix's), and weights may be loaded or learn
        weights = [(id(p), p.data_ptr(), p._version) for p in (self.weight, self.bias) if p is not None]
        key = x.shape[1:] if as_matrix else x.shape, weights
        packed_for, packed = self.packed
        if key != packed_for:
            packed = self._matrix(x.shape) if as_matrix else \
                torch.ops.mkldnn._reorder_convolution_weight(self.weight, *settings, list(x.shape))
            self.packed = key, packed  # at once: other threads read it
        if not as_matrix:
            return torch.ops.mkldnn._convolution_pointwise(x, packed, self.bias, *settings, "none", [], "")
        matrix, bias, shape = packed
        flat = x.permute(0, 2, 3, 1).flatten(1)  # place after place, in each channel after channel
        made = torch.ops.mkldnn._linear_pointwise(flat, matrix, bias, "none", [], "")
        return made.unflatten(1, shape).permute(0, 3, 1, 2)

    def _matrix(self, size: torch.Size) -> tuple[Tensor, Tensor | None, torch.Size]:
        """The convolution of maps (n, channels, height, width) as a packed matrix, its bias, and the (height, width,
        channels) that it makes. Its columns are what becomes of a map with a single 1 in it."""
        _, channels, height, width = size
        ones = torch.eye(channels * height * width).unflatten(1, (height, width, channels)).permute(0, 3, 1, 2)
        become = self._conv_forward(ones, self.weight, None).permute(0, 2, 3, 1)
        bias = None if self.bias is None else self.bias.repeat(become[0, ..., 0].numel())
        return torch.ops.mkldnn._reorder_linear_weight(become.flatten(1).T.contiguous()), bias, become.shape[1:]

    def __getstate__(self) -> dict:
        """What is packed cannot be copied or saved, only made again."""
        return self.__dict__ | {"packed": (None, None)}


def _pack(model: nn.Module) -> None:
    """Every plain convolution becomes one that packs its weights, in its place and under its name. Not one with a single
    output channel: where that has a single place, oneDNN 3.12 gets the reordered weights wrong."""
    plain = lambda m: type(m) is nn.Conv2d and m.padding_mode == "zeros" and not isinstance(m.padding, str)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if plain(child) and child.out_channels > 1:
                setattr(parent, name, PackedConv2d(child))


def _pairs(model: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """(convolution, BatchNorm) where the one's output is the other's input, both used once in a forward pass."""
    made_by, pairs, calls, handles = {}, [], Counter(), []

    def watch(module, inputs, output):
        calls[module] += 1
        if type(module) is nn.Conv2d:
            made_by[id(output)] = (module, output, output._version)  # kept, so that its id stays its own
        elif isinstance(module, nn.BatchNorm2d) and module.running_var is not None and id(inputs[0]) in made_by:
            convolution, _output, version = made_by[id(inputs[0])]
            if inputs[0]._version == version:  # nothing has changed it in place on the way
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
    """gamma * (W x + b - mean) / std + beta = (gamma / std * W) x + (gamma / std * (b - mean) + beta)."""
    scale = (norm.running_var + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight)
    bias = 0 if convolution.bias is None else convolution.bias
    offset = scale * (bias - norm.running_mean) + (0 if norm.bias is None else norm.bias)
    convolution.weight = nn.Parameter(convolution.weight * scale[:, None, None, None], requires_grad=False)
    convolution.bias = nn.Parameter(offset, requires_grad=False)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if child is norm:
                setattr(parent, name, nn.Identity())
