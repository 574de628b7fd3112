"""Any network by name, with its weights: by hand (`networks.py`) or torchvision's."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cnnviz_utils.base.paths import data_root
from cnnviz_utils.base.settings import check_name
from cnnviz_utils.models.architectures import SmallGoogLeNet, SmallMobileNet, SmallVGG
from cnnviz_utils.models.networks import Normalise, ResNet, SmallAlexNet, SmallCNN

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
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
    "resnet_by_hand": lambda n, size, **options: ResNet(
        (3, 4, 6, 3), (64, 128, 256, 512), n, stem="7x7+pool", **options
    ),
}
TORCHVISION = (
    "alexnet",
    "vgg11",
    "vgg11_bn",
    "vgg16",
    "googlenet",
    "resnet18",
    "resnet34",
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "densenet121",
)


def build_model(
    name: str,
    num_classes: int,
    weights: dict[str, Tensor] | str | Path | None = None,
    *,
    size: int = 64,
    seed: int = 0,
    mean=None,
    std=None,
    **options,
) -> nn.Module:
    """A network that takes images (N, 3, H, W) in [0, 1] and gives logits (N,
    num_classes).

    Args: name: one of BY_HAND or TORCHVISION. weights: None (drawn from `seed`, nothing
        global changes); "imagenet" (torchvision's, see `imagenet_weights`);
            a file: .safetensors, or a .pt of tensors only; or a state dict. A head for
                other classes is left as it
            was drawn. Nothing is ever trained here: see `recipes.borrowed`.
        size: the images' side in pixels, for the networks whose linear layers depend on
            it.
        mean, std: what the first layer normalises by; 0.5 each, or ImageNet's where its
            weights are used.

    Raises: ValueError: no such network (the nearest name is given), or weights that do
        not fit (the layers are named). FileNotFoundError: the weights are not there;
        the message says which file belongs where.
    """
    check_name("network", name, [*BY_HAND, *TORCHVISION])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = (
            BY_HAND[name](num_classes, size, **options)
            if name in BY_HAND
            else _torchvision(name, num_classes, options)
        )
    if weights == "imagenet":
        if name in BY_HAND:
            raise ValueError(
                f"there are no ImageNet weights for {name}; torchvision has them for {', '.join(TORCHVISION)}"
            )
        load_weights(
            model,
            torch.load(imagenet_weights(name), weights_only=True, map_location="cpu"),
        )
        mean, std = mean or IMAGENET[0], std or IMAGENET[1]
    elif weights is not None:
        load_weights(
            model, weights if isinstance(weights, dict) else read_weights(weights)
        )
    if mean is not None or std is not None:
        model.normalise = Normalise(mean or (0.5,) * 3, std or (0.5,) * 3)
    # what `save_model` writes beside the weights
    model.built = {
        "network": name,
        "num_classes": num_classes,
        "size": size,
        "options": options,
    }
    return model


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
    return model


def imagenet_weights(name: str) -> Path:
    """The file of torchvision's ImageNet weights, under `weights/` in the data root;
    never downloaded by surprise.

    Its name ends in the first 8 digits of its SHA-256, which is checked. Raises
    FileNotFoundError that says where to get the file and where to put it, ValueError if
    its content is not what its name says.
    """
    from torchvision import models

    best = models.get_model_weights(name).DEFAULT
    file = data_root() / "weights" / best.url.rsplit("/", 1)[-1]
    if not file.is_file():
        raise FileNotFoundError(
            f"ImageNet weights of {name} are not at {file}: put torchvision's file {file.name} "
            f"there (in Python: torchvision.models.{type(best).__name__}.{best.name}.url)"
        )
    if (
        not hashlib.sha256(file.read_bytes())
        .hexdigest()
        .startswith(file.stem.rsplit("-", 1)[-1])
    ):
        raise ValueError(
            f"{file} is damaged: its checksum is not the one in its name; fetch it again"
        )
    return file


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Weights from a file that cannot run code: .safetensors, or a .pt of tensors
    only."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there are no weights at {path}: give a .safetensors or .pt file, 'imagenet', "
            "or nothing"
        )
    return (
        load_file(path)
        if path.suffix == ".safetensors"
        else torch.load(path, weights_only=True, map_location="cpu")
    )


def load_weights(model: nn.Module, weights: dict[str, Tensor]) -> list[str]:
    """Copy weights in; a last layer for other classes stays as it is. Returns the names
    left as they were.

    Raises ValueError naming layers that are missing or have another shape, the last
    layer excepted.
    """
    own = model.state_dict()
    head = list(dict(model.named_parameters()))[-1].rpartition(".")[0]
    fits = {k: v for k, v in weights.items() if k in own and v.shape == own[k].shape}
    left = [k for k in own if k not in fits]
    wrong = [
        k
        for k in left
        if not k.startswith(("normalise.", f"{head}.")) and "aux" not in k
    ]
    if wrong:
        found = tuple(weights[wrong[0]].shape) if wrong[0] in weights else "nothing"
        raise ValueError(
            f"these weights are for another network: {wrong[0]} is {tuple(own[wrong[0]].shape)} here, "
            f"{found} there ({len(wrong)} layers differ)"
        )
    model.load_state_dict(fits, strict=False)
    return left


def layer_names(model: nn.Module) -> list[str]:
    """The names of all layers, for `capture` and the maps."""
    return [name for name, _ in model.named_modules() if name]


def count_parameters(model: nn.Module) -> int:
    """How many numbers a network can learn."""
    return sum(p.numel() for p in model.parameters())
