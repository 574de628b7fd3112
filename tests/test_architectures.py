"""The small famous networks: their ideas against arithmetic, and the form that hooks need."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnviz_utils.base.hooks import capture
from cnnviz_utils.models.architectures import (
    Inception,
    SeparableBlock,
    conv_bn_relu,
    nearest_separable,
)
from cnnviz_utils.models.build import build_model, count_parameters
from cnnviz_utils.models.costs import layer_costs
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.loop import fit
from cnnviz_utils.training.losses import heads_of, loss_of

NAMES = ("small_vgg", "small_googlenet", "small_mobilenet")


@pytest.mark.parametrize("name", NAMES)
def test_no_module_runs_twice_and_none_works_in_place(name):
    model, calls = build_model(name, 5).train(), Counter()
    for part, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda _m, _i, _o, part=part: calls.update([part]))
    model(torch.rand(2, 3, 64, 64))
    leaves = {part for part, module in model.named_modules() if not list(module.children())}
    assert set(calls) == leaves and set(calls.values()) == {1}
    assert not [m for m in model.modules() if getattr(m, "inplace", False)]


@pytest.mark.parametrize("name", NAMES)
def test_from_32_to_224_pixels(name):
    model = build_model(name, 5).eval()
    with torch.no_grad():
        assert [model(torch.rand(1, 3, size, size)).shape for size in (32, 50, 224)] == [(1, 5)] * 3


@pytest.mark.parametrize("name", NAMES)
def test_they_learn(name, squares):
    history = fit(build_model(name, 3), squares, squares, TrainConfig("adamw", lr=2e-3, epochs=6, batch_size=16), "cpu")
    assert history.frame().train_loss.iloc[-1] < 0.8 * history.frame().train_loss.iloc[0]


def test_auxiliary_heads_speak_in_training_only_and_count_0_3():
    model, images, labels = build_model("small_googlenet", 5), torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 3])
    assert model.eval()(images).shape == (4, 5)
    main, second, first = output = model.train()(images)
    expected = F.cross_entropy(main, labels) + 0.3 * F.cross_entropy(second, labels) + 0.3 * F.cross_entropy(first, labels)
    torch.testing.assert_close(loss_of(*heads_of(output), labels, TrainConfig(), None), expected)
    assert build_model("small_googlenet", 5, auxiliary=False).train()(images).shape == (4, 5)


def test_inception_concatenates_its_branches_and_1x1_convolutions_make_it_cheap():
    reduced, naive = Inception(64, (8, 16, 4, 4), (8, 4)), Inception(64, (8, 16, 4, 4), None)
    x = torch.rand(2, 64, 6, 6)
    assert reduced(x).shape == naive(x).shape == (2, 32, 6, 6)
    assert torch.equal(reduced.eval()(x)[:, :8], reduced.way1(x))
    work = lambda block: layer_costs(block, 6, 64).multiply_adds.sum()
    assert work(naive) == 36 * 64 * (8 + 9 * 16 + 25 * 4 + 4)
    assert work(reduced) == 36 * (64 * (8 + 8 + 4 + 4) + 9 * 8 * 16 + 25 * 4 * 4)


def test_vgg_with_norm_is_the_same_chain_of_convolutions():
    shapes = lambda model: [tuple(m.weight.shape) for m in model.modules() if isinstance(m, nn.Conv2d)]
    plain, normed = build_model("small_vgg", 5), build_model("small_vgg", 5, norm=True)
    assert shapes(plain) == shapes(normed) and count_parameters(normed) - count_parameters(plain) == 2 * (8 + 16 + 2 * 32 + 2 * 64)


def test_separable_costs_what_the_paper_says():
    full, separable = conv_bn_relu(32, 64), SeparableBlock(32, 64)
    work = [layer_costs(block, 10, 32).multiply_adds.sum() for block in (separable, full)]
    assert work[0] / work[1] == pytest.approx(1 / 64 + 1 / 9)


def test_a_depthwise_channel_depends_on_its_own_input_alone():
    block, x = SeparableBlock(4, 6).eval(), torch.rand(1, 4, 5, 5)
    changed = x.clone()
    changed[:, 2] += 1
    moved = (block.depthwise(x) - block.depthwise(changed)).abs().amax((0, 2, 3))
    assert moved[2] > 0 and moved[[0, 1, 3]].max() == 0


def test_separable_kernels_are_their_own_nearest():
    pattern, mix = torch.randn(1, 5, 3, 3), torch.randn(7, 5, 1, 1)
    closest, error = nearest_separable(mix * pattern)
    assert error < 1e-6
    torch.testing.assert_close(closest, mix * pattern)
    x = torch.rand(2, 5, 8, 8)
    in_two_steps = F.conv2d(F.conv2d(x, pattern.transpose(0, 1), groups=5), mix)
    torch.testing.assert_close(F.conv2d(x, closest), in_two_steps, rtol=1e-4, atol=1e-5)


def test_nothing_separable_is_nearer():
    kernels = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    closest, error = nearest_separable(kernels)
    assert error == pytest.approx(float((kernels - closest).norm() / kernels.norm()), rel=1e-5)
    pattern, mix = torch.randn(1, 4, 3, 3, requires_grad=True), torch.randn(6, 4, 1, 1, requires_grad=True)
    optimiser = torch.optim.Adam([pattern, mix], 0.03)
    for _ in range(1500):
        loss = (kernels - mix * pattern).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach().sqrt() / kernels.norm()) == pytest.approx(error, rel=0.02)
    errors = [nearest_separable(kernels, copies)[1] for copies in range(1, 7)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-6  # six outputs need no more than six patterns


def test_alexnet_with_norm_keeps_its_names_and_normalises_before_every_relu():
    plain, normed = build_model("small_alexnet", 5), build_model("small_alexnet", 5, norm=True)
    kept = plain.state_dict()
    assert all(torch.equal(value, normed.state_dict()[name]) for name, value in kept.items())
    maps, numbers = 16 + 32 + 48 + 32 + 32, 256 + 256
    assert count_parameters(normed) - count_parameters(plain) == 2 * (maps + numbers)
    with capture(normed.train(), ["features.0", "features.1", "classifier.1", "classifier.2"]) as seen:
        normed(torch.rand(16, 3, 32, 32))
    for before, after in (("features.0", "features.1"), ("classifier.1", "classifier.2")):
        dims = [0, 2, 3] if seen[before].ndim == 4 else [0]
        spread, mean = torch.std_mean(seen[before], dims, correction=0, keepdim=True)
        torch.testing.assert_close(seen[after], ((seen[before] - mean) / spread).relu(), atol=2e-2, rtol=1e-2)
