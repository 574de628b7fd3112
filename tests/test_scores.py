"""Scores against maps computed by hand, slow definitions, SciPy, and degenerate maps."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from sklearn.metrics import roc_auc_score
from torch import nn

from cnnviz_utils import scores
from cnnviz_utils.scores.maps import ranks


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def random_masks(n=6, size=20, seed=1):
    return random(n, size, size, seed=seed) > 0.8


# one map of 3 x 3 and its mask, to compute with on paper
MAP = torch.tensor([[[0.0, 1, 2], [3, 8, -1], [0, 2, 4]]])
MASK = torch.tensor([[[0, 0, 0], [0, 1, 1], [0, 0, 1]]]).bool()
LOCALISATION = [scores.pointing_game, scores.energy_in_mask, scores.relevance_rank, scores.pixel_auroc]
by_iou = lambda heatmaps, masks: scores.iou(heatmaps, masks, 0.5)


def test_by_hand():
    assert scores.pointing_game(MAP, MASK, 0).tolist() == [1]
    assert scores.pointing_game(-MAP, MASK, 0).tolist() == [1]  # the maximum is then at the -1, on the object too
    assert scores.energy_in_mask(MAP, MASK).tolist() == pytest.approx([12 / 20])
    assert scores.relevance_rank(MAP, MASK).tolist() == pytest.approx([2 / 3])  # 8 and 4 of the three strongest 8, 4, 3
    # pairs won by the object's 8, -1, 4 against the six others: 6 + 0 + 6 of 18
    assert scores.pixel_auroc(MAP, MASK).tolist() == pytest.approx([12 / 18])
    # normalised: (x + 1) / 9; above .5: 8 and 4, both on the object; the union has three
    assert scores.iou(MAP, MASK, 0.5).tolist() == pytest.approx([2 / 3])
    assert scores.iou(MAP, MASK, 0.4).tolist() == pytest.approx([2 / 4])
    # strongest first: 8 hit, 4 hit, 3, 2 2, 1, 0 0, -1 hit: precision 1, 1, 3/9 at each third of the recall
    assert scores.pxap(MAP, MASK) == pytest.approx((1 + 1 + 3 / 9) / 3)


def test_the_tolerance_is_a_radius():
    heatmap, mask = torch.zeros(1, 9, 9), torch.zeros(1, 9, 9, dtype=torch.bool)
    heatmap[0, 4, 4], mask[0, 7, 8] = 1, True  # 3 down, 4 across: 5 away
    assert scores.pointing_game(heatmap, mask, 5).tolist() == [1]
    assert scores.pointing_game(heatmap, mask, 4).tolist() == [0]


def test_pointing_game_and_auroc_equal_slow_versions():
    heatmaps, masks = random(6, 20, 20).round(decimals=1), random_masks()
    for tolerance in (0, 2, 3):
        slow = []
        for heatmap, mask in zip(heatmaps.numpy(), masks.numpy(), strict=True):
            near = ndimage.distance_transform_edt(~mask) <= tolerance
            slow.append(float(near.flat[heatmap.argmax()]))
        assert scores.pointing_game(heatmaps, masks, tolerance).tolist() == slow
    slow = [roc_auc_score(m.flatten(), h.flatten()) for h, m in zip(heatmaps, masks, strict=True)]
    assert scores.pixel_auroc(heatmaps, masks).tolist() == pytest.approx(slow)


def test_relevance_rank_with_ties_is_the_mean_over_random_picks():
    heatmaps, masks = (random(1, 8, 8) * 4).round(), random_masks(1, 8)
    area, hits = int(masks.sum()), []
    for seed in range(4000):
        shuffle = torch.randperm(64, generator=torch.Generator().manual_seed(seed))
        best = shuffle[heatmaps.flatten()[shuffle].argsort(descending=True, stable=True)[:area]]
        hits.append(float(masks.flatten()[best].float().mean()))
    assert float(scores.relevance_rank(heatmaps, masks)) == pytest.approx(np.mean(hits), abs=0.01)


def test_pxap_is_chance_for_noise_and_one_for_the_mask():
    masks = random_masks(20, 40)
    assert scores.pxap(random(20, 40, 40, seed=5), masks) == pytest.approx(float(masks.float().mean()), abs=0.01)
    assert scores.pxap(masks.float(), masks) == 1


def test_the_threshold_is_the_best_one_and_is_chosen_elsewhere():
    masks = random_masks(6, 20)
    heatmaps = torch.where(masks, 0.62, 0.58) + 0 * random(6, 20, 20)
    heatmaps[:, 0, 0], heatmaps[:, 0, 1] = 0, 1
    threshold = scores.best_threshold(heatmaps[:3], masks[:3])
    assert 0.58 <= threshold < 0.62
    other = [scores.iou(heatmaps[:3], masks[:3], t / 50).mean() for t in range(50)]
    assert scores.iou(heatmaps[:3], masks[:3], threshold).mean() == max(other)
    assert scores.iou(heatmaps[3:], masks[3:], threshold).mean() > 0.95


@pytest.mark.parametrize(("score", "zero", "constant"), [
    (scores.pointing_game, 0, 0),
    (scores.energy_in_mask, math.nan, 0.25),
    (scores.relevance_rank, 0.25, 0.25),
    (scores.pixel_auroc, 0.5, 0.5),
    (by_iou, 0, 0),
])  # fmt: skip
def test_degenerate_maps(score, zero, constant):
    """All zero, constant, NaN, infinite, empty mask; and what is beside them in the batch is not touched."""
    size, mask = (8, 8), torch.zeros(8, 8, dtype=torch.bool)
    mask[:4, 4:] = True
    spoiled = torch.ones(size)
    spoiled[2, 3] = torch.nan
    infinite = torch.ones(size)
    infinite[2, 3] = torch.inf
    normal = random(*size)
    heatmaps = torch.stack([torch.zeros(size), torch.full(size, 3.0), spoiled, infinite, normal, normal])
    masks = torch.stack([mask] * 5 + [mask & False])
    found = score(heatmaps, masks).tolist()
    expected = [zero, constant, math.nan, math.nan, float(score(normal[None], mask[None])), math.nan]
    assert found == pytest.approx(expected, nan_ok=True)
    assert math.isfinite(found[4])


def test_an_object_that_fills_the_image_and_a_set_that_is_empty():
    full = torch.ones_like(MASK)
    assert scores.pixel_auroc(MAP, full).isnan().all()  # there is no background to be stronger than
    assert scores.energy_in_mask(MAP, full).tolist() == [1] and scores.relevance_rank(MAP, full).tolist() == [1]
    assert scores.pointing_game(MAP, full).tolist() == [1] and scores.iou(MAP, full, 0.5).tolist() == pytest.approx([2 / 9])
    for score in LOCALISATION:
        assert score(MAP[:0], MASK[:0]).shape == (0,)
    assert math.isnan(scores.mean_of(torch.empty(0))[0]) and scores.mean_of(torch.full((3,), torch.nan))[1] == 3


@pytest.mark.parametrize("value", [0.0, 2.5, torch.nan])
def test_a_threshold_is_found_also_where_no_map_says_anything(value):
    maps = torch.full((2, 3, 3), value)
    assert scores.best_threshold(maps, MASK.expand(2, -1, -1)) == 0
    assert scores.best_threshold(torch.cat([maps, MAP]), MASK.expand(3, -1, -1)) == scores.best_threshold(MAP, MASK)


def test_insertion_and_deletion_of_constant_maps_are_numbers_and_leave_no_trace():
    """Ties go by position: the upper half first, whatever the constant is."""
    images = torch.zeros(1, 3, 16, 16)
    images[:, :, :8] = 1
    rising = -torch.arange(256.0).view(1, 16, 16)
    for score in (scores.insertion, scores.deletion):
        found = [score(Sum(), images, maps, torch.tensor([1]), 16) for maps in (images[:, 0] * 0, images[:, 0] * 0 + 4, rising)]
        assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2]) and found[0].isfinite().all()

    class Broken(nn.Module):
        def forward(self, images):
            raise RuntimeError("no memory")

    model = nn.Sequential(nn.Dropout(0.5), Broken())
    for score in (scores.insertion, scores.deletion):
        with pytest.raises(RuntimeError, match="no memory"):
            score(model, images, rising, torch.tensor([1]))
        assert all(module.training for module in model.modules()) and torch.is_grad_enabled()


def test_the_mean_counts_what_has_no_score():
    assert scores.mean_of(torch.tensor([1.0, torch.nan, 2.0])) == (1.5, 1)
    assert math.isnan(scores.pxap(torch.full((1, 3, 3), torch.nan), MASK))
    assert scores.pxap(torch.cat([MAP, MAP * torch.nan]), torch.cat([MASK, MASK])) == scores.pxap(MAP, MASK)


@pytest.mark.parametrize("score", LOCALISATION)
def test_maps_at_layer_size_and_masks_of_numbers_are_refused(score):
    with pytest.raises(ValueError, match="upsample"):
        score(random(2, 4, 4), random_masks(2, 8))
    with pytest.raises(ValueError, match="bool"):
        score(random(2, 4, 4), torch.ones(2, 4, 4))
    with pytest.raises(ValueError, match="heat maps must be floats"):
        score(random(2, 1, 4, 4), random_masks(2, 4))


class Sum(nn.Module):
    """Probability of class 1 = share of white: logits (0, logit of the mean), so that areas can be known."""

    def forward(self, images):
        mean = images.mean((1, 2, 3)).clamp(1e-6, 1 - 1e-6)
        return torch.stack([torch.zeros_like(mean), torch.logit(mean)], 1)


@pytest.mark.parametrize("shape", [(1, 8, 8), (4, 1, 8), (4, 4, 4)])
def test_maps_of_another_shape_than_the_images_are_refused(shape):
    with pytest.raises(ValueError, match="upsample_maps"):
        scores.deletion(nn.Flatten(), torch.rand(4, 3, 8, 8), torch.rand(shape), torch.zeros(4, dtype=torch.long))


def test_deletion_and_insertion_by_hand():
    """A white quarter. Deleted first, the probability falls along a line from 1/4 to 0 in a quarter of the steps: the
    area is 1/32. Deleted last, it stays at 1/4 for three quarters: 7/32. Insertion is the mirror, from the blur."""
    images = torch.zeros(2, 3, 16, 16)
    images[:, :, :8, :8] = 1
    white = images[:, 0]
    maps, targets = torch.stack([white[0], -white[0]]), torch.tensor([1, 1])
    assert scores.deletion(Sum(), images, maps, targets, 64).tolist() == pytest.approx([1 / 32, 7 / 32], abs=1e-3)
    inserted = scores.insertion(Sum(), images, maps, targets, 64)
    assert inserted[0] > 0.25 > inserted[1]  # the mean rises above the end value, or dips under it
    other = scores.deletion(Sum(), images, maps, torch.tensor([0, 0]), 64)
    torch.testing.assert_close(other, 1 - scores.deletion(Sum(), images, maps, targets, 64))


def test_insertion_equals_a_slow_version():
    class Net(nn.Sequential):
        pass

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Net(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 18 * 18, 3))
    images, heatmaps, targets = random(2, 3, 20, 20), random(2, 20, 20, seed=2), torch.tensor([2, 0])
    ours = scores.insertion(model, images, heatmaps, targets, steps=8)
    assert model.training
    model.eval()
    for i in range(2):
        image = images[i].numpy()
        kernel = np.exp(-((np.arange(11) - 5) ** 2) / 50)
        blurred = image
        for axis in (1, 2):
            blurred = ndimage.convolve1d(blurred, kernel / kernel.sum(), axis=axis, mode="nearest")
        order, curve = np.argsort(-heatmaps[i].numpy().flatten()), []
        for step in range(9):
            mixed = blurred.copy().reshape(3, -1)
            mixed[:, order[: step * 50]] = image.reshape(3, -1)[:, order[: step * 50]]
            logits = model(torch.from_numpy(mixed).view(1, 3, 20, 20)).detach().numpy()[0]
            curve.append(np.exp(logits[targets[i]]) / np.exp(logits).sum())
        assert float(ours[i]) == pytest.approx((sum(curve) - (curve[0] + curve[-1]) / 2) / 8, abs=1e-5)
    assert scores.deletion(model, images, heatmaps * torch.tensor([1, torch.nan])[:, None, None], targets).isnan()[1]


def test_collages_and_the_share_of_a_cell():
    images = torch.arange(8.0).view(2, 4, 1, 1, 1).expand(-1, -1, 3, 2, 3)
    grid = scores.collages(images)
    expected = torch.tensor([[4.0, 4, 4, 5, 5, 5]] * 2 + [[6, 6, 6, 7, 7, 7]] * 2)
    assert grid.shape == (2, 3, 4, 6) and torch.equal(grid[1, 0], expected)
    heatmaps = torch.tensor([[[1.0, 2], [3, -5]]]).repeat_interleave(2, 1).repeat_interleave(2, 2).expand(4, -1, -1)
    assert scores.grid_share(heatmaps, torch.arange(4)).tolist() == pytest.approx([1 / 6, 2 / 6, 3 / 6, 0])
    assert scores.grid_share(-heatmaps.abs(), torch.arange(4)).isnan().all()
    with pytest.raises(ValueError, match="2 x 2"):
        scores.collages(images[:, :3])


def test_images_for_collages_are_sure_right_and_of_different_classes():
    labels = torch.arange(60) % 6
    probabilities = torch.eye(6)[labels] * 0.95 + 0.05 / 6
    probabilities[0] = torch.eye(6)[1]  # wrong
    probabilities[1] = torch.tensor([0, 0.6, 0.4, 0, 0, 0])  # not sure
    groups = scores.pick_for_collages(probabilities, labels, generator=torch.Generator().manual_seed(0))
    assert groups.shape == (14, 4)  # 58 images
    assert len(groups.unique()) == 56 and not {0, 1} & set(groups.flatten().tolist())
    assert all(len(labels[group].unique()) == 4 for group in groups)


def test_part_removal_by_hand():
    """A network that adds up the left column with weight 3, the middle with 1, the right not at all."""

    class Weighted(nn.Module):
        def forward(self, images):
            y = (images * torch.tensor([3.0, 1.0, 0.0])).sum((1, 2, 3))
            return torch.stack([y, -y], 1)

    images = torch.ones(2, 3, 3, 3)
    parts = torch.eye(3, dtype=torch.bool)[:, None, :].expand(3, 3, 3)
    without = torch.where(parts[None, :, None], 0, images[:, None])
    drops = scores.part_drops(Weighted(), images, without, torch.tensor([0, 1]))
    assert torch.equal(drops, torch.tensor([[27.0, 9, 0], [-27, -9, 0]]))
    heatmaps = torch.tensor([0.5, 0.4, 0.1]).expand(2, 3, 3)
    energies = scores.part_energy(heatmaps, parts.expand(2, -1, -1, -1))
    torch.testing.assert_close(energies, torch.tensor([[0.5, 0.4, 0.1]] * 2))
    assert scores.part_agreement(drops, energies).tolist() == pytest.approx([1, -1])
    energies[0, 1] = torch.nan  # two parts are too few
    assert scores.part_agreement(drops, energies).isnan().tolist() == [True, False]
    assert scores.part_agreement(drops * 0, energies).isnan().all()


def test_ranks_and_rank_correlation_equal_scipy():
    a, b = random(5, 60).round(decimals=1), random(5, 60, seed=1).round(decimals=1)
    assert np.array_equal(ranks(a).numpy(), stats.rankdata(a.numpy(), axis=1))
    slow = [stats.spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    assert scores.spearman(a, b).tolist() == pytest.approx(slow, abs=1e-6)
    assert scores.spearman(a, torch.zeros_like(a)).isnan().all()
    assert scores.spearman(a, torch.full_like(a, torch.nan)).isnan().all()


def test_ssim_equals_a_slow_version():
    a, b = random(2, 16, 17), random(2, 16, 17, seed=1)
    for i in range(2):
        x, y = ((m[i].double().numpy() - float(m[i].min())) / float(m[i].max() - m[i].min()) for m in (a, b))
        blur = lambda m: ndimage.gaussian_filter(m, 1.5, truncate=3.4)[5:-5, 5:-5]  # 11 pixels wide, inside only
        mx, my = blur(x), blur(y)
        vx, vy, xy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        slow = ((2 * mx * my + 1e-4) * (2 * xy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))).mean()
        assert float(scores.ssim(a, b)[i]) == pytest.approx(slow, abs=1e-6)
    torch.testing.assert_close(scores.ssim(a, a), torch.ones(2))
    torch.testing.assert_close(scores.ssim(a, 5 * a + 2), torch.ones(2))
    assert scores.ssim(torch.zeros(1, 16, 16), torch.ones(1, 16, 16)).tolist() == [1]
    assert scores.ssim(a * torch.nan, a).isnan().all()


def test_randomising_cascades_from_the_logits_and_leaves_the_model():
    def network():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)).eval()

    model = network()
    model[1].running_mean.fill_(3)
    before, state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    stages = list(scores.cascading_randomisation(model, seed=1))
    assert [name for name, _ in stages] == ["4", "1", "0"]
    changed = [{k.split(".")[0] for k, v in m.state_dict().items() if not torch.equal(v, before[k])} for _, m in stages]
    assert changed == [{"4"}, {"4", "1"}, {"4", "1", "0"}]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    again = list(scores.cascading_randomisation(model, seed=1))[-1][1]
    assert torch.equal(again[0].weight, stages[-1][1][0].weight)
    other = list(scores.cascading_randomisation(model, seed=2, stages=["0", "4"]))
    assert [name for name, _ in other] == ["4", "0"] and not torch.equal(other[-1][1][0].weight, again[0].weight)

    with torch.inference_mode():
        *_, (_, last) = scores.cascading_randomisation(model, seed=1)
    torch.autograd.grad(last(torch.ones(1, 3, 3, 3)).sum(), last[0].weight)  # they can be differentiated outside

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

    with pytest.raises(ValueError, match="no reset_parameters"):
        list(scores.cascading_randomisation(nn.Sequential(Own()), seed=0))


def test_shortcut_by_hand():
    region = torch.zeros(3, 4, 4, dtype=torch.bool)
    region[:, 0, :2] = True
    users = torch.zeros(3, 4, 4)
    users[:, 0, 0], users[:, 3, 3] = 1, 2
    used = scores.mean_in_region(users, region)
    assert used.tolist() == pytest.approx([0.25] * 3)  # (.5 + 0) / 2
    unused = scores.mean_in_region(torch.zeros(3, 4, 4), region)
    assert scores.shortcut_auroc(used, unused) == pytest.approx((0.25, 1.0))
    assert scores.shortcut_auroc(used, used) == pytest.approx((0, 0.5))
    with_nan = torch.tensor([torch.nan, 0.2])
    assert scores.shortcut_auroc(with_nan, torch.tensor([0.1, 0.3])) == pytest.approx((0, 0.5), abs=1e-6)
    assert all(math.isnan(v) for v in scores.shortcut_auroc(used * torch.nan, used))


def test_baselines_are_what_they_say():
    blob = scores.centre_blob(2, (9, 11))
    assert blob.shape == (2, 9, 11) and blob[0].argmax() == 4 * 11 + 5
    torch.testing.assert_close(blob, blob.flip(1, 2))
    # a quarter of the side away from the centre, in 9 rows: 2.25 rows, between exp(-.5 * (2/2.25)^2) and 3 rows away
    assert float(blob[0, 2, 5]) == pytest.approx(math.exp(-0.5 * (2 / 2.25) ** 2), abs=1e-6)
    image = random(1, 3, 12, 13)
    grey = image.mean(1)[0].double().numpy()
    slow = np.hypot(*(ndimage.sobel(grey, axis, mode="nearest") for axis in (0, 1))) / 8
    assert np.allclose(scores.sobel_edges(image)[0], slow, atol=1e-6)
    noise = [scores.random_maps(2, (3, 3), torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert torch.equal(noise[0], noise[1]) and not torch.equal(noise[0], noise[2])


def test_measures_of_pictures():
    ramp = torch.linspace(0, 1, 5).expand(1, 3, 4, 5)
    assert scores.total_variation(ramp).tolist() == pytest.approx([0.25])
    noise = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert float(scores.high_frequency_share(noise)) == pytest.approx(1 - math.pi / 16, abs=0.01)
    assert float(scores.total_variation(random(1, 3, 128, 128))) == pytest.approx(2 / 3, abs=0.01)
    x = torch.arange(64.0)
    waves = [(torch.cos(2 * math.pi * f * x) + 1).expand(1, 3, 64, 64) for f in (0.125, 0.375)]
    assert [float(scores.high_frequency_share(w)) for w in waves] == pytest.approx([0, 1], abs=1e-6)
    assert scores.high_frequency_share(torch.ones(1, 3, 8, 8)).isnan().all()
