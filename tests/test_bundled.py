"""The photographs of installed packages, and what EfficientNet-Lite0 says about them."""

import socket

import pytest
import torch

import cnnviz_utils as cv
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.photos import bundled
from cnnviz_utils.data.photos.bundled import PHOTOS
from cnnviz_utils.models.imagenet import imagenet_classes


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a photo was asked for over the network")
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def shown():
    images, records = cv.photos()
    model = cv.build_model("efficientnet_lite0", weights="imagenet").eval()
    with torch.no_grad():
        return images, records, model(images).softmax(1)


def test_nine_photographs_with_what_is_known_of_them(shown):
    images, records, _ = shown
    assert images.shape == (9, 3, 224, 224) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1 and (images.flatten(1).std(1) > 0.1).all()
    assert [record.name for record in records] == [photo.name for photo in PHOTOS]
    assert all(record.title and record.source and record.licence and record.path.is_file() for record in records)
    named = {record.imagenet_class for record in records} - {None}
    assert len(named) == 7 and named <= set(imagenet_classes())


# what the weights give with the published preprocessing; the last digit hangs on the resizing
@pytest.mark.parametrize(("photo", "label", "probability"), [
    ("coffee", "espresso", 0.96), ("camera", "tripod", 0.94), ("cat", "tiger cat", 0.38), ("cat", "Egyptian cat", 0.37),
    ("motorcycle", "moped", 0.50), ("rocket", "missile", 0.38), ("palace", "palace", 0.38),
])
def test_what_the_network_says(photo, label, probability, shown):
    _, records, found = shown
    number = [record.name for record in records].index(photo)
    assert found[number, imagenet_classes().index(label)] == pytest.approx(probability, abs=0.05)


def test_it_is_right_where_there_is_a_class_and_unsure_where_there_is_none(shown):
    _, records, found = shown
    for record, probabilities in zip(records, found, strict=True):
        best = [imagenet_classes()[i] for i in probabilities.topk(3).indices]
        if record.imagenet_class:
            assert record.imagenet_class in best, record.name
    astronaut = found[[record.name for record in records].index("astronaut")]
    assert astronaut.max() < 0.2


def test_some_of_them_in_the_order_asked_for():
    images, records = cv.photos(32, ["palace", "cat"])
    assert images.shape == (2, 3, 32, 32) and [record.name for record in records] == ["palace", "cat"]


@pytest.mark.parametrize(("arguments", "said"), [
    ({"names": ["dog"]}, "no photo is called 'dog'"), ({"size": 0}, "at least 1"), ({"names": []}, "no photo was asked for"),
])
def test_what_cannot_be_had_is_said(arguments, said):
    with pytest.raises(UsageError, match=said):
        cv.photos(**arguments)


def test_a_photo_that_a_package_lacks_is_left_out_with_a_word(monkeypatch):
    gone = bundled.Photo("dog", "A dog", "nobody", "CC0", "skimage", "data/dog.png")
    elsewhere = bundled.Photo("cow", "A cow", "nobody", "CC0", "no_such_package", "cow.png")
    monkeypatch.setattr(bundled, "PHOTOS", (*PHOTOS[:2], gone, elsewhere))
    with pytest.warns(UserWarning, match=r"'dog' is not in the installed package skimage .*'cow'.*left out"):
        images, records = bundled.photos(16)
    assert len(images) == len(records) == 2
    with pytest.raises(FileNotFoundError, match="'dog' is not in the installed package skimage"):
        bundled.photos(16, "dog")
