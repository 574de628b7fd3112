"""Small, differentiable changes of a batch of images, drawn for each image by its own
generator."""

import math

from torch import Tensor

from cnnviz_utils.base.pictures import affine


def moved(
    images: Tensor, draws: Tensor, shift: float, scale: float, rotate: float
) -> Tensor:
    """Each image shifted by up to `shift` of its side, scaled by up to 1 +- `scale`,
    turned by up to `rotate` degrees.

    images (N, 3, H, W), draws (N, >= 4) in [-1, 1]: how much of each limit (right,
    down, larger, clockwise). One resampling for all of it, bilinear. What comes in from
    outside is mid-grey: mirrored, half an animal at the border would be seen as a whole
    one, and stay half.
    """
    if not (shift or scale or rotate):
        return images
    right, down = shift * draws[:, 0], shift * draws[:, 1]
    size, angle = 1 + scale * draws[:, 2], math.radians(rotate) * draws[:, 3]
    return 0.5 + affine(images - 0.5, right, down, size, angle, "zeros")
