"""What a network says about photos, and where it looks."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from cnnviz_utils.plot.figure import COLOURS, Picture, finish, new_figure
from cnnviz_utils.plot.images import overlay, to_rgb


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
    cell = 2.25 if several else 3.0
    figure, axes = new_figure(
        9,
        len(images) * (cell + 0.25) + 0.4,
        len(images),
        3,
        width_ratios=(1, 1, 2 if several else 1),
    )
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
    figure.suptitle(heading, fontsize=11, fontweight="bold")
    said = "; ".join(
        (f"{title}: " if title else "") + _in_words(best)
        for title, best in zip(titles, answers, strict=True)
    )
    return finish(figure, f"{heading}. Photos, their maps and their classes. {said}")


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
