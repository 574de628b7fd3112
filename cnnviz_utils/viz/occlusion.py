"""Cover a part of the image and see what the answer loses: no gradient, no layer, no
rule. A network is asked once for each place of the cover."""

import torch
from torch import Tensor, nn

from cnnviz_utils.base.declared import Count, Side
from cnnviz_utils.base.settings import fitting
from cnnviz_utils.viz.located import check_images, looking
from cnnviz_utils.viz.targets import Targets, answer, picked


def occlusion(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    *,
    side: int = 16,
    stride: int = 8,
    fill: float = 0.5,
    softmax: bool = True,
    batch: int = 64,
) -> Tensor:
    """How much of its answer a network loses where a square of the image is covered.

    images (N, 3, H, W) in [0, 1] -> (N, H, W) float32: at each pixel the mean, over the
    squares that cover it, of the class's probability without a cover minus that with
    it. Positive where the network needs what it sees; probabilities that rise give
    negative values.

    targets: a class, one an image, or None for the predicted one.
    side, stride: of the square and of its steps, in pixels. The last square of a row or
        column may end outside the image, so that every pixel is covered.
    fill: the value of a covered pixel; Zeiler and Fergus took grey.
    softmax: probabilities, or (False) logits.
    batch: covered images that the network sees at a time.

    Raises:
        ValueError: images or targets wrong, a stride longer than the side (pixels that
            nothing covers).
        UsageError: side, stride or batch out of range.

    Zeiler and Fergus 2014, Visualizing and understanding convolutional networks.
    """
    for value, kind, name in (
        (side, Side, "side"),
        (stride, Side, "stride"),
        (batch, Count, "batch"),
    ):
        fitting(value, kind, name)
    if stride > side:
        raise ValueError(f"stride {stride} leaves gaps between squares of {side} px")
    with looking(model):
        seen = check_images(images, model)
        scores, chosen = _scores(model, seen, targets, softmax)
        height, width = seen.shape[2:]
        drops, covers = torch.zeros(2, len(seen), height, width).to(scores)
        asked = [
            (i, place)
            for i in range(len(seen))
            for place in _places(height, width, side, stride)
        ]
        for start in range(0, len(asked), batch):
            part = asked[start : start + batch]
            which = torch.tensor([i for i, _ in part], device=seen.device)
            covered = seen[which]  # a copy
            for image, (_, place) in zip(covered, part, strict=True):
                image[:, *place] = fill
            left, _ = _scores(model, covered, chosen[which], softmax)
            for (i, place), lost in zip(part, scores[which] - left, strict=True):
                drops[i, *place] += lost
                covers[i, *place] += 1
        return drops / covers


def _scores(
    model: nn.Module, images: Tensor, targets: Targets, softmax: bool
) -> tuple[Tensor, Tensor]:
    """The classes' probabilities or logits (N,) in float32, and the classes."""
    logits, chosen = answer(model, images, targets)
    logits = logits.float()
    return picked(logits.softmax(1) if softmax else logits, chosen), chosen


def _places(height: int, width: int, side: int, stride: int) -> list[tuple]:
    """Where the square lies: rows and columns, each a slice. The last one of an axis is
    the first that reaches its end."""
    rows, columns = (
        [slice(at, at + side) for at in range(0, max(1, n - side + stride), stride)]
        for n in (height, width)
    )
    return [(row, column) for row in rows for column in columns]
