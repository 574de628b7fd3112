"""Pictures of pixels: images in grids, heat maps, heat maps over images."""

from collections.abc import Sequence
from textwrap import wrap

import matplotlib as mpl
import numpy as np
import torch
from torch import Tensor

from cnnviz_utils.base.ranges import check_floats, check_range
from cnnviz_utils.base.settings import UsageError, many
from cnnviz_utils.plot.figure import SMALLEST, Picture, finish, new_figure


def to_rgb(images: Tensor | np.ndarray) -> np.ndarray:
    """Images to uint8 (N, H, W, 3): from float (N, 3, H, W) or (N, 1, H, W) in [0, 1],
    or uint8 of that shape.

    Raises: ValueError: another shape, or values outside [0, 1] (a normalised image:
        show it before normalising).
    """
    array = (
        images.detach().float().cpu().numpy()
        if isinstance(images, Tensor) and images.is_floating_point()
        else np.asarray(images)
    )
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise ValueError(
            f"images must be (N, 3, H, W) or (N, 1, H, W), not {tuple(array.shape)}"
        )
    if array.dtype != np.uint8:
        check_range(array)
        array = (array.clip(0, 1) * 255).round().astype(np.uint8)
    return (
        np.repeat(array, 3, axis=1).transpose(0, 2, 3, 1)
        if array.shape[1] == 1
        else array.transpose(0, 2, 3, 1)
    )


def show_images(
    images,
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    width: float = 9,
    heading: str | None = None,
    rows: Sequence[str] | None = None,
    alt: str | None = None,
    colours: Sequence[str] | None = None,
) -> Picture:
    """A grid of images (N, 3, H, W) in [0, 1], or a list of such; `rows` names the
    grid's rows, `colours` the titles'.

    Pixels are shown as they are (nearest neighbour), so that a small image looks small
    and not blurred.
    """
    pixels = [to_rgb(image)[0] for image in images]
    columns = columns or min(len(pixels), 9)
    lines = -(-len(pixels) // columns)
    cell = (width - (0.6 if rows else 0)) / columns
    ratio = pixels[0].shape[0] / pixels[0].shape[1]
    size = float(np.clip(cell * 8, SMALLEST, 10))
    titles = [wrapped(title, cell, size) for title in titles or ()]
    tall = [
        max((t.count("\n") + 1 for t in titles[i : i + columns] if t), default=0)
        for i in range(0, lines * columns, columns)
    ]
    figure, axes = new_figure(
        width,
        lines * (cell * ratio + 0.06) + 0.19 * sum(tall) + (0.35 if heading else 0),
        lines,
        columns,
    )
    for i, axis in enumerate(axes.flat):
        axis.set(xticks=[], yticks=[])  # the layout would measure them twice
        if rows and i % columns == 0:  # a row's name stands at this axis
            axis.grid(False)
            axis.spines[:].set_visible(False)
        else:
            axis.set_axis_off()
        if i < len(pixels):
            axis.imshow(
                pixels[i],
                interpolation="nearest" if pixels[i].shape[0] <= 160 else "antialiased",
            )
            if titles:
                axis.set_title(
                    titles[i],
                    fontsize=size,
                    fontweight="normal",
                    pad=3,
                    color=colours[i] if colours else "black",
                )
    for name, axis in zip(rows or (), axes[:, 0], strict=False):
        axis.set_ylabel(name, fontsize=9)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    if heading:
        # over a row that is not full it stands above the images, not in the middle
        at = {"x": 0.01, "ha": "left"} if len(pixels) < columns else {}
        figure.suptitle(heading, fontsize=11, fontweight="bold", **at)
    listed = (
        f": {', '.join(dict.fromkeys(t.replace(chr(10), ' ') for t in titles[:12]))}"
        if titles
        else ""
    )
    return finish(
        figure,
        alt
        or f"{heading + '. ' if heading else ''}"
        f"{many(len(pixels), 'image')} in {many(lines, 'row')}{listed}",
    )


def wrapped(title: str, width: float, size: float) -> str:
    """A title in as many lines as it needs in a cell of so many inches: broken between
    words, a single long word never."""
    letters = max(1, int(width * 72 / (0.63 * size)))
    lines = [wrap(line, letters, break_long_words=False) for line in title.split("\n")]
    return "\n".join("\n".join(parts) for parts in lines)


def colour_map(maps: Tensor, cmap: str = "inferno") -> Tensor:
    """Heat maps (N, h, w) in [0, 1] to RGB (N, 3, h, w) in [0, 1]; NaN is drawn
    grey."""
    rgba = mpl.colormaps[cmap].with_extremes(bad="0.5")(
        np.ma.masked_invalid(maps.detach().cpu().float().numpy())
    )
    return torch.from_numpy(
        np.ascontiguousarray(rgba[..., :3].transpose(0, 3, 1, 2))
    ).float()


def overlay(
    images: Tensor, maps: Tensor, alpha: float = 0.5, cmap: str = "inferno"
) -> Tensor:
    """Heat maps (N, H, W) in [0, 1], half transparent over images (N, 3, H, W) in [0,
    1] -> (N, 3, H, W).

    Raises UsageError for values outside [0, 1] (NaN in a map is drawn grey), or maps of
    another size than the images.
    """
    check_floats(images)
    check_range(images)
    check_range(maps.nan_to_num(0), "heat maps (viz.normalise_maps brings them there)")
    if maps.shape[-2:] != images.shape[-2:]:
        raise UsageError(
            f"maps of {tuple(maps.shape[-2:])} do not cover images of "
            f"{tuple(images.shape[-2:])} px: viz.upsample_maps enlarges them"
        )
    return (1 - alpha) * images.cpu() + alpha * colour_map(maps, cmap)


def show_heatmaps(
    maps: Tensor,
    titles: Sequence[str],
    *,
    label: str,
    columns: int | None = None,
    width: float = 9,
    cmap: str = "inferno",
    symmetric: bool = False,
    shared: bool = True,
    alt: str | None = None,
) -> Picture:
    """Numbers as colour: (N, h, w) with one colour bar (`shared`) or one each;
    `symmetric` puts 0 in the middle."""
    values = [np.asarray(m, dtype=float) for m in maps]
    columns = columns or min(len(values), 6)
    lines = -(-len(values) // columns)
    cell = width / columns
    ratio = values[0].shape[0] / values[0].shape[1]
    figure, axes = new_figure(
        width, lines * (cell * ratio * 0.92 + 0.3), lines, columns
    )
    top = (
        max(float(np.nanmax(np.abs(v) if symmetric else v)) for v in values)
        if shared
        else None
    )
    low = None
    if top is not None:
        low = -top if symmetric else min(float(np.nanmin(v)) for v in values)
    for i, axis in enumerate(axes.flat):
        if i >= len(values):
            axis.set_axis_off()
            continue
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        image = axis.imshow(
            values[i], cmap="RdBu_r" if symmetric else cmap, vmin=low, vmax=top
        )
        axis.set_title(titles[i], fontsize=9, fontweight="normal")
        if not shared:
            figure.colorbar(image, ax=axis, shrink=0.8)
    if shared:
        figure.colorbar(
            image, ax=axes, label=label, shrink=min(1.0, 2.2 / (lines * cell) + 0.35)
        )
    return finish(figure, alt or f"Heat maps of {label}: {', '.join(titles)}")
