"""Class activation maps: which places of an image speak for a class, seen at one layer.

All of them are a weighted sum of the layer's maps A_k; they differ in the weights. They
return raw numbers at the layer's own resolution: compare those. `normalise_maps` and
`upsample_maps` are for display and for scores.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnviz_utils.base.declared import Sides
from cnnviz_utils.base.hooks import logits_of
from cnnviz_utils.base.settings import fitting_sides
from cnnviz_utils.viz.gradients import input_gradient
from cnnviz_utils.viz.later import deferring
from cnnviz_utils.viz.layers import (
    Layer,
    LayerGradients,
    Targets,
    layer_gradients,
    layer_maps,
    looking,
)
from cnnviz_utils.viz.layouts import Size
from cnnviz_utils.viz.targets import choose_targets, class_names


def cam(
    model: nn.Module,
    images: Tensor,
    layer: Layer = None,
    targets: Targets = None,
    *,
    layout: str = "channels_first",
    grid: Size | None = None,
) -> Tensor:
    """CAM: S_c = sum_k W[c, k] A_k, for a network that ends in global average pooling
    and one linear layer.

    images (N, 3, H, W) in [0, 1] -> (N, h, w), neither rectified nor normalised;
    targets: a class, one an image, or None for the predicted one. A network whose last
    maps are already one a class and only averaged gives that map.

    Raises: ValueError: the logits are not a linear function of the layer's averaged
        maps: use `grad_cam`.

    Zhou et al. 2016, Learning deep features for discriminative localization.
    """
    with looking(model):
        name, maps, output = layer_maps(model, images, layer, layout, grid)
    logits = logits_of(output)
    weights = _class_weights(model, maps, logits)
    if weights is None:
        raise ValueError(
            "cam needs logits that are a linear layer of the averaged maps of "
            f"{name!r}, which {type(model).__name__} has not: "
            "take the last layer before global average pooling, or use grad_cam"
        )
    chosen = weights[choose_targets(logits, targets, class_names(model))].float()
    return (chosen[:, :, None, None] * maps.float()).sum(1)


def _class_weights(model: nn.Module, maps: Tensor, logits: Tensor) -> Tensor | None:
    """W (classes, C) of the head, or None. The proof that it is the head: it gives the
    logits, to rounding."""
    means = maps.float().mean((2, 3))
    tolerance = (1e-4 if logits.dtype == torch.float32 else 3e-2) * float(
        logits.abs().max()
    )
    same = lambda guess: torch.allclose(
        guess.float(), logits.float(), rtol=0, atol=tolerance
    )
    if means.shape == logits.shape and same(means):
        return torch.eye(means.shape[1], device=means.device)
    for head in [m for m in model.modules() if isinstance(m, nn.Linear)][::-1]:
        fits = (head.out_features, head.in_features) == (
            logits.shape[1],
            means.shape[1],
        )
        if fits and same(
            F.linear(
                means,
                head.weight.float(),
                None if head.bias is None else head.bias.float(),
            )
        ):
            return head.weight.detach()
    return None


@deferring()
def grad_cam(
    model: nn.Module,
    images: Tensor,
    layer: Layer = None,
    targets: Targets = None,
    *,
    relu: bool = True,
    call: int = -1,
    layout: str = "channels_first",
    grid: Size | None = None,
) -> Tensor:
    """Grad-CAM: S_c = ReLU(sum_k w_k A_k), where w_k is the mean over positions of d
    y_c / d A_k.

    images (N, 3, H, W) in [0, 1] -> (N, h, w), not normalised; `relu=False` leaves the
    negative places in. On a pooled linear head it is CAM / (h w), before the ReLU.
    Layer, targets and call: see `layer_gradients`.

    Selvaraju et al. 2017, Grad-CAM: visual explanations from deep networks via
    gradient-based localization.
    """
    seen = layer_gradients(
        model, images, layer, targets, call, layout=layout, grid=grid
    )
    return _grad_cam_of(seen, relu)


def _grad_cam_of(seen: LayerGradients, relu: bool = True) -> Tensor:
    weights = seen.gradients.mean((2, 3), keepdim=True)
    return _rectify((weights * seen.activations).sum(1), relu)


@deferring()
def grad_cam_plus_plus(
    model: nn.Module,
    images: Tensor,
    layer: Layer = None,
    targets: Targets = None,
    *,
    relu: bool = True,
    call: int = -1,
    layout: str = "channels_first",
    grid: Size | None = None,
) -> Tensor:
    """Grad-CAM++: w_k = sum over positions of alpha * ReLU(g), alpha = g^2 / (2 g^2 +
    g^3 * (sum of A_k)).

    g = d y_c / d A_k. The paper differentiates exp(y_c), which makes the higher
    derivatives powers of g; its factor exp(y_c), one positive number an image, is left
    out, as everywhere. alpha is 0 where its denominator is. images (N, 3, H, W) -> (N,
    h, w), not normalised.

    Chattopadhay et al. 2018, Grad-CAM++: generalized gradient-based visual explanations
    for deep networks.
    """
    seen = layer_gradients(
        model, images, layer, targets, call, layout=layout, grid=grid
    )
    return _grad_cam_plus_plus_of(seen, relu)


def _grad_cam_plus_plus_of(seen: LayerGradients, relu: bool = True) -> Tensor:
    g, total = seen.gradients, seen.activations.sum((2, 3), keepdim=True)
    # numerator and denominator divided by g^2, which underflows in early layers
    below = 2 + g * total
    alpha = torch.where((g != 0) & (below != 0), 1 / below, 0)
    weights = (alpha * g.clamp(min=0)).sum((2, 3), keepdim=True)
    return _rectify((weights * seen.activations).sum(1), relu)


@deferring()
def layer_cam(
    model: nn.Module,
    images: Tensor,
    layer: Layer = None,
    targets: Targets = None,
    *,
    relu: bool = True,
    call: int = -1,
    layout: str = "channels_first",
    grid: Size | None = None,
) -> Tensor:
    """LayerCAM: S_c = ReLU(sum_k ReLU(d y_c / d A_k) * A_k): a weight of its own at
    every place, so that it also works in early layers, where one weight a map says
    little. images (N, 3, H, W) -> (N, h, w), not normalised.

    Jiang et al. 2021, LayerCAM: exploring hierarchical class activation maps for
    localization.
    """
    seen = layer_gradients(
        model, images, layer, targets, call, layout=layout, grid=grid
    )
    return _layer_cam_of(seen, relu)


def _layer_cam_of(seen: LayerGradients, relu: bool = True) -> Tensor:
    return _rectify((seen.gradients.clamp(min=0) * seen.activations).sum(1), relu)


# the maps of a layer whose gradients are there already, by the method's name
OF_GRADIENTS: dict[str, Callable[[LayerGradients], Tensor]] = {
    "grad_cam": _grad_cam_of,
    "grad_cam_plus_plus": _grad_cam_plus_plus_of,
    "layer_cam": _layer_cam_of,
}


@deferring()
def guided_grad_cam(
    model: nn.Module,
    images: Tensor,
    layer: Layer = None,
    targets: Targets = None,
    *,
    call: int = -1,
    layout: str = "channels_first",
    grid: Size | None = None,
) -> Tensor:
    """Guided Grad-CAM: guided backpropagation times the upsampled Grad-CAM. images (N,
    3, H, W) -> (N, 3, H, W), signed, not normalised. Sharp like the one, about a class
    like the other. Selvaraju et al. 2017, section 3.2."""
    seen = layer_gradients(
        model, images, layer, targets, call, layout=layout, grid=grid
    )
    coarse = _grad_cam_of(seen)
    fine = input_gradient(model, images, seen.targets, rule="guided")
    return upsample_maps(coarse, images.shape[-2:])[:, None] * fine


def _rectify(maps: Tensor, relu: bool) -> Tensor:
    return maps.clamp(min=0) if relu else maps


def normalise_maps(maps: Tensor) -> Tensor:
    """Each map by itself to [0, 1]: (S - min) / (max - min). (N, h, w) -> (N, h, w).
    For display and thresholds only: how strong a map was is lost. A constant map
    becomes zeros; a map with a NaN in it is NaN throughout."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return torch.where(
        high == low,
        0,
        (maps - low) / (high - low).where(high != low, torch.ones_like(high)),
    )


def upsample_maps(maps: Tensor, size: int | Sequence[int]) -> Tensor:
    """(N, h, w) -> (N, H, W), bilinear between the centres of the cells
    (`align_corners=False`)."""
    size = fitting_sides(size, Sides)
    return F.interpolate(
        maps[:, None], size=size, mode="bilinear", align_corners=False
    )[:, 0]
