"""The sets of real photos, whole: their published counts and lists."""

import numpy as np
import pytest

from cnnviz_utils.data.loaders import load_data


@pytest.mark.photos
def test_caltech101_has_the_published_counts(photos):
    sets = load_data("caltech101", root=photos, size=32)
    assert (len(sets.train), len(sets.valid), len(sets.test), len(sets.classes)) == (2892, 2892, 2893, 101)
    everything = {path for s in (sets.train, sets.valid, sets.test) for path in s.paths}
    assert len(everything) == 8677 and not any("BACKGROUND" in path for path in everything)
    # of the 1,501 outlined objects one lies outside the middle of its photo: ceiling_fan/image_0033
    assert sum(int(s.has_mask.sum()) for s in (sets.train, sets.valid, sets.test)) == 1500
    listed = {line for line in (photos / "caltech101" / "test.txt").read_text().split() if "BACKGROUND" not in line}
    assert set(sets.test.paths) == listed
    with_mask = np.flatnonzero(sets.test.has_mask)
    area = sets.test.masks(with_mask).float().mean((1, 2))
    assert 0.1 < float(area.mean()) < 0.7 and float((area > 0).float().mean()) == 1


@pytest.mark.photos
def test_nine_tenths_of_the_published_list_learn(photos):
    half, most = (load_data("caltech101", root=photos, size=32, split=split) for split in ("published", "nine_tenths"))
    assert most.test.paths == half.test.paths
    assert set(most.train.paths + most.valid.paths) == set(half.train.paths + half.valid.paths)
    assert len(most.train) + len(most.valid) == 5784 and abs(len(most.train) - 0.9 * 5784) <= 1
    assert (most.train.counts > 3 * most.valid.counts).all()


@pytest.mark.photos
def test_realms_and_tiny_imagenet(photos):
    realms = load_data("caltech101_realms", root=photos, size=32)
    assert realms.classes == ("air", "land", "water") and len(realms.train) > 1000
    tiny = load_data("tinyimagenet30", root=photos, size=32)
    assert (len(tiny.train), len(tiny.valid), len(tiny.test)) == (13500, 1500, 1500)
    assert (tiny.train.counts == 450).all() and (tiny.test.counts == 50).all()
