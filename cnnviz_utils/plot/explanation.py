"""What a network says about photos, and where it looks."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from cnnviz_utils.plot.figure import (
    COLOURS,
    COLUMN_INCHES,
    Picture,
    finish,
    new_figure,
)
from cnnviz_utils.plot.images import overlay, to_rgb

# inches: around everything, between columns, for the title of a cell, for the heading
MARGIN, GAP, TITLE, HEADING = 0.1, 0.2, 0.27, 0.35


def show_explanations(
    images: Tensor,
    maps: Tensor,
    answers: Sequence[Sequence[tuple[str, float]]],
    *,
    titles: Sequence[str],
    captions: Sequence[str],
    heading: str,
) -> Picture:
    """A photo, the photo under its map, and a bar for each of its best classes; several
    photos one below the other.

    images: (N, 3, H, W) in [0, 1]; maps: (N, H, W) in [0, 1]; answers: for each photo
        (class name, share of 1), the largest first; titles: of the photos; captions: of
        the maps.
    """
    several = len(images) > 1
    figure, axes = _rows(len(images), (1, 1, 2 if several else 1))
    mixed = to_rgb(overlay(images, maps).clamp(0, 1))
    photos = to_rgb(images)
    for axis in axes.flat:
        axis.set_axis_off()
    for i in range(len(images)):
        for k, (pixels, text) in enumerate(
            [(photos[i], titles[i]), (mixed[i], captions[i])]
        ):
            axes[i, k].imshow(pixels, interpolation="antialiased")
            axes[i, k].set_title(
                _short(text, 30), fontsize=9, fontweight="normal", pad=3
            )
        _bars(axes[i, 2], answers[i], 0.5 if several else 1)
    top = 1 - MARGIN / figure.get_figheight()
    figure.suptitle(heading, fontsize=11, fontweight="bold", y=top, va="top")
    said = "; ".join(
        (f"{title}: " if title else "") + _in_words(best)
        for title, best in zip(titles, answers, strict=True)
    )
    return finish(figure, f"{heading}. Photos, their maps and their classes. {said}")


def _rows(count: int, widths: Sequence[int]) -> tuple[Figure, np.ndarray]:
    """A figure of so many rows, as high as a cell of width 1 is wide, with room for a
    title above each; its axes (count, columns).

    The places are reckoned here: matplotlib's own layout takes half a minute for a
    hundred rows.
    """
    inches = COLUMN_INCHES - 2 * MARGIN - (len(widths) - 1) * GAP
    side = inches / sum(widths)
    height = HEADING + count * (TITLE + side) + MARGIN
    figure, axes = new_figure(COLUMN_INCHES, height, count, len(widths))
    figure.set_layout_engine("none")
    lefts = MARGIN + np.cumsum([0, *(width * side + GAP for width in widths[:-1])])
    for row in range(count):
        bottom = height - HEADING - (row + 1) * (TITLE + side)
        for axis, left, width in zip(axes[row], lefts, widths, strict=True):
            place = np.array([left, bottom, width * side, side])
            axis.set_position(place / [COLUMN_INCHES, height, COLUMN_INCHES, height])
    return figure, axes


def show_answers(
    image: Tensor, answers: Sequence[tuple[str, float]], title: str = ""
) -> Picture:
    """One image, and a bar for each of the classes that a network sees in it.

    image: (1, 3, H, W) or (3, H, W) in [0, 1]; answers: (class name, share of 1), the
        largest first.
    """
    figure, axes = new_figure(5, 2.6, 1, 2)
    picture, bars = axes[0]
    picture.set_axis_off()
    picture.imshow(to_rgb(image.clamp(0, 1).reshape(1, *image.shape[-3:]))[0])
    picture.set_title(title, fontsize=9, fontweight="normal", pad=3)
    _bars(bars, answers, 1)
    return finish(figure, f"{title or 'An image'}, seen as: {_in_words(answers)}")


def _bars(axis, best: Sequence[tuple[str, float]], aspect: float) -> None:
    """A thin bar for each class, with its name and share in a line above it, where they
    cover nothing and a long name has room."""
    places = np.arange(len(best))
    axis.set_axis_on()
    axis.set_box_aspect(aspect)  # as high as the photo
    bars = {"height": 0.26, "left": 0}
    axis.barh(places + 0.2, np.ones(len(best)), color="#e9edf1", **bars)
    axis.barh(places + 0.2, [share for _, share in best], color=COLOURS[0], **bars)
    for place, (name, share) in zip(places, best, strict=True):
        words = {"y": place - 0.16, "va": "center", "fontsize": 9}
        axis.text(x=0, s=_short(name, 28 if aspect == 1 else 44), **words)
        axis.text(x=1, s=percent(share), ha="right", **words)
    axis.set(xlim=(0, 1), ylim=(max(len(best), 3) - 0.5, -0.5), xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.grid(False)
    axis.set_title("the classes", fontsize=9, fontweight="normal", pad=3)


def _in_words(answers: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {percent(share)}" for name, share in answers)


def percent(share: float) -> str:
    """A share of 1 in whole percent; what is there but rounds to nothing is "<1%"."""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
