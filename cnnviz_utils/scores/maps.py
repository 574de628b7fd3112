"""What all scores rest on: the check that maps and masks fit, and ranks with ties
shared."""

import torch
from torch import Tensor
from torch.nn import functional as F


def ranks(values: Tensor) -> Tensor:
    """Ranks along the last dimension, from 1; equal values share their mean rank. (...,
    n) -> (..., n) float64."""
    order = values.argsort(-1)
    ordered = values.gather(-1, order)
    number = torch.arange(
        1, values.shape[-1] + 1, dtype=torch.float64, device=values.device
    ).expand_as(ordered)
    group = F.pad((ordered[..., 1:] != ordered[..., :-1]).long().cumsum(-1), (1, 0))
    total = torch.zeros_like(number).scatter_add(-1, group, number)
    size = torch.zeros_like(number).scatter_add(-1, group, torch.ones_like(number))
    return torch.empty_like(number).scatter(
        -1, order, (total / size.clamp(min=1)).gather(-1, group)
    )


def check_maps(heatmaps: Tensor, masks: Tensor | None = None) -> None:
    """Raises ValueError unless maps are (N, H, W) and masks are bool of that shape."""
    if heatmaps.ndim != 3 or not heatmaps.is_floating_point():
        raise ValueError(
            "heat maps must be floats (N, H, W), "
            f"not {heatmaps.dtype} {tuple(heatmaps.shape)}"
        )
    if masks is not None and (
        masks.dtype != torch.bool or masks.shape != heatmaps.shape
    ):
        raise ValueError(
            f"masks must be bool {tuple(heatmaps.shape)} like the maps, "
            f"not {masks.dtype} {tuple(masks.shape)}: "
            "upsample the maps to the images first"
        )
