"""The frozen beginning of a network, computed once: the same result as the long way, and the long way wherever it is not sure."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from conftest import coloured_squares

from cnnviz_utils.data.augment import Augment
from cnnviz_utils.data.loaders import batches
from cnnviz_utils.models.build import build_model
from cnnviz_utils.models.freezing import freeze, unfreeze
from cnnviz_utils.models.networks import run_stages
from cnnviz_utils.training import beginning
from cnnviz_utils.training.adversary import Change
from cnnviz_utils.training.beginning import frozen_stages, kept_beginning
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.loop import fit

CPU = torch.device("cpu")
CONFIG = TrainConfig(lr=0.05, epochs=2, batch_size=32)
NETWORKS = {
    "small_resnet": (["stem", "stage1"], {"widths": (4, 8, 8)}),
    "small_alexnet": (["features"], {"width": 4}),
    "small_mobilenet": (["stem", "block1", "block2"], {"stem": 4, "widths": (8, 8, 8), "strides": (2, 1, 1)}),
    "small_cnn": (["conv1"], {}),
    "efficientnet_lite0": (["stem", *(f"stage{i}" for i in range(1, 8))], {}),
    "resnet18": (["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"], {}),
}


@pytest.fixture(scope="module")
def sets():
    return coloured_squares(80, size=32), coloured_squares(40, size=32, seed=1)


def network(name="small_resnet", parts=None):
    frozen, options = NETWORKS[name]
    return freeze(build_model(name, 3, size=32, **options), frozen if parts is None else parts)


def asked(model, sets, config=CONFIG):
    return kept_beginning(model, *sets, config, CPU)


def rows(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


@pytest.mark.parametrize("name", NETWORKS)
def test_bit_for_bit_the_long_way_without_augmentation(name, sets):
    short, long = network(name), network(name)
    short_rows, long_rows = (rows(fit(model, *sets, replace(CONFIG, views=views), device="cpu"))
                             for model, views in ((short, 4), (long, 0)))
    assert asked(network(name).to(memory_format=torch.channels_last), sets) is not None
    assert short_rows == long_rows
    for key, value in long.state_dict().items():
        assert torch.equal(short.state_dict()[key], value), key


@pytest.mark.parametrize("name", NETWORKS)
def test_declared_stages_are_the_whole_network(name):
    model, x = network(name).eval(), torch.rand(2, 3, 32, 32)
    assert torch.equal(run_stages(model, x, model.stages), model(x))
    named = {child for child, _ in model.named_children()}
    assert set(model.stages) - {"flatten"} == named
    assert frozen_stages(model)[-1] in (NETWORKS[name][0][-1], "flatten", "avgpool")


def test_it_is_computed_once_and_found_again(sets, monkeypatch):
    calls = []
    run = lambda model, x, stages: calls.append(stages) or run_stages(model, x, stages)
    monkeypatch.setattr(beginning, "run_stages", run)
    data = [coloured_squares(80, size=32, seed=7), coloured_squares(40, size=32, seed=8)]
    in_front = lambda: sum(len(x) and x[0] == "normalise" for x in calls)
    fit(network(), *data, replace(CONFIG, epochs=5), device="cpu")
    assert in_front() == 1 + 3 + 1   # two images to be sure, 80 in batches of 32, 40 at once: not five times
    calls.clear()
    fit(network(), *data, replace(CONFIG, epochs=3, lr=0.01), device="cpu")
    assert in_front() == 1


@pytest.mark.parametrize("other", ["weights", "images", "batch"])
def test_other_weights_or_images_are_other_maps(other, sets):
    model, config, data = network(), CONFIG, sets
    first = asked(model, data, config).train.kept
    if other == "weights":
        with torch.no_grad():
            model.stage1[0].bn2.running_mean += 0.1
    elif other == "images":
        data = (replace(sets[0], images=255 - sets[0].images), sets[1])
    else:
        config = replace(CONFIG, batch_size=16)
    assert np.array_equal(asked(model, data, config).train.kept, first) == (other == "batch")


def test_a_damaged_map_is_computed_again(sets, tmp_path, monkeypatch):
    monkeypatch.setenv("CNNVIZ_CACHE", str(tmp_path))
    whole = np.array(asked(network(), sets).train.kept)
    for file in tmp_path.glob("maps-*/maps.npy"):
        file.write_bytes(file.read_bytes()[:-100])
    assert np.array_equal(asked(network(), sets).train.kept, whole)


def test_views_are_the_augmented_images_drawn_beforehand(sets):
    change, model = Augment(flip=0.5, shift=0.2, brightness=0.3), network()
    config = replace(CONFIG, augment=change, epochs=20, views=3, seed=5)
    short, generator = asked(model, sets, config), torch.Generator().manual_seed(5)
    assert short.train.kept.shape[:2] == (3, 80) and short.valid.kept.shape[:2] == (1, 40)
    model.eval()
    for view in range(3):
        drawn = torch.cat([run_stages(model, x, frozen_stages(model)) for x, _ in
                           batches(sets[0], 32, augment=change, generator=generator)])
        torch.testing.assert_close(torch.from_numpy(np.array(short.train.kept[view])).movedim(-1, 1), drawn.detach())
    seen = torch.stack([short.seen_in(epoch).on("cpu", torch.tensor([0, 1]))[0] for epoch in (1, 2, 3, 4)])
    assert torch.equal(seen[0], seen[3]) and not torch.equal(seen[0], seen[1])
    assert torch.equal(short.seen_in(2).on("cpu", torch.tensor([0]))[0][0], torch.from_numpy(np.array(short.train.kept[1, 0])).movedim(-1, 0))


def test_with_augmentation_the_statistics_are_those_of_the_long_way(sets):
    """Maps: mean and spread over images and views; training: accuracy at the end, over seeds."""
    change = Augment(flip=0.5, shift=0.1, brightness=0.2)
    model = network().eval()
    kept = torch.from_numpy(np.array(asked(model, sets, replace(CONFIG, augment=change, epochs=9, views=8)).train.kept)).movedim(-1, 2)
    fresh = torch.stack([run_stages(model, change(sets[0][:][0], torch.Generator().manual_seed(seed)), frozen_stages(model)).detach()
                         for seed in range(100, 108)])
    mean, spread = fresh.mean((0, 1, 3, 4)), fresh.std((0, 1, 3, 4))
    torch.testing.assert_close(kept.mean((0, 1, 3, 4)) / spread, mean / spread, rtol=0, atol=0.05)
    torch.testing.assert_close(kept.std((0, 1, 3, 4)), spread, rtol=0.05, atol=1e-3)
    small = [coloured_squares(80), coloured_squares(40, seed=1)]
    config = TrainConfig(optimiser="adamw", momentum=0.7, lr=0.02, batch_size=16, epochs=8, augment=change)
    build = lambda: freeze(build_model("small_resnet", 3, widths=(8, 8, 8)), ["stem"])
    ends = {views: [fit(build(), *small, replace(config, views=views, seed=seed), device="cpu").rows[-1]["train_loss"]
                    for seed in range(3)] for views in (0, 4)}
    assert set(ends[0]).isdisjoint(ends[4])
    assert np.mean(ends[4]) == pytest.approx(np.mean(ends[0]), abs=0.15)   # it begins at 1.1


def test_learning_rates_of_parts_keep_their_names(sets):
    model = network()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fit(model, *sets, replace(CONFIG, lrs=(("stage2", 1e-12),), weight_decay=0.0), device="cpu")
    torch.testing.assert_close(model.state_dict()["stage2.0.conv1.weight"], before["stage2.0.conv1.weight"])
    assert not torch.allclose(model.head.weight, before["head.weight"])


def unsure(kind):
    model = network()
    if kind == "statistics move":
        model = unfreeze(model, ["stem", "stage1"])
        model.stem.requires_grad_(False)
    elif kind == "a hook":
        model.stem[0].register_forward_hook(lambda *_: None)
    elif kind == "a hook on all of it":
        model.register_forward_hook(lambda *_: None)
    elif kind == "dropout":
        model.stem.append(torch.nn.Dropout(0.5))
    elif kind == "a layer of somebody's":
        model.stem.append(type("Noise", (torch.nn.Module,), {"forward": lambda self, x: x + torch.rand_like(x)})())
    elif kind == "another forward":
        model.stem.forward = lambda x: torch.nn.Sequential.forward(model.stem, x)
    elif kind == "no stages":
        del model.stages
    elif kind == "stages that are not so":
        twice = lambda self, x: 2 * run_stages(self, x, self.stages)
        model.__class__ = type("Other", (type(model),), {"forward": twice})
    elif kind == "nothing is frozen":
        model = unfreeze(model, ["stem", "stage1"])
    return model


@pytest.mark.parametrize("kind", ["statistics move", "a hook", "a hook on all of it", "dropout", "a layer of somebody's",
                                  "another forward", "no stages", "stages that are not so", "nothing is frozen"])
def test_the_long_way_where_it_is_not_sure(kind, sets):
    assert asked(network(), sets) is not None
    assert asked(unsure(kind), sets) is None


class Odd(Augment):
    pass


@pytest.mark.parametrize("changes", [{"amp": "bfloat16"}, {"views": 0}, {"augment": Augment(flip=0.5), "epochs": 4}, {"epochs": 1},
                                     {"augment": Odd(flip=0.5), "epochs": 9}], ids=["half", "off", "few epochs", "one epoch", "unknown augmentation"])
def test_the_long_way_by_settings(changes, sets):
    assert asked(network(), sets, replace(CONFIG, **changes)) is None


def test_the_long_way_for_other_data_and_for_what_is_too_large(sets, monkeypatch):
    @dataclass(frozen=True, eq=False)
    class Fresh(type(sets[0])):
        pass

    fresh = Fresh(sets[0].images, sets[0].labels, sets[0].classes)
    assert asked(network(), (fresh, sets[1])) is None
    monkeypatch.setattr(beginning, "MOST_BYTES", 1000)
    assert asked(network(), sets) is None


def test_a_full_disk_is_no_obstacle(sets, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left on device")
    monkeypatch.setattr(beginning, "cached", full)
    model = network()
    assert len(fit(model, *sets, CONFIG, device="cpu").rows) == 2


def test_images_that_are_changed_by_the_network_go_the_long_way(sets, monkeypatch):
    monkeypatch.setattr("cnnviz_utils.training.loop.kept_beginning", lambda *_: pytest.fail("the short way"))
    fit(network(), *sets, replace(CONFIG, epochs=1), device="cpu", change=Change(noise=0.1))


def test_views_must_be_a_number():
    with pytest.raises(ValueError, match="views .*not -1"):
        TrainConfig(views=-1)
