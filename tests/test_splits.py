"""Splits by their properties, the audit by planted faults."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import coloured_squares
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data import draws, splits
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


REALMS = np.repeat([0, 1, 2], [970, 962, 931])  # air, land, water: see the lesson on splits


def test_buggy_split_is_the_published_one_to_the_last_image():
    """The three-realms project: 2,863 entries, one of them a folder, which is in train."""
    bug = splits.buggy_split(REALMS, 42)
    of_realm = {part: np.bincount(REALMS[bug[part]]).tolist() for part in bug}
    assert of_realm["valid"] == [205, 184, 69]
    assert [of_realm[part][2] for part in ("train", "valid", "test")] == [695, 69, 167]
    assert len(bug["train"]) - 1 == 1991 and len(bug["test"]) == 413 and len(bug["picked"]) == 572
    assert len(np.intersect1d(bug["valid"], bug["picked"])) == 159
    assert bug["valid"].max() < 2863 - 572  # the end of the list is never reached
    assert sorted(np.concatenate([bug[part] for part in ("train", "valid", "test")])) == list(range(2863))


def test_buggy_split_sorts_by_class_first():
    shuffled = np.random.default_rng(0).permutation(REALMS)
    bug = splits.buggy_split(shuffled, 42)
    assert np.bincount(shuffled[bug["valid"]]).tolist() == [205, 184, 69]


def test_overlap_of_independent_draws_is_hypergeometric():
    """Against a simulation, and against scipy's distribution."""
    from scipy.stats import hypergeom

    rng = np.random.default_rng(0)
    found = [draws.overlap_of_draws(rng.permutation(300)[:60], rng.permutation(240)[:48], 300) for _ in range(800)]
    truth = hypergeom(300, 48, 60)
    assert {(o.expected, round(o.deviation, 9)) for o in found} == {(truth.mean(), round(truth.std(), 9))}
    assert abs(np.mean([o.shared for o in found]) - truth.mean()) < 4 * truth.std() / 800**0.5
    assert np.std([o.surprise for o in found]) == pytest.approx(1, abs=0.1)


def test_the_audit_of_positions_finds_the_three_faults():
    bug = splits.buggy_split(REALMS, 42)
    drawn = {"train": bug["train"], "valid": bug["valid"], "test": bug["picked"]}
    problems = draws.audit_positions(REALMS, drawn, ["air", "land", "water"])
    assert "159 positions are in both valid and test" in problems
    assert any("valid and test are related: independent draws would have 92 ± 8" in p for p in problems)
    assert any("valid has 15.1% water where the whole has 32.5%" in p for p in problems)
    # two seeds: they still overlap, they are no longer related
    other = np.random.RandomState(7).permutation(2291)[:458]
    problems = draws.audit_positions(REALMS, {**drawn, "valid": other}, ["air", "land", "water"])
    assert any("in both valid and test" in p for p in problems) and not any("related" in p for p in problems)


def test_the_audit_of_positions_passes_an_honest_split_and_sees_what_is_lost():
    parts = dict(zip(("train", "valid", "test"), splits.stratified_split(REALMS, (0.64, 0.16, 0.2)), strict=True))
    assert draws.audit_positions(REALMS, parts, ["air", "land", "water"]) == []
    parts["train"] = parts["train"][3:]
    assert draws.audit_positions(REALMS, parts, ["air", "land", "water"]) == ["3 of 2863 positions are in no part"]


@pytest.mark.parametrize(("draw", "message"), [([1, 1], "at most once"), ([0, 10], "0..9"), ([-1], "0..9")])
def test_draws_that_are_none_are_refused(draw, message):
    with pytest.raises(UsageError, match=message):
        draws.overlap_of_draws(draw, [0], 10)


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
    assert report.copies and any("in both train and test" in p for p in report.problems)
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
