"""Splits and their audit: is what was set aside for the test really aside?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from cnnviz_utils.base.declared import Seed
from cnnviz_utils.base.settings import UsageError, fitting, many
from cnnviz_utils.data.sets import ImageSet, hash_rows

if TYPE_CHECKING:
    import pandas as pd


def stratified_split(
    labels, shares: Sequence[float], seed: int = 0
) -> list[np.ndarray]:
    """Positions (n_k,) of each share, ascending: every class is cut in the same
    proportions, to within one image. The first part, which is to learn from, has at
    least one image of every class.

    What is left over after rounding down goes to the parts with the largest remainders,
    class after class in turn, so that the parts' sizes are right too. Raises UsageError
    unless the shares are positive and add up to 1, and labels are numbers or names.
    """
    fitting(seed, Seed, "seed")
    labels = np.asarray(labels)
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "biuUS"):
        kind = f"{labels.dtype} {labels.shape}"
        raise UsageError(f"labels must be a class number or name an image, not {kind}")
    shares = np.asarray(fitting(list(shares), list[float], "shares"))
    # said so that NaN is refused
    if not ((shares > 0).all() and abs(shares.sum() - 1) <= 1e-6):
        raise UsageError(
            f"shares must be positive and add up to 1, not {shares.tolist()}"
        )
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[] for _ in shares]
    owed = np.zeros(len(shares))
    for c in np.unique(labels):
        order = rng.permutation(np.flatnonzero(labels == c))
        wanted = shares * len(order)
        sizes = np.floor(wanted).astype(int)
        owed += wanted - sizes
        for k in np.argsort(-owed, kind="stable")[: len(order) - sizes.sum()]:
            sizes[k] += 1
            owed[k] -= 1
        if sizes[0] == 0:  # what cannot be learned cannot be tested
            giver = int(np.argmin(np.where(sizes > 0, wanted - np.floor(wanted), 2)))
            sizes[[0, giver]] += [1, -1]
            owed[[0, giver]] += [-1, 1]
        for part, chunk in zip(
            parts, np.split(order, np.cumsum(sizes)[:-1]), strict=True
        ):
            part.append(chunk)
    return [
        np.sort(np.concatenate(part)) if part else np.array([], int) for part in parts
    ]


def list_split(
    paths: Sequence[str], lists: Mapping[str, Sequence[str]]
) -> dict[str, np.ndarray]:
    """Positions in `paths` of each list's entries, in the list's order.

    Raises ValueError naming the first entry that is not among the paths, or stands in
    two lists.
    """
    position = {path: i for i, path in enumerate(paths)}
    owner: dict[str, str] = {}
    for name, entries in lists.items():
        for entry in entries:
            if entry not in position:
                raise ValueError(
                    f"{entry} is in the {name} list but not in the data set"
                )
            if entry in owner:
                raise ValueError(
                    f"{entry} stands in the {owner[entry]} list and in the {name} list"
                )
            owner[entry] = name
    return {
        name: np.array([position[e] for e in entries], dtype=int)
        for name, entries in lists.items()
    }


def buggy_split(labels, seed: int = 42) -> dict[str, np.ndarray]:
    """The split of the three-realms project, with its faults: {"train", "valid",
    "test", "picked"} -> positions, ascending.

    Images stand class after class. A fifth is picked for the test. Validation should be
    a fifth of the rest, but its numbers, drawn for a list as long as the rest, are used
    as positions in the whole list: the end of the list is never reached, and picked
    images that are hit leave the test for validation. Both draws start from the same
    seed, and permutations of nearly the same length from one seed resemble each other,
    so that more is hit than chance explains. "picked" is what the test was meant to be.

    With 2,863 labels and seed 42 these are the project's own positions: the random
    numbers are those of NumPy's older generator, which never change.
    """
    order = np.argsort(np.asarray(labels), kind="stable")
    picked = np.random.RandomState(seed).permutation(len(order))[: len(order) // 5]
    rest = len(order) - len(picked)
    valid = np.random.RandomState(seed).permutation(rest)[: rest // 5]
    parts = {
        "train": np.setdiff1d(np.arange(len(order)), np.union1d(picked, valid)),
        "valid": valid,
        "test": np.setdiff1d(picked, valid),
        "picked": picked,
    }
    return {name: order[np.sort(part)] for name, part in parts.items()}


def normalisation(
    train: ImageSet, batch: int = 512
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each colour over all pixels of a set, in [0, 1].
    Give it the training set only. Raises UsageError for a set without images."""
    if not len(train):
        raise UsageError("the set has no images: there is no mean of their pixels")
    total, squares, pixels = (
        torch.zeros(3, dtype=torch.float64),
        torch.zeros(3, dtype=torch.float64),
        0,
    )
    for start in range(0, len(train), batch):
        images = train[start : start + batch][0].double()
        total += images.sum((0, 2, 3))
        squares += images.square().sum((0, 2, 3))
        pixels += images[:, 0].numel()
    mean = total / pixels
    return tuple(mean.tolist()), tuple(
        (squares / pixels - mean.square()).clamp(min=0).sqrt().tolist()
    )


# ---------------------------------------------------------------- the audit


@dataclass(frozen=True)
class Audit:
    """What is wrong with a split.

    shares: each class's share of each set: classes in rows, sets in columns.
    copies: images that are in two sets with exactly the same pixels, as (set, position,
        set, position).
    near: the same for images that look alike (`near_duplicates`).
    lost: how many images of the whole are in no set.
    problems: one sentence for each finding; empty for an honest split.
    """

    shares: pd.DataFrame
    copies: list[tuple[str, int, str, int]]
    near: list[tuple[str, int, str, int]]
    lost: int
    problems: list[str]

    @property
    def passed(self) -> bool:
        return not self.problems


def image_hashes(data: ImageSet) -> list[str]:
    """One hash an image, of its pixels: equal pixels, equal hash."""
    return [row.tobytes().hex() for row in hash_rows(data.images)]


def _images_in(sets: Mapping[str, ImageSet], hashes: Mapping[str, list[str]]) -> int:
    """How many images of the whole stand in the sets together. By their paths where all
    have one; else by their pixels: an image that is twice in one set stands for two, in
    two sets for one."""
    if all(s.paths is not None and len(s.paths) == len(s) for s in sets.values()):
        return len({path for s in sets.values() for path in s.paths or ()})
    counts: Counter[str] = Counter()
    for found in hashes.values():
        counts |= Counter(found)  # the larger number of each
    return counts.total()


def thumbnails(data: ImageSet, side: int = 8, batch: int = 512) -> torch.Tensor:
    """Small grey versions of the images, (N, side * side), each shifted to mean 0 and
    scaled to norm 1, so that brightness, contrast and details make no difference."""
    rows = []
    for start in range(0, len(data), batch):
        grey = data[start : start + batch][0].mean(1, keepdim=True)
        rows.append(F.interpolate(grey, size=(side, side), mode="area").flatten(1))
    flat = torch.cat(rows)
    return F.normalize(flat - flat.mean(1, keepdim=True), dim=1)


def near_duplicates(
    a: ImageSet, b: ImageSet, threshold: float = 0.995
) -> list[tuple[int, int]]:
    """Pairs of positions whose thumbnails, as they are or mirrored, correlate by at
    least `threshold`."""
    first, second = thumbnails(a), thumbnails(b)
    side = math.isqrt(second.shape[1])
    mirrored = second.view(-1, side, side).flip(2).flatten(1)
    alike = torch.maximum(first @ second.T, first @ mirrored.T) >= threshold
    return [tuple(pair) for pair in alike.nonzero().tolist()]


def share_problems(counts: pd.DataFrame, whole: pd.Series) -> list[str]:
    """A sentence for each set (a column of `counts`, classes in rows) whose class
    shares differ from those of the whole (images a class) by more than chance explains:
    four standard errors, and more than one image; and for each set that lacks a
    class."""
    overall, problems = whole / whole.sum(), []
    for name in counts:
        n = counts[name].sum()
        shares = counts[name] / max(n, 1)
        off = (shares - overall).abs()
        chance = np.sqrt(overall * (1 - overall) / max(n, 1))
        bad = off[off > np.maximum(4 * chance, 1.01 / max(n, 1))]
        if len(bad):
            worst = bad.idxmax()
            more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
            problems.append(
                f"{name} has {shares[worst]:.1%} {worst} where the whole has "
                f"{overall[worst]:.1%}{more}"
            )
        if empty := counts.index[(counts[name] == 0) & (overall > 0)].tolist():
            problems.append(f"{name} has no image of {', '.join(empty)}")
    return problems


def audit(
    sets: Mapping[str, ImageSet], whole: int | None = None, threshold: float = 0.995
) -> Audit:
    """Check the sets of a split against each other.

    whole: how many images there are in all; None if that is not known.
    A class's share in a set counts as uneven if it differs from its share of all images
    by more than four standard errors and by more than one image.
    """
    import pandas as pd

    classes = next(iter(sets.values())).classes
    counts = pd.DataFrame(
        {name: s.counts.numpy() for name, s in sets.items()}, index=list(classes)
    )
    shares = counts / counts.sum()
    copies, near, problems = [], [], []
    hashes = {name: image_hashes(s) for name, s in sets.items()}
    for a, b in combinations(sets, 2):
        where = {h: i for i, h in enumerate(hashes[a])}
        pairs = [(a, where[h], b, i) for i, h in enumerate(hashes[b]) if h in where]
        copies += pairs
        same = {(p[1], p[3]) for p in pairs}
        alike = [
            (a, i, b, j)
            for i, j in near_duplicates(sets[a], sets[b], threshold)
            if (i, j) not in same
        ]
        near += alike
        if pairs:
            problems.append(f"{many(len(pairs), 'image')} in both {a} and {b}")
        if alike:
            pairs_alike = many(len(alike), "pair")
            problems.append(f"{pairs_alike} of images alike in {a} and {b}")
    problems += share_problems(counts, counts.sum(axis=1))
    lost = 0 if whole is None else max(0, whole - _images_in(sets, hashes))
    if lost:
        problems.append(f"{lost} of {whole} images in no set")
    return Audit(shares, copies, near, lost, problems)
