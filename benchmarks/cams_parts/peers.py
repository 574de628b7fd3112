"""Grad-CAM as each library's manual calls it: METHODS[name](model, layer) -> (images,
targets) -> maps."""

from collections.abc import Callable
from importlib import metadata

import torch
from torch import Tensor, nn

from cnnviz_utils.base.hooks import get_layer
from cnnviz_utils.viz.cams import grad_cam
from cnnviz_utils.viz.fast import fast_copy

Explain = Callable[[Tensor, Tensor], object]


def ours(model: nn.Module, layer: str) -> Explain:
    return lambda images, targets: grad_cam(model, images, layer, targets)


def ours_fast(model: nn.Module, layer: str) -> Explain:
    """BatchNorm folded, channels last; the copy is made once, as a reader would."""
    copies = []

    def explain(images: Tensor, targets: Tensor) -> Tensor:
        if not copies:
            copies.append(fast_copy(model, images[:1]))
        return grad_cam(copies[0], images, layer, targets)

    return explain


def forward_pass(model: nn.Module, layer: str) -> Explain:
    def explain(images: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            return model(images)

    return explain


def captum(model: nn.Module, layer: str) -> Explain:
    from captum.attr import LayerGradCam

    peer = LayerGradCam(model, get_layer(model, layer))
    return lambda images, targets: peer.attribute(
        images, targets, relu_attributions=True
    )[:, 0].detach()


def torch_cam(model: nn.Module, layer: str) -> Explain:
    from torchcam.methods import GradCAM

    peer = GradCAM(model, layer)
    return lambda images, targets: peer(
        targets.tolist(), model(images), normalized=False
    )[0].detach()


def pytorch_grad_cam(model: nn.Module, layer: str, *, raw: bool = False) -> Explain:
    """`raw`: the maps before it scales and enlarges them, taken on the way (its own
    weighted sum, rectified)."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    kept = []

    class Keeping(GradCAM):
        def get_cam_image(self, *arguments, **options):
            kept[:] = [super().get_cam_image(*arguments, **options)]
            return kept[0]

    peer = Keeping(model=model, target_layers=[get_layer(model, layer)])

    def explain(images: Tensor, targets: Tensor) -> object:
        enlarged = peer(
            input_tensor=images,
            targets=[ClassifierOutputTarget(t) for t in targets.tolist()],
        )
        return torch.from_numpy(kept[0]).clamp(min=0) if raw else enlarged

    return explain


METHODS = {
    "forward pass": forward_pass,
    "ours": ours,
    "ours, fast copy": ours_fast,
    "Captum": captum,
    "torch-cam": torch_cam,
    "pytorch-grad-cam": pytorch_grad_cam,
}  # fmt: skip
PACKAGES = {"Captum": "captum", "torch-cam": "torchcam", "pytorch-grad-cam": "grad-cam"}


def available() -> dict[str, str]:
    """The methods that can run here, with the version of each library."""
    found = {}
    for name in METHODS:
        try:
            found[name] = metadata.version(PACKAGES[name]) if name in PACKAGES else ""
        except metadata.PackageNotFoundError:
            continue
    return found
