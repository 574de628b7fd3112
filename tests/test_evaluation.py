"""Counts against counting by hand."""

import csv

import numpy as np
import pytest
import torch
from conftest import coloured_squares
from torch import nn

from cnnviz_utils.training.evaluation import (
    calibration,
    classification_table,
    confident_mistakes,
    confusion,
    embeddings,
    predict,
    predict_tta,
    predictions_csv,
    top_k,
)

LOGITS = torch.tensor([[3.0, 1, 0], [0, 2, 1], [0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 3, 1]])
LABELS = torch.tensor([0, 1, 1, 0, 0, 2])
CLASSES = ("ant", "bee", "cat")


def test_top_k_by_hand():
    assert top_k(LOGITS, LABELS, 1) == pytest.approx(3 / 6)
    assert top_k(LOGITS, LABELS, 2) == 1.0


def test_precision_and_recall_by_hand():
    table = classification_table(LOGITS, LABELS, CLASSES)
    assert table.loc["ant", ["precision", "recall"]].tolist() == [1.0, pytest.approx(2 / 3)]
    assert table.loc["bee", ["precision", "recall"]].tolist() == [pytest.approx(1 / 3), 0.5]
    assert table.loc["cat", ["precision", "recall", "support"]].tolist() == [0, 0, 1]
    assert table.loc["macro average", "recall"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert table.loc["weighted average", "recall"] == pytest.approx(top_k(LOGITS, LABELS, 1))


def test_confusion_counts_pair_by_pair():
    """The Tiny ImageNet assignment indexed the matrix with the whole vector of predictions: every cell then got everything."""
    expected = np.zeros((3, 3))
    for true, said in zip(LABELS.tolist(), LOGITS.argmax(1).tolist(), strict=True):
        expected[true, said] += 1
    np.testing.assert_array_equal(confusion(LOGITS, LABELS, CLASSES), expected)
    percent = confusion(LOGITS, LABELS, CLASSES, normalise="true")
    np.testing.assert_allclose(percent.sum(axis=1), 100)


def test_calibration_by_hand():
    probabilities = torch.tensor([0.95, 0.95, 0.65, 0.65])
    logits = torch.stack([probabilities.log(), (1 - probabilities).log()], dim=1)
    table, error = calibration(logits, torch.tensor([0, 1, 0, 0]), bins=10)
    assert table["accuracy"].tolist() == [1.0, 0.5] and table["images"].tolist() == [2, 2]
    assert error == pytest.approx((0.35 + 0.45) / 2, abs=1e-5)


def test_most_confident_mistakes_come_first():
    assert confident_mistakes(LOGITS, LABELS, 2).tolist() == [5, 2] or confident_mistakes(LOGITS, LABELS, 2).tolist() == [5, 4]
    assert set(confident_mistakes(LOGITS, LABELS, 9).tolist()) == {2, 4, 5}


def test_predict_is_a_forward_pass_in_evaluation_mode_and_gives_the_mode_back(squares):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))
    model.train()
    model[1].eval()
    logits, labels = predict(model, squares, batch_size=17, device="cpu")
    assert model.training and model[0].training and not model[1].training
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(logits, model(squares[:][0]))
    assert torch.equal(labels, squares.labels)


def test_embeddings_are_the_responses_at_a_layer(squares):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    before_relu = embeddings(model, squares, "0", batch_size=20, device="cpu")
    with torch.no_grad():
        torch.testing.assert_close(before_relu, model[0](squares[:][0]).mean((2, 3)))
        torch.testing.assert_close(embeddings(model, squares, "3", device="cpu"), model[:4](squares[:][0]))
    assert not model[0]._forward_hooks


def test_csv_has_a_line_an_image(tmp_path):
    predictions_csv(tmp_path / "p.csv", [f"test/{i}" for i in range(6)], LOGITS, CLASSES)
    rows = list(csv.reader((tmp_path / "p.csv").read_text().splitlines()))
    assert rows[0] == ["Id", "Category"] and rows[1] == ["test/0", "ant"] and len(rows) == 7


def test_no_image_twice_at_the_seams_of_batches():
    data = coloured_squares(50)
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 3))
    whole, _ = predict(model, data, batch_size=50, device="cpu")
    cut, _ = predict(model, data, batch_size=7, device="cpu")
    torch.testing.assert_close(whole, cut)


@pytest.mark.parametrize(("size", "expected"), [(16, 256), (64, 73), (96, 32), (224, 8)])
def test_a_processor_is_shown_large_images_a_few_at_a_time_and_gives_the_same(size, expected):
    data, seen = coloured_squares(40 if size > 16 else 300, size=size), []

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 2, 3, stride=8)

        def forward(self, images):
            seen.append(len(images))
            return self.layer(images).mean((2, 3))

    model = Counting()
    found = embeddings(model, data, "layer", device="cpu")
    assert seen == [min(expected, len(data) - start) for start in range(0, len(data), expected)]
    torch.testing.assert_close(found, embeddings(model, data, "layer", batch_size=len(data), device="cpu"))
    before = len(seen)
    predict_tta(model, data, [lambda images: images.flip(-1)], device="cpu")
    assert max(seen[before:]) == min(expected, len(data)) and sum(seen[before:]) == 2 * len(data)


def test_what_predict_moves_to_another_device_can_still_be_trained(squares):
    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3 * 16 * 16, 3)

        def to(self, *args, **kwargs):  # what a move to a GPU does: new tensors in place of the old ones
            self.layer.weight.data = self.layer.weight.data.clone()
            return self

        def forward(self, images):
            return self.layer(images.flatten(1))

    model = Watching()
    predict(model, squares, device="cpu")
    assert not model.layer.weight.is_inference() and not model.layer.weight.data.is_inference()
    model(squares[:4][0]).sum().backward()  # "Inference tensors cannot be saved for backward"


@pytest.mark.parametrize("k", [3, 4])
def test_a_share_that_says_nothing_is_nan(k):
    assert np.isnan(top_k(LOGITS, LABELS, k)) and np.isnan(top_k(LOGITS[:0], LABELS[:0]))
    assert np.isnan(top_k(torch.full((2, 3), float("nan")), LABELS[:2]))
    with pytest.raises(ValueError, match="k must be a whole number"):
        top_k(LOGITS, LABELS, 0)


def test_confusion_is_normalised_by_rows_or_columns_and_nothing_else():
    from sklearn.metrics import confusion_matrix

    for way in ("true", "pred"):
        expected = confusion_matrix(LABELS, LOGITS.argmax(1), normalize=way)
        np.testing.assert_allclose(confusion(LOGITS, LABELS, CLASSES, way), 100 * expected)
    with pytest.raises(ValueError, match="'pred'"):
        confusion(LOGITS, LABELS, CLASSES, "prde")
