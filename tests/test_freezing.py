"""A frozen part stays bit for bit what it was, whatever state it holds and however it is tied to others."""

import copy
import warnings
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.models.freezing import freeze, learning, unfreeze


class Counting(nn.Module):
    """State that does not ask for the mode."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        self.seen += len(x)
        self.mean = 0.9 * self.mean + 0.1 * x.mean((0, 2, 3)).detach()
        return x - self.mean[:, None, None]


class Meddling(nn.Module):
    """State of a module that another one changes."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        if self.training:
            self.norm.running_mean.mul_(0.5).add_(1)
        return self.norm(x)


STATES = {
    "batch norm": lambda: nn.BatchNorm2d(4), "no factors": lambda: nn.BatchNorm2d(4, affine=False),
    "instance norm": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    "spectral norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 1)),
    "old spectral norm": lambda: nn.utils.spectral_norm(nn.Conv2d(4, 4, 1)),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)),
    "counting": Counting, "meddling": Meddling, "dropout": lambda: nn.Sequential(nn.Dropout(), nn.BatchNorm2d(4)),
}  # fmt: skip


def stateful(kind):
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old spectral norm announces its end
        torch.manual_seed(0)
        return nn.Sequential(OrderedDict(
            stem=nn.Sequential(nn.Conv2d(3, 4, 3), STATES[kind]()), body=nn.Sequential(nn.Conv2d(4, 4, 3), STATES[kind]()),
            head=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
        ))  # fmt: skip


def train_a_little(model, steps=3):
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(steps):
        model.train()
        optimiser.zero_grad()
        F.cross_entropy(model(torch.rand(6, 3, 8, 8)), torch.arange(6) % 3).backward()
        optimiser.step()
        model.eval()
        with torch.no_grad():
            model(torch.rand(6, 3, 8, 8))


@pytest.mark.parametrize("kind", STATES)
def test_a_frozen_part_keeps_every_tensor_whatever_its_kind(kind):
    model = stateful(kind)
    F.cross_entropy(model(torch.rand(6, 3, 8, 8)), torch.arange(6) % 3).backward()  # gradients are there already
    for parameter in model.parameters():
        parameter.grad += 1
    before = {name: value.clone() for name, value in model.state_dict().items()}
    freeze(model, "stem")
    # PyTorch cannot copy the old spectral norm after a forward pass
    for net in [model] if kind == "old spectral norm" else [copy.deepcopy(model), model]:
        train_a_little(net)
        changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
        assert changed and not [name for name in changed if name.startswith("stem")]
        assert list(net.state_dict()) == list(before)
    unfreeze(model.train(), "stem")
    assert all(module.training and not {"train", "forward"} & set(vars(module)) for module in model.modules())
    train_a_little(model)
    stem = [name for name in before if name.startswith("stem")]
    changed = {name for name in stem if not torch.equal(model.state_dict()[name], before[name])}
    like = stateful(kind)  # what changes in a part that was never frozen
    train_a_little(like)
    assert changed == {name for name in stem if not torch.equal(like.state_dict()[name], before[name])}


def test_dropout_in_a_frozen_part_goes_on():
    model = freeze(stateful("dropout"), "stem").train()
    assert model.stem[1][0].training and not model.stem[1][1].training


def tied():
    model = nn.Sequential(OrderedDict(a=nn.Linear(4, 4), b=nn.Linear(4, 4), c=nn.Linear(4, 4)))
    model.b.weight = model.a.weight
    return model


def test_a_tied_weight_is_frozen_with_both_parts_or_not_at_all():
    model = tied()
    for part, other in ("a", "b"), ("b", "a"):
        with pytest.raises(UsageError, match=f"'{part}.weight' cannot be frozen alone: '{other}.weight'.*name both"):
            freeze(model, part)
    assert len(learning(model)) == 5
    assert learning(freeze(model, ["a", "b"])) == ["c.weight", "c.bias"]
    with pytest.raises(UsageError, match="'b.weight' cannot learn alone: 'a.weight'"):
        unfreeze(model, "b")
    assert len(learning(unfreeze(model, ["b", "a"]))) == 5
    shared = nn.Sequential(OrderedDict(a=nn.BatchNorm1d(4, affine=False), b=nn.Linear(4, 4), c=nn.Linear(4, 2)))
    shared.a.running_mean = shared.b.bias.data[:4]  # a view of what learns
    with pytest.raises(UsageError, match="'a.running_mean' cannot be frozen alone: 'b.bias'"):
        freeze(shared, "a")
    halves, flat = nn.Sequential(OrderedDict(a=nn.Linear(1, 4), b=nn.Linear(1, 4))), torch.zeros(8)
    halves.a.bias, halves.b.bias = nn.Parameter(flat[:4]), nn.Parameter(flat[4:])  # one memory, two places
    assert learning(freeze(halves, "a")) == ["b.weight", "b.bias"]
