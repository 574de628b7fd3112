"""Baseline maps that do not depend on the network. A method's score means something
only if it is higher than theirs; the best possible score is that of the mask itself."""

import torch
from torch import Tensor
from torch.nn import functional as F


def random_maps(n: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Uniform noise, (n, H, W) in [0, 1): the level of chance."""
    return torch.rand(n, *size, generator=generator)


def centre_blob(n: int, size: tuple[int, int], width: float = 0.25) -> Tensor:
    """The same Gaussian in the middle of every image, (n, H, W) in (0, 1], with a
    standard deviation of `width` of the side: the score that one gets by assuming that
    photographers put the object into the middle."""
    axes = [(torch.arange(s) + 0.5) / s - 0.5 for s in size]
    blob = torch.exp(-(axes[0][:, None] ** 2 + axes[1][None, :] ** 2) / (2 * width**2))
    return blob.expand(n, *size).clone()


def sobel_edges(images: Tensor) -> Tensor:
    """The strength of edges in the grey image, (N, 3, H, W) -> (N, H, W) >= 0. Many
    methods' maps look much like it although it does not depend on the network (Adebayo
    et al. 2018, section 4)."""
    grey = images.float().mean(1, keepdim=True)
    filters = (
        torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=images.device) / 8
    )
    both = torch.stack([filters, filters.T])[:, None]
    edges = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), both)
    return edges.square().sum(1).sqrt()
