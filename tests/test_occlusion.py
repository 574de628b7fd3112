"""Occlusion beside Captum's, by hand, and on an image where the answer is known."""

import pytest
import torch
import torchvision
from captum.attr import Occlusion
from torch import nn

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.models.build import build_model
from cnnviz_utils.viz import occlusion


class Corner(nn.Module):
    """Class 1's logit is the sum of an image's first channel in rows and columns 4 to 7; class 0's is 0."""

    def forward(self, images):
        found = images[:, 0, 4:8, 4:8].sum((1, 2))
        return torch.stack([torch.zeros_like(found), found], 1)


def random(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("shape", "side", "stride"), [
    ((3, 3, 40, 40), 8, 4), ((2, 3, 33, 47), 10, 7), ((2, 3, 32, 32), 32, 32), ((1, 3, 32, 32), 5, 1),
])
def test_equals_captum(shape, side, stride):
    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None, num_classes=7).eval()
    images, targets = random(*shape), torch.arange(shape[0]) % 7
    theirs = Occlusion(model).attribute(images, sliding_window_shapes=(3, side, side), strides=(3, stride, stride),
                                        target=targets, baselines=0.5)[:, 0]
    ours = occlusion(model, images, targets, side=side, stride=stride, softmax=False)
    assert ours.shape == (shape[0], *shape[2:]) and ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_map_is_where_the_answer_comes_from_and_nowhere_else():
    """All of the logit, 16, is lost where the square covers all that counts, a quarter where it covers a quarter."""
    image = torch.ones(1, 3, 16, 16)
    losses = occlusion(Corner(), image, 1, side=4, stride=4, fill=0.0, softmax=False)[0]
    expected = torch.zeros(16, 16)
    expected[4:8, 4:8] = 16.0
    assert torch.equal(losses, expected)
    half = occlusion(Corner(), image, 1, side=4, stride=2, fill=0.0, softmax=False)[0]
    assert half[5, 5] == (16 + 8 + 8 + 4) / 4 and half[10, 10] == 0 and half[2, 5] == half[3, 5] > 0


def test_probabilities_and_the_predicted_class_are_the_default():
    images = random(2, 3, 16, 16)
    logits = Corner()(images)
    predicted = logits.argmax(1)
    found = occlusion(Corner(), images, side=16, stride=16)
    covered = Corner()(torch.full_like(images, 0.5)).softmax(1)
    lost = (logits.softmax(1) - covered).gather(1, predicted[:, None])[:, 0]
    torch.testing.assert_close(found, lost[:, None, None].expand(2, 16, 16))


def test_batches_modes_and_images_do_not_matter_and_stay():
    model = build_model("small_resnet", 5, size=32).train()
    images = random(3, 3, 32, 32)
    before, state = images.clone(), {k: v.clone() for k, v in model.state_dict().items()}
    whole = occlusion(model, images, 1)
    torch.testing.assert_close(occlusion(model, images, 1, batch=5), whole, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(occlusion(model, images[1:2], 1)[0], whole[1], rtol=1e-4, atol=1e-6)
    assert model.training and torch.equal(images, before)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    with torch.inference_mode():
        torch.testing.assert_close(occlusion(model, images, 1), whole, rtol=1e-4, atol=1e-6)
    assert occlusion(model.to(torch.bfloat16), images, 1).dtype == torch.float32
    assert occlusion(model, images[:0], 1).shape == (0, 32, 32)


@pytest.mark.parametrize(("options", "error", "says"), [
    ({"stride": 20}, ValueError, "stride 20 leaves gaps between squares of 16 px"),
    ({"side": 0}, UsageError, "side"), ({"stride": 1.5}, UsageError, "stride"), ({"batch": 0}, UsageError, "batch"),
    ({"targets": 9}, ValueError, "9"),
])
def test_what_cannot_be_done_is_refused(options, error, says):
    with pytest.raises(error, match=says):
        occlusion(build_model("small_resnet", 5, size=32), random(1, 3, 32, 32), **options)


def test_bytes_are_refused():
    with pytest.raises(ValueError, match="floats"):
        occlusion(Corner(), torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
