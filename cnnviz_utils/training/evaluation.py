"""How good is a network? Logits and labels in, numbers and tables out; scikit-learn
does the counting."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cnnviz_utils.base.declared import Count
from cnnviz_utils.base.device import pick_device
from cnnviz_utils.base.files import write_whole
from cnnviz_utils.base.hooks import (
    capture,
    evaluating,
    in_its_type,
    layer_name,
    logits_of,
)
from cnnviz_utils.base.paths import as_path
from cnnviz_utils.base.settings import UsageError, check_name, fitting
from cnnviz_utils.data.loaders import at_once, batches
from cnnviz_utils.data.sets import ImageSet, Labelled
from cnnviz_utils.training.answered import check_answers, check_shapes

if TYPE_CHECKING:
    import pandas as pd


# no_grad and not inference_mode: parameters that are moved to a GPU inside
# inference_mode could not be trained afterwards
@torch.no_grad()
def predict(
    model: nn.Module,
    data: Labelled,
    batch_size: int = 256,
    device: str | torch.device = "auto",
) -> tuple[Tensor, Tensor]:
    """Logits (N, classes) and labels (N,) of a data set, in its order, on the CPU; in
    evaluation mode. A network may give its logits in a dict or a tuple (`logits_of`).
    """
    device = pick_device(device)
    model.to(device)
    with evaluating(model):
        # moved once at the end: moving each batch would wait for it
        logits = [
            _logits(model, images)
            for images, _ in batches(data, batch_size, device=device)
        ]
    return torch.cat(logits).cpu(), data.labels


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    return logits_of(model(in_its_type(model, images))).float()


@torch.no_grad()
def predict_tta(
    model: nn.Module,
    data: ImageSet,
    views: Sequence[Callable[[Tensor], Tensor]],
    share: float = 0.6,
    batch_size: int | None = None,
    device: str | torch.device = "auto",
) -> tuple[Tensor, Tensor]:
    """Test-time augmentation: classify every image as it is and in several views, and
    average the probabilities.

    views: functions from images (n, 3, H, W) to images of the same shape that do the
        same whenever they are called; see `augment.fixed_views`.
    share: the weight of all views together, in [0, 1]; the image as it is has the rest.
        0.6 is the choice of fastai's first version.
    batch_size: None is what suits the device (`at_once`).

    Returns the logarithm of the averaged probabilities (N, classes), which serves as
    logits, and labels (N,). Raises ValueError without views, or for a share out of
    range.
    """
    if not views or not 0 <= share <= 1:
        raise ValueError(
            "test-time augmentation needs views and a share in [0, 1], "
            f"not {len(views)} views and {share}"
        )
    device, found = pick_device(device), []
    batch_size = at_once(data, device) if batch_size is None else batch_size
    model.to(device)
    with evaluating(model):
        for images, _ in batches(data, batch_size, device=device):
            ask = lambda images: _logits(model, images).softmax(1)
            answers = [ask(view(images)) for view in views]
            if {len(one) for one in answers} != {len(images)}:
                raise ValueError("a view must give as many images as it is given")
            found.append(
                ((1 - share) * ask(images) + share * torch.stack(answers).mean(0)).cpu()
            )
    return torch.cat(found).clamp(min=1e-30).log(), data.labels


def top_k(logits: Tensor, labels: Tensor, k: int = 1) -> float:
    """Share of images whose label is among the k largest logits.

    NaN where that says nothing: with k classes or fewer every answer would be right,
    without images there is no share, and a logit that is NaN is no answer. Raises
    UsageError for a k below 1, or labels that do not belong to these logits.
    """
    fitting(k, Count, "k")
    check_shapes(logits, labels)
    if k >= logits.shape[1] or not len(logits) or logits.isnan().any():
        return math.nan
    return float(
        (logits.topk(k, dim=1).indices == labels[:, None]).any(1).double().mean()
    )


def classification_table(
    logits: Tensor, labels: Tensor, classes: Sequence[str]
) -> pd.DataFrame:
    """Precision, recall, F1 and support: one row for each class, then the rows "macro
    average" and "weighted average".

    A class that is never predicted has precision 0. Raises UsageError without images,
    for logits that are NaN, or labels or names that do not belong to them.
    """
    check_answers(logits, labels, classes)
    import pandas as pd
    from sklearn.metrics import precision_recall_fscore_support

    answers, numbers = logits.argmax(1).numpy(), range(len(classes))
    columns = ("precision", "recall", "f1", "support")
    scores = precision_recall_fscore_support(
        labels.numpy(), answers, labels=numbers, zero_division=0
    )
    table = pd.DataFrame(dict(zip(columns, scores, strict=True)), index=list(classes))
    for average in ("macro", "weighted"):
        row = precision_recall_fscore_support(
            labels.numpy(), answers, labels=numbers, zero_division=0, average=average
        )
        table.loc[f"{average} average"] = [*row[:3], len(labels)]
    return table


def confusion(
    logits: Tensor, labels: Tensor, classes: Sequence[str], normalise: str | None = None
) -> pd.DataFrame:
    """True classes in rows, answers in columns: counts, or with normalise="true"
    percent of each row, with "pred" percent of each column.

    Raises UsageError for another `normalise`, and as `classification_table` does.
    """
    if normalise is not None:
        check_name("way to normalise", normalise, ("true", "pred"))
    check_answers(logits, labels, classes)
    import pandas as pd
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(
        labels.numpy(), logits.argmax(1).numpy(), labels=range(len(classes))
    )
    table = pd.DataFrame(counts, index=list(classes), columns=list(classes))
    if normalise == "true":
        return 100 * table.div(table.sum(axis=1).clip(lower=1), axis=0)
    if normalise == "pred":
        return 100 * table.div(table.sum(axis=0).clip(lower=1), axis=1)
    return table


def calibration(
    logits: Tensor, labels: Tensor, bins: int = 10
) -> tuple[pd.DataFrame, float]:
    """Compare the probability of the predicted class with how often it is right.

    Returns a table with one row for each bin of equal width that holds images
    (confidence, accuracy, images), and the expected calibration error: the mean
    distance between confidence and accuracy, weighted by images (Guo et al. 2017).
    Raises UsageError as `classification_table` does.
    """
    import pandas as pd

    fitting(bins, Count, "bins")
    check_answers(logits, labels)
    confidence, answers = logits.softmax(1).max(1)
    frame = pd.DataFrame(
        {
            "confidence": confidence.numpy(),
            "accuracy": (answers == labels).double().numpy(),
        }
    )
    groups = frame.groupby(
        (frame["confidence"] * bins).clip(upper=bins - 1e-9).astype(int)
    )
    table = groups.mean().assign(images=groups.size()).reset_index(drop=True)
    error = (
        (table["confidence"] - table["accuracy"]).abs() * table["images"]
    ).sum() / len(labels)
    return table, float(error)


def confident_mistakes(logits: Tensor, labels: Tensor, n: int) -> Tensor:
    """Positions of at most n wrongly classified images, the most confident mistake
    first. Raises UsageError as `classification_table` does."""
    check_answers(logits, labels)
    fitting(n, Count, "n")
    confidence, answers = logits.softmax(1).max(1)
    wrong = (answers != labels).nonzero().flatten()
    return wrong[confidence[wrong].argsort(descending=True, stable=True)][:n]


@torch.no_grad()
def embeddings(
    model: nn.Module,
    data: ImageSet,
    layer: str | nn.Module,
    batch_size: int | None = None,
    device: str | torch.device = "auto",
) -> Tensor:
    """The response at a layer, (N, D), on the CPU; maps (C, h, w) are averaged over
    positions, so that D = C.

    batch_size: None is what suits the device (`at_once`). `viz.fast_copy` of a network
        gives the same sooner (but folded convolutions give what their BatchNorm gave).
    """
    device = pick_device(device)
    batch_size = at_once(data, device) if batch_size is None else batch_size
    model.to(device)
    found = []
    with evaluating(model), capture(model, [layer]) as maps:
        for images, _ in batches(data, batch_size, device=device):
            model(in_its_type(model, images))
            if layer not in maps:
                raise UsageError(
                    f"layer {layer_name(model, layer)!r} does not run in a forward "
                    "pass of this network"
                )
            response = maps[layer].float()
            found.append(
                (
                    response.mean((2, 3)) if response.ndim == 4 else response.flatten(1)
                ).cpu()
            )
    return torch.cat(found)


def predictions_csv(
    path: str | Path, ids: Sequence[str], logits: Tensor, classes: Sequence[str]
) -> None:
    """Write a CSV file with one line for each image, `Id,Category`, in the order given:
    all of it or nothing. Raises StorageError where it cannot be written, UsageError for
    logits that are NaN, or another number of ids or classes."""
    check_answers(logits, classes=classes)
    if len(ids) != len(logits):
        raise UsageError(f"{len(logits)} answers need as many ids, not {len(ids)}")
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["Id", "Category"])
    writer.writerows(
        zip(ids, (classes[i] for i in logits.argmax(1).tolist()), strict=True)
    )
    write_whole(as_path(path, "path"), file.getvalue())
