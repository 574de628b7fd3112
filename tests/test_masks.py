"""Masks beside photos: every form gives the same known object, and what is broken is named."""

import json

import numpy as np
import pytest
from odd_files import draw, draw_all
from PIL import Image
from scipy.io import savemat

from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.data.photos.layouts import recognise
from cnnviz_utils.data.photos.masks import find_masks, outline
from cnnviz_utils.data.photos.reading import fit_square, read_square

# the object: x 8 to 16, y 4 to 14 of a photo of 24 x 18 (`odd_files.picture`)
BOX = [(8, 4), (16, 4), (16, 14), (8, 14)]
OBJECT = np.zeros((18, 24), bool)
OBJECT[4:15, 8:17] = True  # Pillow's polygons hold their border
FLAT = [value for point in BOX for value in point]


def image(path, values, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8) if values.dtype == bool else values, mode).save(path)


def trimap(path):
    values = np.full((18, 24), 2, np.uint8)
    values[OBJECT] = 3
    values[6:12, 10:15] = 1
    image(path, values)


def palette(path):
    picture = Image.fromarray(OBJECT.astype(np.uint8) * 5, "L").convert("P")
    picture.putpalette([0, 0, 0] + [200, 10, 10] * 255)
    path.parent.mkdir(parents=True)
    picture.save(path)


def with_alpha(path):
    image(path, np.dstack([np.full((18, 24, 3), 255, np.uint8), OBJECT * np.uint8(255)]))


def two_parts(path):
    image(path, OBJECT & (np.arange(24) < 12))
    image(path.with_name("1_mask_2.png"), OBJECT & (np.arange(24) >= 12))


def larger(path):
    image(path, np.kron(OBJECT, np.ones((3, 3), bool)))


def mat(path, corner=(4, 14, 8, 16), contour=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    points = np.array(BOX, float).T - [[8], [4]] if contour is None else contour
    savemat(path, {"box_coord": np.array([corner]), "obj_contour": points})


def labelme(path, shapes=None, **more):
    shapes = shapes or [{"label": "a", "shape_type": "polygon", "points": [*BOX[:3], BOX[0]]},
                        {"label": "b", "points": [BOX[0], BOX[2], BOX[3]]}, {"shape_type": "point", "points": [[1, 1]]}]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"shapes": shapes, "imageWidth": 24, "imageHeight": 18} | more))


def rectangle(path):
    labelme(path, [{"shape_type": "rectangle", "points": [BOX[0], BOX[2]]}])


def coco(path, segmentation=None, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    segmentation = segmentation or [[*FLAT[:6]], [*FLAT[:2], *FLAT[4:]]]
    path.write_text(json.dumps({
        "images": [{"id": 7, "file_name": "1.png", "width": 24, "height": 18}],
        "annotations": [{"image_id": 7, "segmentation": segmentation}, {"image_id": 99, "segmentation": [[1]]}]} | more))


def run_lengths(path):
    flat = OBJECT.T.ravel()  # column by column
    ends = np.flatnonzero(np.diff(np.r_[False, flat, False].astype(int)))
    counts = np.diff(np.r_[0, ends, len(flat)]).tolist()
    coco(path, {"counts": counts, "size": [18, 24]})


FOUND = {
    "masks/ant/1.png": lambda p: image(p, OBJECT),
    "masks/1.png": lambda p: image(p, OBJECT * np.uint8(255)),
    "Masks/ant/1_mask.png": lambda p: image(p, OBJECT),
    "annotations/trimaps/1.png": trimap,
    "segmentations/ant/1.png": palette,
    "ant/1_mask.png": with_alpha,
    "ant/1_mask_1.png": two_parts,
    "masks/ant/1.bmp": larger,
    "masks/ant/1.jpg": lambda p: image(p, OBJECT * np.uint8(255)),
    "annotations/ant/1.mat": mat,
    "Annotations/1.mat": mat,
    "ant/1.json": labelme,
    "annotations/1.json": rectangle,
    "annotations/instances.json": coco,
    "_annotations.coco.json": run_lengths,
}


@pytest.mark.parametrize("place", FOUND)
def test_every_form_is_the_same_object(tmp_path, place):
    draw_all(tmp_path, "ant/{1..4}.png bee/{5..8}.png")
    FOUND[place](tmp_path / place)
    layout = recognise(tmp_path)
    assert layout.classes == ("ant", "bee") and layout.counts("all") == [4, 4]
    masks = find_masks(layout)
    assert len(masks) == 1
    found = masks.square("ant/1.png", read_square(tmp_path / "ant/1.png", 14))
    expected = np.asarray(fit_square(Image.fromarray(OBJECT.astype(np.uint8) * 255), 14)) >= 128
    assert (found != expected).sum() <= (14 if place.endswith((".jpg", ".bmp")) else 0)
    assert masks.square("bee/5.png", read_square(tmp_path / "bee/5.png", 14)) is None
    sets = load_data("folder", root=tmp_path, size=14)
    assert sum(int(part.has_mask.sum()) for part in (sets.train, sets.valid, sets.test)) == 1


@pytest.mark.parametrize("stored", [True, False])
def test_a_mask_of_a_turned_photo(tmp_path, stored):
    """The photo lies on its side in the file; its mask was drawn on either."""
    draw_all(tmp_path, "ant/{2..3}.png bee/{5..7}.png")
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.zeros((18, 24, 3), np.uint8)).save(tmp_path / "ant" / "1.png", exif=exif)
    upright = np.rot90(OBJECT, -1)
    image(tmp_path / "masks" / "ant" / "1.png", OBJECT if stored else upright)
    found = find_masks(recognise(tmp_path)).square("ant/1.png", read_square(tmp_path / "ant/1.png", 14))
    expected = np.asarray(fit_square(Image.fromarray(np.ascontiguousarray(upright).astype(np.uint8) * 255), 14)) >= 128
    np.testing.assert_array_equal(found, expected)


def test_same_names_in_two_classes(tmp_path):
    """masks/1.png may be the ant's or the bee's: it is nobody's; masks/ant/1.png is the ant's."""
    draw_all(tmp_path, "ant/{1..3}.png bee/{1..3}.png")
    image(tmp_path / "masks/1.png", OBJECT)
    image(tmp_path / "masks/ant/2.png", OBJECT)
    masks = find_masks(recognise(tmp_path))
    assert masks.files == {"ant/2.png": ["masks/ant/2.png"]} and masks.unclear == 1
    with pytest.warns(UserWarning, match="1 masks could belong to several photos"):
        load_data("folder", root=tmp_path, size=16)


def test_an_empty_mask_is_none(tmp_path):
    draw_all(tmp_path, "ant/{1..3}.png bee/{1..3}.png")
    image(tmp_path / "masks/ant/1.png", np.zeros((18, 24), bool))
    assert not load_data("folder", root=tmp_path, size=16).train.has_mask.any()


def cut_off(path):
    mat(path)
    path.write_bytes(path.read_bytes()[:150])


BROKEN = {
    "masks/ant/1.mat": {
        "cut off": cut_off,
        "empty": lambda p: p.write_bytes(b""),
        "text": lambda p: p.write_text("no outline"),
        "other keys": lambda p: savemat(p, {"x": 1}),
        "half the keys": lambda p: savemat(p, {"box_coord": [[1, 2, 3, 4]]}),
        "one point": lambda p: mat(p, contour=np.array([[1.0], [2.0]])),
        "NaN": lambda p: mat(p, contour=np.array([[1, np.nan, 3], [1, 2, 3]])),
        "infinite": lambda p: mat(p, contour=np.array([[1, np.inf, 3], [1, 2, 3]])),
        "no corner": lambda p: mat(p, corner=(1,)),
        "words": lambda p: savemat(p, {"box_coord": "abcd", "obj_contour": "xy"}),
        "another shape": lambda p: mat(p, contour=np.ones((3, 5))),
    },
    "masks/ant/1.json": {
        "cut off": lambda p: p.write_text('{"shapes": ['),
        "two points": lambda p: labelme(p, [{"points": BOX[:2]}]),
        "no points": lambda p: labelme(p, [{"label": "x"}]),
        "NaN": lambda p: labelme(p, [{"points": [*BOX, (float("nan"), 1)]}]),
        "no shape": lambda p: labelme(p, ["a"]),
        "another photo's size": lambda p: labelme(p, imageWidth=99, imageHeight=18),
    },
    "masks/ant/1.png": {
        "another size": lambda p: image(p, np.ones((5, 24), bool)),
        "text": lambda p: p.write_text("no picture"),
        "dangling": lambda p: p.symlink_to("nowhere"),
    },
    "masks/instances.json": {
        "cut off": lambda p: p.write_text('{"images": ['),
        "compressed": lambda p: coco(p, {"counts": "abc", "size": [18, 24]}),
        "one point": lambda p: coco(p, [[1, 2]]),
        "odd numbers": lambda p: coco(p, [[1, 2, 3]]),
        "too short": lambda p: coco(p, {"counts": [1, 2], "size": [18, 24]}),
    },
}


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, cases in BROKEN.items() for name in cases])
def test_a_broken_mask_is_named(tmp_path, file, name):
    draw_all(tmp_path, "ant/{1..3}.png bee/{5..7}.png")
    (tmp_path / file).parent.mkdir(parents=True)
    BROKEN[file][name](tmp_path / file)
    named = "ant/1.png" if file.endswith("instances.json") and name != "cut off" else file
    with pytest.raises(ValueError, match=named):
        load_data("folder", root=tmp_path, size=16)


def test_broken_masks_can_be_skipped(tmp_path):
    draw_all(tmp_path, "ant/{1..3}.png bee/{5..7}.png")
    for name in ("ant/1.png", "bee/5.png"):
        image(tmp_path / "masks" / name, np.ones((18, 24), bool))
    (tmp_path / "masks/ant/1.png").write_text("no picture")
    with pytest.warns(UserWarning, match="left out 1 masks: ant/1.png"):
        sets = load_data("folder", root=tmp_path, size=16, broken="skip")
    assert sum(int(part.has_mask.sum()) for part in (sets.train, sets.valid, sets.test)) == 1


def test_photos_called_masks_are_photos(tmp_path):
    """A folder called masks with photos of many colours, named as those beside it."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for i in range(3):
        image(tmp_path / "masks" / f"{i}.png", noise)
        draw(tmp_path / "bare" / f"{i}.png")
    layout = recognise(tmp_path)
    assert layout.classes == ("bare", "masks") and find_masks(layout) is None


def test_outline_of_caltech(tmp_path):
    mat(tmp_path / "a.mat")
    np.testing.assert_array_equal(outline(tmp_path / "a.mat"), np.array(BOX).T)
