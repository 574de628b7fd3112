"""Image files of every odd kind, drawn for the tests, and folders of them."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int = 0, wide: int = 24, high: int = 18) -> np.ndarray:
    """uint8 (high, wide, 3): two soft colours, so that lossy formats keep it."""
    rng = np.random.default_rng(seed)
    low, top = rng.integers(0, 256, (2, 3))
    return np.linspace(low, top, high).round().astype(np.uint8)[:, None].repeat(wide, 1)


def draw(path: Path, seed: int | None = None) -> Path:
    """A small photo of its own at `path`, in the format that its ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(zlib.crc32(str(path.name).encode()) if seed is None else seed)).save(path)
    return path


def draw_all(root: Path, names: str) -> Path:
    """`root` with the photos named, "cat/{1..4}.jpg dog/1.png"."""
    for name in names.split():
        if "{" in name:
            before, rest = name.split("{")
            span, after = rest.split("}")
            first, last = map(int, span.split(".."))
            for i in range(first, last + 1):
                draw(root / f"{before}{i}{after}")
        else:
            draw(root / name)
    return root


def png(wide: int, high: int, kind: int, depth: int, rows: bytes, clear: bytes = b"", more: bytes = b"") -> bytes:
    """A PNG written by hand: `rows` with their filter bytes; `clear` is its tRNS chunk."""
    def chunk(tag: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", wide, high, depth, kind, 0, 0, 0))
    return (b"\x89PNG\r\n\x1a\n" + head + more + (chunk(b"tRNS", clear) if clear else b"")
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def plain_png(wide: int, high: int, kind: int = 0) -> bytes:
    """A PNG of one colour, of a few bytes whatever its size: 0 grey, 2 colours."""
    row = b"\0" + b"\x80" * (wide * (3 if kind == 2 else 1))
    packer, parts = zlib.compressobj(9), []
    for _ in range(high):
        parts.append(packer.compress(row))
    data = b"".join(parts) + packer.flush()
    whole = png(wide, high, kind, 8, b"")
    start = whole.index(b"IDAT") - 4
    body = struct.pack(">I", len(data)) + b"IDAT" + data + struct.pack(">I", zlib.crc32(b"IDAT" + data))
    return whole[:start] + body + png(1, 1, 0, 8, b"")[-12:]
