"""Random augmentation of a whole batch of images at once, on whichever device the batch
lies."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from cnnviz_utils.base.checked import Checked
from cnnviz_utils.base.declared import Probability
from cnnviz_utils.base.device import moved
from cnnviz_utils.base.pictures import affine

LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augment(Checked):
    """Settings of the augmentation; every field at 0 leaves the images as they are. A
    value out of range raises UsageError, which is a ValueError."""

    flip: Annotated[Probability, Field(description="of a mirror image")] = 0.0
    shift: Annotated[
        Probability,
        Field(description="largest shift as a fraction of the side, edges repeated"),
    ] = 0.0
    zoom: Annotated[
        float,
        Field(
            ge=0, lt=1, description="scale drawn from 1-zoom..1+zoom, above 1 larger"
        ),
    ] = 0.0
    rotate: Annotated[
        float, Field(ge=0, le=180, description="largest turn in degrees either way")
    ] = 0.0
    grey: Annotated[Probability, Field(description="of greyscale")] = 0.0
    brightness: Annotated[
        Probability,
        Field(description="factor drawn from 1-brightness..1+brightness"),
    ] = 0.0

    def strength(self, factor: float) -> "Augment":
        """All fields times factor (>= 0); the probabilities stop at 1, other fields out
        of range raise ValueError."""
        if not 0.0 <= factor < math.inf:
            raise ValueError(
                f"factor must be a finite number of at least 0, not {factor}."
            )
        return Augment(
            flip=min(1.0, self.flip * factor),
            shift=self.shift * factor,
            zoom=self.zoom * factor,
            rotate=self.rotate * factor,
            grey=min(1.0, self.grey * factor),
            brightness=self.brightness * factor,
        )

    def __call__(
        self, images: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Augment images (N, 3, H, W), floating point in [0, 1]; returns the same shape
        and dtype, clamped to [0, 1].

        Each image has its own draws, made on the generator's device, or on the images'
        device without one.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                "images must be floating point (N, 3, H, W), "
                f"not {images.dtype} {tuple(images.shape)}."
            )
        if images.numel() == 0:
            return images.clone()
        n = len(images)
        if self.flip:
            images = torch.where(
                _uniform(n, images, generator) < self.flip, images.flip(-1), images
            )
        if self.zoom or self.rotate:
            images = self._affine(images, generator)
        elif self.shift:
            images = self._shift(images, generator)
        if self.grey:
            luma = (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(
                1, keepdim=True
            )
            images = torch.where(
                _uniform(n, images, generator) < self.grey, luma, images
            )
        if self.brightness:
            images = images * (
                1 + self.brightness * (2 * _uniform(n, images, generator) - 1)
            ).to(images.dtype)
        return images.clamp(0, 1)

    def _shift(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        """Shift images (N, 3, H, W) by whole pixels, each its own way, edges repeated;
        same shape."""
        n, _, h, w = images.shape
        most_y, most_x = int(self.shift * h + 1e-6), int(self.shift * w + 1e-6)
        start_y = (
            (_uniform(n, images, generator).view(n, 1) * (2 * most_y + 1))
            .long()
            .clamp(max=2 * most_y)
        )
        start_x = (
            (_uniform(n, images, generator).view(n, 1) * (2 * most_x + 1))
            .long()
            .clamp(max=2 * most_x)
        )
        padded = F.pad(images, (most_x, most_x, most_y, most_y), mode="replicate")
        rows = (start_y + torch.arange(h, device=images.device)).view(n, 1, h, 1)
        columns = (start_x + torch.arange(w, device=images.device)).view(n, 1, 1, w)
        # counted row by row
        places = (rows * padded.shape[-1] + columns).expand(n, 3, h, w)
        return padded.flatten(2).gather(2, places.flatten(2)).view(n, 3, h, w)

    def _affine(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        """Zoom, turn and shift images (N, 3, H, W) in one bilinear sampling, edges
        repeated; same shape."""
        zoom, angle, x, y = (
            2 * _uniform(len(images), images, generator).view(-1) - 1 for _ in range(4)
        )
        angle = -angle * math.radians(self.rotate)  # drawn counter-clockwise
        return affine(
            images,
            self.shift * x,
            self.shift * y,
            1 + self.zoom * zoom,
            angle,
            "border",
        )


def _uniform(n: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws (n, 1, 1, 1), float32 in [0, 1), on the device of like."""
    device = like.device if generator is None else generator.device
    drawn = torch.rand(
        n, 1, 1, 1, generator=generator, device=device, dtype=torch.float32
    )
    return moved(drawn, like.device)


def fixed_views(shift: float = 0.06) -> tuple[Callable[[Tensor], Tensor], ...]:
    """Eight fixed views for `evaluation.predict_tta`: images (N, 3, H, W) moved towards
    each of the four corners by `shift` (0..1) of the side with the edges repeated, each
    also mirrored.
    """
    if not 0.0 <= shift <= 1.0:
        raise ValueError(f"shift must lie between 0 and 1, not {shift}.")

    def view(down: int, right: int, mirrored: bool) -> Callable[[Tensor], Tensor]:
        def look(images: Tensor) -> Tensor:
            h, w = images.shape[-2:]
            y, x = round(shift * h), round(shift * w)
            padded = F.pad(images, (x, x, y, y), mode="replicate")
            top, left = y - down * y, x - right * x
            moved = padded[..., top : top + h, left : left + w]
            return moved.flip(-1) if mirrored else moved

        return look

    return tuple(
        view(down, right, mirrored)
        for mirrored in (False, True)
        for down in (-1, 1)
        for right in (-1, 1)
    )
