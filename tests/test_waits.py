"""What would wait for a GPU: numbers looked at before everything has been handed over. No GPU is needed to see it:
every look is an operation of its own."""

from dataclasses import replace

import pytest
import torch
from conftest import coloured_squares
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from cnnviz_utils.base.hooks import every_module
from cnnviz_utils.training import feed
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.step import Stepper
from cnnviz_utils.viz import later, targets
from cnnviz_utils.viz.cams import grad_cam, grad_cam_plus_plus, layer_cam
from cnnviz_utils.viz.gradients import input_gradient
from cnnviz_utils.viz.located import find_layer

LOOKS = ("_local_scalar_dense", "is_nonzero", "nonzero")


class Operations(TorchDispatchMode):
    """The names of all operations, in their order."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.__name__.split(".")[0])
        return function(*args, **(kwargs or {}))

    @property
    def looks(self):
        return [i for i, name in enumerate(self.names) if name in LOOKS]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)).eval()


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Looking at a number counts as waiting."""
    monkeypatch.setattr(later, "waits", lambda tensor: True)
    monkeypatch.setattr(targets, "waits", lambda tensor: True)


@pytest.mark.parametrize("explain", [grad_cam, grad_cam_plus_plus, layer_cam])
def test_the_one_look_of_a_map_comes_after_everything(model, as_on_a_gpu, explain):
    images, chosen = torch.rand(2, 3, 12, 12), torch.tensor([1, 4])
    with Operations() as seen:
        explain(model, images, "2", chosen)
    assert seen.looks == [len(seen.names) - 1]


def test_without_targets_nothing_is_looked_at(model, as_on_a_gpu):
    with Operations() as seen:
        grad_cam(model, torch.rand(2, 3, 12, 12), "2")
    assert seen.looks == []


@pytest.mark.parametrize("explain", [lambda *a: grad_cam(a[0], a[1], "2", a[2]), input_gradient])
@pytest.mark.parametrize("wrong", [[0, 5], [-1, 0], [0.5, 1.0]])
def test_wrong_targets_are_still_refused(model, as_on_a_gpu, explain, wrong):
    with pytest.raises(ValueError, match="targets (must be from 0 to 4|are class numbers)"):
        explain(model, torch.rand(2, 3, 12, 12), torch.tensor(wrong))
    later.refuse(torch.tensor(False), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):  # outside of a block there is no later
        later.refuse(torch.tensor(True), ZeroDivisionError)


def test_an_error_comes_before_the_questions(as_on_a_gpu):
    with pytest.raises(KeyError), later.deferring():
        later.refuse(torch.tensor(True), ZeroDivisionError)
        raise KeyError
    with pytest.raises(ZeroDivisionError), later.deferring(), later.deferring():
        later.refuse(torch.tensor(True), ZeroDivisionError)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_a_step_of_training_looks_at_nothing(optimiser):
    torch.manual_seed(0)
    data = coloured_squares(24)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    config = TrainConfig(optimiser=optimiser, lr=0.01, batch_size=8)
    step = Stepper(net, config, torch.device("cpu"), classes=3)
    pairs = list(feed.epoch(feed.resident(data, torch.device("cpu")), config, torch.device("cpu"), torch.Generator()))
    with Operations() as seen:
        for images, labels, share in pairs:
            step(images, labels, share)
    assert len(pairs) == 3 and seen.looks == [] and seen.names.count("convolution") == 3


def test_steps_that_were_left_out_are_counted_when_asked(squares):
    step = Stepper(nn.Linear(1, 1), replace(TrainConfig(), amp="off"), torch.device("cpu"))
    assert step.skipped == 0
    step.skipped = 3
    assert step.skipped == 3


def test_modules_are_found_once_each():
    shared = nn.ReLU()
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 3, 1), shared), shared, nn.Sequential(shared))
    model.register_module("none", None)
    assert {id(m) for m in every_module(model)} == {id(m) for m in model.modules()} and len(every_module(model)) == 5


def test_the_last_layer_is_looked_for_once_and_again_when_anything_changes(model):
    images, runs = torch.rand(1, 3, 12, 12), []
    model[0].register_forward_hook(lambda *_: runs.append(1))
    with torch.no_grad():
        assert [find_layer(model, None, images) for _ in range(3)] == ["2"] * 3 and len(runs) == 1
        find_layer(model, None, torch.rand(1, 3, 14, 14))
        assert len(runs) == 2
        model[2] = nn.Conv2d(4, 6, 10)  # one place is no picture
        assert find_layer(model, None, images) == "1" and len(runs) == 3
