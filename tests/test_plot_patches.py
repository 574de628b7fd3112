"""The figure of patches and projections: signs around mid-grey, every patch in its place."""

import pytest
import torch

from cnnviz_utils.plot import mosaic, show_patches, signed_pictures


def test_zero_is_mid_grey_and_signs_keep_their_side_and_proportion():
    values = torch.tensor([[-2.0, 0.0], [1.0, 2.0]]).expand(3, 2, 2)
    shown = signed_pictures(torch.stack([values, 10 * values, torch.zeros(3, 2, 2)]), quantile=1.0)
    torch.testing.assert_close(shown[0, 0], torch.tensor([[0.0, 0.5], [0.75, 1.0]]))
    torch.testing.assert_close(shown[1], shown[0])  # each picture on its own scale
    assert (shown[2] == 0.5).all()


def test_one_extreme_pixel_does_not_leave_the_rest_grey():
    values = torch.ones(1, 3, 30, 30)
    values[0, 0, 0, 0] = 1e6
    assert float(signed_pictures(values)[0, 0, 5, 5]) == 1.0
    values[0] = 0
    values[0, 0, 0, 0] = 3.0  # so few that the quantile is zero: the largest counts
    assert float(signed_pictures(values)[0, 0, 0, 0]) == 1.0


def test_colours_of_a_picture_share_its_scale():
    values = torch.zeros(3, 4, 4)
    values[0], values[1] = 1.0, -0.5
    assert signed_pictures(values, 1.0)[:, 0, 0].tolist() == [1.0, 0.25, 0.5]


@pytest.mark.parametrize(("count", "rows"), [(9, 3), (7, 3), (3, 1)])
def test_a_mosaic_has_every_image_in_its_place(count, rows):
    images = torch.arange(1.0, count + 1).view(-1, 1, 1, 1).expand(-1, 3, 5, 5) / 10
    picture = mosaic(images, columns=3, side=20)
    side, gap = 20, 2
    assert picture.shape == (3, rows * (side + gap) - gap, 3 * (side + gap) - gap)
    for i in range(rows * 3):
        y, x = (i // 3) * (side + gap), (i % 3) * (side + gap)
        expected = images[i, 0, 0, 0] if i < count else torch.tensor(1.0)
        assert (picture[:, y:y + side, x:x + side] == expected).all()
    assert (picture[:, side:side + gap] == 1).all() if rows > 1 else True


def test_the_figure_holds_projections_left_and_patches_right():
    patches, projections = torch.ones(2, 9, 3, 8, 8) * torch.tensor([1.0, 0, 0])[:, None, None], torch.zeros(2, 9, 3, 8, 8)
    picture = show_patches(patches, projections, ["channel 0", "channel 1"], columns=2)
    pixels = picture.array.reshape(-1, 3)
    assert (pixels == [255, 0, 0]).all(1).mean() > 0.3 and (abs(pixels - 127.5) < 1).all(1).mean() > 0.3
    row = picture.array[picture.array.shape[0] // 2]
    kinds = ["red" if tuple(p) == (255, 0, 0) else "grey" if 126 <= p[0] <= 129 and p[0] == p[1] else "" for p in row]
    order = [kind for i, kind in enumerate(kinds) if kind and (i == 0 or kinds[i - 1] != kind)]
    assert [kind for i, kind in enumerate(order) if i == 0 or order[i - 1] != kind] == ["grey", "red", "grey", "red"]
    assert "channel 1" in picture.alt
