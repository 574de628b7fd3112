"""Figures against pixels: what is drawn is what was given."""

import base64
import io
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from cnnviz_utils import plot
from cnnviz_utils.plot.explanation import show_explanations


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


def test_picture_carries_its_alt_text_and_the_width_it_is_shown_at():
    picture = plot.plot_curves({"loss": ([1, 2], [3, 4])}, xlabel="epoch", ylabel="loss", width=4.5)
    data, metadata = picture._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == picture.alt == data["text/plain"] == "Lines of loss against epoch: loss"
    width = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).width
    assert metadata["image/png"]["width"] == 415 and width == 648  # half a page's column of 830 pixels
    assert plot.plot_bars(pd.DataFrame({"n": [1]}), ylabel="n")._repr_mimebundle_()[1]["image/png"]["width"] == 830


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


def figures_of(monkeypatch):
    """A list that gets every figure that is drawn from here on."""
    drawn, save = [], Figure.savefig

    def saved(figure, *args, **options):
        drawn.append(figure)
        return save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", saved)
    return drawn


def test_all_words_are_at_least_8_points_where_the_figure_fills_the_column(monkeypatch):
    drawn = figures_of(monkeypatch)
    images, names = torch.rand(32, 3, 8, 8), [f"animal {i}" for i in range(32)]
    table = pd.DataFrame(np.random.rand(27, 27), index=names[:27], columns=names[:27])
    plot.show_images(images, names, columns=16)
    plot.show_images(images, names, columns=4, rows=["a"] * 8, heading="all")
    plot.show_heatmaps(torch.rand(6, 4, 4), names[:6], label="x")
    plot.plot_confusion(table)
    plot.plot_bars(table[["animal 1"]], ylabel="images")
    plot.plot_curves({"a": ([1, 2], [3, 4]), "b": ([1, 2], [4, 3])}, xlabel="x", ylabel="y")
    plot.plot_panels(table.iloc[:5, :5], notes={"animal 1": "more is better"})
    bubbles = pd.DataFrame({"x": [1, 20], "y": [0.2, 0.4], "n": [3, 4]}, index=["a", "b"])
    plot.plot_bubbles(bubbles, x="x", y="y", area="n", xlabel="cost", ylabel="accuracy")
    plot.plot_published(["a", "b"], [0.1, 0.2], [0.3, 0.2], [0.1, 0.1])
    plot.show_patches(images[:9, None].unflatten(0, (1, 9))[:, :, 0], torch.randn(1, 9, 3, 8, 8), ["channel 0"])
    show_explanations(images[:3], torch.rand(3, 8, 8), [[("dog", 0.9), ("cat", 0.1)]] * 3, titles=names[:3],
                      captions=names[:3], heading="photos")
    assert len(drawn) == 11
    for figure in drawn:
        shown = 830 / max(figure.get_size_inches()[0], 9) / 96  # of a page's pixels, 96 are an inch of 72 points
        small = [(t.get_text(), t.get_fontsize()) for t in figure.findobj(Text)
                 if t.get_text().strip() and t.get_visible() and t.get_fontsize() * shown < 8]
        assert not small


def test_numbers_may_be_tensors_arrays_or_lists():
    places, heights = [0, 1, 2], [0.5, 0.25, 0.75]
    drawn = [plot.plot_curves({"a": (make(places), make(heights))}, xlabel="x", ylabel="y")
             for make in (list, np.array, torch.tensor)]
    assert drawn[0].png == drawn[1].png == drawn[2].png


def test_a_mark_has_a_colour_that_no_line_has(monkeypatch):
    drawn = figures_of(monkeypatch)
    curves = {name: ([1, 2, 3], [i, 2, 3]) for i, name in enumerate(("one", "two", "three"))}
    plot.plot_curves(curves, xlabel="x", ylabel="y", marks={"here": 2, "there": 3})
    looks = [(line.get_color(), line.get_linestyle()) for line in drawn[0].axes[0].lines]
    assert len({colour for colour, _ in looks}) == len(looks) == 5


def test_a_dozen_lines_and_marks_can_be_told_apart(monkeypatch):
    drawn = figures_of(monkeypatch)
    curves = {str(i): ([1, 2, 3], [i, 2, 3]) for i in range(12)}
    plot.plot_curves(curves, xlabel="x", ylabel="y", marks={"here": 2})
    looks = [(line.get_color(), line.get_linestyle()) for line in drawn[0].axes[0].lines]
    assert len(set(looks)) == len(looks) == 13


def test_long_titles_do_not_run_into_each_other(monkeypatch):
    drawn = figures_of(monkeypatch)
    plot.show_images(torch.rand(9, 3, 8, 8), ["a name of many words for one animal"] * 9)
    figure = drawn[0]
    figure.draw_without_rendering()
    boxes = [axis.title.get_window_extent() for axis in figure.axes]
    assert all(a.x1 <= b.x0 for a, b in itertools.pairwise(boxes))
    assert all(box.y1 <= figure.bbox.y1 for box in boxes)


def test_a_loss_that_explodes_does_not_flatten_the_other_curves(monkeypatch):
    def frame(first):
        return pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [first, 4.0, 3.0], "valid_loss": [4.0, 4.0, 3.5],
                             "train_accuracy": [0.1, 0.2, 0.3], "valid_accuracy": [0.1, 0.2, 0.2]})

    monkeypatch.setattr("cnnviz_utils.plot.charts.finish", lambda figure, alt: figure)
    for first, top, label in ((2e14, 16, "loss (up to 2e+14)"), (float("nan"), 4.1, "loss"), (6.0, 6.3, "loss")):
        loss = plot.plot_history({"quiet": frame(4.0), "wild": frame(first)}).axes[0]
        assert loss.get_ylim()[1] < top * 1.05 and loss.get_ylabel() == label
