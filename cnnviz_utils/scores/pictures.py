"""Numbers about pictures: how rough they are, and how much of them is finer than a
natural image's detail."""

import torch
from torch import Tensor

from cnnviz_utils.base.pictures import total_variation

__all__ = ["high_frequency_share", "total_variation"]


def high_frequency_share(images: Tensor, above: float = 0.25) -> Tensor:
    """The share of an image's energy, its mean left out, at frequencies above `above`
    cycles a pixel (.5 is the finest that there is). (N, 3, H, W) -> (N,) in [0, 1];
    white noise: 1 - pi / 16 = .80. NaN for an image of one colour."""
    power = (
        torch.fft.fft2(images.double() - images.double().mean((2, 3), keepdim=True))
        .abs()
        .square()
        .sum(1)
    )
    rows, columns = (
        torch.fft.fftfreq(s, device=images.device, dtype=torch.float64)
        for s in images.shape[2:]
    )
    high = (rows[:, None] ** 2 + columns[None, :] ** 2).sqrt() > above
    return ((power * high).sum((1, 2)) / power.sum((1, 2))).float()
