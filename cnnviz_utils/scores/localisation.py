"""Does the map lie on the object? Scores against exact masks."""

import torch
from torch import Tensor

from cnnviz_utils.scores.maps import check_maps, ranks
from cnnviz_utils.viz.cams import normalise_maps


def mean_of(scores: Tensor) -> tuple[float, int]:
    """The mean over the images that have a score, and how many have none (NaN)."""
    missing = int(scores.isnan().sum())
    return float(scores.nanmean()), missing


def pointing_game(heatmaps: Tensor, masks: Tensor, tolerance: int = 3) -> Tensor:
    """1 where the map's maximum lies on the object or within `tolerance` pixels of it,
    else 0.

    heatmaps (N, H, W), masks bool (N, H, W) -> (N,). 15 px at 224, so 3 px at 64. A
    constant map points nowhere: a miss. NaN: no object, or a map with NaN. Of several
    maxima the first counts.

    Zhang et al. 2016, Top-down neural attention by excitation backprop.
    """
    check_maps(heatmaps, masks)
    flat = heatmaps.flatten(1)
    best, width = flat.argmax(1), heatmaps.shape[2]
    y, x = torch.arange(heatmaps.shape[1]), torch.arange(width)
    y, x = y.to(flat.device)[None, :, None], x.to(flat.device)[None, None, :]
    distance = (y - (best // width)[:, None, None]) ** 2 + (
        x - (best % width)[:, None, None]
    ) ** 2
    near = (masks & (distance <= tolerance**2)).flatten(1).any(1)
    varied = flat.amax(1) > flat.amin(1)
    return _nan_where((near & varied).float(), _unscorable(heatmaps, masks))


def energy_in_mask(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """The share of the map's positive sum that lies on the object; negative places
    count as zero.

    (N, H, W), bool (N, H, W) -> (N,) in [0, 1]; chance: the mask's share of the area.
    NaN: nothing positive (count such maps), no object, or a map with NaN.

    Wang et al. 2020, Score-CAM (energy-based pointing game); Arras et al. 2022,
    CLEVR-XAI (relevance mass accuracy).
    """
    check_maps(heatmaps, masks)
    positive = heatmaps.double().clamp(min=0)
    share = (positive * masks).sum((1, 2)) / positive.sum((1, 2))
    return _nan_where(share.float(), _unscorable(heatmaps, masks))


def relevance_rank(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Of the K strongest pixels, K being the mask's area, the share that lies on the
    object.

    (N, H, W), bool (N, H, W) -> (N,) in [0, 1]; chance: the mask's share of the area.
    Where pixels tie at the threshold, the expectation over picking among them at
    random: a constant map scores chance. NaN as above.

    Arras et al. 2022, CLEVR-XAI (relevance rank accuracy).
    """
    check_maps(heatmaps, masks)
    flat, inside = heatmaps.flatten(1), masks.flatten(1)
    area = inside.sum(1)
    least = flat.sort(1, descending=True).values.gather(
        1, (area - 1).clamp(min=0)[:, None]
    )
    above, tied = flat > least, flat == least
    open_places = area - above.sum(1)
    hits = (above & inside).sum(1) + open_places * (tied & inside).sum(1) / tied.sum(1)
    return _nan_where(hits / area, _unscorable(heatmaps, masks))


def pixel_auroc(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """How often a pixel of the object is stronger than one of the background (ties:
    half). (N, H, W) -> (N,); chance .5. NaN: no object, no background, or a map with
    NaN. (Mann and Whitney's statistic, image by image.)"""
    check_maps(heatmaps, masks)
    flat, inside = ranks(heatmaps.flatten(1)), masks.flatten(1)
    n = inside.sum(1).double()
    wins = (flat * inside).sum(1) - n * (n + 1) / 2
    return _nan_where(
        (wins / (n * (inside.shape[1] - n))).float(),
        _unscorable(heatmaps, masks) | masks.all(2).all(1),
    )


def iou(heatmaps: Tensor, masks: Tensor, threshold: float) -> Tensor:
    """Intersection over union of {map > threshold} and the mask; maps min-max
    normalised image by image first.

    (N, H, W), bool (N, H, W) -> (N,). The threshold in [0, 1) decides the result: take
    the one that `best_threshold` finds on other images, never one that was chosen here.
    A constant map has no area: 0. NaN: no object, or a map with NaN.

    Choe et al. 2020, Evaluating weakly supervised object localization methods right.
    """
    check_maps(heatmaps, masks)
    area = normalise_maps(heatmaps.double()) > threshold
    score = (area & masks).sum((1, 2)) / (area | masks).sum((1, 2))
    return _nan_where(score, _unscorable(heatmaps, masks))


def best_threshold(heatmaps: Tensor, masks: Tensor, steps: int = 50) -> float:
    """The threshold of the largest mean IoU on these images, among 0, 1/steps, ..., 1 -
    1/steps: for use on others."""
    thresholds = [i / steps for i in range(steps)]
    scores = torch.stack([iou(heatmaps, masks, t).nanmean() for t in thresholds])
    return thresholds[int(scores.nan_to_num(-1).argmax())]


def pxap(heatmaps: Tensor, masks: Tensor) -> float:
    """PxAP: the area under the precision-recall curve of all pixels of all images
    together, without a threshold.

    Maps are min-max normalised image by image. Images that cannot be scored (no object,
    NaN) are left out; NaN where none is left. Chance: the masks' share of the area.

    Choe et al. 2020, as above (average precision: sum of precision times the step in
    recall).
    """
    from sklearn.metrics import average_precision_score

    check_maps(heatmaps, masks)
    kept = ~_unscorable(heatmaps, masks)
    if not kept.any():
        return float("nan")
    truth, strength = (
        masks[kept].flatten(),
        normalise_maps(heatmaps[kept].double()).flatten(),
    )
    return float(average_precision_score(truth.cpu().numpy(), strength.cpu().numpy()))


def _unscorable(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """(N,): nothing to find, or a map that is not numbers."""
    return ~masks.flatten(1).any(1) | ~heatmaps.flatten(1).isfinite().all(1)


def _nan_where(scores: Tensor, condition: Tensor) -> Tensor:
    return scores.masked_fill(condition, torch.nan)
