"""Class images: known optima, exact parametrisations and transforms, images that do not depend on their batch."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnviz_utils.base.pictures import blur
from cnnviz_utils.scores import total_variation
from cnnviz_utils.training.adversary import adversarial_examples
from cnnviz_utils.viz import ascent as ci
from cnnviz_utils.viz import planes as natural
from cnnviz_utils.viz.transforms import moved


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def linear(size=8, classes=3):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, classes))
    model[1].weight.data = random(classes, 3 * size * size) - 0.5
    return model


def conv_network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, 2), nn.ReLU(), nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
        )  # fmt: skip
    return net.train()


@pytest.mark.parametrize("parametrisation", ["pixels", "fourier"])
@pytest.mark.parametrize("colours", [False, True])
def test_a_linear_network_has_a_known_optimum(parametrisation, colours):
    """w.x - l2 * mean((x - .5)^2) is largest at x = .5 + w * n / (2 l2), however the image is written down."""
    model, n = linear(), 3 * 64
    recipe = replace(ci.PLAIN, parametrisation=parametrisation, colours=colours, steps=1200, lr=0.02, l2=2.0 * n)
    found = ci.ascend(ci.class_score(model, 1, softmax=False), 8, [0, 1], recipe)
    best = 0.5 + model[1].weight[1].view(3, 8, 8).detach() / 4
    torch.testing.assert_close(found, best.expand(2, -1, -1, -1), rtol=0, atol=5e-3)


def test_without_a_penalty_a_linear_network_goes_to_black_and_white():
    model = linear()
    found = ci.ascend(ci.class_score(model, 1, softmax=False), 8, [0], replace(ci.PLAIN, steps=400))
    signs = model[1].weight[1].view(3, 8, 8).detach().sign()
    assert torch.equal((found[0] - 0.5).sign(), signs) and float((found[0] - 0.5).abs().mean()) > 0.4


def test_waves_are_the_fourier_series():
    """Any image can be written: its spectrum divided by the strengths gives it back."""
    planes = random(2, 3, 16, 16) - 0.5
    numbers = torch.view_as_real(4 * torch.fft.rfft2(planes, norm="ortho") / ci.wave_strengths(16))
    torch.testing.assert_close(ci.waves_to_planes(numbers, 16), planes)
    strengths = ci.wave_strengths(16)
    assert float(strengths[0, 0]) == float(strengths[0, 1]) == 16  # the constant counts like one cycle
    assert float(strengths[3, 4]) == pytest.approx(16 / 5) and float(strengths[-3, 4]) == pytest.approx(16 / 5)


def test_colours_are_a_square_root_of_the_covariance():
    images = random(20, 3, 8, 8) @ torch.eye(8)
    images[:, 1] = 0.7 * images[:, 0] + 0.3 * images[:, 1]
    matrix = natural.colour_matrix(images)
    torch.testing.assert_close(matrix @ matrix.T, torch.cov(images.transpose(0, 1).flatten(1)), rtol=1e-4, atol=1e-6)
    norms = matrix.norm(dim=0)
    assert norms[0] > norms[1] > norms[2]
    torch.testing.assert_close(matrix.T @ matrix, torch.diag(norms**2), rtol=1e-4, atol=1e-6)  # decorrelated
    # independent planes come out with photos' colour covariance, up to one factor
    mix = torch.tensor(natural.NATURAL_COLOURS)
    planes = 0.01 * torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    rgb = torch.logit(ci.to_rgb(planes, True))
    covariance = torch.cov(rgb.transpose(0, 1).flatten(1)) / 1e-4
    torch.testing.assert_close(covariance, mix @ mix.T / mix.norm(dim=0).max() ** 2, rtol=0, atol=0.03)
    assert torch.equal(ci.to_rgb(planes, False), planes.sigmoid())


@pytest.mark.parametrize("parametrisation", ["pixels", "fourier"])
@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("size", [8, 9])
def test_an_ascent_begins_with_the_image_it_is_given(parametrisation, colours, size):
    recipe = replace(ci.PLAIN, parametrisation=parametrisation, colours=colours, steps=0)
    images, score = 0.01 + 0.98 * random(2, 3, size, size), ci.class_score(linear(size), 1, softmax=False)
    torch.testing.assert_close(ci.ascend(score, size, [0, 1], recipe, start=images), images, rtol=0, atol=1e-4)
    extremes = ci.ascend(score, size, [0, 1], recipe, start=images.round())
    torch.testing.assert_close(extremes, images.round(), rtol=0, atol=1 / 500)
    nearer = ci.ascend(score, size, [0, 1], replace(recipe, steps=5, lr=0.001), start=images)
    assert (score(nearer) > score(images)).all() and float((nearer - images).abs().max()) < 0.05
    with pytest.raises(ValueError, match="start must be 1 images"):
        ci.ascend(score, size, [0], recipe, start=images)


def test_total_variation_is_its_definition():
    by_hand = torch.zeros(1, 3, 2, 2)
    by_hand[0, :, 0, 0] = 1  # one of two steps down, one of two across
    assert total_variation(by_hand).tolist() == [1.0]


def test_moving_by_whole_pixels_is_exact_and_angles_and_sizes_are_right():
    images = random(1, 3, 16, 16)
    shifted = moved(images, torch.tensor([[1.0, -0.5, 0, 0]]), 0.25, 0.0, 0.0)  # 4 right, 2 up
    torch.testing.assert_close(shifted[..., :14, 4:], images[..., 2:, :12], rtol=0, atol=1e-5)
    turned = moved(images, torch.tensor([[0.0, 0, 0, 1]]), 0.0, 0.0, 90.0)
    torch.testing.assert_close(turned, images.rot90(-1, (2, 3)), rtol=0, atol=1e-5)  # clockwise
    larger = moved(images, torch.tensor([[0.0, 0, 1, 0]]), 0.0, 1.0, 0.0)
    middle = F.interpolate(images[..., 4:12, 4:12], scale_factor=2, mode="bilinear")
    torch.testing.assert_close(larger[..., 1:-1, 1:-1], middle[..., 1:-1, 1:-1], rtol=0, atol=1e-5)
    assert moved(images, torch.ones(1, 4), 0, 0, 0) is images
    outside = moved(images, torch.tensor([[1.0, 0, 0, 0]]), 0.5, 0.0, 0.0)[..., :7]
    assert torch.equal(outside, torch.full_like(outside, 0.5))  # what comes in is mid-grey


def test_blurring_is_a_gaussian_and_each_image_has_its_own():
    images = torch.zeros(3, 3, 21, 21)
    images[:, :, 10, 10] = 1
    found = blur(images, torch.tensor([0.0, 1.0, 2.0]))
    assert torch.equal(found[0], images[0])
    for i, sigma in [(1, 1.0), (2, 2.0)]:
        ratio = float(found[i, 0, 10, 12] / found[i, 0, 10, 10])
        assert ratio == pytest.approx(math.exp(-4 / (2 * sigma**2)), rel=1e-4)
        assert float(found[i, 1].sum()) == pytest.approx(1, abs=1e-5)
    assert blur(images, torch.zeros(3)) is images


RECIPE = ci.Recipe(steps=12, blur=1.0, l2=0.1)


def test_an_image_depends_on_its_seed_and_not_on_its_batch():
    model, state = conv_network(), torch.random.get_rng_state()
    together = ci.class_images(model, [2, 0, 2], 24, [5, 6, 7], RECIPE)
    assert torch.equal(together, ci.class_images(model, [2, 0, 2], 24, [5, 6, 7], RECIPE))
    assert not torch.allclose(together[0], together[2], atol=1e-3)
    torch.testing.assert_close(ci.class_images(model, 0, 24, [6], RECIPE)[0], together[1], rtol=0, atol=1e-3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters()) and all(m.training for m in model.modules())
    assert int(model[1].num_batches_tracked) == 0
    assert float(together.min()) >= 0 and float(together.max()) <= 1


@pytest.mark.parametrize("recipe", [ci.PLAIN, ci.Recipe(), replace(ci.PLAIN, parametrisation="fourier", blur=1.0)])
def test_the_class_becomes_likely_also_without_gradients_around(recipe):
    model = conv_network()
    model[8].weight.data *= 20
    with torch.inference_mode():
        images = ci.class_images(model, [0, 1, 2, 3], 24, [0, 0, 0, 0], replace(recipe, steps=60))
    start = ci.class_images(model, [0, 1, 2, 3], 24, [0, 0, 0, 0], replace(recipe, steps=0))
    probability = lambda x: model.eval()(x).softmax(1).diagonal().detach()
    assert (probability(images) > probability(start)).all()


def test_a_neuron_changes_its_receptive_field_and_a_channel_everything():
    """Place (4, 4) of layer 3 sees 7 pixels from 16 on; with pixels for parameters nothing else can move."""
    model, plain = conv_network(), replace(ci.PLAIN, steps=5)
    start = ci.ascend(ci.neuron_score(model, "3", 1, (4, 4)), 33, [0], replace(plain, steps=0))
    neuron = ci.ascend(ci.neuron_score(model, "3", 1, (4, 4)), 33, [0], plain)
    changed = (neuron != start).any(1)[0].nonzero()
    assert changed.amin(0).tolist() == [16, 16] and changed.amax(0).tolist() == [22, 22]
    channel = ci.ascend(ci.channel_score(model, "3", 1), 33, [0], plain)
    assert int((channel != start).any(1).sum()) == 31 * 31  # what the 7 x 7 places see together
    score = ci.channel_score(model, "3", 1)
    assert score(channel) > score(start)
    middle, (_, _, h, w) = ci.neuron_score(model, "3", 1)(channel), (1, 8, 7, 7)
    assert torch.equal(middle, ci.neuron_score(model, "3", 1, (h // 2, w // 2))(channel))


def test_a_channel_an_image_is_what_each_channel_gives_alone():
    model, recipe = conv_network(), replace(RECIPE, steps=5)
    for score in (ci.channel_score, ci.neuron_score):
        together = ci.ascend(score(model, "3", [5, 1, 5]), 24, [0, 0, 1], recipe)
        for image, channel, seed in zip(together, (5, 1, 5), (0, 0, 1), strict=True):
            torch.testing.assert_close(image, ci.ascend(score(model, "3", channel), 24, [seed], recipe)[0])
    with pytest.raises(ValueError, match="one for each of the 2 images"):
        ci.ascend(ci.channel_score(model, "3", [1, 2, 3]), 24, [0, 1], recipe)


def test_objectives_can_be_added():
    """Two networks that want the opposite leave the image as it started."""
    one, two = linear(), linear()
    two[1].weight.data = -one[1].weight.data
    both = lambda images: ci.class_score(one, 0, softmax=False)(images) + ci.class_score(two, 0, softmax=False)(images)
    start, end = (ci.ascend(both, 8, [0], replace(ci.PLAIN, steps=steps)) for steps in (0, 20))
    torch.testing.assert_close(end, start)


def test_smoothness_makes_smooth():
    score, recipe = ci.class_score(linear(16), 1), replace(ci.PLAIN, steps=60)
    rough = ci.ascend(score, 16, [0], recipe)
    smooth = ci.ascend(score, 16, [0], replace(recipe, tv=20.0))
    assert float(total_variation(smooth)) < 0.5 * float(total_variation(rough))


def test_bad_input_gets_a_sentence():
    model = conv_network()
    with pytest.raises(ValueError, match="fourier, pixels"):
        ci.class_images(model, 0, 24, [0], recipe=replace(RECIPE, parametrisation="wavelets"))
    with pytest.raises(ValueError, match="from 0 to 3"):
        ci.class_images(model, 4, 24, [0], recipe=RECIPE)
    with pytest.raises(ValueError, match="from 0 to 7"):
        ci.ascend(ci.channel_score(model, "3", 8), 24, [0], RECIPE)
    for score in (ci.channel_score, ci.neuron_score):  # a linear layer has one place
        assert ci.ascend(score(linear(16), "1", 1), 16, [0], replace(RECIPE, steps=1)).shape == (1, 3, 16, 16)
    with pytest.raises(ValueError, match="one number an image"):
        ci.ascend(lambda images: images.mean(), 24, [0, 1], RECIPE)
    assert all(m.training for m in model.modules()) and not any(m._forward_hooks for m in model.modules())


def test_adversarial_images_of_a_linear_network_are_known():
    """The loss of two classes grows straight along the difference of their weights: the whole budget goes there."""
    model = linear(classes=2)
    images, labels = 0.4 + 0.2 * random(3, 3, 8, 8), torch.tensor([0, 1, 0])
    along = (model[1].weight[1] - model[1].weight[0]).detach().view(3, 8, 8)
    change = adversarial_examples(model, images, labels, eps=0.5) - images
    signs = torch.tensor([1.0, -1, 1])[:, None, None, None]
    torch.testing.assert_close(change, 0.5 * signs * along / along.norm(), rtol=0, atol=1e-4)
    towards = adversarial_examples(model, images, labels, eps=0.5, targeted=True) - images
    torch.testing.assert_close(towards, -change, rtol=0, atol=1e-4)


def test_adversarial_images_stay_near_and_leave_nothing():
    model, images, labels = conv_network(), random(4, 3, 24, 24), torch.arange(4)
    with torch.no_grad():
        found = adversarial_examples(model, images, labels)
    assert float((found - images).flatten(1).norm(dim=1).max()) <= 2 + 1e-4
    assert float(found.min()) >= 0 and float(found.max()) <= 1
    assert all(p.grad is None for p in model.parameters()) and all(m.training for m in model.modules())
    assert int(model[1].num_batches_tracked) == 0
    loss = lambda x: F.cross_entropy(model.eval()(x), labels, reduction="none").detach()
    assert (loss(found) > loss(images)).all()
