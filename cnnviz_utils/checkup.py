"""A checkup of somebody's own photos: what is in the folder, how well ImageNet's
features tell its classes apart, what they confuse, and whether the maps of such a
network can be trusted. Nothing is trained but the last layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cnnviz_utils.base.settings import UsageError, many
from cnnviz_utils.data.photos.folders import decode
from cnnviz_utils.data.photos.inspection import Inspection, inspect_folder
from cnnviz_utils.data.sets import ImageSet
from cnnviz_utils.models.build import build_model
from cnnviz_utils.scores.baselines import random_maps
from cnnviz_utils.scores.faithfulness import deletion
from cnnviz_utils.training.features import answers, logistic_head, pooled_features
from cnnviz_utils.viz.cams import cam, normalise_maps, upsample_maps
from cnnviz_utils.viz.fast import fast_copy

NETWORK, SIZE = "efficientnet_lite0", 224
C = 0.03  # of the logistic regression
MAPS = 16  # photos whose maps are tried
COARSE = (7, 7)  # the random maps are as coarse as the network's


@dataclass(frozen=True)
class Checkup:
    """What was found; `str()` of it is the text for people.

    photos, classes: how many can be read. right: how many of `judged` photos the
        network named, each by a head that had not seen it. interval: within which the
        accuracy on more such photos lies, at 95 %. way: what the judged photos are.
    confused: (true class, answer, how many), the most frequent first.
    mapped, faithful: on how many photos the maps were tried, and on how many of them
        covering what the map marks first lowers the answer faster than covering
        random places.
    """

    folder: str
    found: str
    problems: int
    photos: int
    classes: int
    right: int
    judged: int
    interval: tuple[float, float]
    way: str
    confused: list[tuple[str, str, int]]
    mapped: int
    faithful: int

    @property
    def accuracy(self) -> float:
        return self.right / self.judged

    @property
    def lines(self) -> list[str]:
        """How good the network is, what it confuses, and what its maps are worth: a
        sentence each."""
        low, high = self.interval
        text = [
            f"EfficientNet-Lite0 with ImageNet's weights and a new last layer names "
            f"{self.right} of {self.judged} photos ({self.accuracy:.1%}; 95 % interval "
            f"{low:.1%} to {high:.1%}; {self.way}). Guessing: {1 / self.classes:.1%}."
        ]
        pairs = [f"{a} taken for {b} ({n})" for a, b, n in self.confused]
        text.append(f"It confuses: {'; '.join(pairs) or 'nothing'}.")
        if not self.mapped:
            return [*text, "No photo was named rightly, so no map was tried."]
        low, high = interval(self.faithful, self.mapped)
        trust = (
            "the maps show what it uses"
            if low > 0.5
            else "do not trust the maps"
            if high < 0.5
            else "that may be chance, so be careful with the maps"
        )
        return [
            *text,
            f"On {self.faithful} of {self.mapped} photos, covering what its map marks "
            f"lowers the answer faster than covering random places: {trust}.",
        ]

    def __str__(self) -> str:
        return "\n".join([self.found, "", *self.lines])

    def facts(self) -> dict:
        """Everything as plain numbers and texts, for a record."""
        return asdict(self) | {"lines": self.lines}


def checkup(
    folder: str | Path, progress: Callable[[str], None] = lambda text: None
) -> Checkup:
    """Look at a folder of photos, as `inspect_folder` does, and at what ImageNet's
    features make of them. Takes about a fiftieth of a second a photo.

    With train and test there, a head learns on train (and valid) and is judged on test.
    Otherwise five heads each learn on four fifths and are judged on the rest; copies
    and photos that look alike are never on both sides. Broken photos are left out.

    Raises UsageError for a layout that is not recognised, or a class of fewer than two
    photos.
    """
    progress("looking at the photos")
    seen = inspect_folder(folder)
    data, sides = read(seen)
    model = build_model(
        NETWORK, len(data.classes), "imagenet", classes=data.classes, size=SIZE
    )
    progress(f"{len(data)} photos: what ImageNet's features make of them")
    quick = fast_copy(model, data[:2][0])
    features = pooled_features(quick, data, mirrored=True)
    said = judged(features, data.labels, sides, len(data.classes))
    known = (said >= 0).nonzero().flatten()
    right = known[said[known] == data.labels[known]]
    progress("maps")
    faithful = mapped = 0
    if len(right):
        head = logistic_head(features, data.labels, len(data.classes), C)
        model.get_submodule("head").load_state_dict(head.state_dict())
        chosen = right[torch.linspace(0, len(right) - 1, min(MAPS, len(right))).long()]
        mapped, faithful = len(chosen), maps_that_hold(model, data, chosen)
    wrong = [int(i) for i in known if said[i] != data.labels[i]]
    name = lambda number: data.classes[int(number)]
    pairs = Counter((name(data.labels[i]), name(said[i])) for i in wrong)
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return Checkup(
        folder=str(seen.layout.root),
        found=str(seen),
        problems=seen.problems,
        photos=len(data),
        classes=len(data.classes),
        right=len(right),
        judged=len(known),
        interval=interval(len(right), len(known)),
        way="the folder's own test photos"
        if (sides < 0).any()
        else "each by a network that had not seen it",
        confused=[(*pair, count) for pair, count in ordered[:5]],
        mapped=mapped,
        faithful=faithful,
    )


def read(seen: Inspection) -> tuple[ImageSet, np.ndarray]:
    """All photos of a folder as one set, and for each the group that must stay together
    (N,); or -1 for photos to learn from and -2 for those of the folder's test."""
    layout, bad = seen.layout, {file for file, _ in seen.broken}
    files = [
        (part, file, number)
        for part, listed in layout.parts.items()
        for file, number in listed
        if file not in bad
    ]
    labels = [number for _, _, number in files]
    counts = np.bincount(labels, minlength=len(layout.classes))
    if counts.min() < 2:
        few = layout.classes[int(counts.argmin())]
        has = many(int(counts.min()), "photo")
        raise UsageError(f"class {few!r} has {has}, at least 2 needed")
    data = decode(
        layout.root,
        [file for _, file, _ in files],
        labels,
        layout.classes,
        SIZE,
        broken="skip",
    )
    if "test" in layout.parts:
        return data, np.array([-2 if part == "test" else -1 for part, *_ in files])
    group = {file: i for i, (_, file, _) in enumerate(files)}
    for together in [*seen.copies, *seen.alike]:
        old = {group[file] for file in together if file in group}
        group |= {file: min(old) for file, number in group.items() if number in old}
    return data, np.array([group[file] for _, file, _ in files])


def judged(features: Tensor, labels: Tensor, sides: np.ndarray, classes: int) -> Tensor:
    """The class (N,) that a head which has not seen the photo gives it; -1 for photos
    that were only learned from."""
    from sklearn.model_selection import StratifiedGroupKFold

    said = torch.full_like(labels, -1)
    if (sides < 0).any():
        rounds = [(np.flatnonzero(sides == -1), np.flatnonzero(sides == -2))]
    else:
        folds = min(5, int(labels.bincount(minlength=classes).min()))
        cut = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
        rounds = list(cut.split(np.zeros(len(labels)), labels.numpy(), sides))
    for learned, tested in rounds:
        head = logistic_head(features[:, learned], labels[learned], classes, C)
        said[tested] = answers(head, features[:, tested]).argmax(1)
    return said


def interval(right: int, judged: int) -> tuple[float, float]:
    """Wilson's interval of a share, at 95 %."""
    from scipy.stats import binomtest

    found = binomtest(right, judged).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def maps_that_hold(model: nn.Module, data: ImageSet, chosen: Tensor) -> int:
    """On how many of these photos deletion by the map beats deletion by a random map of
    the same coarseness."""
    images, labels = data[chosen]
    maps = upsample_maps(normalise_maps(cam(model, images, targets=labels)), SIZE)
    draw = torch.Generator().manual_seed(0)
    noise = upsample_maps(random_maps(len(images), COARSE, draw), SIZE)
    ours, chance = (deletion(model, images, m, labels, 10) for m in (maps, noise))
    return int((ours < chance).sum())
