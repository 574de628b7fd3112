"""From photos to an answer: what does a network see in them, and where?"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from cnnviz_utils.base.networks import TORCHVISION
from cnnviz_utils.base.ranges import check_floats, check_range
from cnnviz_utils.base.settings import UsageError, check_name
from cnnviz_utils.data.photos.folders import load_images
from cnnviz_utils.models.build import BY_HAND, build_model
from cnnviz_utils.models.efficientnet import SIZES
from cnnviz_utils.models.saved import ENDINGS, load_model
from cnnviz_utils.viz import cams
from cnnviz_utils.viz.layers import Layer, find_layer, layer_gradients, looking
from cnnviz_utils.viz.targets import answer, class_names

if TYPE_CHECKING:
    from cnnviz_utils.plot.figure import Picture

METHODS: dict[str, Callable[..., Tensor]] = {
    "grad_cam": cams.grad_cam,
    "grad_cam_plus_plus": cams.grad_cam_plus_plus,
    "layer_cam": cams.layer_cam,
    "cam": cams.cam,
}
# the side that most networks for photos were trained at
USUAL_SIZE = 224


def explain(
    photos: str | Path | Iterable[str | Path] | Tensor,
    model: str | Path | nn.Module = "efficientnet_lite0",
    target: int | str | None = None,
    method: str = "grad_cam",
    layer: Layer = None,
    top: int = 5,
    *,
    size: int | None = None,
    layout: str = "channels_first",
) -> "Picture":
    """Photos beside a network's best classes and a map of the places that speak for
    one.

    photos: a file, a folder, a list of files, or images (N, 3, H, W) in [0, 1]. Files
        may be grey, transparent, turned by EXIF, of any size: the middle square is
        taken, as the network sees it.
    model: the name of a network with ImageNet's weights, a file of `save_model`, or a
        network of your own that takes images in [0, 1] and gives logits.
    target: the class that the maps are about, by number or by name; None: for each
        photo its best.
    method: one of METHODS. layer, layout: see `viz.layer_gradients`.
    top: how many classes are shown. size: the side in pixels that photos are brought
        to; by default what the network was built for, or 224.

    Raises: UsageError: no such network, method or class, or an answer of NaN.
        ValueError: a file that is no image, or a layer that gives no maps.
        FileNotFoundError: no such file.

    Selvaraju et al. 2017 (Grad-CAM, the usual method).
    """
    from cnnviz_utils.plot.explanation import show_explanations

    check_name("method", method, METHODS)
    if not isinstance(top, int) or top < 1:
        raise UsageError(f"top is how many classes to show, at least 1, not {top!r}")
    network, name = _network(model)
    if isinstance(photos, Tensor):
        images, titles = photos, _numbered(photos)
    else:
        images, titles = load_images(photos, size or _side(network))
    parameter = next(network.parameters(), None)
    if parameter is not None:
        images = images.to(parameter.device, parameter.dtype)
    with looking(network):
        named = find_layer(network, layer, images, layout)
        if method in cams.OF_GRADIENTS:  # the one pass that answers, too
            seen = layer_gradients(network, images, named, target, layout=layout)
            logits, chosen = seen.logits, seen.targets
            maps = cams.OF_GRADIENTS[method](seen)
        else:
            logits, chosen = answer(network, images, target)
            maps = METHODS[method](network, images, named, chosen, layout=layout)
    full = cams.upsample_maps(cams.normalise_maps(maps), images.shape[-2:])
    if logits.isnan().any():
        raise UsageError(
            f"{name} answers NaN, which is no answer to be shown: look at its weights "
            "and at the images"
        )
    names = class_names(network) or [f"class {i}" for i in range(logits.shape[1])]
    best = logits.float().softmax(1).topk(min(top, logits.shape[1]))
    answers = [
        [(names[i], share) for i, share in zip(classes, shares, strict=True)]
        for classes, shares in zip(
            best.indices.tolist(), best.values.tolist(), strict=True
        )
    ]
    return show_explanations(
        images.float().clamp(0, 1),
        full,
        answers,
        titles=titles,
        captions=[f"for {names[i]}" for i in chosen.tolist()],
        heading=f"{name}: {method} at {named}",
    )


def _numbered(images: Tensor) -> list[str]:
    """What to call images that have no names; a single one needs none. Raises
    UsageError for what are no images in [0, 1]."""
    check_floats(images)
    check_range(images)
    if not len(images):
        raise UsageError("there are no images to be explained")
    return [f"image {i}" for i in range(len(images))] if len(images) > 1 else [""]


def _network(model: str | Path | nn.Module) -> tuple[nn.Module, str]:
    """The network, and what to call it."""
    if isinstance(model, str | Path) and Path(model).suffix in (*ENDINGS, ".pth"):
        model = load_model(model)
    if isinstance(model, nn.Module):
        return model, _built(model).get("network", type(model).__name__)
    check_name("network", model, [*BY_HAND, *TORCHVISION])
    return build_model(str(model), weights="imagenet").eval(), str(model)


def _built(model: nn.Module) -> dict[str, Any]:
    """How `build_model` made a network; empty for other networks."""
    return getattr(model, "built", {})


def _side(model: nn.Module) -> int:
    network = _built(model).get("network")
    usual = SIZES[network][2] if network in SIZES else USUAL_SIZE
    return _built(model).get("size") or usual
