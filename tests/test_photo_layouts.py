"""Folders as people have them: which classes and parts are found, or what the refusal says."""

import os
import unicodedata

import numpy as np
import pytest
from odd_files import draw, draw_all
from PIL import Image

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.data.photos.folders import load_images
from cnnviz_utils.data.photos.layouts import describe, recognise

ZOO = "ant/{1..3}.jpg bee/{1..4}.png"


def mask(path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.eye(18, 24, dtype=np.uint8) * 255).save(path)


# what the folder holds -> {part: {class: photos}}, and a word of the notes
UNDERSTOOD = {
    "class folders": (ZOO, {"all": {"ant": 3, "bee": 4}}, None),
    "one too deep": ("zoo/ant/{1..3}.jpg zoo/bee/1.jpg", {"all": {"ant": 3, "bee": 1}}, "folder zoo"),
    "three too deep": ("a/b/c/ant/1.jpg a/b/c/bee/1.jpg", {"all": {"ant": 1, "bee": 1}}, "a/b/c"),
    "Train and Test": ("Train/ant/1.jpg Train/bee/1.jpg Test/bee/1.jpg", {"train": {"ant": 1, "bee": 1}, "test": {"ant": 0, "bee": 1}}, None),
    "training and validation": ("training/ant/1.jpg training/bee/1.jpg validation/ant/1.jpg", {"train": {"ant": 1, "bee": 1}, "valid": {"ant": 1, "bee": 0}}, None),
    "three parts": ("train/a/1.jpg train/b/1.jpg val/a/1.jpg test/b/1.jpg", {"train": {"a": 1, "b": 1}, "valid": {"a": 1, "b": 0}, "test": {"a": 0, "b": 1}}, None),
    "TRAIN_SET and TEST-SET": ("TRAIN_SET/a/1.jpg TRAIN_SET/b/1.jpg TEST-SET/a/1.jpg", {"train": {"a": 1, "b": 1}, "test": {"a": 1, "b": 0}}, None),
    "archive/train": ("archive/train/a/1.jpg archive/train/b/1.jpg archive/test/a/1.jpg", {"train": {"a": 1, "b": 1}, "test": {"a": 1, "b": 0}}, "archive"),
    "seg_train/seg_train": ("seg_train/seg_train/a/1.jpg seg_train/seg_train/b/1.jpg seg_test/seg_test/a/1.jpg", {"train": {"a": 1, "b": 1}, "test": {"a": 1, "b": 0}}, None),
    "train alone": ("train/a/1.jpg train/b/1.jpg", {"all": {"a": 1, "b": 1}}, "folder train"),
    "images inside train": ("train/images/a/1.jpg train/images/b/1.jpg test/images/a/1.jpg", {"train": {"a": 1, "b": 1}, "test": {"a": 1, "b": 0}}, None),
    "train, test and more": ("train/a/1.jpg train/b/1.jpg test/a/1.jpg extra/9.jpg", {"train": {"a": 1, "b": 1}, "test": {"a": 1, "b": 0}}, "Left out, for there are train and test: extra"),
    "a test without labels": ("train/a/1.jpg train/b/1.jpg test/1.jpg", {"train": {"a": 1, "b": 1}}, "test has no class folders"),
    "bus, car and train": ("bus/1.jpg car/1.jpg train/{1..2}.jpg", {"all": {"bus": 1, "car": 1, "train": 2}}, "taken for a class"),
    "kinds of trains": ("bus/1.jpg car/1.jpg train/steam/1.jpg train/diesel/2.jpg", {"all": {"bus": 1, "car": 1, "train": 2}}, "taken for a class"),
    "stations": ("bus_station/1.jpg train_station/1.jpg", {"all": {"bus_station": 1, "train_station": 1}}, "taken for a class"),
    "folders within classes": ("ant/2023/1.jpg ant/2024/1.jpg bee/1.jpg", {"all": {"ant": 2, "bee": 1}}, None),
    "photos beside classes": (ZOO + " cover.jpg", {"all": {"ant": 3, "bee": 4}}, "1 photo beside"),
    "an empty class": (ZOO + " wasp/", {"all": {"ant": 3, "bee": 4}}, "Folders without photos: wasp"),
    "left by systems": (ZOO + " __MACOSX/ant/._1.jpg __MACOSX/ant/1.jpg ant/._1.jpg .git/x.png ant/.ipynb_checkpoints/1-checkpoint.jpg "
                        "ant/Thumbs.db.jpg/ bee/@eaDir/1.png/thumb.jpg .DS_Store.png", {"all": {"ant": 3, "bee": 4}}, None),
    "images beside annotations": ("images/ant/1.jpg images/bee/1.jpg annotations/ant/1.mask annotations/bee/1.mask", {"all": {"ant": 1, "bee": 1}}, "2 of the image files are masks"),
    "pets": ("images/Abyssinian_1.jpg images/Abyssinian_2.jpg images/great_dane_1.jpg annotations/trimaps/Abyssinian_1.mask", {"all": {"Abyssinian": 2, "great_dane": 1}}, "beginnings of the files' names"),
    "masks beside photos": ("ant/1.jpg ant/1_mask.mask ant/1_mask_1.mask bee/1.jpg", {"all": {"ant": 1, "bee": 1}}, "2 of the image files are masks"),
    "masks within classes": ("ant/images/1.jpg ant/masks/1.mask bee/images/1.jpg bee/masks/1.mask", {"all": {"ant": 1, "bee": 1}}, "2 of the image files"),
    "a class called masks": ("masks/{1..3}.jpg no_masks/{4..6}.jpg", {"all": {"masks": 3, "no_masks": 3}}, None),
    "capitals": ("Cat/1.jpg cat/1.jpg", {"all": {"Cat": 1, "cat": 1}}, "differ only in capitals"),
}


def build(root, names: str):
    for name in names.split():
        if name.endswith("/"):
            (root / name).mkdir(parents=True)
        elif name.endswith(".mask"):
            mask(root / name.replace(".mask", ".png"))
        else:
            draw_all(root, name)
    return root


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_understood(tmp_path, name):
    names, parts, note = UNDERSTOOD[name]
    layout = recognise(build(tmp_path, names))
    assert {part: dict(zip(layout.classes, layout.counts(part), strict=True)) for part in layout.parts} == parts
    assert not note or any(note in text for text in layout.notes)
    assert note or not layout.notes
    for files in layout.parts.values():
        for file, number in files:  # a photo lies in its class's folder, or bears its name
            assert layout.classes[number] in file and (tmp_path / file).is_file()
    text = describe(tmp_path)
    assert all(word in text for word in layout.classes)


REFUSED = {
    "nothing": ("", "holds no photos. Seen: nothing"),
    "no images": ("notes/", r"holds no photos. Seen: notes \(0 photos\)"),
    "photos only": ("{1..5}.jpg", "holds 5 photos, but no class folders. Seen: 5 photos directly"),
    "one class": ("bee/{1..5}.jpg", r"no class folders. Seen: bee \(5 photos\)"),
    "two files for one part": ("train/a/1.jpg train/b/1.jpg val/a/1.jpg validation/a/1.jpg", "val and validation, two folders for valid"),
    "flat train": ("train/1.jpg test/1.jpg", "no class folders in train"),
    "test without train": ("test/a/1.jpg val/a/1.jpg", "has test and val, but no train"),
    "unknown class": ("train/ant/1.jpg train/bee/1.jpg test/bees/1.jpg", "a class 'bees' that train has not, did you mean 'bee'"),
    "yolo": ("train/images/1.jpg test/images/1.jpg", r"no class folders in train. Seen: test \(1 photo, 1 folder\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_what_was_seen(tmp_path, name):
    names, sentence = REFUSED[name]
    build(tmp_path, names)
    with pytest.raises(UsageError, match=sentence):
        load_data("folder", root=tmp_path, size=16)
    assert "Expected are class folders" in describe(tmp_path) or name == "unknown class"


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        describe(tmp_path / "nowhere")


def test_an_accent_is_one_class_however_it_is_spelt(tmp_path):
    for form in ("NFC", "NFD"):
        draw(tmp_path / unicodedata.normalize(form, "café") / f"{form}.png")
    draw(tmp_path / "bar" / "1.png")
    layout = recognise(tmp_path)
    assert layout.classes == ("bar", "café") and layout.counts("all") == [1, 2]


@pytest.mark.parametrize(("name", "shown"), [
    (b"caf\xe9", "caf\\xe9"), (b"two\nlines", "two lines"), (b"<b>bold", "‹b›bold"), (b"5$", "5＄"), (b" spaces  ", "spaces"),
])
def test_class_names_are_fit_to_print(tmp_path, name, shown):
    folder = os.path.join(os.fsencode(tmp_path), name)
    os.mkdir(folder)
    for i in range(4):
        draw(tmp_path / "other" / f"{i}.png")
        os.rename(draw(tmp_path / f"{i}.png", seed=9 + i), os.path.join(folder, b"%d-\xff.png" % i))
    sets = load_data("folder", root=tmp_path, size=16)
    assert set(sets.classes) == {shown, "other"} and len(sets.train) + len(sets.valid) + len(sets.test) == 8
    for path in sets.train.paths:
        path.encode()  # text that can be written into a page


def test_two_classes_that_read_the_same_are_refused(tmp_path):
    draw_all(tmp_path, "a/1.png b/1.png")
    (tmp_path / "a").rename(tmp_path / "b\n")
    with pytest.raises(UsageError, match="two class folders that read 'b'"):
        recognise(tmp_path)


def test_links(tmp_path):
    """Class folders that are links count; circles and what leads nowhere do not hang."""
    draw_all(tmp_path / "store", "x/{1..3}.png y/{1..3}.png")
    (tmp_path / "zoo").mkdir()
    for name in "xy":
        (tmp_path / "zoo" / name).symlink_to(tmp_path / "store" / name)
    (tmp_path / "store" / "x" / "up").symlink_to(tmp_path / "zoo")
    (tmp_path / "zoo" / "self").symlink_to("self")
    (tmp_path / "zoo" / "y" / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "zoo" / "y" / "f.png")
    layout = recognise(tmp_path / "zoo")
    assert layout.classes == ("x", "y")
    with pytest.raises(ValueError, match=r"y/f.png \(not a file.*y/gone.png \(a link that leads nowhere"):
        load_data("folder", root=tmp_path / "zoo", size=16)
    with pytest.warns(UserWarning, match="left out 2 photos"):
        load_data("folder", root=tmp_path / "zoo", size=16, broken="skip")


@pytest.mark.parametrize(("names", "sentence"), [
    ("ant/1.png bee/1.png", "'ant' has 1 photo .*1 more classes"), ("ant/{1..9}.png bee/{1..2}.png", "'bee' has 2 photos"),
    ("train/ant/1.png train/bee/{1..2}.png test/ant/1.png", "'ant' has 1 photo, but each class is cut into 2"),
])
def test_too_few_photos_of_a_class(tmp_path, names, sentence):
    with pytest.raises(UsageError, match=sentence):
        load_data("folder", root=draw_all(tmp_path, names), size=16)


@pytest.mark.parametrize("shares", [{"valid": float("nan")}, {"valid": 0}, {"test": 1.0}, {"valid": 0.6, "test": 0.6}, {"test": -1}])
def test_shares(tmp_path, shares):
    with pytest.raises(ValueError, match="valid|test"):
        load_data("folder", root=draw_all(tmp_path, ZOO), size=16, **shares)


def test_load_images_passes_over_junk(tmp_path):
    draw_all(tmp_path, "1.jpg ._2.jpg .hidden.png sub/3.jpg")
    images, names = load_images(tmp_path, 16)
    assert names == ["1.jpg"] and images.shape == (1, 3, 16, 16)


def test_other_photos_under_the_same_names_and_times_are_other_data(tmp_path):
    draw_all(tmp_path, "ant/{1..3}.bmp bee/{1..3}.bmp")
    before = load_data("folder", root=tmp_path, size=16)
    status = (tmp_path / "ant/1.bmp").stat()
    draw(tmp_path / "ant/1.bmp", seed=77)
    os.utime(tmp_path / "ant/1.bmp", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (tmp_path / "ant/1.bmp").stat().st_size == status.st_size
    assert load_data("folder", root=tmp_path, size=16).fingerprint != before.fingerprint
