"""Accuracy against cost: labelled markers whose area is a third number; boxes drawn
into images."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, PercentFormatter
from matplotlib.transforms import Bbox
from torch import Tensor

from cnnviz_utils.plot.figure import COLOURS, SMALLEST, Picture, finish, new_figure

# directions from a marker to its label: right, left, above, below, and the corners
PLACES = (
    (1, 0),
    (-1, 0),
    (0, 1),
    (0, -1),
    (0.7, 0.7),
    (-0.7, 0.7),
    (0.7, -0.7),
    (-0.7, -0.7),
)


def plot_bubbles(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    area: str,
    xlabel: str,
    ylabel: str,
    spread: str | None = None,
    percent: bool = False,
    groups: Mapping[str, str] | None = None,
    width: float = 9,
    height: float = 4.8,
    alt: str | None = None,
) -> Picture:
    """A marker for each row of the table, labelled by its index, on a logarithmic x
    axis.

    x, y, area: columns; the largest marker belongs to the largest `area`, 0 is drawn as
        a small dot.
    spread: a column, drawn as a bar of +- that much. groups: row name -> group, which
    gives the colour and the legend. Labels are put where they touch neither a marker
    nor another label, nearest places first.
    """
    figure, axes = new_figure(width, height)
    axis, names = axes[0, 0], [str(name) for name in table.index]
    kinds = [groups[name] if groups else name for name in names]
    colours = {
        kind: COLOURS[i % len(COLOURS)] for i, kind in enumerate(dict.fromkeys(kinds))
    }
    # points: the area follows the number
    radius = 3 + 15 * np.sqrt(table[area].to_numpy(float) / table[area].max())
    if spread:
        axis.errorbar(
            table[x],
            table[y],
            yerr=table[spread],
            fmt="none",
            ecolor="0.3",
            elinewidth=1,
            capsize=2,
            zorder=3,
        )
    axis.scatter(
        table[x],
        table[y],
        s=np.pi * radius**2,
        c=[colours[k] for k in kinds],
        alpha=0.55,
        lw=0.8,
        edgecolors="white",
        zorder=2,
    )
    axis.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    # a short axis has room for all of them
    written = "25" if table[x].max() > 8 * table[x].min() else "23456789"
    axis.xaxis.set_minor_formatter(
        FuncFormatter(
            lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in written else ""
        )
    )
    axis.tick_params(axis="x", which="minor", labelsize=SMALLEST)
    axis.margins(0.16, 0.16)
    if percent:
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if groups:
        for kind, colour in colours.items():
            axis.scatter([], [], s=60, color=colour, alpha=0.6, label=kind)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    _place_labels(figure, axis, table[[x, y]].to_numpy(float), names, radius)
    listed = "; ".join(
        f"{n} {row[x]:.3g}, {row[y]:.3g}"
        for n, (_, row) in zip(names, table.iterrows(), strict=True)
    )
    return finish(
        figure, alt or f"{ylabel} against {xlabel}: {listed}; marker area: {area}"
    )


def _place_labels(
    figure, axis, points: np.ndarray, names: Sequence[str], radius: np.ndarray
) -> None:
    """Put each label beside its marker: try places at growing distances, and keep the
    first that touches nothing, or the one that covers least."""
    # fixes the layout, so that points can be turned into pixels
    figure.draw_without_rendering()
    pixel = figure.dpi / 72
    centres = axis.transData.transform(points)
    markers = [
        Bbox.from_bounds(*(c - r * pixel), 2 * r * pixel, 2 * r * pixel)
        for c, r in zip(centres, radius, strict=True)
    ]
    taken, frame, renderer = (
        list(markers),
        axis.get_window_extent(),
        figure.canvas.get_renderer(),
    )
    for i, name in enumerate(names):
        best = None
        for away, (dx, dy) in ((a, p) for a in (3, 12, 24) for p in PLACES):
            text = axis.annotate(
                name,
                points[i],
                ((radius[i] + away) * dx, (radius[i] + away) * dy),
                fontsize=9,
                zorder=4,
                textcoords="offset points",
                ha={1: "left", 0: "center", -1: "right"}[int(np.sign(dx))],
                va={1: "bottom", 0: "center", -1: "top"}[int(np.sign(dy))],
                arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "0.5"}
                if away > 3
                else None,
            )
            text.update_positions(renderer)
            # the text's extent: the annotation's own would include its arrow
            box = Text.get_window_extent(text, renderer)
            others = [b for j, b in enumerate(taken) if j != i]
            covered = sum(_shared(box, b) for b in others) + _outside(box, frame)
            if best is None or covered < best[0]:
                if best:
                    best[1].remove()
                best = (covered, text, box)
            else:
                text.remove()
            if covered == 0:
                break
        assert best is not None  # there is at least one place to try
        taken.append(best[2])


def _shared(a: Bbox, b: Bbox) -> float:
    both = Bbox.intersection(a, b)
    return both.width * both.height if both else 0.0


def _outside(box: Bbox, frame: Bbox) -> float:
    return box.width * box.height - _shared(box, frame)


def draw_box(
    image: Tensor,
    box: tuple[int, int, int, int],
    colour: str = COLOURS[1],
    width: int = 1,
) -> Tensor:
    """The image (3, H, W) in [0, 1] with a frame of `width` pixels just inside top,
    left, bottom, right."""
    top, left, bottom, right = box
    framed = image.clone()
    paint = framed.new_tensor(to_rgb(colour)).view(3, 1, 1)
    for rows, columns in (
        (slice(top, top + width), slice(left, right)),
        (slice(bottom - width, bottom), slice(left, right)),
        (slice(top, bottom), slice(left, left + width)),
        (slice(top, bottom), slice(right - width, right)),
    ):
        framed[:, rows, columns] = paint
    return framed
