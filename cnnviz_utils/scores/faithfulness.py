"""Does the network use what the map shows? Scores that change the image and look at the
network's answer."""

import torch
from torch import Tensor, nn

from cnnviz_utils.base.declared import Count
from cnnviz_utils.base.hooks import evaluating, in_its_type, logits_of
from cnnviz_utils.base.pictures import blur
from cnnviz_utils.base.ranges import check_floats
from cnnviz_utils.base.settings import fitting
from cnnviz_utils.scores.maps import check_maps
from cnnviz_utils.scores.sanity import spearman
from cnnviz_utils.viz.targets import Targets, answer, picked


def deletion(
    model: nn.Module,
    images: Tensor,
    heatmaps: Tensor,
    targets: Targets,
    steps: int = 32,
) -> Tensor:
    """The area under the curve of the class's probability while pixels are set to black
    (0), those with the highest values in the map first. Low is good.

    images (N, 3, H, W) in [0, 1], heatmaps (N, H, W), targets (N,) -> (N,) in [0, 1].
    steps: into how many equal shares the pixels are divided; the area is computed by
        the trapezoidal rule.
    Equal values are ordered by position. NaN for a map with NaN. Compare with the same
    score of a random map.

    Petsiuk et al. 2018, RISE: randomized input sampling for explanation of black-box
    models.
    """
    return _area(model, images, torch.zeros_like(images), heatmaps, targets, steps)


def insertion(
    model: nn.Module,
    images: Tensor,
    heatmaps: Tensor,
    targets: Targets,
    steps: int = 32,
) -> Tensor:
    """The area under the curve of the class's probability while the pixels of a blurred
    image are replaced by the original ones, those with the highest values in the map
    first. High is good. The blur is a Gaussian of 11 pixels with sigma 5; everything
    else is as in `deletion` (Petsiuk et al. 2018)."""
    check_floats(images)
    return _area(
        model, blur(images, 5.0, 5, "replicate"), images, heatmaps, targets, steps
    )


def _area(
    model: nn.Module,
    start: Tensor,
    end: Tensor,
    heatmaps: Tensor,
    targets: Targets,
    steps: int,
) -> Tensor:
    """One forward pass of the whole batch for each step: at step s the pixels with the
    highest values, s / steps of all, are taken from `end`."""
    check_maps(heatmaps)
    fitting(steps, Count, "steps")
    wanted = (len(end), *end.shape[2:])
    if heatmaps.shape != wanted:
        raise ValueError(
            "heatmaps must have a number for each pixel of the images, "
            f"{wanted}, not {tuple(heatmaps.shape)}: see `upsample_maps`"
        )
    order = heatmaps.flatten(1).argsort(dim=1, descending=True, stable=True)
    place = order.argsort(1).view_as(heatmaps)[:, None]  # 0 for the strongest pixel
    probabilities = []
    with torch.no_grad(), evaluating(model):
        # this also refuses targets that are no classes
        _, chosen = answer(model, in_its_type(model, end), targets)
        for step in range(steps + 1):
            changed = place < round(step / steps * order.shape[1])
            mixed = torch.where(changed, end, start)
            probabilities.append(picked(_logits(model, mixed).softmax(1), chosen))
    area = torch.trapezoid(torch.stack(probabilities, 1), dx=1 / steps, dim=1)
    return area.masked_fill(~heatmaps.flatten(1).isfinite().all(1), torch.nan)


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    return logits_of(model(in_its_type(model, images))).float()


def pick_for_collages(
    probabilities: Tensor,
    labels: Tensor,
    n: int = 2,
    *,
    least: float = 0.9,
    generator: torch.Generator,
) -> Tensor:
    """Choose images for collages of n x n. They are classified correctly with a
    probability of at least `least`, and each collage has n * n different classes.

    probabilities (N, classes), labels (N,) -> int64 (collages, n * n), no image twice,
    as many as can be made.
    """
    sure, predicted = probabilities.max(1)
    usable = ((sure >= least) & (predicted == labels)).nonzero()[:, 0]
    usable = usable[torch.randperm(len(usable), generator=generator)]
    by_class = {
        c: usable[labels[usable] == c].tolist() for c in labels.unique().tolist()
    }
    groups = []
    while True:
        fullest = sorted(
            (c for c in by_class if by_class[c]), key=lambda c: -len(by_class[c])
        )[: n * n]
        if len(fullest) < n * n:
            return torch.tensor(groups, dtype=torch.int64).view(-1, n * n)
        groups.append([by_class[c].pop() for c in fullest])


def collages(images: Tensor, n: int = 2) -> Tensor:
    """Groups of n * n images as one large image each, row by row. (G, n * n, 3, H, W)
    -> (G, 3, n * H, n * W)."""
    if images.ndim != 5 or images.shape[1] != n * n:
        raise ValueError(
            f"collages of {n} x {n} need images (G, {n * n}, 3, H, W), "
            f"not {tuple(images.shape)}"
        )
    g, _, c, h, w = images.shape
    return (
        images.view(g, n, n, c, h, w)
        .permute(0, 3, 1, 4, 2, 5)
        .reshape(g, c, n * h, n * w)
    )


def grid_share(heatmaps: Tensor, cells: Tensor, n: int = 2) -> Tensor:
    """Grid pointing: the share of a collage's positive attribution that falls in the
    target's own cell.

    heatmaps (G, n * H, n * W) of collages, each for the class of the image in cell
    `cells` (G,) -> (G,) in [0, 1]; chance 1 / n^2. NaN: nothing positive, or NaN in the
    map. No masks needed.

    Boehle et al. 2021, Convolutional dynamic alignment networks for interpretable
    classifications, section 5.
    """
    check_maps(heatmaps)
    fitting(n, Count, "n")
    g, height, width = heatmaps.shape
    cells = _cells(cells, g, n * n)
    if height % n or width % n:
        raise ValueError(
            f"maps of {height} x {width} cannot be cut into {n} x {n} cells"
        )
    parts = (
        heatmaps.double()
        .clamp(min=0)
        .view(g, n, height // n, n, width // n)
        .sum((2, 4))
        .flatten(1)
    )
    return (parts.gather(1, cells[:, None])[:, 0] / parts.sum(1)).float()


def _cells(cells: Tensor, images: int, count: int) -> Tensor:
    cells = torch.as_tensor(cells)
    if cells.shape != (images,) or cells.is_floating_point():
        raise ValueError(f"cells: a whole number for each of the {images} collages")
    if images and not 0 <= int(cells.min()) <= int(cells.max()) < count:
        raise ValueError(
            f"cells go from 0 to {count - 1}, but there is {cells.tolist()}"
        )
    return cells


def part_drops(
    model: nn.Module, images: Tensor, without: Tensor, targets: Targets
) -> Tensor:
    """How much the class's logit falls when a part of the animal is left out.

    images (N, 3, H, W), without (N, P, 3, H, W): the same image drawn again without
    part p; targets (N,) -> (N, P). For a part that image i does not have, fill
    `without[i, p]` with NaN; the result is NaN there.

    Hesse et al. 2023, FunnyBirds: a synthetic vision dataset for a part-based analysis
    of explainable AI methods.
    """
    n, parts = without.shape[:2]
    with torch.no_grad(), evaluating(model):
        full, chosen = answer(model, in_its_type(model, images), targets)
        full = full.float().gather(1, chosen[:, None])
        reduced = _logits(model, without.flatten(0, 1)).view(n, parts, -1)
    return full - reduced.gather(2, chosen[:, None, None].expand(-1, parts, 1))[:, :, 0]


def part_energy(heatmaps: Tensor, parts: Tensor) -> Tensor:
    """The share of each map's positive sum that lies on each part. heatmaps (N, H, W),
    parts bool (N, P, H, W) -> (N, P). NaN where a map has nothing positive, or a part
    no pixel."""
    check_maps(heatmaps)
    positive = heatmaps.double().clamp(min=0)
    share = (positive[:, None] * parts).sum((2, 3)) / positive.sum((1, 2))[:, None]
    return share.masked_fill(~parts.flatten(2).any(2), torch.nan).float()


def part_agreement(drops: Tensor, energies: Tensor) -> Tensor:
    """Rank correlation, image by image, between how much leaving out a part lowers the
    logit and how much of the map lies on the part.

    (N, P), (N, P) -> (N,) in [-1, 1]; parts that are NaN in either are left out; NaN
    with fewer than three parts or where one side is constant. Hesse et al. 2023 (single
    deletion).
    """
    scores = []
    for drop, energy in zip(drops, energies, strict=True):
        there = ~(drop.isnan() | energy.isnan())
        enough = int(there.sum()) >= 3
        scores.append(
            spearman(drop[there][None], energy[there][None])[0]
            if enough
            else drop.new_tensor(torch.nan)
        )
    return torch.stack(scores).float()
