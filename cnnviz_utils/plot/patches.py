"""The figure of Zeiler and Fergus (2014): the image patches that a channel responds to,
and beside them the deconvnet's projections of these responses."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz_utils.plot.figure import Picture, finish, new_figure


def signed_pictures(values: Tensor, quantile: float = 0.995) -> Tensor:
    """Signed pictures (..., C, H, W) to [0, 1] for display: zero becomes mid-grey, and
    each picture has its own scale.

    The `quantile` of a picture's magnitudes reaches black or white, so that one extreme
    pixel does not leave the rest grey; all its colours share that scale. A picture of
    zeros is mid-grey all over.
    """
    magnitudes = values.detach().float().abs().flatten(-3)
    top = torch.quantile(magnitudes, quantile, dim=-1)
    top = torch.where(top > 0, top, magnitudes.amax(-1)).clamp(min=1e-12)[
        ..., None, None, None
    ]
    return (0.5 + 0.5 * values.detach().float() / top).clamp(0, 1)


def mosaic(images: Tensor, columns: int = 3, side: int = 64) -> Tensor:
    """Images (N, C, h, w) side by side with thin white lines between them, as one (C,
    H, W) in [0, 1].

    Small images are enlarged by a whole factor to about `side` pixels first, so that
    the lines stay thin.
    """
    factor = max(1, round(side / images.shape[-1]))
    big = (
        images.detach()
        .float()
        .repeat_interleave(factor, -1)
        .repeat_interleave(factor, -2)
    )
    gap = max(2, round(side / 24))
    padded = F.pad(big, (0, gap, 0, gap), value=1.0)
    short = -len(padded) % columns
    padded = torch.cat([padded, padded.new_ones(short, *padded.shape[1:])])
    rows = (
        padded.unflatten(0, (-1, columns))
        .permute(2, 0, 3, 1, 4)
        .flatten(3)
        .flatten(1, 2)
    )
    return rows[:, :-gap, :-gap]


def show_patches(
    patches: Tensor,
    projections: Tensor,
    titles: Sequence[str],
    *,
    heading: str | None = None,
    columns: int = 3,
    grid: int = 3,
    width: float = 9,
    alt: str | None = None,
) -> Picture:
    """One panel for each channel: its projections on the left, the image patches that
    they belong to on the right.

    patches: (channels, top, 3, h, w) in [0, 1]; projections: of the same shape, signed,
        drawn around mid-grey
    grid: patches side by side in each half of a panel
    columns: panels side by side, `width` inches together (fewer channels make a
        narrower figure)
    """
    panel, columns = width / columns, min(columns, len(patches))
    lines = -(-len(patches) // columns)
    rows = -(-patches.shape[1] // grid)
    tall = panel / 2 * rows / grid * patches.shape[-2] / patches.shape[-1]
    figure, axes = new_figure(
        panel * columns,
        lines * (tall + 0.17) + (0.34 if heading else 0),
        lines,
        2 * columns,
    )
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.0, hspace=0.02)
    for axis in axes.flat:
        axis.set_axis_off()
    for i, title in enumerate(titles):
        left, right = axes[i // columns, 2 * (i % columns) :][:2]
        for axis, pictures in (
            (left, signed_pictures(projections[i])),
            (right, patches[i]),
        ):
            axis.imshow(
                mosaic(pictures, grid).clamp(0, 1).permute(1, 2, 0).cpu().numpy(),
                interpolation="antialiased",
            )
        left.set_title(title, fontsize=9, fontweight="normal", loc="left", pad=3)
    if heading:
        figure.suptitle(heading, fontsize=11, fontweight="bold")
    return finish(
        figure,
        alt
        or f"{heading + '. ' if heading else ''}"
        "Deconvnet projections beside the strongest patches "
        f"of {len(titles)} channels: {', '.join(titles[:12])}",
        palette=True,
    )
