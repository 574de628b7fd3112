"""Borrowed weights: trained once on the source, then found again, and really those that were trained."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.models.build import build_model
from cnnviz_utils.sweep.plan import read_sweep, training_config
from cnnviz_utils.training import recipes as trained
from cnnviz_utils.training.loop import fit
from cnnviz_utils.training.recipes import borrowed
from cnnviz_utils.training.store import fit_or_load, plain_weights

TINY = {"seed": 0, "train": 2, "valid": 1, "test": 1}
NETWORK = {"size": 32, "widths": (4, 8, 8)}


@pytest.fixture
def tiny_source(monkeypatch, tmp_path):
    """The built-in source with two images a class and one epoch, and a cache of its own; counts the trainings."""
    monkeypatch.setitem(trained.SOURCES, "menagerie_source", (TINY, {}, (1, 1)))
    monkeypatch.setenv("CNNVIZ_CACHE", str(tmp_path))
    runs = []

    def counted(*args, **kwargs):
        runs.append(args)
        return fit(*args, **kwargs)
    monkeypatch.setattr("cnnviz_utils.training.store.fit", counted)
    return runs


def test_source_weights_are_those_of_a_network_trained_on_the_source(tiny_source):
    model = borrowed("small_resnet", 5, "menagerie_source", seed=3, **NETWORK)
    by_hand = build_model("small_resnet", 48, **NETWORK)
    source = load_data("menagerie_source", size=32, **TINY)
    fit(by_hand, source.train, source.valid, trained.recipe_for(by_hand, epochs=1), device="cpu")
    fresh = build_model("small_resnet", 5, seed=3, **NETWORK)
    for name, value in model.state_dict().items():
        expected = fresh if name.startswith("head.") else by_hand
        torch.testing.assert_close(value, expected.state_dict()[name], msg=name)
    assert not torch.equal(model.stem[0].weight, fresh.stem[0].weight)


def test_the_second_borrower_finds_what_the_first_trained(tiny_source):
    first = borrowed("small_resnet", 5, "menagerie_source", seed=0, **NETWORK)
    second = borrowed("small_resnet", 9, "menagerie_source", seed=1, **NETWORK)
    assert len(tiny_source) == 1
    assert torch.equal(first.stage3[0].conv1.weight, second.stage3[0].conv1.weight)
    borrowed("small_resnet", 5, "menagerie_source", size=32, widths=(4, 8, 16))  # another network: another training
    assert len(tiny_source) == 2


def test_the_borrower_may_change_its_weights_without_spoiling_the_next(tiny_source):
    first = borrowed("small_resnet", 5, "menagerie_source", **NETWORK)
    with torch.no_grad():
        first.stem[0].weight.zero_()
    assert borrowed("small_resnet", 5, "menagerie_source", **NETWORK).stem[0].weight.abs().sum() > 0


def test_a_source_says_how_networks_with_and_without_batch_normalisation_are_trained(tiny_source, monkeypatch):
    monkeypatch.setitem(trained.SOURCES, "menagerie_source", (TINY, {"batch_size": 24, "lr": 8e-3}, (1, 2)))
    for name, epochs, lr in (("small_resnet", 1, 8e-3), ("small_alexnet", 2, 2e-3)):
        borrowed(name, 5, "menagerie_source", size=32)
        config = tiny_source[-1][3]
        assert (config.epochs, config.batch_size, config.lr) == (epochs, 24, lr)


def test_networks_without_batch_normalisation_learn_at_a_quarter_of_the_rate():
    assert trained.recipe_for(build_model("small_resnet", 3)).lr == trained.recipe().lr
    assert trained.recipe_for(build_model("small_alexnet", 3)).lr == trained.recipe().lr / 4


def test_the_table_that_takes_the_recipe_apart_begins_with_it():
    rows = read_sweep("recipe").rows
    assert rows[0].settings["model"] == "small_resnet" and training_config(rows[0].settings) == trained.recipe()
    for row in rows[1:-1]:
        differs = {key for key, value in row.settings.items() if value != rows[0].settings[key]}
        assert len(differs) == 1
    assert training_config(rows[-1].settings) == replace(trained.recipe(epochs=8), **trained.GENTLE)


def test_a_network_that_is_found_again_computes_the_bits_of_the_one_that_was_trained(tmp_path, squares):
    config = trained.recipe(epochs=1)
    networks = [build_model("small_resnet", 3, size=16) for _ in range(2)]
    for one in networks:
        fit_or_load(one, squares, squares, config, device="cpu", cache=tmp_path)
    first, found = (one.eval() for one in networks)
    images = squares[:8][0]
    assert torch.equal(first(images), found(images))
    save_file(plain_weights(found), tmp_path / "weights.safetensors")  # which takes no other order in memory
    again = build_model("small_resnet", 3, tmp_path / "weights.safetensors", size=16).eval()
    torch.testing.assert_close(first(images), again(images))


def test_an_unknown_source_names_those_there_are():
    with pytest.raises(ValueError, match="menagerie_source.*tinyimagenet30"):
        trained.source_weights("imagenet21k", lambda n: None)


def test_photos_that_are_not_there_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNVIZ_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="tinyimagenet30"):
        borrowed("small_resnet", 5, "tinyimagenet30")
