"""Files of every odd kind against what Pillow says of them; the cache against direct decoding."""

import numpy as np
import pytest
from PIL import Image

from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.data.photos import catalogue
from cnnviz_utils.data.photos.folders import load_images
from cnnviz_utils.data.photos.reading import fit_square, open_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 56, 3), dtype=np.uint8)


@pytest.fixture
def zoo(tmp_path):
    """Two classes of six PNGs, and the folder they lie in."""
    for name in ("bee", "ant"):
        (tmp_path / "zoo" / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(RNG.integers(0, 256, (30 + i, 40, 3), dtype=np.uint8)).save(tmp_path / "zoo" / name / f"{i}.png")
    return tmp_path / "zoo"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16", "1", "LA"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    image = Image.fromarray(PIXELS)
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    if mode == "I;16":
        grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
        Image.fromarray(grey).save(path)
        expected = np.repeat((grey // 257).astype(np.uint8)[..., None], 3, axis=2)
    else:
        image.convert(mode).save(path)
        expected = np.asarray(image.convert(mode).convert("RGB"))
    found = np.asarray(open_image(path))
    assert found.shape == (40, 56, 3) and np.abs(found.astype(int) - expected).max() <= 1


def test_transparency_lies_on_white(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "x.png")
    assert (np.asarray(open_image(tmp_path / "x.png")) == 255).all()


def test_exif_rotation_is_undone(tmp_path):
    image = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[274] = 6  # stored lying on its side: a quarter turn clockwise makes it upright
    image.save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "x.png")), np.rot90(PIXELS, -1))


def test_what_is_no_image_gets_a_sentence_with_its_name(tmp_path):
    (tmp_path / "notes.jpg").write_text("not a picture")
    with pytest.raises(ValueError, match=r"notes.jpg cannot be read as an image"):
        load_images(tmp_path / "notes.jpg", 32)


def test_centre_crop_keeps_the_middle():
    image = np.zeros((100, 200, 3), np.uint8)
    image[40:60, 90:110] = 255
    cut = np.asarray(fit_square(Image.fromarray(image), 64)).astype(float).mean(2)
    ys, xs = np.nonzero(cut > 128)
    assert cut.shape == (64, 64) and abs(ys.mean() - 31.5) < 1 and abs(xs.mean() - 31.5) < 1


def test_cache_holds_what_direct_decoding_gives(zoo):
    sets = load_data("folder", root=zoo, size=32)
    assert sets.classes == ("ant", "bee") and len(sets.train) + len(sets.valid) + len(sets.test) == 12
    for part in (sets.train, sets.valid, sets.test):
        for i, path in enumerate(part.paths):
            direct = np.asarray(fit_square(open_image(zoo / path), 32)).transpose(2, 0, 1)
            np.testing.assert_array_equal(np.asarray(part.images[i]), direct)
            assert sets.classes[part.labels[i]] == path.split("/")[0]


def test_a_changed_file_is_decoded_again(zoo):
    before = load_data("folder", root=zoo, size=32)
    Image.new("RGB", (50, 50), (9, 9, 9)).save(zoo / "ant" / "0.png")
    after = load_data("folder", root=zoo, size=32)
    assert before.fingerprint != after.fingerprint
    [where] = [(part, part.paths.index("ant/0.png")) for part in (after.train, after.valid, after.test)
               if "ant/0.png" in part.paths]
    assert (np.asarray(where[0].images[where[1]]) == 9).all()


def test_broken_files_are_refused_or_skipped_by_name(zoo):
    (zoo / "ant" / "3.png").write_bytes((zoo / "ant" / "3.png").read_bytes()[:60])
    (zoo / "ant" / "tmp").write_text("a stray file")
    with pytest.raises(ValueError, match=r"1 file cannot be read as an image: ant/3.png"):
        load_data("folder", root=zoo, size=32)
    with pytest.warns(UserWarning, match="ant/3.png"):
        sets = load_data("folder", root=zoo, size=32, broken="skip")
    assert sum(len(s) for s in (sets.train, sets.valid, sets.test)) == 11


def test_train_val_layout(tmp_path, zoo):
    (tmp_path / "set").mkdir()
    zoo.rename(tmp_path / "set" / "train")
    (tmp_path / "set" / "val" / "bee").mkdir(parents=True)
    Image.fromarray(PIXELS).save(tmp_path / "set" / "val" / "bee" / "v.png")
    sets = load_data("folder", root=tmp_path / "set", size=32)
    assert len(sets.test) == 1 and sets.classes[sets.test.labels[0]] == "bee" and len(sets.train) + len(sets.valid) == 12


def test_a_test_class_unknown_to_train_is_named(tmp_path, zoo):
    (tmp_path / "set" / "test" / "wasp").mkdir(parents=True)
    zoo.rename(tmp_path / "set" / "train")
    Image.fromarray(PIXELS).save(tmp_path / "set" / "test" / "wasp" / "v.png")
    with pytest.raises(ValueError, match="'wasp'"):
        load_data("folder", root=tmp_path / "set", size=32)


def test_catalogue_lists_and_verifies(tmp_path):
    assert not catalogue.status(tmp_path, "caltech101")[0].present
    with pytest.raises(ValueError, match="did you mean 'caltech101'"):
        catalogue.status(tmp_path, "caltech01")
    (tmp_path / "tinyimagenet30" / "train" / "bee").mkdir(parents=True)
    for name in ("a", "b"):
        Image.fromarray(PIXELS).save(tmp_path / "tinyimagenet30" / "train" / "bee" / f"{name}.png")
    (tmp_path / "tinyimagenet30" / "train" / "bee" / "c.png").write_text("no")
    problems = catalogue.verify("tinyimagenet30", tmp_path)
    assert any("3 images" in p for p in problems) and any("c.png" in p for p in problems)
    assert any("the same file 2 times" in p for p in problems)
