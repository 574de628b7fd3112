"""Several processes train one network as one process would, one of them writes, and a stopped training goes on to the same bits."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import coloured_squares
from torch import nn

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.augment import Augment
from cnnviz_utils.training import feed
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.loop import fit
from cnnviz_utils.training.team import Team

CONFIG = TrainConfig(lr=0.05, epochs=3, batch_size=16, schedule="cosine", seed=1)


def net(norm=False):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8) if norm else nn.Identity(), nn.ReLU(),
                         nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3))


# what two processes do: `torchrun` starts this file
CASES = {
    "plain": (False, CONFIG, {}),
    "incomplete": (False, replace(CONFIG, batch_size=13), {}),  # the last batch has 11 images: 6 and 5
    "weighted": (False, replace(CONFIG, class_weights="balanced"), {}),
    "synced": (True, replace(CONFIG, sync_batch_norm=True), {}),
    "own": (True, CONFIG, {}),
    "augmented": (True, replace(CONFIG, augment=Augment(flip=0.5, shift=0.1)), {}),
}


def uneven():
    """96 images, classes of different sizes."""
    data = coloured_squares(150)
    keep = [i for i, label in enumerate(data.labels.tolist()) if label == 0 or (label == 1 and i % 2) or (label == 2 and i % 7 < 2)]
    return data.subset(keep[:96])


def together(folder: Path) -> None:
    from cnnviz_utils.training.store import fit_or_load, plain_weights
    from cnnviz_utils.training.team import current_team

    torch.set_num_threads(1)
    team = current_team()
    train, valid = uneven(), coloured_squares(31, seed=1)
    for name, (norm, config, _) in CASES.items():
        model, told = net(norm), []
        history = fit(model, train, valid, config, "cpu", told.append, checkpoint=folder / f"{name}.pt")
        torch.save((plain_weights(model), history.rows, len(told)), folder / f"{name}-{team.rank}")
    model = net()
    fit(model, train, valid, replace(CONFIG, epochs=3), "cpu", checkpoint=folder / "plain.pt")  # there is nothing left to do
    torch.save(plain_weights(model), folder / f"again-{team.rank}")
    for turn in range(2):
        model = net()
        history = fit_or_load(model, train, valid, CONFIG, "cpu", folder / "cache")
        torch.save((plain_weights(model), history.rows), folder / f"stored-{turn}-{team.rank}")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder in which two processes have left what came of each case."""
    folder = tmp_path_factory.mktemp("two")
    words = ["--standalone", "--nproc-per-node", "2", __file__, str(folder)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "CNNVIZ_CACHE": str(folder / "own"), "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", *words], env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def case(folder, name, rank=0):
    return torch.load(folder / f"{name}-{rank}", weights_only=True)


def alone(name):
    """One process with the doubled batch."""
    norm, config, _ = CASES[name]
    model = net(norm)
    config = replace(config, batch_size=2 * config.batch_size, sync_batch_norm=False)
    history = fit(model, uneven(), coloured_squares(31, seed=1), config, "cpu")
    return model.state_dict(), history.rows


def distance(a, b) -> float:
    return max(float((a[k].double() - b[k].double()).abs().max()) for k in a if not k.endswith("tracked"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "incomplete", "weighted", "synced"])
def test_two_processes_give_one_process_s_weights_with_the_doubled_batch(two, name):
    weights, rows, told = case(two, name)
    expected, expected_rows = alone(name)
    assert distance(weights, net(CASES[name][0]).state_dict()) > 3e-3  # something was learned
    assert distance(weights, expected) < 2e-5
    for row, other in zip(rows, expected_rows, strict=True):
        assert row["train_accuracy"] == pytest.approx(other["train_accuracy"], abs=0.02)
        assert row["valid_loss"] == pytest.approx(other["valid_loss"], abs=1e-4) and row["epoch"] == other["epoch"]
    assert told == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CASES))
def test_both_processes_end_with_the_same_bits_and_one_of_them_reports(two, name):
    first, second = case(two, name), case(two, name, 1)
    assert distance(first[0], second[0]) == 0 and (first[2], second[2]) == (3, 0)
    untimed = lambda rows: [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    assert untimed(first[1]) == untimed(second[1])


@pytest.mark.slow
def test_batch_norm_of_each_process_is_another_thing_than_that_of_all(two):
    assert distance(case(two, "own")[0], case(two, "synced")[0]) > 1e-4


@pytest.mark.slow
def test_a_finished_checkpoint_and_the_cache_are_read_by_both(two):
    for rank in (0, 1):
        assert distance(torch.load(two / f"again-{rank}", weights_only=True), case(two, "plain")[0]) == 0
        for turn in (0, 1):
            assert distance(case(two, f"stored-{turn}", rank)[0], case(two, "plain")[0]) == 0
    assert len(list((two / "cache").glob("*/weights.safetensors"))) == 1


# checkpoints of one process

class Stop(Exception):
    pass


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, optimiser="adamw", lr=0.01, augment=Augment(flip=0.5, shift=0.1))])
def test_a_training_that_was_stopped_ends_with_the_same_bits(squares, tmp_path, config):
    def build():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))

    whole, stopped, resumed = build(), build(), build()
    expected = fit(whole, squares, squares, config, "cpu")

    def stop(row):
        if row["epoch"] == 2:
            raise Stop

    with pytest.raises(Stop):
        fit(stopped, squares, squares, config, "cpu", stop, checkpoint=tmp_path / "a.pt")
    seen = []
    history = fit(resumed, squares, squares, config, "cpu", seen.append, checkpoint=tmp_path / "a.pt")
    assert [row["epoch"] for row in seen] == [3] and distance(whole.state_dict(), resumed.state_dict()) == 0
    untimed = lambda rows: json.dumps([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
    assert untimed(history.rows) == untimed(expected.rows)


def test_a_checkpoint_of_another_training_or_none_is_refused_by_name(squares, tmp_path):
    fit(net(), squares, squares, replace(CONFIG, epochs=1), "cpu", checkpoint=tmp_path / "a.pt")
    for model, config in ((net(), replace(CONFIG, epochs=1, lr=0.1)), (net(True), replace(CONFIG, epochs=1))):
        with pytest.raises(UsageError, match="a.pt was left by another training"):
            fit(model, squares, squares, config, "cpu", checkpoint=tmp_path / "a.pt")
    whole = (tmp_path / "a.pt").read_bytes()
    at = len(whole) // 2
    for damaged in (b"PK", whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
        (tmp_path / "a.pt").write_bytes(damaged)
        with pytest.raises(UsageError, match="a.pt is no checkpoint that can be read"):
            fit(net(), squares, squares, replace(CONFIG, epochs=1), "cpu", checkpoint=tmp_path / "a.pt")


# the share of each process

@pytest.mark.parametrize(("images", "size"), [(96, 2), (97, 3), (8, 3)])
def test_shares_are_the_whole_epoch_without_overlap(images, size):
    data = coloured_squares(images)
    found, weights = [], []
    for rank in range(size):
        generator = torch.Generator().manual_seed(3)
        shares = list(feed.epoch(data, replace(CONFIG, batch_size=5), torch.device("cpu"), generator, team=Team(rank, size)))
        found += [image.numpy().tobytes() for pictures, _, _ in shares for image in pictures]
        weights.append([len(labels) for _, labels, _ in shares])
    left = images % (5 * size) if images % (5 * size) < size else 0  # a last batch with less than an image for each
    assert len(found) == images - left and len(set(found)) == len(found)
    assert all(max(sizes) - min(sizes) <= 1 for sizes in zip(*weights, strict=True))


def test_batches_read_in_a_thread_are_those_of_the_loop_and_errors_are_the_callers(squares):
    read = lambda chosen: squares.on("cpu", chosen)
    orders = list(torch.randperm(96).split(7))
    for (a, b), (c, d) in zip(feed.in_thread(iter(orders), read), map(read, orders), strict=True):
        assert torch.equal(a, c) and torch.equal(b, d)
    with pytest.raises(ZeroDivisionError):
        list(feed.in_thread(iter([1, 0]), lambda n: 1 / n))
    for value in feed.in_thread(iter(range(10**9)), lambda n: n):  # left early: the thread ends, too
        if value == 3:
            break


def test_bytes_on_the_device_are_the_images_of_the_set(squares):
    there = feed.resident(squares, torch.device("cpu"), rows=7)
    index = torch.tensor([5, 1, 90])
    assert all(torch.equal(a, b) for a, b in zip(there.on("cpu", index), squares.on("cpu", index), strict=True))
    assert len(there) == len(squares) and torch.equal(there.labels, squares.labels)


if __name__ == "__main__":
    together(Path(sys.argv[1]))
