"""Answers that are to be counted, looked at first: a number is made of those that are
answers, and of nothing else."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cnnviz_utils.base.settings import UsageError


def check_labels(labels: Tensor, images: int, classes: int) -> None:
    """Raises UsageError unless there is a class number for every image, below
    `classes`."""
    if not isinstance(labels, Tensor) or labels.shape != (images,):
        shown = list(getattr(labels, "shape", [])) or type(labels).__name__
        raise UsageError(
            f"{images} images need a tensor of as many labels, not {shown}"
        )
    if labels.is_floating_point() or labels.dtype == torch.bool:
        kind = str(labels.dtype).removeprefix("torch.")
        raise UsageError(f"labels are class numbers, not {kind}")
    if images and not 0 <= labels.min() <= labels.max() < classes:
        raise UsageError(
            f"labels must be from 0 to {classes - 1}, a logit each, not from "
            f"{int(labels.min())} to {int(labels.max())}"
        )


def check_answers(
    logits: Tensor, labels: Tensor | None = None, classes: Sequence[str] | None = None
) -> None:
    """Raises UsageError unless logits (N, C) are numbers, with one label an image and
    one name a class where these are given."""
    check_shapes(logits, labels, classes)
    if not len(logits):
        raise UsageError("there are no images whose answers could be counted")
    if logits.isnan().any():
        raise UsageError("some logits are NaN, which is no answer to be counted")


def check_shapes(
    logits: Tensor, labels: Tensor | None = None, classes: Sequence[str] | None = None
) -> None:
    """The same, but there may be no image, and logits may be NaN."""
    n = len(logits) if labels is None else len(labels)
    count = logits.shape[-1] if classes is None else len(classes)
    if logits.ndim != 2 or logits.shape != (n, count):
        asked = [f"{n} labels"] if labels is not None else []
        asked += [f"{count} classes"] if classes is not None else []
        raise UsageError(
            f"{' and '.join(asked) or 'answers'} need logits of shape "
            f"({n}, {count}), not {tuple(logits.shape)}"
        )
    if labels is not None:
        check_labels(labels, n, count)
