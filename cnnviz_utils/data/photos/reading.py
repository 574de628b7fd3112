"""One photo from its file: any kind that Pillow reads, upright, in RGB, and in bounded
memory whatever its size."""

import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from cnnviz_utils.base.paths import as_path
from cnnviz_utils.data.photos.listing import shown, why_no_file

MOST_PIXELS = 100_000_000  # of a decoded image: 400 MB in Pillow's RGB
BIG = 16_000_000  # from here on one at a time, band by band
SPARE = 3  # how much finer than needed a JPEG is decoded, at least
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_one_big_at_a_time = Lock()


@dataclass(frozen=True)
class CutPhoto:
    """A photo cut to a square.

    pixels: uint8 (size, size, 3), upright
    stored: width and height of the file's image as it lies in the file
    orientation: EXIF's number, 1 (upright) to 8
    """

    pixels: np.ndarray
    stored: tuple[int, int]
    orientation: int

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the whole photo, the right way up."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored


def open_image(path: str | Path) -> Image.Image:
    """Any image file as upright RGB, of an animation the first picture.

    Grey, palette and CMYK are converted; what is transparent lies on white. 16 bits are
    scaled by 65535. 32-bit integers go from the lowest to the highest value that
    occurs, floats too unless they lie between 0 and 1; NaN is black.

    Raises ValueError, naming the file, if it cannot be read as an image (a pipe, a link
    to nowhere, more than 100 million pixels); FileNotFoundError if nothing is there.
    """
    with quiet(), opened(path) as image:
        check_pixels(image.size)
        image.load()
        flat = _flat(image, _levels(image)).convert("RGB")
        return turned(flat, exif_orientation(image))


def read_square(path: str | Path, size: int) -> CutPhoto:
    """A photo cut to size x size as `fit_square` does it, without holding all of it in
    RGB.

    A big JPEG is decoded at a half, a quarter or an eighth while that is still `SPARE`
    times finer than needed; this changes single values by at most 2 of 255 (by more
    than 1 in one of 5,000). Raises as `open_image` does.
    """
    with opened(path) as image:
        stored, orientation = image.size, exif_orientation(image)
        if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB"):
            image.draft(image.mode, (SPARE * size * 8 // 7 + 1,) * 2)
        check_pixels(image.size)
        if image.size[0] * image.size[1] > BIG:
            with _one_big_at_a_time:
                image.load()
                square = _big_square(image, size)
        else:
            image.load()
            square = fit_square(_flat(image, _levels(image)), size)
        upright = turned(square, orientation).convert("RGB")
        return CutPhoto(np.asarray(upright), stored, orientation)


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image the right way up; `orientation` is EXIF's number."""
    turn = TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def middle(width: float, height: float) -> tuple[float, float, float, float]:
    """The square in the middle (left, top, right, bottom), 224/256 of the shorter side
    wide, as networks for ImageNet are usually tested."""
    half = min(width, height) * 224 / 256 / 2
    return (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)


def fit_square(image: Image.Image, size: int) -> Image.Image:
    """The middle square of an image, 224/256 of its shorter side, as size x size
    pixels (bilinear, every source pixel counts). Nothing outside is resized first."""
    return image.resize(
        (size, size), Image.Resampling.BILINEAR, box=middle(*image.size)
    )


@contextmanager
def opened(path: str | Path) -> Iterator[Image.Image]:
    """An image file opened by Pillow; whatever goes wrong in the block is a ValueError
    that names the file."""
    path = as_path(path, "photo")
    if reason := why_no_file(path):
        if reason == os.strerror(errno.ENOENT):
            raise FileNotFoundError(f"{shown(str(path))} is not there")
        raise Unreadable(path, reason)
    try:
        with Image.open(path) as image:
            _eight_bit_transparency(image)
            yield image
    except Image.UnidentifiedImageError:
        kind = "is empty" if path.stat().st_size == 0 else "is no image"
        raise Unreadable(path, f"what is in it {kind}") from None
    except Image.DecompressionBombError:
        raise Unreadable(path, "more than 179 million pixels") from None
    except TooManyPixels as error:
        raise Unreadable(path, str(error)) from None
    # damaged files make the decoders raise errors of all kinds
    except Exception as error:
        words = f"{type(error).__name__}: {error}".rstrip(": ")
        raise Unreadable(path, words) from None


class TooManyPixels(ValueError):
    """An image that would not fit into the memory set aside for one."""


class Unreadable(ValueError):
    """A file that can't be read as an image; `reason` says why, without its name."""

    def __init__(self, path: Path, reason: str):
        self.reason = reason
        super().__init__(
            f"{shown(str(path))} cannot be read as an image ({reason}): "
            "replace or remove it"
        )


def cores() -> int:
    """How many cores this process may use: so many photos are read at a time."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 2


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow warns of oddities in files that it then handles: not worth a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_pixels(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MOST_PIXELS:
        raise TooManyPixels(
            f"{size[0]} x {size[1]} pixels, at most {MOST_PIXELS:,} are decoded"
        )


def exif_orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged EXIF block is no reason to lose the photo
        return 1
    return found if found in range(1, 9) else 1


def _big_square(image: Image.Image, size: int) -> Image.Image:
    """`fit_square` of a big loaded image: the middle of it, made smaller by a whole
    factor, band by band."""
    levels = _levels(image)
    box, shorter = middle(*image.size), min(image.size)
    factor = max(1, int(shorter * 7 / 8 / size / SPARE))
    left, top = ((side - shorter) // 2 for side in image.size)
    small = Image.new("RGB", (-(-shorter // factor),) * 2)
    height = factor * max(1, 1_000_000 // shorter // factor)
    for start in range(0, shorter, height):
        end = min(start + height, shorter)
        band = image.crop((left, top + start, left + shorter, top + end))
        reduced = _flat(band, levels).convert("RGB").reduce(factor)
        small.paste(reduced, (0, start // factor))
    there = lambda value, origin: (value - origin) / factor
    corners = (there(box[0], left), there(box[1], top))
    inside = (*corners, there(box[2], left), there(box[3], top))
    return small.resize((size, size), Image.Resampling.BILINEAR, box=inside)


# ------------------------------------------- more than 8 bits, and transparency


@dataclass(frozen=True)
class Levels:
    """How values of more than 8 bits become grey: which are black and white, which one
    is transparent, and whether 32-bit integers have a sign."""

    low: float
    high: float
    clear: int | None
    signed: bool


def _levels(image: Image.Image) -> Levels | None:
    """None for images of 8 bits."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;"):
        return None
    clear = image.info.get("transparency")
    clear = clear if isinstance(clear, int) else None
    if image.mode.startswith("I;") or image.format in ("PNG", "PPM"):
        return Levels(0, 65535, clear, True)
    # TIFF says whether its integers have a sign; Pillow reads both as signed
    tags = getattr(image, "tag_v2", {})
    signed = image.mode == "F" or tuple(tags.get(339, (2,)))[:1] != (1,)
    low, high = np.inf, -np.inf
    for top in range(0, image.size[1], rows := max(1, 1_000_000 // image.size[0])):
        band = image.crop((0, top, image.size[0], min(top + rows, image.size[1])))
        values = _values(band, signed)
        if (finite := values[np.isfinite(values)]).size:
            low = min(low, float(finite.min()))
            high = max(high, float(finite.max()))
    if low > high:
        return Levels(0, 1, None, signed)
    if image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return Levels(low, high, None, signed)


def _eight_bit_transparency(image: Image.Image) -> None:
    """Pillow reads colours of 16 bits as 8, but leaves the transparent one at 16."""
    clear = image.info.get("transparency")
    tiles = getattr(image, "tile", [])  # how the file's blocks are packed
    if isinstance(clear, tuple) and tiles and tiles[0].args == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in clear)


def _values(image: Image.Image, signed: bool) -> np.ndarray:
    values = np.asarray(image)
    return values if signed else values.view(np.uint32)


def _flat(image: Image.Image, levels: Levels | None) -> Image.Image:
    """An image or a band of it, as "L" or "RGB", on white where it is transparent."""
    if levels is not None:
        values = _values(image, levels.signed)
        span = (levels.high - levels.low) or 1.0
        grey = (values.astype(np.float64) - levels.low) / span * 255
        grey = np.nan_to_num(grey, nan=0, posinf=255, neginf=0).clip(0, 255)
        if levels.clear is not None:
            grey[values == levels.clear] = 255
        return Image.fromarray(np.floor(grey + 0.5).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        whole = image.convert("RGBA")
        white = Image.new("RGBA", whole.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, whole).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")
