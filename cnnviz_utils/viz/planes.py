"""Ways to write an image down: as waves with natural strengths, in natural colours.

A gradient that moves these numbers finds large shapes and the colours of photos more
easily than one that moves red, green and blue of every pixel.
"""

import torch
from torch import Tensor

# How the colours of photos go together: `colour_matrix` of 1500 photos of Caltech-101
# at 64 px. The columns are light, red against blue, green against the two others.
NATURAL_COLOURS = (
    (0.285, 0.107, -0.022),
    (0.293, -0.006, 0.048),
    (0.293, -0.098, -0.027),
)


def wave_strengths(size: int) -> Tensor:
    """1 / frequency, frequencies in cycles a pixel, the constant counted like one cycle
    an image; (size, size//2 + 1).

    Natural images have such spectra. For the ascent it means: large shapes come easily,
    fine texture late.
    """
    rows, columns = torch.fft.fftfreq(size), torch.fft.rfftfreq(size)
    frequency = (rows[:, None] ** 2 + columns[None, :] ** 2).sqrt()
    return 1 / frequency.clamp(min=1 / size)


def waves_to_planes(numbers: Tensor, size: int) -> Tensor:
    """Real and imaginary parts of waves (N, 3, size, size // 2 + 1, 2) -> planes (N, 3,
    size, size) around zero."""
    spectrum = torch.view_as_complex(numbers) * wave_strengths(size).to(numbers.device)
    # / 4: a step of Adam moves a pixel by some %
    return torch.fft.irfft2(spectrum, s=(size, size), norm="ortho") / 4


def to_rgb(planes: Tensor, colours: bool) -> Tensor:
    """Planes of any numbers (N, 3, H, W) -> images in (0, 1), by the logistic function;
    0 is mid-grey. With `colours` the three planes are light and two colour contrasts,
    mixed to red, green and blue as photos mix them."""
    if colours:
        mix = torch.tensor(NATURAL_COLOURS, dtype=planes.dtype, device=planes.device)
        planes = torch.einsum("rc,nchw->nrhw", mix / mix.norm(dim=0).max(), planes)
    return planes.sigmoid()


def colour_matrix(images: Tensor) -> Tensor:
    """A square root M of the images' colour covariance, M M^T = covariance: (N, 3, H,
    W) -> (3, 3). Its columns are the principal colours times their standard deviations,
    the largest first, the largest entry of each positive."""
    variances, axes = torch.linalg.eigh(
        torch.cov(images.double().transpose(0, 1).flatten(1))
    )
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    return (axes * variances.clamp(min=0).sqrt()).flip(1).float()
