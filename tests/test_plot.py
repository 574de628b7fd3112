"""Figures against pixels: what is drawn is what was given."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cnnviz_utils import plot


def has_colour(picture, colour, near=6):
    distance = np.abs(picture.array.astype(int) - np.array(colour)).max(axis=-1)
    return bool((distance <= near).any())


def test_images_keep_their_colours_and_channel_order():
    red = torch.zeros(1, 3, 8, 8)
    red[:, 0] = 1
    picture = plot.show_images(red)
    assert has_colour(picture, (255, 0, 0)) and not has_colour(picture, (0, 0, 255))


def test_grey_and_uint8_images_are_shown_the_same():
    grey = torch.full((2, 1, 8, 8), 0.5)
    as_bytes = np.full((2, 3, 8, 8), 128, np.uint8)
    np.testing.assert_array_equal(plot.to_rgb(grey), plot.to_rgb(as_bytes))


def test_normalised_images_are_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        plot.show_images(torch.randn(2, 3, 8, 8))


def test_colour_map_runs_from_dark_to_light_and_marks_nan_grey():
    mapped = plot.colour_map(torch.tensor([[[0.0, 1.0, float("nan")]]]))
    dark, light, missing = mapped[0, :, 0].T
    assert dark.mean() < 0.05 and light.mean() > 0.7
    torch.testing.assert_close(missing, torch.full((3,), 0.5), atol=0.01, rtol=0)


def test_hot_is_warm_not_blue():
    """A colour map drawn with swapped channels shows hot places in blue."""
    hot = plot.colour_map(torch.full((1, 1, 1), 0.6), cmap="hot")[0, :, 0, 0]
    assert hot[0] > hot[2]


def test_overlay_is_the_weighted_sum():
    images, maps = torch.rand(2, 3, 4, 4), torch.rand(2, 4, 4)
    expected = 0.3 * images + 0.7 * plot.colour_map(maps)
    torch.testing.assert_close(plot.overlay(images, maps, alpha=0.7), expected)


def test_same_numbers_give_the_same_bytes():
    table = pd.DataFrame({"train": [3, 5], "test": [2, 1]}, index=["crab", "owl"])
    assert plot.plot_bars(table, ylabel="images").png == plot.plot_bars(table, ylabel="images").png


def test_picture_carries_its_alt_text_and_half_its_width():
    picture = plot.plot_curves({"loss": ([1, 2], [3, 4])}, xlabel="epoch", ylabel="loss", width=5)
    data, metadata = picture._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == picture.alt == data["text/plain"] == "Lines of loss against epoch: loss"
    width = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).width
    assert metadata["image/png"]["width"] == width // 2 == 360  # 5 inches at 72 a screen's inch


@pytest.mark.parametrize("classes", [3, 27, 101])
def test_confusion_matrix_is_drawn_at_any_number_of_classes(classes):
    names = [f"class {i}" for i in range(classes)]
    table = pd.DataFrame(np.eye(classes) * 100, index=names, columns=names)
    picture = plot.plot_confusion(table)
    assert has_colour(picture, (8, 48, 107), near=12)  # the darkest of Blues: the diagonal at 100 percent
    assert picture.array.shape[1] <= 1400


def test_tile_holds_every_picture():
    red, blue = (plot.show_images(torch.eye(3)[c].view(1, 3, 1, 1).expand(1, 3, 8, 8)) for c in (0, 2))
    both = plot.tile([red, blue], ["red", "blue"])
    assert has_colour(both, (255, 0, 0)) and has_colour(both, (0, 0, 255))
    assert both.alt.startswith("red: ") and "; blue: " in both.alt
