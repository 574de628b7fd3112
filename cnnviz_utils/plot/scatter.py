"""Points in the plane and in space."""

from collections.abc import Sequence

import numpy as np

from cnnviz_utils.plot.figure import COLOURS, Picture, finish, new_figure


def plot_scatter(
    points: np.ndarray,
    groups: Sequence[str],
    *,
    xlabel: str,
    ylabel: str,
    width: float = 9,
    height: float = 4.8,
    alt: str | None = None,
) -> Picture:
    """Points (N, 2), coloured by group."""
    figure, axes = new_figure(width, height)
    axis, groups = axes[0, 0], np.asarray(groups)
    for i, name in enumerate(dict.fromkeys(groups)):
        chosen = np.asarray(points)[groups == name]
        axis.scatter(
            *chosen.T,
            s=14,
            alpha=0.75,
            color=COLOURS[i % len(COLOURS)],
            label=name,
            lw=0,
        )
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.8)
    return finish(
        figure,
        alt or f"Scatter of {len(points)} points by {', '.join(dict.fromkeys(groups))}",
    )


def plot_scatter3d(
    points: np.ndarray,
    groups: Sequence[str],
    *,
    labels: Sequence[str],
    width: float = 5.5,
    alt: str | None = None,
) -> Picture:
    """Points (N, 3) in a cube, coloured by group."""
    figure, axes = new_figure(width, width * 0.85, subplot_kw={"projection": "3d"})
    axis, groups = axes[0, 0], np.asarray(groups)
    for i, name in enumerate(dict.fromkeys(groups)):
        chosen = np.asarray(points)[groups == name]
        axis.scatter(
            *chosen.T, s=12, alpha=0.8, color=COLOURS[i % len(COLOURS)], label=name
        )
    axis.set(xlabel=labels[0], ylabel=labels[1], zlabel=labels[2])
    axis.view_init(25, 35)
    axis.set_box_aspect(None, zoom=0.92)  # room for the labels
    axis.legend(loc="upper left")
    return finish(
        figure,
        alt
        or f"Three-dimensional scatter of {len(points)} points: {', '.join(labels)}",
    )
