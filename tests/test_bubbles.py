"""Markers with labels that touch nothing, and boxes in images."""

import itertools

import numpy as np
import pandas as pd
import torch
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from cnnviz_utils.plot import bubbles, draw_box, new_figure, plot_bubbles

NAMES = ["first one", "second one", "third one", "fourth one"]
TABLE = pd.DataFrame({"cost": [1.0, 1.02, 1.04, 9.0], "right": [0.5, 0.51, 0.5, 0.9], "size": [1.0, 5.0, 2.0, 100.0],
                      "spread": [0.01] * 4}, index=NAMES)
AXES = {"x": "cost", "y": "right", "area": "size", "xlabel": "cost", "ylabel": "accuracy"}


def test_the_same_numbers_give_the_same_picture_and_the_alt_text_has_them():
    picture, again = (plot_bubbles(TABLE, **AXES, percent=True) for _ in range(2))
    assert picture.png == again.png and "second one 1.02, 0.51" in picture.alt
    groups = dict.fromkeys(NAMES[:3], "old") | {"fourth one": "new"}
    assert plot_bubbles(TABLE, **AXES, spread="spread", groups=groups).png != picture.png


def test_labels_of_crowded_markers_touch_neither_each_other_nor_a_marker():
    figure, axes = new_figure(7, 4)
    axis, points, radius = axes[0, 0], TABLE[["cost", "right"]].to_numpy(), np.array([5.0, 8.0, 6.0, 18.0])
    axis.scatter(*points.T)
    axis.margins(0.16)
    bubbles._place_labels(figure, axis, points, NAMES, radius)
    boxes, pixel = [], figure.dpi / 72
    for text in axis.texts:
        text.update_positions(figure.canvas.get_renderer())
        boxes.append(Text.get_window_extent(text))
    markers = [Bbox.from_bounds(*(c - r * pixel), 2 * r * pixel, 2 * r * pixel)
               for c, r in zip(axis.transData.transform(points), radius, strict=True)]
    assert [text.get_text() for text in axis.texts] == NAMES
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(box.overlaps(marker) for (i, box), (j, marker) in itertools.product(enumerate(boxes), enumerate(markers))
                   if i != j)


def test_a_box_is_a_frame_inside_its_bounds():
    image = torch.zeros(3, 8, 8)
    framed = draw_box(image, (1, 2, 5, 7), "white")
    expected = torch.zeros(8, 8)
    expected[1:5, 2:7] = 1
    expected[2:4, 3:6] = 0
    assert torch.equal(framed, expected.expand(3, 8, 8)) and image.sum() == 0
