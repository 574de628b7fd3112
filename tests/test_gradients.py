"""Saliency, guided backpropagation and deconvnet by the rule of ReLU: against autograd, Captum and by hand."""

import copy
import warnings

import pytest
import torch
import torchvision
from captum.attr import Deconvolution, GuidedBackprop, Saliency
from torch import nn
from torch.nn import functional as F

from cnnviz_utils.viz.gradients import (
    RULES,
    channel_gradient,
    input_gradient,
    keep_strongest,
    pixel_maps,
)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(build, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def conv_network(inplace=False):
    return seeded(lambda: nn.Sequential(
        nn.Conv2d(3, 8, 5, 2), nn.ReLU(inplace), nn.MaxPool2d(3, 2), nn.Conv2d(8, 12, 3), nn.ReLU(inplace),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 10), nn.ReLU(inplace), nn.Linear(10, 5),
    )).eval()  # fmt: skip


class Functional(nn.Module):
    """The same network with `F.relu`, `torch.relu` and a method, in-place and not, in place of modules."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        x = F.relu(self.layers[0](x))
        x = self.layers[3](self.layers[2](x))
        torch.relu_(x)  # the result is thrown away: it has to happen in place
        x = self.layers[7](self.layers[6](self.layers[5](x)))
        return self.layers[9](x.relu())


@pytest.mark.parametrize("rule", RULES)
def test_equals_captum_where_that_is_right(rule):
    model, images, targets = conv_network(), random(3, 3, 40, 40), torch.tensor([0, 4, 2])
    peer = {"saliency": Saliency, "deconvnet": Deconvolution, "guided": GuidedBackprop}[rule]
    options = {"abs": False} if rule == "saliency" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Captum announces its hooks
        theirs = peer(model).attribute(images.clone().requires_grad_(), target=targets, **options).detach()
    ours = input_gradient(model, images, targets, rule)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6 * float(theirs.abs().max()))


@pytest.mark.parametrize("rule", RULES)
def test_any_way_to_write_a_relu_obeys_the_rule(rule):
    images, usual = random(3, 3, 40, 40), input_gradient(conv_network(), random(3, 3, 40, 40), 2, rule)
    assert torch.equal(input_gradient(conv_network(inplace=True), images, 2, rule), usual)
    assert torch.equal(input_gradient(Functional(conv_network()), images, 2, rule), usual)


def test_saliency_is_the_gradient_and_the_three_rules_differ():
    model = seeded(lambda: torchvision.models.resnet18(weights=None, num_classes=7)).eval()
    images = random(2, 3, 64, 64)
    pixels = images.clone().requires_grad_()
    logits = model(pixels)
    plain = torch.autograd.grad(logits.max(1).values.sum(), pixels)[0]
    torch.testing.assert_close(input_gradient(model, images), plain, rtol=1e-4, atol=1e-6 * float(plain.abs().max()))
    pictures = [input_gradient(model, images, rule=rule) for rule in RULES]
    assert not any(torch.allclose(pictures[i], pictures[j], rtol=0.1) for i, j in [(0, 1), (0, 2), (1, 2)])


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_a_residual_network_by_hand(rule):
    """A ReLU module used twice, its input feeding a shortcut as well: written out from the papers' two sentences."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.a, self.b = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
            self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(6, 4)

        def forward(self, x):
            x = self.relu(self.stem(x))
            y = self.b(self.relu(self.a(x)))
            y += x
            return self.head(self.relu(y).mean((2, 3)))

    model, images = seeded(Residual, 3).eval(), random(2, 3, 12, 12)
    stem = model.stem(images)
    x = stem.clamp(min=0)
    inside = model.a(x)
    end = model.b(inside.clamp(min=0)) + x
    passes = lambda signal, before: signal.clamp(min=0) * (1 if rule == "deconvnet" else before > 0)
    turned = lambda signal, conv: F.conv_transpose2d(signal, conv.weight, padding=conv.padding)
    signal = (model.head.weight[1] / end[0, 0].numel())[:, None, None].expand(end.shape)
    signal = passes(signal, end)
    signal = signal + turned(passes(turned(signal, model.b), inside), model.a)
    by_hand = turned(passes(signal, stem), model.stem)
    by_hand, ours = by_hand.detach(), input_gradient(model, images, 1, rule)
    torch.testing.assert_close(ours, by_hand, rtol=1e-4, atol=1e-6 * float(by_hand.abs().max()))


def test_frozen_training_and_16_bit_networks_and_contexts_give_the_same():
    model, images = conv_network(), random(3, 3, 40, 40)
    usual = input_gradient(model, images, 2, "guided")
    with torch.inference_mode():
        assert torch.equal(input_gradient(model, images + 0, 2, "guided"), usual)
    model.train().requires_grad_(False)
    assert torch.equal(input_gradient(model, images, 2, "guided"), usual)
    assert model.training and all(module.training for module in model)
    half = input_gradient(copy.deepcopy(model).half(), images.half(), 2, "guided")
    torch.testing.assert_close(half, usual, rtol=0, atol=0.02 * float(usual.abs().max()))


def test_leaves_nothing_behind_also_after_an_exception():
    model, images = conv_network(inplace=True), random(2, 3, 40, 40)
    before = images.clone()
    input_gradient(model, images)
    with pytest.raises(ValueError, match="from 0 to 4"):
        input_gradient(model, images, 5)
    with pytest.raises(ValueError, match="saliency, deconvnet, guided"):
        input_gradient(model, images, rule="guidde")
    assert torch.equal(images, before) and images.grad is None and not images.requires_grad
    assert all(p.grad is None for p in model.parameters())
    assert torch.relu(torch.tensor(-1.0, requires_grad=True)).grad_fn.name() == "ReluBackward0"  # the mode is off


def test_activations_that_the_rule_is_not_for_are_named():
    images = random(1, 3, 32, 32)
    head = [nn.Flatten(), nn.Linear(3136, 2)]
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 3), nn.ReLU(), *head)
    with pytest.warns(UserWarning, match="gelu keeps its ordinary gradient"):
        input_gradient(model, images, 0, "guided")
    with pytest.warns(UserWarning, match="no ReLU was seen"):
        input_gradient(nn.Sequential(nn.Flatten(), nn.Linear(3072, 2)), images, 0, "deconvnet")
    input_gradient(model, images, 0)  # saliency is right for all of them: no warning


class Between(nn.Module):
    """A ReLU, something, and a linear layer."""

    def __init__(self, something):
        super().__init__()
        self.conv, self.norm, self.something, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), something, nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.something(F.relu(self.norm(self.conv(x)))).mean((2, 3)))


def warned(model, images, **settings):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        input_gradient(model, images, 0, "guided", **settings)
    return [str(one.message).partition("Between, ")[2] or str(one.message) for one in caught]


@pytest.mark.parametrize(("something", "name"), [
    (F.mish, "mish"), (F.selu, "selu"), (F.celu, "celu"), (F.softplus, "softplus"), (torch.sigmoid, "sigmoid"),
    (lambda x: x.tanh(), "tanh"), (F.hardsigmoid, "hardsigmoid"), (lambda x: F.threshold(x, 0.1, 0), "threshold"),
    (lambda x: F.glu(torch.cat([x, x], 1), 1), "glu"), (lambda x: (x + 1).clamp_min_(1.1), "clamp_min"),
    (lambda x: x * (x > 0.1), "gt, mul of two activations"), (lambda x: x * x.mean((2, 3), True), "mul of two activations"),
    (lambda x: torch.where(x > 0.1, x, 0.0), "gt, where"), (F.relu6, "relu6"), (nn.PReLU(), "prelu"),
    (torch.square, "square"), (lambda x: x**2, "pow"), (lambda x: torch.maximum(x, -x), "maximum"), (F.logsigmoid, "log_sigmoid"),
    (lambda x: x.softmax(1), "softmax"), (lambda x: F.layer_norm(x, x.shape[1:]), "layer_norm"), (F.softsign, "softsign"),
    (nn.InstanceNorm2d(4), "a normalisation with the maps' own mean"), (lambda x: x.sort(1).values, "sort"),
    (lambda x: x.round(), "round"), (lambda x: torch.div(x, 3, rounding_mode="floor"), "div"), (lambda x: 1 / (x + 1), "rdiv"),
])  # fmt: skip
def test_every_step_that_is_not_linear_is_named_whatever_it_is(something, name):
    model, images = seeded(lambda: Between(something)).eval(), random(2, 3, 12, 12)
    found = warned(model, images)
    assert len(found) == 1 and found[0].rpartition(" ordinary")[0].startswith(name + " keep"), found


def test_what_is_linear_or_not_of_the_image_is_not_named():
    def linear(x):
        x = x[:, :, 1:] * torch.sigmoid(torch.ones(4))[:, None, None] / 3 - 0.5
        x[:, :2] += 1
        x = F.interpolate(F.max_pool2d(F.dropout(x, 0.5, False), 2), scale_factor=2, mode="bilinear")
        x = torch.cat([x[:, :2].roll(1, 3), F.pad(x, (1, 1))[:, 2:, :, 1:-1]], 1)
        return torch.where(torch.ones_like(x) > 0, x, -x).flatten(2).transpose(1, 2).transpose(1, 2).unflatten(2, x.shape[2:])

    assert warned(seeded(lambda: Between(linear)).eval(), random(2, 3, 12, 12)) == []


def test_only_what_lies_below_the_layer_is_named():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.GELU()).eval()
    channel_gradient(model, random(1, 3, 12, 12), "2")  # warnings are errors here
    with pytest.warns(UserWarning, match="gelu keeps its"):
        channel_gradient(model, random(1, 3, 12, 12), "3")


def test_a_scripted_relu_is_none_that_obeys():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit announces its end
        scripted = torch.jit.script(nn.ReLU())
    assert warned(seeded(lambda: Between(scripted)).eval(), random(1, 3, 12, 12)) == ["relu keeps its ordinary gradient"]


def test_a_compiled_network_runs_uncompiled_and_gives_the_same():
    model, images = conv_network(), random(2, 3, 40, 40)
    compiled = torch.compile(model, backend="eager")
    compiled(images)
    for rule in RULES:
        assert torch.equal(input_gradient(compiled, images, 1, rule), input_gradient(model, images, 1, rule))
    assert torch.equal(compiled(images), model(images))


def test_a_channel_by_saliency_is_its_activation_times_its_gradient():
    model, images = conv_network(), random(2, 3, 40, 40)
    pixels = images.clone().requires_grad_()
    strongest = model[:5](pixels)[:, 7].flatten(1).max(1).values
    plain = torch.autograd.grad(strongest.sum(), pixels)[0] * strongest.detach()[:, None, None, None]
    torch.testing.assert_close(channel_gradient(model, images, "4", 7, "saliency"), plain, rtol=1e-5, atol=1e-7)


def test_keep_strongest_keeps_one_number_an_image():
    maps = torch.tensor([[[[1.0, 2], [3, 0]], [[9, 0], [0, 0]]], [[[0, 0], [0, 0]], [[-1, -2], [-3, -4]]]])
    assert torch.equal(keep_strongest(maps, 0).flatten(1).sum(1), torch.tensor([3.0, 0]))
    best = keep_strongest(maps)
    assert best[0, 1, 0, 0] == 9 and best[0].sum() == 9 and not best[1].any()
    assert torch.equal(keep_strongest(maps, [0, 1])[1, 1], torch.tensor([[-1.0, 0], [0, 0]]))


def test_pixel_maps_take_the_largest_magnitude_over_colours():
    gradients = torch.tensor([[[[1.0, -2]], [[-5, 0]], [[3, 1]]]])
    assert torch.equal(pixel_maps(gradients), torch.tensor([[[5.0, 2.0]]]))
