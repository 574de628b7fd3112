"""Training on images that were changed on purpose: by noise, or by an adversary that
changes every pixel a little so that the loss grows.

A network that keeps its answer under such changes cannot rely on fine patterns that
mean nothing to a person. Images that maximise its class scores look more like the
class: see `viz.class_images`.

Madry et al. 2018, Towards deep learning models resistant to adversarial attacks;
Santurkar et al. 2019, Image synthesis with a single (robust) classifier.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from cnnviz_utils.base.checked import Checked
from cnnviz_utils.base.declared import Count
from cnnviz_utils.base.hooks import evaluating, in_its_type, logits_of
from cnnviz_utils.base.ranges import check_floats, check_range
from cnnviz_utils.base.settings import fitting
from cnnviz_utils.training.answered import check_labels
from cnnviz_utils.training.losses import check_outputs

Distance = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Change(Checked):
    """What is done to a batch of training images before the network learns from it: the
    argument `change` of `fit`. Raises UsageError for a value out of range."""

    noise: Annotated[
        float,
        Field(
            ge=0,
            description="Gaussian noise on every number, with a standard deviation of "
            "its own for each image, from 0 to this; images lie in [0, 1]",
        ),
    ] = 0.0
    eps: Annotated[
        float,
        Field(
            ge=0,
            description="how far (L2, over the whole image) an adversary may move each "
            "image; 0 for none",
        ),
    ] = 0.0
    steps: Annotated[Count, Field(description="in how many steps")] = 1

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """images (N, 3, H, W) in [0, 1], labels (N,) -> images (N, 3, H, W) in [0,
        1]."""
        if self.noise:
            strength = self.noise * torch.rand(
                len(images), 1, 1, 1, generator=generator
            )
            noise = strength * torch.randn(images.shape, generator=generator)
            images = (images + noise.to(images.device)).clamp(0, 1)
        if self.eps:
            images = adversarial_examples(
                model, images, labels, eps=self.eps, steps=self.steps
            )
        return images


def adversarial_examples(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float = 2.0,
    steps: int = 3,
    targeted: bool = False,
) -> Tensor:
    """Images at most `eps` (L2, over the whole image in [0, 1]) away, changed so that
    the loss grows.

    images (N, 3, H, W) in [0, 1], labels (N,) -> (N, 3, H, W) in [0, 1]: projected
    gradient ascent on the cross-entropy, each step 2.5 * eps / steps long, each image
    by itself, without a random start. `targeted`: the loss falls instead, towards the
    labels given. Nothing is left in `.grad`, modes or statistics; training on these
    images in place of the originals makes a network robust.

    Madry et al. 2018, Towards deep learning models resistant to adversarial attacks.

    Raises UsageError for images out of range, or labels that are no classes of the
    network.
    """
    fitting(eps, Distance, "eps")
    fitting(steps, Count, "steps")
    check_floats(images)
    check_range(images)
    direction = -1 if targeted else 1
    images = images.detach()
    change = torch.zeros_like(images)
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        images, labels = images.clone(), labels.clone()
        for _ in range(steps):
            pixels = (images + change).requires_grad_()
            logits = logits_of(model(in_its_type(model, pixels))).float()
            check_outputs(logits, len(images), 1)
            check_labels(labels, len(images), logits.shape[1])
            loss = direction * F.cross_entropy(logits, labels, reduction="sum")
            gradient = torch.autograd.grad(loss, pixels)[0]
            change = change + 2.5 * eps / steps * gradient / _length(gradient).clamp(
                min=1e-12
            )
            change = change * (eps / _length(change).clamp(min=1e-12)).clamp(max=1)
            # stay in [0, 1]; this can only shorten the change
            change = (images + change).clamp(0, 1) - images
        return (images + change).detach()


def _length(images: Tensor) -> Tensor:
    return images.flatten(1).norm(dim=1)[:, None, None, None]
