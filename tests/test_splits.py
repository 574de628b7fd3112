"""Splits by their properties, the audit by planted faults."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import coloured_squares
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnviz_utils.data import splits
from cnnviz_utils.data.loaders import load_data

SHARES = st.sampled_from([(0.5, 0.5), (0.64, 0.16, 0.2), (0.2,) * 5, (0.9, 0.1)])


@settings(max_examples=80, deadline=None)
@given(counts=st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(sum), shares=SHARES, seed=st.integers(0, 99))
def test_stratified_split_is_disjoint_exhaustive_and_even(counts, shares, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = splits.stratified_split(labels, shares, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for part, share in zip(parts, shares, strict=True):
        per_class = np.bincount(labels[part], minlength=len(counts))
        assert (np.abs(per_class - share * np.array(counts)) <= 1 + 1e-9).all()
        assert abs(len(part) - share * len(labels)) <= len(shares)
    again = splits.stratified_split(labels, shares, seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


def test_shares_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="add up to 1"):
        splits.stratified_split([0, 1], (0.5, 0.4))


def test_list_split_names_what_is_missing_or_twice():
    paths = ["a/1.jpg", "a/2.jpg", "b/1.jpg"]
    found = splits.list_split(paths, {"train": ["b/1.jpg", "a/1.jpg"], "test": ["a/2.jpg"]})
    assert found["train"].tolist() == [2, 0] and found["test"].tolist() == [1]
    with pytest.raises(ValueError, match=r"a/9.jpg is in the test list"):
        splits.list_split(paths, {"test": ["a/9.jpg"]})
    with pytest.raises(ValueError, match="in the train list and in the test list"):
        splits.list_split(paths, {"train": ["a/1.jpg"], "test": ["a/1.jpg"]})


def test_buggy_split_has_the_published_sizes_and_both_faults():
    """The three-realms project: 2,862 images; 458 for validation; a test of 572 that shrank; the last realm hardly in validation."""
    labels = np.repeat([0, 1, 2], [1168, 1066, 628])
    bug = splits.buggy_split(labels, 42)
    assert len(bug["picked"]) == 572 and len(bug["valid"]) == 458
    assert len(bug["train"]) + len(bug["valid"]) + len(bug["test"]) == 2862
    assert len(bug["test"]) < 572 and set(bug["valid"]) & set(bug["picked"])
    assert bug["valid"].max() < 2862 - 572  # the end of the list is never reached
    assert np.mean(labels[bug["valid"]] == 2) < 0.5 * np.mean(labels == 2)


def test_normalisation_is_mean_and_deviation_of_all_pixels():
    data = coloured_squares(50)
    x = data.images.astype(float) / 255
    mean, std = splits.normalisation(data, batch=7)
    np.testing.assert_allclose(mean, x.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std, x.std((0, 2, 3)), rtol=1e-5)


def three_sets(n=300):
    data = coloured_squares(n)
    return data, dict(zip(("train", "valid", "test"), (data.subset(p) for p in
                                                       splits.stratified_split(data.labels, (0.6, 0.2, 0.2))), strict=True))


def test_an_honest_split_passes():
    data, sets = three_sets()
    report = splits.audit(sets, whole=len(data), threshold=0.9999)
    assert report.passed and not report.copies and report.lost == 0


def test_copies_losses_and_shares_are_caught():
    data, sets = three_sets()
    spoiled = {"train": sets["train"], "test": data.subset([*range(0, 60, 3), *sets["train"].subset(range(5)).labels * 0])}
    report = splits.audit(spoiled, whole=len(data), threshold=0.9999)
    assert report.lost > 0 and any("no set" in p for p in report.problems)
    assert report.copies and any("stand in train and in test" in p for p in report.problems)
    assert any("test has" in p and " a " in p for p in report.problems)


def test_mirrored_and_brightened_copies_are_found_and_others_are_not():
    sets = load_data(train=4, valid=1, test=1)
    images = np.asarray(sets.test.images[:10])[..., ::-1] // 5 * 4
    spoiled = replace(sets.train, images=np.concatenate([np.asarray(sets.train.images), images]),
                      labels=torch.cat([sets.train.labels, sets.test.labels[:10]]))
    start = len(sets.train)
    assert splits.near_duplicates(spoiled, sets.test) == [(start + i, i) for i in range(10)]


@pytest.mark.parametrize("shares", [(0.6, 0.2, 0.2), (0.1, 0.9), (0.2,) * 5])
def test_every_class_is_learned_from(shares):
    labels = np.repeat(np.arange(12), [1, 1, 1, 2, 2, 3, 1, 4, 1, 1, 9, 1])
    for seed in range(20):
        train = splits.stratified_split(labels, shares, seed)[0]
        assert set(labels[train]) == set(labels)


def test_a_copy_inside_one_set_is_not_lost():
    data = coloured_squares(60)
    twice = data.subset([*range(60), 3, 3])
    for sets in ({"train": twice.subset(range(30)), "test": twice.subset(range(30, 62))}, {"train": twice}):
        lost = splits.audit(sets, whole=62, threshold=0.9999).lost
        assert lost == (0 if len(sets) == 1 else 1)  # in two sets it stands for one
    named = replace(twice, paths=tuple(map(str, range(62))))
    assert splits.audit({"train": named.subset(range(30)), "test": named.subset(range(30, 62))}, whole=62).lost == 0
