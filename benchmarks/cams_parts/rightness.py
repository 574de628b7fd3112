"""Whose Grad-CAM is right where? Raw maps against plain autograd on a copy without any
in-place operation."""

import copy

import torch
import torchvision
from cams_parts.peers import METHODS, available, pytorch_grad_cam
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.densenet import DenseNet
from torchvision.models.resnet import BasicBlock

from cnnviz_utils.base.hooks import get_layer

CASES = [
    ("resnet18", "layer4", ""),
    ("resnet18", "layer3", ""),
    ("resnet18", "layer1", ""),
    ("resnet18", "layer4.1.relu", "used twice"),
    ("resnet18", "layer4.1.bn2", "+= and ReLU in place"),
    ("resnet18", "layer4.1.bn1", "ReLU in place"),
    ("alexnet", "features.10", "ReLU in place"),
    ("vgg11", "features.18", "ReLU in place"),
    ("densenet121", "features", "F.relu in place"),
    ("resnet18", "layer4", "frozen"),
    ("resnet18", "layer4", "under no_grad"),
]


def out_of_place(model: nn.Module) -> nn.Module:
    """A copy that computes the same with nothing in place, and no module used twice in
    the last block."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, BasicBlock):
            module.last_relu, module.forward = nn.ReLU(), _block.__get__(module)
        if isinstance(module, DenseNet):
            module.forward = _dense.__get__(module)
    return model


def _block(self, x: Tensor) -> Tensor:
    y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
    return self.last_relu(y + (x if self.downsample is None else self.downsample(x)))


def _dense(self, x: Tensor) -> Tensor:
    return self.classifier(F.relu(self.features(x)).mean((2, 3)))


def plain_autograd(
    model: nn.Module, images: Tensor, layer: str, targets: Tensor
) -> Tensor:
    """Grad-CAM of the slow kind: the whole graph."""
    model, kept = out_of_place(model), []
    layer = layer.replace(".relu", ".last_relu")
    get_layer(model, layer).register_forward_hook(
        lambda module, inputs, output: kept.append(output)
    )
    score = model(images).gather(1, targets[:, None]).sum()
    gradient = torch.autograd.grad(score, kept[0])[0]
    return (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1).clamp(min=0).detach()


def rightness(size: int = 224, batch: int = 2) -> list[dict]:
    """A row a case: the map's maximum, and each library's largest error (or the name of
    its exception)."""
    rows = []
    for name, layer, what in CASES:
        torch.manual_seed(0)
        model = getattr(torchvision.models, name)(weights=None).eval()
        images, targets = (
            torch.rand(batch, 3, size, size),
            torch.randint(1000, (batch,)),
        )
        expected = plain_autograd(model, images, layer, targets)
        row = {
            "case": f"{name} {layer}" + (f" ({what})" if what else ""),
            "maximum": float(expected.max()),
        }
        for method in available():
            if method == "forward pass":
                continue
            own = copy.deepcopy(model).requires_grad_(what != "frozen")
            make = (
                (lambda m, x: pytorch_grad_cam(m, x, raw=True))
                if method == "pytorch-grad-cam"
                else METHODS[method]
            )
            try:
                with torch.set_grad_enabled(what != "under no_grad"):
                    maps = make(own, layer)(images, targets)
                row[method] = float((maps - expected).abs().max())
            except (
                RuntimeError,
                AttributeError,
                IndexError,
                TypeError,
                AssertionError,
                ValueError,
            ) as error:
                row[method] = type(error).__name__
        rows.append(row)
    return rows
