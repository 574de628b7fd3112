"""Markers with labels that touch nothing, and boxes in images."""

import pandas as pd
import torch

from cnnviz_utils.plot import bubbles, draw_box, plot_bubbles


def test_labels_touch_neither_each_other_nor_markers(monkeypatch):
    table = pd.DataFrame({"cost": [1.0, 1.02, 1.04, 9.0], "right": [0.5, 0.51, 0.5, 0.9], "size": [1.0, 5.0, 2.0, 100.0]},
                         index=["first one", "second one", "third one", "fourth one"])


    picture = plot_bubbles(table, x="cost", y="right", area="size", xlabel="cost", ylabel="accuracy", percent=True)
    assert "second one 1.02, 0.51" in picture.alt
    again = plot_bubbles(table, x="cost", y="right", area="size", xlabel="cost", ylabel="accuracy", percent=True)
    assert picture.png == again.png
    groups = dict.fromkeys(table.index[:3], "old") | {"fourth one": "new"}
    table["spread"] = 0.01
    assert plot_bubbles(table, x="cost", y="right", area="size", xlabel="cost", ylabel="accuracy", spread="spread",
                        groups=groups).array.shape[2] == 3


def test_a_box_is_a_frame_inside_its_bounds():
    image = torch.zeros(3, 8, 8)
    framed = draw_box(image, (1, 2, 5, 7), "white")
    expected = torch.zeros(8, 8)
    expected[1:5, 2:7] = 1
    expected[2:4, 3:6] = 0
    assert torch.equal(framed, expected.expand(3, 8, 8)) and image.sum() == 0
