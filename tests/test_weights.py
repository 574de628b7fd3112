"""Weights of other people's files: what is understood, and what is refused in a sentence."""

import re

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.models.build import build_model
from cnnviz_utils.models.networks import he_initialise
from cnnviz_utils.models.weights import load_weights, read_weights

X = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def small():
    return build_model("small_resnet", 4, widths=(4, 8, 8), seed=1)


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Puts a state dict where torchvision's file of a network belongs, with a checksum that is right."""
    def put(name: str, state: dict) -> None:
        monkeypatch.setenv("CNNVIZ_DATA", str(tmp_path))
        (tmp_path / "weights").mkdir()
        torch.save(state, tmp_path / "weights" / "file.pth")
        monkeypatch.setattr("cnnviz_utils.models.imagenet._torchvisions", lambda asked: tmp_path / "weights" / "file.pth")
    return put


def drawn(name: str, **options):
    """torchvision's network with statistics that are not those of a new BatchNorm."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None, **options)
    he_initialise(model)   # or the last layers would not see the image
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def normalised(images):
    return torchvision.transforms.functional.normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@torch.no_grad()
def same_logits(ours, theirs):
    """On images in [0, 1] as on torchvision's normalised ones; and the normalisation is seen in the logits."""
    expected, without = theirs(normalised(X)), theirs(X)
    size = expected.abs().max()
    torch.testing.assert_close(ours(X) / size, expected / size, rtol=0, atol=1e-5)
    assert (without - expected).abs().max() > 1e-2 * size


def test_densenets_old_names_are_understood(fetched):
    theirs = drawn("densenet121")
    # as in torchvision's file: "norm.1", and no counts of batches
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", name): value for name, value in theirs.state_dict().items()
           if not name.endswith("num_batches_tracked")}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    fetched("densenet121", old)
    ours = build_model("densenet121", weights="imagenet").eval()
    same_logits(ours, theirs)


def test_googlenets_own_normalisation_is_undone_as_torchvision_does(fetched):
    theirs = drawn("googlenet", init_weights=False)
    fetched("googlenet", theirs.state_dict())
    theirs.transform_input = True   # as `torchvision.models.googlenet(weights=...)` sets it
    ours = build_model("googlenet", weights="imagenet").eval()
    same_logits(ours, theirs)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_torchvisions_others_are_normalised_by_imagenets_statistics(name, fetched):
    theirs = drawn(name)
    fetched(name, theirs.state_dict())
    ours = build_model(name, weights="imagenet").eval()
    assert len(ours.classes) == 1000
    same_logits(ours, theirs)


@pytest.mark.parametrize("wrap", [
    lambda state: {"state_dict": state, "epoch": 7},
    lambda state: {"model": state},
    lambda state: {"state_dict": {"model_state_dict": state}},
    lambda state: {f"module.{name}": value for name, value in state.items()},
], ids=["state_dict", "model", "twice", "DataParallel"])
def test_weights_one_level_down_are_taken(wrap, tmp_path):
    source = small()
    torch.save(wrap(source.state_dict()), tmp_path / "w.pt")
    other = build_model("small_resnet", 4, tmp_path / "w.pt", widths=(4, 8, 8), seed=2)
    assert torch.equal(other.eval()(X), source.eval()(X))


class Trap:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize(("content", "said"), [
    ([torch.zeros(3)], "a list"),
    ({}, "nothing"),
    ({"epoch": 3}, "a dict"),
    (torch.zeros(3), "a Tensor"),
], ids=["list", "no weights", "no tensors", "one tensor"])
def test_what_holds_no_named_tensors_is_refused(content, said, tmp_path):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(UsageError, match=rf"w\.pt should hold tensors by name .* holds {said}"):
        build_model("small_resnet", 4, tmp_path / "w.pt")


@pytest.mark.parametrize("ending", ["pt", "pth", "safetensors"])
@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), (b"no weights at all", "damaged"), (b"PK\x03\x04 cut", "damaged")],
                         ids=["empty", "text", "cut"])
def test_a_file_that_is_no_weights_is_named(ending, content, said, tmp_path):
    (tmp_path / f"w.{ending}").write_bytes(content)
    with pytest.raises(UsageError, match=rf"w\.{ending} .*{said}"):
        read_weights(tmp_path / f"w.{ending}")


def test_half_a_file_is_refused(tmp_path):
    save_file(small().state_dict(), tmp_path / "w.safetensors")
    torch.save(small().state_dict(), tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:len(whole) // 2])
        with pytest.raises(UsageError, match="damaged"):
            read_weights(tmp_path / name)


def test_a_pickle_is_not_opened(tmp_path):
    torch.save({"state_dict": Trap(tmp_path / "sprung")}, tmp_path / "w.pt")
    with pytest.raises(UsageError, match="run code"):
        build_model("small_resnet", 4, tmp_path / "w.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(number, tmp_path):
    state = small().state_dict()
    save_file({name: torch.full_like(value, number) if value.is_floating_point() else value for name, value in state.items()},
              tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match=r"w\.safetensors holds NaN or infinite numbers in \d+ of \d+ tensors"):
        build_model("small_resnet", 4, tmp_path / "w.safetensors", widths=(4, 8, 8))
    state["stage1.0.conv1.weight"][0, 0, 0, 0] = number
    with pytest.raises(UsageError, match=r"first of them stage1\.0\.conv1\.weight"):
        load_weights(small(), state)
