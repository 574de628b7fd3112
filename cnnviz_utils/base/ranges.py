"""Images lie in [0, 1] wherever they are taken: bytes and normalised images do not."""

import numpy as np
from torch import Tensor

from cnnviz_utils.base.settings import UsageError

ROUNDING = 1e-4


def check_floats(images: Tensor) -> None:
    """Raises UsageError for images of whole numbers, which a network would take for
    something else."""
    if not images.is_floating_point():
        kind = str(images.dtype).removeprefix("torch.")
        raise UsageError(
            f"images must be floats, not {kind}: divide bytes by 255, as in "
            "images / 255"
        )


def check_range(values: Tensor | np.ndarray, what: str = "images") -> None:
    """Raises UsageError for floats that do not lie in [0, 1], NaN among them."""
    if not len(values):
        return
    low, high = float(values.min()), float(values.max())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise UsageError(
            f"{what} must lie in [0, 1], these reach from {low:.3g} to {high:.3g}"
        )
