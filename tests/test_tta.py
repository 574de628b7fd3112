"""Test-time augmentation against a hand computation."""

import pytest
import torch
from torch import nn

from cnnviz_utils.data.augment import fixed_views
from cnnviz_utils.training.evaluation import predict, predict_tta


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))


def test_views_are_shifts_to_the_corners_with_edges_repeated_and_mirrored():
    images = torch.rand(2, 3, 10, 20)
    views = fixed_views(0.1)  # 1 row, 2 columns
    found = [view(images) for view in views]
    rows, columns = torch.arange(10), torch.arange(20)
    by_hand = [images[:, :, (rows - down).clamp(0, 9)][..., (columns - right).clamp(0, 19)]
               for down in (-1, 1) for right in (-2, 2)]
    assert len(found) == 8
    for i, expected in enumerate(by_hand):
        assert torch.equal(found[i], expected) and torch.equal(found[i + 4], expected.flip(-1))


def test_no_shift_leaves_the_image_and_its_mirror_image():
    images = torch.rand(1, 3, 8, 8)
    views = [view(images) for view in fixed_views(0)]
    assert all(torch.equal(view, images) for view in views[:4]) and torch.equal(views[7], images.flip(-1))
    with pytest.raises(ValueError, match="shift"):
        fixed_views(1.5)


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_the_answer_is_the_weighted_mean_of_probabilities(squares, share):
    model, views = network().train(), fixed_views(0.1)
    logits, labels = predict_tta(model, squares, views, share, batch_size=17, device="cpu")
    assert model.training and model[2].training
    model.eval()
    with torch.no_grad():
        x = squares[:][0]
        augmented = sum(model(view(x)).softmax(1) for view in views) / 8
        expected = (1 - share) * model(x).softmax(1) + share * augmented
    torch.testing.assert_close(logits.softmax(1), expected)
    assert torch.equal(labels, squares.labels)


def test_one_view_that_changes_nothing_gives_the_plain_answer(squares):
    model = network()
    plain, _ = predict(model, squares, device="cpu")
    same, _ = predict_tta(model, squares, [lambda images: images], device="cpu")
    torch.testing.assert_close(same, plain.log_softmax(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("views", "share"), [((), 0.5), (fixed_views(), 1.2), (fixed_views(), -0.1)])
def test_nothing_to_average_is_refused(squares, views, share):
    with pytest.raises(ValueError, match="views and a share"):
        predict_tta(network(), squares, views, share, device="cpu")
