"""Adversarial images: the smallest lies that a network believes, and, trained on, the largest prior for its pictures."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnviz_utils.base.hooks import evaluating


def adversarial_examples(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps: float = 2.0, steps: int = 3, targeted: bool = False
) -> Tensor:
    """Images at most `eps` (L2, over the whole image in [0, 1]) away, changed so that the loss grows.

    images (N, 3, H, W) in [0, 1], labels (N,) -> (N, 3, H, W) in [0, 1]: projected gradient ascent on the
    cross-entropy, each step 2.5 * eps / steps long, each image by itself, without a random start. `targeted`: the
    loss falls instead, towards the labels given. Nothing is left in `.grad`, modes or statistics; training on these
    images in place of the originals makes a network robust.

    Madry et al. 2018, Towards deep learning models resistant to adversarial attacks.
    """
    direction = -1 if targeted else 1
    images = images.detach()
    change = torch.zeros_like(images)
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        images, labels = images.clone(), labels.clone()
        for _ in range(steps):
            pixels = (images + change).requires_grad_()
            loss = direction * F.cross_entropy(model(pixels), labels, reduction="sum")
            gradient = torch.autograd.grad(loss, pixels)[0]
            change = change + 2.5 * eps / steps * gradient / _length(gradient).clamp(min=1e-12)
            change = change * (eps / _length(change).clamp(min=1e-12)).clamp(max=1)
            change = (images + change).clamp(0, 1) - images  # only ever shorter: both are in the cube
        return (images + change).detach()


def _length(images: Tensor) -> Tensor:
    return images.flatten(1).norm(dim=1)[:, None, None, None]
