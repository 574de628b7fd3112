"""Any network by name, with its weights: by hand (`networks.py`) or torchvision's."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from cnnviz_utils.base.networks import TORCHVISION
from cnnviz_utils.base.settings import UsageError, check_name
from cnnviz_utils.models.architectures import SmallGoogLeNet, SmallMobileNet, SmallVGG
from cnnviz_utils.models.efficientnet import SIZES, efficientnet_lite
from cnnviz_utils.models.imagenet import (
    PACKAGES,
    imagenet_classes,
    imagenet_normalisation,
    imagenet_state,
)
from cnnviz_utils.models.networks import Normalise, ResNet, SmallAlexNet, SmallCNN
from cnnviz_utils.models.weights import load_weights, read_weights

# 0.3 million weights; its last maps are 8 x 8 at 64 px, fine enough for class
# activation maps
SMALL_RESNET = {
    "blocks": (1, 1, 1),
    "widths": (32, 64, 128),
    "strides": (1, 2, 1),
    "stem": "3x3+pool",
}
BY_HAND: dict[str, Callable[..., nn.Module]] = {
    "small_cnn": lambda n, size, **options: SmallCNN(n, size, 1, **options),
    "small_cnn2": lambda n, size, **options: SmallCNN(n, size, 2, **options),
    "small_alexnet": lambda n, size, **options: SmallAlexNet(n, **options),
    "small_vgg": lambda n, size, **options: SmallVGG(n, **options),
    "small_googlenet": lambda n, size, **options: SmallGoogLeNet(n, **options),
    "small_mobilenet": lambda n, size, **options: SmallMobileNet(n, **options),
    "small_resnet": lambda n, size, **options: ResNet(
        **SMALL_RESNET | options, classes=n
    ),
    # twice the channels, four times the weights
    "small_wide_resnet": lambda n, size, **options: ResNet(
        **SMALL_RESNET | {"widths": (64, 128, 256)} | options, classes=n
    ),
    "resnet_by_hand": lambda n, size, **options: ResNet(
        (3, 4, 6, 3), (64, 128, 256, 512), n, stem="7x7+pool", **options
    ),
    **{
        name: lambda n, size, name=name, **options: efficientnet_lite(
            name, n, **options
        )
        for name in SIZES
    },
}


def build_model(
    name: str,
    num_classes: int | None = None,
    weights: Mapping[str, Tensor] | str | Path | None = None,
    *,
    size: int | None = None,
    seed: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    classes: Sequence[str] | None = None,
    **options,
) -> nn.Module:
    """A network that takes images (N, 3, H, W) in [0, 1] and gives logits (N,
    num_classes).

    name: one of BY_HAND or TORCHVISION.
    num_classes: by default as many as `classes`, or 1000 with weights="imagenet".
    weights: None (drawn from `seed`, nothing global changes); "imagenet" (see
        `imagenet.imagenet_weights`); a file: .safetensors, or a .pt of tensors only; or
        a state dict. A head for other classes is left as it was drawn. Nothing is ever
        trained here: see `recipes.borrowed`.
    size: the images' side in pixels (64 by default), for the networks whose linear
        layers depend on it. Whether the network can take such images is tried.
    mean, std: what the first layer normalises by, for pixels in [0, 1]; by default .5
        each, or what the ImageNet weights were learned with.
    classes: the classes' names, kept as `model.classes`; ImageNet's by default where
        its weights are used with all their classes.

    Raises: UsageError: no such network (the nearest name is given), no classes, a size
        that the network cannot take, or weights that do not fit (the layers are named).
        FileNotFoundError: the weights are not there; the message says which file
        belongs where.
    """
    check_name("network", name, [*BY_HAND, *TORCHVISION])
    if num_classes is None:
        num_classes = len(classes) if classes else 1000 if weights == "imagenet" else 0
    _check_classes(name, num_classes, classes)
    make = partial(_make, name, num_classes, options=options)
    if size is not None:
        check_size(name, make, size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make(size or 64)
    if isinstance(weights, str) and weights == "imagenet":
        if name in BY_HAND and name not in PACKAGES:
            raise UsageError(
                f"there are no ImageNet weights for {name}; there are for "
                f"{', '.join([*PACKAGES, *TORCHVISION])}"
            )
        load_weights(model, imagenet_state(name, model))
        usual = imagenet_normalisation(name)
        mean, std = mean or usual[0], std or usual[1]
        if classes is None and num_classes == 1000:
            classes = imagenet_classes()
    elif weights is not None:
        load_weights(
            model, weights if isinstance(weights, Mapping) else read_weights(weights)
        )
    if mean is not None or std is not None:
        model.normalise = Normalise(mean or (0.5,) * 3, std or (0.5,) * 3)
    # what `save_model` writes beside the weights
    vars(model)["built"] = {
        "network": name,
        "num_classes": num_classes,
        "size": size,
        "options": options,
    }
    if classes is not None:
        vars(model)["classes"] = tuple(classes)
    return model


def _check_classes(name: str, count: int, classes: Sequence[str] | None) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise UsageError(
            f"{name} needs to know its classes: num_classes is a whole number of at "
            f"least 1, not {count!r}"
        )
    if classes is not None and len(classes) != count:
        raise UsageError(
            f"{name}: {len(classes)} names of classes were given for {count} classes"
        )


def _make(name: str, num_classes: int, size: int, options: dict) -> nn.Module:
    if name in BY_HAND:
        return BY_HAND[name](num_classes, size, **options)
    return _torchvision(name, num_classes, options)


# from this side in pixels on, every network here takes any
ENOUGH = 64


def check_size(name: str, make: Callable[[int], nn.Module], size: int) -> None:
    """Raises UsageError, with the smallest size that will do, unless the network that
    `make` gives for a size takes images of size x size pixels. Small sizes are
    tried."""
    if not isinstance(size, int) or size < 1:
        raise UsageError(
            f"size is a whole number of pixels of at least 1, not {size!r}"
        )
    if size >= ENOUGH:
        return
    # torchvision's are the same for all sizes
    same = None if name in BY_HAND else make(size)

    def takes(side: int) -> bool:
        try:
            model = (same or make(side)).eval()
            return model(torch.zeros(1, 3, side, side)).numel() > 0
        except (RuntimeError, ZeroDivisionError):
            return False

    with (
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=[]),
        torch.inference_mode(),
    ):
        warnings.simplefilter("ignore")  # torch's, of a layer for 0 numbers
        smallest = next(filter(takes, range(size, ENOUGH + 1)))
    if smallest > size:
        raise UsageError(
            f"{name} cannot take images of {size} x {size} px: the smallest that it "
            f"takes are {smallest} px"
        )


# torchvision's networks that are a chain of parts, see `networks.run_stages`
RESNET = "conv1 bn1 relu maxpool layer1 layer2 layer3 layer4 avgpool flatten fc"
CHAINS = {
    **dict.fromkeys(
        ("alexnet", "vgg11", "vgg11_bn", "vgg16", "mobilenet_v3_small"),
        "features avgpool flatten classifier",
    ),
    **dict.fromkeys(("resnet18", "resnet34", "resnet50"), RESNET),
}


def _torchvision(name: str, num_classes: int, options: dict) -> nn.Module:
    """torchvision's network with our first layer and without in-place operations (they
    break hooks).

    The class is extended by a forward that normalises, so that layers keep
    torchvision's names.
    """
    # here, because it takes seconds and most lessons never ask for it
    from torchvision import models

    extra = {"init_weights": True} if name == "googlenet" else {}
    model = models.get_model(
        name, weights=None, num_classes=num_classes, **extra, **options
    )
    for module in model.modules():
        if getattr(module, "inplace", False):
            module.inplace = False
    kind = type(model)
    forward = lambda self, images: kind.forward(self, self.normalise(images))
    model.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    model.normalise = Normalise()
    if name in CHAINS:
        model.stages = ["normalise", *CHAINS[name].split()]
    return model


def layer_names(model: nn.Module) -> list[str]:
    """The names of all layers, for `capture` and the maps."""
    return [name for name, _ in model.named_modules() if name]


def count_parameters(model: nn.Module) -> int:
    """How many numbers a network can learn."""
    return sum(p.numel() for p in model.parameters())
