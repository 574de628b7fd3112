"""Does the map depend on the network at all? Compare it with the maps of networks with
random weights, and of a network that is known to use a shortcut."""

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnviz_utils.base.hooks import get_layer
from cnnviz_utils.scores.maps import check_maps, ranks
from cnnviz_utils.viz.cams import normalise_maps


def cascading_randomisation(
    model: nn.Module, seed: int, stages: Sequence[str] | None = None
) -> Iterator[tuple[str, nn.Module]]:
    """Copies of the model in which one more stage after another has new random weights,
    from the logits down to the input: yields (stage, copy). The model itself is not
    changed.

    stages: layer names in the order from the input to the logits; each is reset with
        everything inside it, BatchNorm's statistics as well. None: the model's own
        children that have weights.

    A map that hardly changes does not show what was learned. Compare |S| with the
    original's by `spearman` and `ssim`, and compare an edge detector's map as well.

    Raises:
        KeyError: no such stage.
        ValueError: a module has weights of its own but no `reset_parameters`.

    Adebayo et al. 2018, Sanity checks for saliency maps.
    """
    weighted = [
        name
        for name, child in model.named_children()
        if any(True for _ in child.parameters())
    ]
    with torch.inference_mode(False):
        randomised = copy.deepcopy(model)
    for number, stage in enumerate(reversed(stages or weighted)):
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
            torch.manual_seed(seed + 1000 * number)
            for name, module in get_layer(randomised, stage).named_modules():
                _draw_anew(module, f"{stage}.{name}".rstrip("."))
            drawn = copy.deepcopy(randomised)
        yield stage, drawn


def _draw_anew(module: nn.Module, name: str) -> None:
    if callable(draw := getattr(module, "reset_parameters", None)):
        draw()
    elif list(module.parameters(recurse=False)):
        raise ValueError(
            f"{name} ({type(module).__name__}) has weights, "
            "but no reset_parameters to draw them anew"
        )


def spearman(first: Tensor, second: Tensor) -> Tensor:
    """Rank correlation image by image; equal values share their mean rank. (N, ...),
    (N, ...) -> (N,) in [-1, 1]; NaN where one of the two is constant or has NaN. For
    sanity checks compare magnitudes: `spearman(a.abs(), b.abs())`."""
    first, second = first.flatten(1), second.flatten(1)
    bad = ~(first.isfinite().all(1) & second.isfinite().all(1))
    a, b = (r - r.mean(1, keepdim=True) for r in (ranks(first), ranks(second)))
    correlation = (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()
    return correlation.masked_fill(bad, torch.nan).float()


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity of two maps, each min-max normalised image by image first.
    (N, H, W), (N, H, W) -> (N,).

    Gaussian window of 11 pixels, sigma 1.5, inside the image only; constants .01 and
    .03. A constant map becomes zeros; NaN for maps with NaN. For sanity checks give
    magnitudes.

    Wang et al. 2004, Image quality assessment: from error visibility to structural
    similarity.
    """
    check_maps(first)
    check_maps(second)
    a, b = (normalise_maps(m.double())[:, None] for m in (first, second))
    line = torch.exp(
        -((torch.arange(11, device=a.device, dtype=torch.float64) - 5) ** 2)
        / (2 * 1.5**2)
    )
    line = line / line.sum()
    if min(a.shape[2:]) < 11:
        raise ValueError(
            f"ssim needs maps of at least 11 x 11, not {tuple(first.shape[1:])}: "
            "upsample them"
        )
    # the window is a product: down, then across, a fifth of the work
    down, across = line[None, None, :, None], line[None, None, None, :]
    mean = lambda x: F.conv2d(F.conv2d(x, down), across)
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, both = (
        mean(a * a) - mean_a**2,
        mean(b * b) - mean_b**2,
        mean(a * b) - mean_a * mean_b,
    )
    light = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    structure = (2 * both + 0.03**2) / (var_a + var_b + 0.03**2)
    return (light * structure).mean((1, 2, 3)).float()


def mean_in_region(heatmaps: Tensor, region: Tensor) -> Tensor:
    """The mean of each min-max normalised map over its region. (N, H, W), bool (N, H,
    W) -> (N,) in [0, 1]. NaN: an empty region, or NaN in the map."""
    check_maps(heatmaps, region)
    return (
        (normalise_maps(heatmaps.double()) * region).sum((1, 2)) / region.sum((1, 2))
    ).float()


def shortcut_auroc(users: Tensor, twins: Tensor) -> tuple[float, float]:
    """Do maps tell a network that uses a shortcut from a twin that does not?

    users, twins: (N,) and (M,), for the one network and the other: one number for each
        image that says how much of the map lies on the shortcut (`mean_in_region`,
        `energy_in_mask`).

    Returns the difference of the means, and the AUROC: how often the number of a
    shortcut user's image is larger than that of a twin's. NaN are left out; both
    results are NaN if nothing is left.

    After Yang and Kim 2019, Benchmarking attribution methods with relative feature
    importance (BAM).
    """
    from sklearn.metrics import roc_auc_score

    users, twins = (
        users[~users.isnan()].double().cpu(),
        twins[~twins.isnan()].double().cpu(),
    )
    if not len(users) or not len(twins):
        return float("nan"), float("nan")
    truth = torch.cat([torch.ones_like(users), torch.zeros_like(twins)])
    auroc = roc_auc_score(truth.numpy(), torch.cat([users, twins]).numpy())
    return float(users.mean() - twins.mean()), float(auroc)
