"""Networks against published sizes, torchvision's, and plain arithmetic."""

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from cnnviz_utils.base.networks import TORCHVISION
from cnnviz_utils.models.build import (
    BY_HAND,
    build_model,
    count_parameters,
    layer_names,
)
from cnnviz_utils.models.freezing import freeze, learning, unfreeze
from cnnviz_utils.models.imagenet import imagenet_weights
from cnnviz_utils.models.networks import Normalise, ResNet

X = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("size", [32, 64, 96])
def test_networks_by_hand_take_any_size(name, size):
    images = torch.rand(2, 3, size, size)
    assert build_model(name, 5, size=size).eval()(images).shape == (2, 5)


def test_the_assignments_small_network_has_its_published_shapes():
    model = build_model("small_cnn", 30)
    assert [m.in_features for m in model.modules() if isinstance(m, nn.Linear)] == [2704, 64]
    wider = build_model("small_cnn2", 30)
    assert [m.in_features for m in wider.modules() if isinstance(m, nn.Linear)] == [2704, 512, 96]
    assert [m.p for m in wider.modules() if isinstance(m, nn.Dropout)] == [0.6, 0.2]


def test_resnet_by_hand_is_resnet34_to_the_last_number():
    ours, theirs = build_model("resnet_by_hand", 1000), torchvision.models.resnet34(weights=None)
    assert count_parameters(ours) == count_parameters(theirs) == 21_797_672  # He 2016's ResNet-34, torchvision's count
    ours.load_state_dict(dict(zip(ours.state_dict(), [ours.normalise.mean, ours.normalise.std, *theirs.state_dict().values()],
                                  strict=True)))
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(ours.eval()(images), theirs.eval()((images - 0.5) / 0.5), rtol=1e-4, atol=1e-4)


def test_plain_network_is_the_residual_one_without_shortcuts():
    plain = ResNet((2, 2), (8, 16), 3, shortcut=False)
    assert not [m for m in plain.modules() if getattr(m, "downsample", None) is not None]
    assert count_parameters(ResNet((2, 2), (8, 16), 3)) - count_parameters(plain) == 8 * 16 + 2 * 16


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_networks_keep_names_and_lose_in_place_operations(name):
    with torch.device("meta"):  # shapes without numbers: some of these networks have more than 100 million
        model = build_model(name, 7).eval()
        reference = torchvision.models.get_model(name, weights=None, num_classes=7,
                                                 **({"init_weights": False} if name == "googlenet" else {}))
    assert set(layer_names(reference)) | {"normalise"} == set(layer_names(model))
    assert not [m for m in model.modules() if getattr(m, "inplace", False)]
    with torch.no_grad():
        assert model(torch.rand(1, 3, 96, 96, device="meta")).shape == (1, 7)


def test_normalisation_is_the_first_layer():
    images = torch.rand(2, 3, 4, 4)
    expected = (images - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)
    torch.testing.assert_close(Normalise((0.1, 0.2, 0.3), (0.5, 1.0, 2.0))(images), expected)
    model = build_model("resnet18", 4, mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2)).eval()
    plain = torchvision.models.resnet18(weights=None, num_classes=4).eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("normalise")})
    torch.testing.assert_close(model(X), plain((X - 0.4) / 0.2))


def test_the_seed_draws_the_weights_and_nothing_global_changes():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    a, b, c = (build_model("small_resnet", 4, seed=s) for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(a(X), b(X)) and not torch.equal(a(X), c(X))


def test_weights_from_a_file_and_another_head(tmp_path):
    source = build_model("small_resnet", 4, seed=1)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    same, other = (build_model("small_resnet", n, tmp_path / "w.safetensors", seed=2) for n in (4, 9))
    assert torch.equal(same.eval()(X), source.eval()(X))
    assert torch.equal(other.stage3[0].conv1.weight, source.stage3[0].conv1.weight) and other.head.out_features == 9


def test_weights_that_do_not_fit_name_the_layer(tmp_path):
    save_file(build_model("small_resnet", 4, widths=(8, 16, 32)).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"stem\.0\.weight is \(32, 3, 3, 3\) here, \(8, 3, 3, 3\) there"):
        build_model("small_resnet", 4, tmp_path / "w.safetensors")


def test_missing_weights_say_which_file_belongs_where(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNVIZ_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="resnet18-.*pth"):
        build_model("resnet18", 5, "imagenet")
    (tmp_path / "weights").mkdir()
    name = torchvision.models.get_model_weights("resnet18").DEFAULT.url.rsplit("/", 1)[-1]
    (tmp_path / "weights" / name).write_bytes(b"something else")
    with pytest.raises(ValueError, match="checksum"):
        imagenet_weights("resnet18")


def test_a_pickle_that_runs_code_is_not_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save(Trap(), tmp_path / "w.pt")
    with pytest.raises(Exception, match=r"[Ww]eights"):
        build_model("small_cnn", 5, tmp_path / "w.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(("name", "near"), [("smal_resnet", "small_resnet"), ("resnet19", "resnet18|resnet1")])
def test_unknown_names_get_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"did you mean '({near})"):
        build_model(name, 3)


def test_frozen_parts_keep_every_bit_statistics_included(squares):
    from cnnviz_utils.training.config import TrainConfig
    from cnnviz_utils.training.loop import fit

    model = freeze(build_model("small_resnet", 3, widths=(4, 8, 8)), ["stem", "stage1"])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert not [name for name in learning(model) if name.startswith(("stem", "stage1"))]
    fit(model, squares, squares, TrainConfig(lr=0.1, epochs=2, batch_size=32), device="cpu")
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and not [k for k in changed if k.startswith(("stem", "stage1"))]
    assert any("running_mean" in k for k in changed)
    unfreeze(model, ["stem", "stage1"]).train()
    assert model.stem[1].training and len(learning(model)) == len(list(model.parameters()))


def test_without_gradients_alone_the_statistics_drift(squares):
    from cnnviz_utils.training.config import TrainConfig
    from cnnviz_utils.training.loop import fit

    model = build_model("small_resnet", 3, widths=(4, 8, 8))
    model.stem.requires_grad_(False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fit(model, squares, squares, TrainConfig(lr=0.1, epochs=2, batch_size=32), device="cpu")
    changed = {k for k, v in model.state_dict().items() if k.startswith("stem") and not torch.equal(v, before[k])}
    assert changed == {"stem.1.running_mean", "stem.1.running_var", "stem.1.num_batches_tracked"}


def test_the_optimiser_gets_what_learns_and_nothing_else():
    from cnnviz_utils.training.config import TrainConfig
    from cnnviz_utils.training.optimiser import make_optimiser

    model = freeze(build_model("small_resnet", 3, widths=(4, 8, 8)), ["stem", "stage1", "stage2"])
    held = lambda: sorted(p.data_ptr() for g in make_optimiser(model, TrainConfig()).param_groups for p in g["params"])
    named = lambda parts: sorted(p.data_ptr() for k, p in model.named_parameters() if k.startswith(parts))
    assert held() == named(("stage3", "head"))
    unfreeze(model, "stage2")
    assert held() == named(("stage2", "stage3", "head"))


def test_freezing_and_unfreezing_leaves_an_ordinary_network():
    model, other = (build_model("small_resnet", 3, widths=(4, 8, 8)).train() for _ in range(2))
    modes = [m.training for m in model.modules()]
    unfreeze(freeze(model, "stage1").train(), "stage1").train()
    assert [m.training for m in model.modules()] == modes and not [m for m in model.modules() if "train" in vars(m)]
    model(X), other(X)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_copy_of_a_frozen_network_is_frozen_on_its_own():
    import copy

    model = freeze(build_model("small_resnet", 3, widths=(4, 8, 8)), "stem")
    twin = copy.deepcopy(model)
    unfreeze(model, "stem").train()
    twin.train()
    assert model.stem[1].training and not twin.stem[1].training and learning(twin) != learning(model)


def test_freezing_an_unknown_part_names_those_there_are():
    with pytest.raises(ValueError, match="no part 'layer4'.*stage3"):
        freeze(build_model("small_resnet", 3), "layer4")
