"""Photos of every odd kind: what each becomes is known beforehand, or it is refused by name."""

import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from odd_files import picture, plain_png, png
from PIL import Image, features

from cnnviz_utils.data.photos.listing import readable_endings
from cnnviz_utils.data.photos.reading import fit_square, open_image, read_square

GREY16 = np.array([[0, 257 * 100, 65535]], np.uint16)


def grey(*values: int) -> np.ndarray:
    return np.array([[[v] * 3 for v in values]], np.uint8)


def rows16(*values: int) -> bytes:
    return b"\0" + struct.pack(f">{len(values)}H", *values)


# name -> (the file's bytes or the image and how it is saved, the pixels it becomes)
EXACT = {
    "16-bit grey": (png(3, 1, 0, 16, rows16(0, 25700, 65535)), grey(0, 100, 255)),
    "16-bit grey, a value transparent": (png(3, 1, 0, 16, rows16(0, 25700, 65535), struct.pack(">H", 25700)), grey(0, 255, 255)),
    "16-bit colours, one transparent": (png(2, 1, 2, 16, rows16(1000, 2000, 3000, 0, 0, 0), struct.pack(">3H", 1000, 2000, 3000)), grey(255, 0)),
    "8-bit grey, a value transparent": (png(2, 1, 0, 8, b"\0\x0a\xc8", struct.pack(">H", 10)), grey(255, 200)),
    "1 bit": (png(8, 1, 0, 1, b"\0\xf0"), grey(*[255] * 4, *[0] * 4)),
    "1 bit, white transparent": (png(8, 1, 0, 1, b"\0\xf0", struct.pack(">H", 0)), grey(*[255] * 8)),
    "4 bits": (png(2, 1, 0, 4, b"\0\x0f"), grey(0, 255)),
    "palette": ((Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P"), "PNG"), grey(0, 1)),
    "grey with alpha": (png(2, 1, 4, 8, b"\0\x00\xff\x00\x00"), grey(0, 255)),
    "colours with half alpha": (png(1, 1, 6, 8, b"\0\x00\x00\x00\x80"), grey(127)),
    "32-bit integers by their range": ((Image.fromarray(np.array([[-1000, 0, 1000]], np.int32)), "TIFF"), grey(0, 128, 255)),
    "floats between 0 and 1": ((Image.fromarray(np.array([[0, 0.5, 0.2]], np.float32)), "TIFF"), grey(0, 128, 51)),
    "floats by their range": ((Image.fromarray(np.array([[-3, 1, 5]], np.float32)), "TIFF"), grey(0, 128, 255)),
    "floats with NaN": ((Image.fromarray(np.array([[np.nan, 0, 8]], np.float32)), "TIFF"), grey(0, 0, 255)),
    "floats, all NaN": ((Image.fromarray(np.full((1, 2), np.nan, np.float32)), "TIFF"), grey(0, 0)),
    "32-bit integers, all the same": ((Image.fromarray(np.full((1, 2), 7, np.int32)), "TIFF"), grey(0, 0)),
    "16-bit TIFF": ((Image.fromarray(GREY16), "TIFF"), grey(0, 100, 255)),
    "16-bit PGM": (b"P5 3 1 65535 " + GREY16.astype(">u2").tobytes(), grey(0, 100, 255)),
    "PGM in words": (b"P2 2 1 255 7 200", grey(7, 200)),
    "PBM": (b"P1 2 1 1 0", grey(0, 255)),
    "BMP": ((Image.fromarray(grey(3, 9)), "BMP"), grey(3, 9)),
    "GIF": ((Image.fromarray(grey(0, 255)), "GIF"), grey(0, 255)),
    "one pixel": (png(1, 1, 2, 8, b"\0\x01\x02\x03"), np.array([[[1, 2, 3]]])),
}


@pytest.mark.parametrize("name", EXACT)
def test_becomes_known_pixels(tmp_path, name):
    content, expected = EXACT[name]
    path = tmp_path / "f.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content[0].save(path, content[1])
    found = np.asarray(open_image(path)).astype(int)
    assert found.shape == expected.shape and np.abs(found - expected).max() <= 1
    assert read_square(path, 4).pixels.shape == (4, 4, 3)


def test_unsigned_32_bit_integers(tmp_path):
    """Pillow reads them as signed: 3e9 would come out darker than 0."""
    values = np.array([[0, 3_000_000_000]], np.uint32)
    Image.fromarray(values.view(np.int32)).save(tmp_path / "x.tif")
    data = (tmp_path / "x.tif").read_bytes()
    at = data.index(struct.pack("<HH", 339, 3)) + 8  # the tag that says signed or not
    (tmp_path / "x.tif").write_bytes(data[:at] + struct.pack("<H", 1) + data[at + 2:])
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "x.tif")), grey(0, 255))


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "jpe", "jfif", "webp", "avif", "tif", "tiff", "ppm", "gif", "bmp", "jp2", "tga", "JPG"])
def test_endings(tmp_path, ending):
    if (needed := {"webp": "webp", "avif": "avif", "jp2": "jpg_2000"}.get(ending)) and not features.check(needed):
        pytest.skip(f"this Pillow is built without {needed}")
    kind = {"jpe": "JPEG", "jfif": "JPEG"}.get(ending)
    Image.fromarray(picture(3)).save(tmp_path / f"x.{ending}", kind)
    assert f".{ending.lower()}" in readable_endings()
    found = np.asarray(open_image(tmp_path / f"x.{ending}")).astype(int)
    assert np.abs(found - picture(3)).mean() < 8


@pytest.mark.parametrize("number", range(1, 9))
def test_every_orientation(tmp_path, number):
    """The square of a turned photo is the turned square."""
    pixels = np.random.default_rng(1).integers(0, 256, (33, 47, 3), np.uint8)
    upright = {1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.transpose(1, 0, 2),
               6: np.rot90(pixels, -1), 7: np.rot90(pixels, 2).transpose(1, 0, 2), 8: np.rot90(pixels)}[number]
    exif = Image.Exif()
    exif[274] = number
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "x.png")), upright)
    photo = read_square(tmp_path / "x.png", 20)
    straight = np.asarray(fit_square(Image.fromarray(np.ascontiguousarray(upright)), 20))
    assert photo.upright == upright.shape[1::-1] and np.abs(photo.pixels.astype(int) - straight).max() <= 1


def test_square_is_the_middle_of_the_resized_photo():
    """Against resizing all of it first, where both sides come out whole."""
    pixels = np.random.default_rng(2).integers(0, 256, (128, 256, 3), np.uint8)
    whole = Image.fromarray(pixels).resize((128, 64), Image.Resampling.BILINEAR)
    expected = np.asarray(whole.crop((36, 4, 92, 60)))
    np.testing.assert_array_equal(np.asarray(fit_square(Image.fromarray(pixels), 56)), expected)


@pytest.mark.parametrize("kind", ["RGB", "L"])
def test_a_big_jpeg_at_a_fraction_differs_by_rounding(tmp_path, kind):
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((1600, 1200), Image.Resampling.BICUBIC)
    noise = rng.normal(0, 4, (1200, 1600, 3))
    Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8)).convert(kind).save(tmp_path / "x.jpg", quality=90)
    exact = np.asarray(fit_square(open_image(tmp_path / "x.jpg"), 64)).astype(int)
    off = np.abs(read_square(tmp_path / "x.jpg", 64).pixels - exact)
    assert off.max() <= 2 and (off > 1).mean() < 1e-3


def test_big_images_by_bands_differ_by_rounding(tmp_path, monkeypatch):
    pixels = np.asarray(Image.fromarray(np.random.default_rng(4).integers(0, 256, (9, 12, 3), np.uint8)).resize((700, 500)))
    Image.fromarray(pixels).save(tmp_path / "x.png")
    exact = read_square(tmp_path / "x.png", 32).pixels.astype(int)
    monkeypatch.setattr("cnnviz_utils.data.photos.reading.BIG", 1000)
    assert np.abs(read_square(tmp_path / "x.png", 32).pixels - exact).max() <= 2


def damaged(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:2000])


def dangling(path):
    path.symlink_to("nothing-here.png")


def circular(path):
    path.symlink_to(path.name)


BAD = {
    "f.png": {
        "empty": lambda p: p.write_bytes(b""),
        "text": lambda p: p.write_text("no picture"),
        "cut off": damaged,
        "only a head": lambda p: p.write_bytes(plain_png(8, 8)[:20]),
        "no pixels": lambda p: p.write_bytes(png(0, 0, 0, 8, b"")),
        "bomb": lambda p: p.write_bytes(png(50_000, 50_000, 0, 8, b"\0")),
        "more than is decoded": lambda p: p.write_bytes(png(12_000, 12_000, 2, 8, b"\0")),
        "pipe": os.mkfifo,
        "folder": os.mkdir,
        "dangling": dangling,
        "circular": circular,
        "random bytes": lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + np.random.default_rng(5).bytes(500)),
    },
    "f.heic": {"no decoder": lambda p: p.write_bytes(b"....ftypheic")},
    "f.jpg": {"only a start": lambda p: p.write_bytes(b"\xff\xd8\xff\xe0"), "html": lambda p: p.write_text("<html>404</html>")},
    "f.gif": {"only a start": lambda p: p.write_bytes(b"GIF89a")},
    "f.tif": {"a circle of directories": lambda p: p.write_bytes(b"II*\0\x08\0\0\0" + b"\0\0" + b"\x08\0\0\0")},
    "f.webp": {"only a start": lambda p: p.write_bytes(b"RIFF\x10\0\0\0WEBPVP8 ")},
}


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, cases in BAD.items() for name in cases])
def test_is_refused_by_name(tmp_path, file, name):
    BAD[file][name](tmp_path / file)
    for read in (open_image, lambda path: read_square(path, 16)):
        with pytest.raises(ValueError, match=rf"{file} cannot be read as an image \("):
            read(tmp_path / file)


MEMORY = """
import resource, sys
from cnnviz_utils.data.photos.reading import quiet, read_square
with quiet():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in sys.argv[1:]:
        read_square(path, 224)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_is_bounded(tmp_path):
    """1 x 60,000 pixels are 300 bytes of file; resized before cropping they took 1.9 GB."""
    (tmp_path / "thin.png").write_bytes(plain_png(1, 60_000))
    (tmp_path / "flat.png").write_bytes(plain_png(60_000, 1))
    (tmp_path / "big.png").write_bytes(plain_png(5000, 5000))
    paths = [str(tmp_path / f"{name}.png") for name in ("thin", "flat", "big")]
    done = subprocess.run([sys.executable, "-c", MEMORY, *paths], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 80  # megabytes; 25 million grey pixels are 24, in RGB 95
