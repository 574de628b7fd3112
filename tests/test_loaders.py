"""Batches and augmentation against plain indexing and geometry; load_data's errors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import coloured_squares

from cnnviz_utils.base.declared import DATA_SETS, SOURCES
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.augment import Augment
from cnnviz_utils.data.loaders import batches, class_weights, load_data
from cnnviz_utils.data.photos import collections
from cnnviz_utils.data.sets import Rows, hash_rows
from cnnviz_utils.training import recipes

GENERATOR = lambda seed=0: torch.Generator().manual_seed(seed)


def test_batches_in_order_are_the_data(squares):
    x = torch.cat([images for images, _ in batches(squares, 7)])
    np.testing.assert_array_equal((x * 255).round().numpy(), squares.images)


def test_shuffled_batches_hold_every_image_once(squares):
    labels = torch.cat([torch.stack([y, (x * 255).sum((1, 2, 3)).long()], 1) for x, y in
                        batches(squares, 10, shuffle=True, generator=GENERATOR())])
    plain = torch.stack([squares.labels, torch.from_numpy(squares.images.astype(int).sum((1, 2, 3)))], 1)
    assert sorted(labels.tolist()) == sorted(plain.tolist()) and labels.tolist() != plain.tolist()


def test_drop_last_and_its_refusal(squares):
    assert [len(y) for _, y in batches(squares, 40, drop_last=True)] == [40, 40]
    with pytest.raises(ValueError, match="smaller batch_size"):
        list(batches(squares, 97, drop_last=True))


def test_balanced_draws_classes_equally_often():
    data = coloured_squares(900)
    rare = data.subset([i for i in range(900) if data.labels[i] != 1 or i < 60])
    drawn = torch.bincount(torch.cat([y for _, y in batches(rare, 50, balanced=True, generator=GENERATOR())]))
    expected = len(rare) / 3
    assert (drawn.float() - expected).abs().max() < 5 * (expected * 2 / 3) ** 0.5
    weights = class_weights(rare.labels, 3)
    torch.testing.assert_close(weights * rare.counts, (weights * rare.counts).mean().expand(3))


@pytest.mark.parametrize(("settings", "expected"), [
    (Augment(), lambda x: x), (Augment(flip=1), lambda x: x.flip(-1)),
    (Augment(grey=1), lambda x: (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True).expand_as(x)),
])
def test_augmentation_with_one_outcome(squares, settings, expected):
    x = squares[:8][0]
    torch.testing.assert_close(settings(x, GENERATOR()), expected(x))


def test_shift_moves_by_whole_pixels_and_repeats_edges(squares):
    x = squares[:20][0]
    moved = Augment(shift=0.2)(x, GENERATOR())
    for before, after in zip(x, moved, strict=True):
        padded = torch.nn.functional.pad(before[None], (3, 3, 3, 3), mode="replicate")[0]
        assert any(torch.equal(after, padded[:, dy:dy + 16, dx:dx + 16]) for dy in range(7) for dx in range(7))
    assert not torch.equal(x, moved)


def test_quarter_turn_is_a_rotation(squares):
    x = squares[:1][0]
    angles = []
    for seed in range(300):
        turned = Augment(rotate=180)(x, GENERATOR(seed))
        angles.append(min(float((turned - torch.rot90(x, k, (2, 3))).abs().mean()) for k in range(4)))
    assert min(angles) < 0.03  # among 300 random turns one is nearly a right angle, and then they agree


def test_same_seed_same_images_and_values_stay_in_range(squares):
    strong = Augment(flip=0.5, shift=0.2, zoom=0.3, rotate=30, grey=0.3, brightness=0.5)
    a, b = (strong(squares[:][0], GENERATOR(4)) for _ in range(2))
    assert torch.equal(a, b) and a.min() >= 0 and a.max() <= 1


@pytest.mark.parametrize("field", ["flip", "shift", "zoom", "grey", "brightness"])
def test_settings_out_of_range_are_named(field):
    with pytest.raises(ValueError, match=field):
        Augment(**{field: 1.5})


@pytest.mark.parametrize(("arguments", "message"), [
    ({"name": "menagery"}, "did you mean 'menagerie'"), ({"name": "folder"}, "needs a root"),
    ({"name": "menagerie", "shortcutt": 1.0}, "did you mean 'shortcut'"),
    ({"name": "caltech101", "splitt": "published"}, "did you mean 'split'"),
])
def test_wrong_names_get_the_nearest(arguments, message, tmp_path):
    arguments = {"root": tmp_path, **arguments} if arguments["name"] != "folder" else arguments
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_data(**arguments)


def test_missing_photos_say_what_belongs_where(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"caltech101.*cnnviz data"):
        load_data("caltech101", root=tmp_path)


def test_rows_look_through_without_copying():
    array = np.arange(40).reshape(10, 4)
    rows = Rows(Rows(array, np.array([9, 3, 3, 0])), np.array([2, 0]))
    np.testing.assert_array_equal(rows[:], array[[3, 9]])
    assert rows.array is array and rows.shape == (2, 4) and len(rows) == 2
    np.testing.assert_array_equal(np.asarray(rows), array[[3, 9]])


@pytest.mark.parametrize(("settings", "message"), [
    ({"size": 0}, "size must be"), ({"size": -3}, "size must be"), ({"size": 2.5}, "size must be"), ({"size": "32"}, "size must be"),
    ({"size": float("nan")}, "size must be"), ({"seed": -1}, "seed must be"), ({"seed": 2**70}, "seed must be"),
])
@pytest.mark.parametrize("name", ["menagerie", "folder"])
def test_sizes_and_seeds_that_are_none_are_refused(name, settings, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        load_data(name, root=tmp_path, **settings)


@pytest.mark.parametrize("settings", [{"valid": float("nan")}, {"test": 0.0}, {"valid": 1}, {"valid": 0.5, "test": 0.5}, {"broken": "keep"}])
def test_shares_that_leave_nothing_are_refused(settings, tmp_path):
    with pytest.raises(UsageError, match="must be"):
        load_data("folder", root=tmp_path, **settings)


def test_a_mask_picks_where_it_is_true(squares):
    mask = squares.labels == 1
    for chosen in (mask, mask.numpy(), mask.tolist()):
        assert torch.equal(squares.subset(chosen)[:][0], squares[:][0][mask])
    assert torch.equal(squares.subset([-1, 0]).labels, squares.labels[[95, 0]])  # from the end
    for wrong in (mask[:5], [0.5, 1.0], [96], [-97]):
        with pytest.raises(UsageError):
            squares.subset(wrong)


def test_labels_belong_to_the_images(squares):
    for wrong in (squares.labels[:5], squares.labels + 1, squares.labels.float()):
        with pytest.raises(UsageError, match="labels"):
            replace(squares, labels=wrong)


def test_a_fingerprint_is_of_the_content(squares):
    assert squares.subset(range(96)).fingerprint == squares.fingerprint == coloured_squares().fingerprint
    known = replace(squares, images=Rows(squares.images, hashes=hash_rows(squares.images)))
    assert known.fingerprint == squares.fingerprint and known.subset([3, 1]).fingerprint == squares.subset([3, 1]).fingerprint
    others = [squares.subset([3, 1]), squares.subset([1, 3]), replace(squares, images=255 - squares.images), replace(known, images=255 - squares.images)]
    assert len({other.fingerprint for other in others}) == 3


def test_sources_of_weights_are_those_that_have_a_recipe():
    assert set(SOURCES) == set(recipes.SOURCES) <= set(DATA_SETS)


def test_names_of_data_sets_are_those_that_have_a_reader():
    assert set(DATA_SETS) - {"menagerie", "menagerie_source"} <= set(dir(collections))
