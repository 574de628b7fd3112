"""Contours: lines where a map crosses a level, and the image everywhere else."""

import pytest
import torch

from cnnviz_utils.plot import contours


def test_a_line_runs_where_the_map_crosses_the_level():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    ramp = torch.linspace(0, 1, 8).expand(2, 8, 8)  # crosses 0.5 in the middle, top to bottom
    drawn = contours(images, ramp, (0.5,), enlarge=4)
    assert drawn.shape == (2, 3, 32, 32)
    plain = images.repeat_interleave(4, 2).repeat_interleave(4, 3)
    changed = (drawn != plain).any(1)
    assert changed[:, :, 14:18].all() and not changed[:, :, :13].any() and not changed[:, :, 19:].any()


def test_a_map_that_stays_below_the_level_leaves_the_image():
    images = torch.full((1, 3, 6, 6), 0.3)
    assert torch.equal(contours(images, torch.full((1, 6, 6), 0.4), enlarge=1), images)


def test_images_are_not_changed_and_sizes_are_compared():
    images = torch.full((1, 3, 6, 6), 0.3)
    contours(images, torch.eye(6)[None], enlarge=1)
    assert (images == 0.3).all()
    with pytest.raises(ValueError, match="upsample_maps"):
        contours(images, torch.zeros(1, 3, 3))


def test_lines_keep_their_share_of_a_larger_picture():
    small, large = (torch.linspace(0, 1, side).expand(1, side, side) for side in (64, 256))
    shares = []
    for ramp in (small, large):
        images = torch.full((1, 3, *ramp.shape[1:]), 0.3)
        shares.append((contours(images, ramp) != 0.3).any(1).float().mean())
    assert torch.isclose(*shares, rtol=0.2)
