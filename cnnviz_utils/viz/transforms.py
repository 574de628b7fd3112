"""Small, differentiable changes of a batch of images, drawn for each image by its own generator."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def moved(images: Tensor, draws: Tensor, shift: float, scale: float, rotate: float) -> Tensor:
    """Each image shifted by up to `shift` of its side, scaled by up to 1 +- `scale`, turned by up to `rotate` degrees.

    images (N, 3, H, W), draws (N, >= 4) in [-1, 1]: how much of each limit (right, down, larger, clockwise). One
    resampling for all of it, bilinear. What comes in from outside is mid-grey: mirrored, half an animal at the border
    would be seen as a whole one, and stay half.
    """
    if not (shift or scale or rotate):
        return images
    right, down = 2 * shift * draws[:, 0], 2 * shift * draws[:, 1]  # the grid's side is 2
    size, angle = 1 + scale * draws[:, 2], math.radians(rotate) * draws[:, 3]
    cos, sin = angle.cos() / size, angle.sin() / size
    back = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)  # where each pixel comes from
    offset = -(back @ torch.stack([right, down], 1)[:, :, None])
    grid = F.affine_grid(torch.cat([back, offset], 2).to(images.dtype), list(images.shape), align_corners=False)
    return 0.5 + F.grid_sample(images - 0.5, grid, padding_mode="zeros", align_corners=False)


def blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Each image by its own Gaussian, sigma (N,) in pixels, borders mirrored. Sigma 0 leaves an image as it is."""
    n, channels, height, width = images.shape
    radius = min(math.ceil(3 * float(sigma.max())), height - 1, width - 1)
    if radius == 0:
        return images
    x = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    line = torch.exp(-(x**2) / (2 * sigma.to(images.dtype).clamp(min=1e-3)[:, None] ** 2))
    line = (line / line.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None, None, :]
    planes = F.pad(images, (radius,) * 4, mode="reflect").flatten(0, 1)[None]
    across = F.conv2d(planes, line, groups=n * channels)
    return F.conv2d(across, line.transpose(2, 3), groups=n * channels)[0].unflatten(0, (n, channels))
