"""What every picture of a network starts from: one layer's activations, and the
gradient of a score for them."""

from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnviz_utils.base.hooks import (
    capture,
    get_layer,
    logits_of,
    one_tensor,
    with_tensor,
)
from cnnviz_utils.viz.layouts import Size, read_maps
from cnnviz_utils.viz.located import (
    Layer,
    check_images,
    find_layer,
    last_spatial_layer,
    looking,
    prefix_tokens,
)
from cnnviz_utils.viz.scaled import scaled_gradient
from cnnviz_utils.viz.targets import (
    Targets,
    answer,
    choose_targets,
    class_names,
    picked,
)

__all__ = [
    "Layer",
    "LayerGradients",
    "Targets",
    "answer",
    "check_images",
    "choose_targets",
    "find_layer",
    "last_spatial_layer",
    "layer_gradients",
    "layer_maps",
    "looking",
    "picked",
    "scaled_gradient",
]


@dataclass(frozen=True)
class LayerGradients:
    """One layer seen from one score an image. Everything float32, detached, not
    normalised.

    activations, gradients: (N, C, h, w), the layer's output A and d y_target / d A
    logits: (N, classes)
    targets: int64 (N,)
    """

    activations: Tensor
    gradients: Tensor
    logits: Tensor
    targets: Tensor


def layer_maps(
    model: nn.Module,
    images: Tensor,
    layer: Layer,
    layout: str = "channels_first",
    grid: Size | None = None,
) -> tuple[str, Tensor, object]:
    """A layer's name, its last output as maps (N, C, h, w), and what the network gave.
    images (N, 3, H, W). To be called inside `looking`.

    Raises: KeyError, ValueError: as `layer_gradients`.
    """
    images = check_images(images, model)
    name = find_layer(model, layer, images, layout, grid)
    with capture(model, [name]) as outputs:
        output = model(images)
    if name not in outputs:
        raise ValueError(
            f"layer {name!r} does not run in a forward pass of this network"
        )
    prefix = prefix_tokens(model)
    maps = read_maps(outputs[name], images, layout, name, grid, prefix)
    return name, maps, output


class Cut:
    """A hook that cuts a layer's output off, makes it the one leaf, and only then
    switches gradients on. The network goes on with a copy.

    leaf: the layer's output at the chosen call, None if that has not run; shared:
    whether it lies in the memory of the layer's input
    """

    def __init__(self, name: str, call: int) -> None:
        self.name, self.call = name, call
        self.leaf: Tensor | None = None
        self.calls, self.shared = 0, False

    def __call__(self, _module, inputs, output):
        place, tensor = one_tensor(output, self.name)
        self.calls += 1
        if self.call not in (-1, self.calls - 1):
            return None
        if torch.is_inference_mode_enabled():
            raise ValueError(
                f"layer {self.name!r} runs in a torch.inference_mode inside the "
                "network's forward, where there can be no gradient: take it out there"
            )
        # the last call replaces those before it
        leaf = self.leaf = tensor.detach().requires_grad_()
        memory = tensor.untyped_storage().data_ptr()
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        self.shared = memory in [x.untyped_storage().data_ptr() for x in tensors]
        torch.set_grad_enabled(True)
        return with_tensor(output, place, leaf.clone())


def _run_cut(
    model: nn.Module, images: Tensor, name: str, call: int
) -> tuple[Cut, object]:
    """The network from the layer on with gradients.

    A network may set gradients itself. Where its `with torch.no_grad():` ends behind
    the layer, it switches off again what the hook switched on; where it writes into a
    view that was made before the layer, PyTorch wants gradients on there too. Then all
    is run once more with gradients on from the start, which costs the graph up to the
    layer.
    """
    for from_the_start in (False, True):
        cut = Cut(name, call)
        with ExitStack() as stack:
            handle = get_layer(model, name).register_forward_hook(cut)
            stack.callback(handle.remove)
            stack.enter_context(torch.set_grad_enabled(from_the_start))
            try:
                output = model(images)
            except RuntimeError as error:
                if from_the_start or "no_grad mode" not in str(error):
                    raise
                continue
            if cut.leaf is None or torch.is_grad_enabled():
                break
    return cut, output


def layer_gradients(
    model: nn.Module,
    images: Tensor,
    layer: Layer = None,
    targets: Targets = None,
    call: int = -1,
    *,
    layout: str = "channels_first",
    grid: Size | None = None,
) -> LayerGradients:
    """Activations of a layer and the gradient of one logit an image for them. images
    (N, 3, H, W) in [0, 1].

    layer: a name, a module, or None for `last_spatial_layer`. targets: a class for all
    or one an image, by number or by name where `model.classes` has names; None: the
    predicted one. layout: "channels_first" for (N, C, h, w), "channels_last" for
    (N, h, w, C) (Swin), "tokens" for (N, T, C) (ViT), whose tokens without a place are
    dropped; their grid (h, w) is found or given.

    How: the whole network runs without gradients. At the layer a hook cuts its output
    off, makes it the one leaf, and only then switches gradients on: there is no graph
    below the layer, and a frozen backbone, `no_grad` or inference mode around the call
    make no difference. The network goes on with a copy, so an in-place operation behind
    the layer cannot rewrite what was kept.

    A module that runs several times in a forward pass (the ReLU of a ResNet's block)
    has several outputs. The last one counts, which is what leaves the block; `call=0`
    takes the first, and so on, each with the gradient of that output alone. (Captum and
    torch-cam take the last too.)

    Raises: KeyError: no such layer. ValueError: images, targets or call wrong, a layer
        that does not run or does not give maps in this layout, or one that the logits
        do not depend on.
    """
    if not isinstance(call, int) or call < -1:
        raise ValueError(f"call must be -1 (the last) or a number from 0, not {call}")
    images = check_images(images, model)
    with looking(model):
        name = find_layer(model, layer, images, layout, grid)
        cut, output = _run_cut(model, images, name, call)
        if cut.leaf is None:
            often = f"runs, but has no call {call}," if cut.calls else "does not run"
            raise ValueError(
                f"layer {name!r} {often} in a forward pass of this network"
            )
        read = lambda tensor: read_maps(
            tensor, images, layout, name, grid, prefix_tokens(model)
        )
        activations = read(cut.leaf.detach())
        logits = logits_of(output)
        chosen = choose_targets(logits, targets, class_names(model))
        if cut.shared and len(images):
            _check_unchanged(model, images, name, logits)
        start = torch.zeros_like(logits).scatter(1, chosen[:, None], 1)
        gradient = scaled_gradient(logits, start, cut.leaf)
        if gradient is None:
            raise ValueError(
                f"the logits do not depend on layer {name!r}, or something behind it "
                "(detach, no_grad, a re-entrant checkpoint) stops the gradient"
            )
    return LayerGradients(
        activations.float(), read(gradient), logits.detach().float(), chosen
    )


def _check_unchanged(
    model: nn.Module, images: Tensor, name: str, logits: Tensor
) -> None:
    """A layer that gives its own input back (an identity, a view, in place) shares
    memory with what was there before. Cut off from that, does the network still give
    the same?"""
    with torch.no_grad():
        usual = logits_of(model(images)).float()
    tolerance = 1e-2 if logits.dtype in (torch.float16, torch.bfloat16) else 1e-4
    apart = (usual - logits.detach().float()).abs().max()
    if apart > tolerance * usual.abs().max():
        raise ValueError(
            f"layer {name!r} gives back its own input, which the network changes in "
            "place afterwards: take the layer before it"
        )
