"""Controls for `explore` that are pictures themselves: to draw on, to drag over, to
click in, and a photo of the reader's own.

Each stands where `explore` takes a list or a range. The function gets what the reader
did as a value; `first` is what it gets before that, and in a report.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cnnviz_utils.plot.images import to_rgb

PAINTS = ("#5b3a1e", "#111111", "#f4f4f4", "#e07b1f", "#2f8f46", "#2b6fc2", "#d8c27a")


@dataclass(frozen=True)
class Draw:
    """A picture to paint on with the pointer. The function gets it as an image
    (1, 3, H, W) in [0, 1].

    start: the picture at the beginning, (3, H, W) in [0, 1]. paints: colours to choose
    from, as "#rrggbb".
    """

    start: Tensor
    paints: Sequence[str] = PAINTS

    @property
    def first(self) -> Tensor:
        return self.start[None]

    def widget(self, value: Tensor):
        from cnnviz_utils.plot.pad import Pad

        picture = to_rgb(value)[0]
        return Pad(
            mode="draw",
            picture=_bytes(picture),
            size=_size(picture),
            paints=self.paints,
        )


@dataclass(frozen=True)
class Drag:
    """An image with a square to drag over it. The function gets the square's place as
    (y, x, side) in pixels: its upper left corner and its side.

    image: (3, H, W) in [0, 1]. side: of the square, in pixels; a quarter of the image's
    height by default.
    """

    image: Tensor
    side: int = 0

    @property
    def first(self) -> tuple[int, int, int]:
        side = self.side or self.image.shape[1] // 4
        return (
            (self.image.shape[1] - side) // 2,
            (self.image.shape[2] - side) // 2,
            side,
        )

    def widget(self, value: tuple[int, int, int]):
        from cnnviz_utils.plot.pad import Pad

        picture = to_rgb(self.image[None])[0]
        return Pad(
            mode="drag",
            picture=_bytes(picture),
            size=_size(picture),
            value=list(value),
        )


@dataclass(frozen=True)
class Cells:
    """A table of counts, darker where there are more, of which one cell is chosen. The
    function gets (row, column), numbers from 0.

    counts: (R, C); rows, columns: their names.
    """

    counts: np.ndarray
    rows: Sequence[str]
    columns: Sequence[str]
    first: tuple[int, int] = (0, 0)

    def widget(self, value: tuple[int, int]):
        from cnnviz_utils.plot.pad import Pad

        counts = np.asarray(self.counts)
        return Pad(
            mode="cells",
            cells=counts.tolist(),
            size=list(counts.shape),
            rows=list(self.rows),
            columns=list(self.columns),
            value=list(value),
        )


@dataclass(frozen=True)
class Photo:
    """A photo of the reader's own, chosen from the files of the reader's computer. The
    function gets it as an image (1, 3, size, size) in [0, 1]: the middle square.

    start: the photo at the beginning, (3, H, W) in [0, 1]. size: the side in pixels.
    """

    start: Tensor
    size: int = 224

    @property
    def first(self) -> Tensor:
        return self.start[None]

    def widget(self, value: Tensor):
        from cnnviz_utils.plot.pad import Upload

        return Upload(start=value, side=self.size)


CONTROLS = (Draw, Drag, Cells, Photo)


def image_of(content: bytes, size: Sequence[int]) -> Tensor:
    """An image (1, 3, H, W) in [0, 1] from the bytes of its pixels, red, green, blue
    and alpha of each, row by row. size: (H, W)."""
    pixels = np.frombuffer(content, np.uint8).reshape(*size, 4)[..., :3]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255


def _bytes(picture: np.ndarray) -> bytes:
    """Pixels (H, W, 3), uint8 or in [0, 1], as bytes with alpha, as a browser's canvas
    has them."""
    if picture.dtype != np.uint8:
        picture = (picture * 255).round().astype(np.uint8)
    opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
    return np.concatenate([picture, opaque], axis=2).tobytes()


def _size(picture: np.ndarray) -> list[int]:
    return list(picture.shape[:2])
