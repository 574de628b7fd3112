"""Real photos from local files: find them, decode them once, keep them in the cache.
Nothing is ever downloaded."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from cnnviz_utils.base.files import cached
from cnnviz_utils.base.paths import cache_root
from cnnviz_utils.data.sets import ImageSet

IMAGE_ENDINGS = {
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".gif",
    ".webp",
    ".tif",
    ".tiff",
    ".ppm",
}
# changes when the same file would give other pixels
DECODER = "resize-256/224-centre-crop-1"


def open_image(path: str | Path) -> Image.Image:
    """Any image file as upright RGB: greyscale, palette, 16-bit, CMYK and RGBA (on
    white) are converted.

    Raises ValueError, naming the file, if it cannot be read as an image.
    """
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            # 16 or 32 bits: scale by the type's range
            if image.mode.startswith("I") or image.mode == "F":
                values = np.asarray(image, dtype=np.float64)
                top = (
                    65535
                    if image.mode.startswith("I")
                    else max(1.0, float(values.max()))
                )
                image = Image.fromarray(
                    (values / top * 255).clip(0, 255).astype(np.uint8)
                )
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, (255, 255, 255, 255))
                image = Image.alpha_composite(white, image)
            return image.convert("RGB")
    except FileNotFoundError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as an image ({type(error).__name__}): "
            "replace or remove it"
        ) from None


def fit_square(image: Image.Image, size: int) -> Image.Image:
    """Resize the shorter side to size * 256 / 224 pixels, then cut out the middle size
    x size pixels, as networks for ImageNet are usually tested."""
    resample = (
        Image.Resampling.NEAREST if image.mode == "1" else Image.Resampling.BILINEAR
    )
    factor = size * 256 / 224 / min(image.size)
    wide, high = (max(size, round(side * factor)) for side in image.size)
    image = image.resize((wide, high), resample)
    left, top = (wide - size) // 2, (high - size) // 2
    return image.crop((left, top, left + size, top + size))


def load_images(
    paths: str | Path | Iterable[str | Path], size: int
) -> tuple[torch.Tensor, list[str]]:
    """The reader's own images: a file, a folder, or a list of files -> float (N, 3,
    size, size) in [0, 1], and names.

    Raises ValueError for a file that is no image, FileNotFoundError for one that is not
    there.
    """
    if isinstance(paths, str | Path):
        path = Path(paths)
        paths = (
            sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_ENDINGS)
            if path.is_dir()
            else [path]
        )
    files = [Path(p) for p in paths]
    if not files:
        raise FileNotFoundError("no image files were found there")
    pixels = np.stack([np.asarray(fit_square(open_image(f), size)) for f in files])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255, [
        f.name for f in files
    ]


def class_files(
    root: Path, leave_out: Sequence[str] = ()
) -> tuple[list[str], list[tuple[str, int]]]:
    """Class folders of `root` -> class names and (file relative to root, class number),
    both sorted.

    Raises FileNotFoundError if there is no class folder with an image in it.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder")
    names = sorted(
        p.name
        for p in root.iterdir()
        if p.is_dir() and p.name not in leave_out and not p.name.startswith(".")
    )
    files = [
        (f"{name}/{path.relative_to(root / name).as_posix()}", name)
        for name in names
        for path in sorted((root / name).rglob("*"))
        if path.suffix.lower() in IMAGE_ENDINGS
    ]
    kept = (
        [name for name in names if any(owner == name for _, owner in files)]
        if len(names) < 2000
        else names
    )
    if not files:
        raise FileNotFoundError(f"{root} has no class folders with images in them")
    number = {name: i for i, name in enumerate(kept)}
    return kept, [(path, number[owner]) for path, owner in files]


def decode(
    root: Path,
    files: Sequence[str],
    labels: Sequence[int],
    classes: Sequence[str],
    size: int,
    *,
    broken: str = "refuse",
    outline: Callable[[str], np.ndarray | None] | None = None,
) -> ImageSet:
    """Decode files once into the cache (uint8, memory-mapped); later calls only map it.

    broken: "refuse" raises ValueError naming every file that cannot be read, "skip"
        leaves them out with a warning.
    outline: relative path -> polygon (2, points) in the photo's pixels, or None: the
        masks, cut as the photo is.
    """
    if broken not in ("refuse", "skip"):
        raise ValueError(f'broken is "refuse" or "skip", not {broken!r}')
    stamp = hashlib.sha256(f"{DECODER}|{size}|{outline is not None}".encode())
    for name in files:
        status = (root / name).stat()
        stamp.update(f"{name}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    key = stamp.hexdigest()[:12]
    arrays, good = cached(
        cache_root() / f"photos-{size}-{key}",
        lambda path: _decode_all(path, root, files, size, outline),
        _read_decoded,
    )
    if bad := [name for name, fine in zip(files, good, strict=True) if not fine]:
        if broken == "refuse":
            raise ValueError(
                f"{len(bad)} files cannot be read as images: {', '.join(bad[:5])}"
                f"{' ...' if len(bad) > 5 else ''}; remove them, or say broken='skip'"
            )
        warnings.warn(
            f"left out {len(bad)} files that cannot be read: {', '.join(bad[:5])}",
            stacklevel=2,
        )
    data = ImageSet(
        images=arrays["images"],
        labels=torch.tensor(labels),
        classes=tuple(classes),
        parts=arrays.get("parts"),
        has_mask=arrays.get("has_mask"),
        paths=tuple(files),
        fingerprint=key,
    )
    return data.subset(np.flatnonzero(good)) if bad else data


def _read_decoded(folder: Path) -> tuple[dict[str, np.ndarray], list[bool]]:
    arrays = {file.stem: np.load(file, mmap_mode="r") for file in folder.glob("*.npy")}
    return arrays, json.loads((folder / "good.json").read_text())


def _decode_all(
    folder: Path, root: Path, files: Sequence[str], size: int, outline
) -> None:
    images = np.lib.format.open_memmap(
        folder / "images.npy",
        mode="w+",
        dtype=np.uint8,
        shape=(len(files), 3, size, size),
    )
    parts = (
        np.lib.format.open_memmap(
            folder / "parts.npy",
            mode="w+",
            dtype=np.uint8,
            shape=(len(files), size, size),
        )
        if outline
        else None
    )
    has_mask, good = np.zeros(len(files), bool), [True] * len(files)

    def one(i: int) -> None:
        try:
            photo = open_image(root / files[i])
        except ValueError:
            good[i] = False
            return
        images[i] = np.asarray(fit_square(photo, size)).transpose(2, 0, 1)
        polygon = outline(files[i]) if outline else None
        if polygon is not None:
            mask = Image.new("L", photo.size)
            ImageDraw.Draw(mask).polygon([tuple(p) for p in polygon.T], fill=255)
            parts[i], has_mask[i] = np.asarray(fit_square(mask, size)) >= 128, True

    # Pillow decodes outside the interpreter's lock
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(min(8, os.cpu_count() or 2)) as pool,
    ):
        # and warns of oddities in files that it then handles
        warnings.simplefilter("ignore")
        list(pool.map(one, range(len(files))))
    images.flush()
    (folder / "good.json").write_text(json.dumps(good))
    if outline:
        parts.flush()
        np.save(folder / "has_mask.npy", has_mask)


# Four of Caltech-101's annotation folders are named differently from their image
# folders.
OUTLINE_FOLDERS = {
    "airplanes": "Airplanes_Side_2",
    "Faces": "Faces_2",
    "Faces_easy": "Faces_3",
    "Motorbikes": "Motorbikes_16",
}


def caltech_outline(annotations: Path) -> Callable[[str], np.ndarray | None]:
    """A function from "class/image_0001.jpg" to the object's outline (2, points) in
    pixels, None where there is none."""
    from scipy.io import loadmat

    def outline(name: str) -> np.ndarray | None:
        owner, file = name.split("/")
        path = (
            annotations
            / OUTLINE_FOLDERS.get(owner, owner)
            / file.replace("image", "annotation").replace(".jpg", ".mat")
        )
        if not path.is_file():
            return None
        found = loadmat(path)
        corner = found["box_coord"].astype(float).ravel()[[2, 0]]
        return found["obj_contour"].astype(float) + corner[:, None]

    return outline
