"""Heat maps drawn as lines, so that the image under them stays to be seen."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

LIGHT, DARK = (1.0, 1.0, 1.0), (0.05, 0.05, 0.05)  # seen on any ground together


def contours(
    images: Tensor,
    maps: Tensor,
    levels: Sequence[float] = (0.5,),
    colour: Sequence[float] = (1.0, 0.85, 0.1),
    enlarge: int = 4,
) -> Tensor:
    """Lines around the places where heat maps exceed `levels`, drawn on the images.

    images (N, 3, H, W) and maps (N, H, W) in [0, 1] -> (N, 3, s H, s W) in [0, 1],
    s = `enlarge`. Images keep their pixels, maps are enlarged smoothly. A line has a
    dark rim; its colour is red, green and blue in [0, 1], and the higher the level the
    closer it is to white. It is two pixels wide where the result has up to 256 pixels
    a side, and wider in proportion where it has more: pages show both equally large.

    Raises ValueError if the maps have another size than the images.
    """
    if maps.shape[-2:] != images.shape[-2:] or len(maps) != len(images):
        raise ValueError(
            f"contours(): maps {tuple(maps.shape)} do not fit images "
            f"{tuple(images.shape)}; enlarge them first (upsample_maps)"
        )
    big = images.detach().cpu().float()
    big = big.repeat_interleave(enlarge, 2).repeat_interleave(enlarge, 3).clone()
    heat = F.interpolate(
        maps.detach().cpu().float()[:, None],
        scale_factor=enlarge,
        mode="bilinear",
        align_corners=False,
    )
    thick = max(1, round(min(big.shape[-2:]) / 256))
    for number, level in enumerate(sorted(levels)):
        inside = (heat > level).float()
        paler = number / max(1, len(levels))
        line = torch.tensor(colour) * (1 - paler) + torch.tensor(LIGHT) * paler
        rim = (_grown(inside, 2 * thick) > 0) & (_grown(1 - inside, 2 * thick) > 0)
        core = (_grown(inside, thick) > 0) & (_grown(1 - inside, thick) > 0)
        big = torch.where(rim, torch.tensor(DARK).view(1, 3, 1, 1), big)
        big = torch.where(core, line.view(1, 3, 1, 1), big)
    return big


def _grown(area: Tensor, pixels: int) -> Tensor:
    """An area (N, 1, H, W) of ones, larger by some pixels on every side."""
    return F.max_pool2d(area, 2 * pixels + 1, 1, pixels)
