"""Features of a network that stays as it is, and a head that is computed from them.

Where nothing but the last layer learns, every image has to pass the network once. The
rest is logistic regression on a table of numbers: seconds, the same result each time,
and one setting (C) to choose.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cnnviz_utils.base.declared import Count
from cnnviz_utils.base.device import pick_device
from cnnviz_utils.base.files import cached
from cnnviz_utils.base.hooks import capture, evaluating, get_layer
from cnnviz_utils.base.paths import cache_root
from cnnviz_utils.base.settings import UsageError, fitting
from cnnviz_utils.data.loaders import batches
from cnnviz_utils.data.sets import ImageSet
from cnnviz_utils.training.identity import state_bytes, what_it_computes
from cnnviz_utils.training.precision import DTYPES, pick_amp

# images in a kept entry: what was computed before an interruption is found again
BLOCK = 512


def pooled_features(
    model: nn.Module,
    data: ImageSet,
    layers: Sequence[str] = ("pool",),
    *,
    mirrored: bool = False,
    precision: str = "auto",
    batch_size: int = 8,
    device: str | torch.device = "auto",
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """What layers of a network in evaluation mode make of images: (views, N, D) float32
    on the CPU, from the cache where it has been computed before.

    model: `viz.fast_copy` of a network gives the same features sooner.
    layers: maps (C, h, w) are averaged over their positions; several layers stand side
        by side, so that D is the sum of their channels.
    mirrored: a second view, the mirror image; without it there is one view.
    precision: "off" computes in float32, "auto" in bfloat16 where that is fast (then
        features have about three digits, and take less than half of the time).
    batch_size: small batches stay in the processor's cache.
    progress: called with the number of images done so far.

    Raises UsageError without images or layers; KeyError for a layer that there is not.
    """
    fitting(batch_size, Count, "batch_size")
    if not len(data) or not layers:
        raise UsageError("features need at least one image and one layer")
    for layer in layers:
        get_layer(model, layer)
    device, precision = pick_device(device), pick_amp(precision, device)
    stamp = _stamp(model, (tuple(layers), mirrored, precision, device.type))
    quick: list[nn.Module] = []  # made when something has to be computed
    found = []
    for start in range(0, len(data), BLOCK):
        block = data.subset(range(start, min(start + BLOCK, len(data))))

        def make(folder: Path, block: ImageSet = block) -> None:
            if not quick:
                quick.append(_quick(model, device, DTYPES[precision]))
            views = _compute(quick[0], block, layers, mirrored, batch_size, device)
            np.save(folder / "features.npy", views)

        name = hashlib.sha256(f"{stamp} {block.fingerprint}".encode()).hexdigest()
        read = lambda folder: np.load(folder / "features.npy")
        found.append(cached(cache_root() / f"features-{name[:16]}", make, read))
        if progress:
            progress(start + len(block))
    return torch.from_numpy(np.concatenate(found, axis=1))


def _stamp(model: nn.Module, asked: tuple) -> str:
    code = [inspect.getsource(part) for part in (_quick, _compute)]
    stamp = hashlib.sha256(f"{asked} {torch.__version__} {code}".encode())
    stamp.update("".join([repr(model), *what_it_computes(model)]).encode())
    stamp.update(state_bytes(model))
    return stamp.hexdigest()


def _quick(model: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A copy in that precision, channels last in memory."""
    copied = copy.deepcopy(model).to(device, dtype)
    return copied.to(memory_format=torch.channels_last)


@torch.no_grad()
def _compute(
    model: nn.Module,
    data: ImageSet,
    layers: Sequence[str],
    mirrored: bool,
    batch_size: int,
    device: torch.device,
) -> np.ndarray:
    dtype = next(model.parameters()).dtype
    rows = []
    with evaluating(model), capture(model, layers) as maps:
        for images, _ in batches(data, batch_size, device=device):
            views = []
            for view in (images, images.flip(-1))[: 1 + mirrored]:
                view = view.to(dtype).contiguous(memory_format=torch.channels_last)
                model(view)
                kept = [maps[layer].float() for layer in layers]
                kept = [m.flatten(2).mean(2) if m.ndim == 4 else m for m in kept]
                views.append(torch.cat([m.flatten(1) for m in kept], 1).cpu())
            rows.append(torch.stack(views))
    return torch.cat(rows, 1).numpy()


def side_by_side(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(views, N, D) and labels (N,) -> (views * N, D) and (views * N,): every view is
    an example of its own."""
    return features.flatten(0, 1), labels.repeat(len(features))


def logistic_head(
    features: Tensor, labels: Tensor, classes: int, C: float = 0.01
) -> nn.Linear:
    """A linear layer from features (N, D), or (views, N, D), to logits of `classes`:
    logistic regression on standardised features (scikit-learn's), the
    standardisation folded into the layer.

    C: the larger, the closer to the training images and the less held back. A class
        without examples gets a logit below all others.

    Raises UsageError where there are fewer than two classes among the labels.
    """
    from sklearn.linear_model import LogisticRegression

    if features.ndim == 3:
        features, labels = side_by_side(features, labels)
    there = labels.unique()
    if len(there) < 2:
        raise UsageError("a head needs examples of at least two classes")
    mean, std = features.mean(0), features.std(0, correction=0).clamp(min=1e-6)
    points = ((features - mean) / std).numpy()
    fitted = LogisticRegression(C=C, max_iter=1000).fit(points, labels.numpy())
    weight = torch.from_numpy(fitted.coef_).float()
    bias = torch.from_numpy(fitted.intercept_).float()
    if len(there) == 2:  # one row, for the second class
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    weight = weight / std
    head = nn.Linear(features.shape[1], classes)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(-1e4)
        head.weight[there] = weight
        head.bias[there] = bias - weight @ mean
    return head


def answers(head: nn.Module, features: Tensor) -> Tensor:
    """Logarithms of probabilities (N, classes) of a head for features (N, D), or for
    (views, N, D) the views' probabilities averaged (test-time augmentation)."""
    with torch.no_grad():
        logits = head(features)
        if features.ndim == 2:
            return logits.log_softmax(1)
        return logits.softmax(2).mean(0).clamp(min=1e-30).log()
