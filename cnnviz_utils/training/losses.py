"""What a network gave in training, and how far that is from the labels."""

import torch.nn.functional as F
from torch import Tensor

from cnnviz_utils.base.hooks import logits_of
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.training.config import TrainConfig


def heads_of(output: object) -> tuple[Tensor, list[Tensor]]:
    """The logits (n, classes) that a network gave, and those of its auxiliary heads:
    GoogLeNet gives several of one shape in training, of which the first counts.

    Raises: ValueError: it can't be told which are the logits, see `logits_of`.
    """
    if isinstance(output, tuple):
        found = [logits for logits in output if isinstance(logits, Tensor)]
        if found and {logits.shape for logits in found} == {found[0].shape}:
            return found[0], found[1:]
    return (output if isinstance(output, Tensor) else logits_of(output)), []


def loss_of(
    logits: Tensor,
    auxiliary: list[Tensor],
    labels: Tensor,
    config: TrainConfig,
    weights: Tensor | None,
) -> Tensor:
    """The cross-entropy of the logits (n, classes), and with weight 0.3 that of the
    auxiliary heads (Szegedy 2015)."""
    loss = lambda logits: F.cross_entropy(
        logits, labels, weight=weights, label_smoothing=config.label_smoothing
    )
    if auxiliary:
        return loss(logits) + 0.3 * sum(map(loss, auxiliary))
    return loss(logits)


def check_outputs(logits: Tensor, images: int, classes: int) -> None:
    """Raises UsageError unless there is a logit for every image and class."""
    if logits.ndim != 2 or len(logits) != images or logits.shape[1] < classes:
        raise UsageError(
            f"{images} images of {classes} classes need logits of shape ({images}, "
            f"{classes}), this network gives {tuple(logits.shape)}: build it with "
            f"{classes} classes"
        )
