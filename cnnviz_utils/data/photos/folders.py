"""Photos from local files, decoded once and kept in the cache. Nothing is ever
downloaded."""

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from cnnviz_utils.base.declared import Side
from cnnviz_utils.base.files import cached
from cnnviz_utils.base.paths import as_path, cache_root
from cnnviz_utils.base.room import reserved
from cnnviz_utils.base.settings import UsageError, fitting
from cnnviz_utils.data.photos.listing import photos_in, shown, subfolders
from cnnviz_utils.data.photos.masks import Masks
from cnnviz_utils.data.photos.reading import cores, quiet, read_square
from cnnviz_utils.data.sets import ImageSet, Rows, hash_rows

# changes when the same file would give other pixels
DECODER = "middle-224-of-256-2"


def load_images(
    paths: str | Path | Iterable[str | Path], size: int
) -> tuple[torch.Tensor, list[str]]:
    """The reader's own images: a file, a folder, or a list of files -> float (N, 3,
    size, size) in [0, 1], and names.

    Raises ValueError for a file that is no image (UsageError for what is no path),
    FileNotFoundError for one that is not there, or a folder without photos directly in
    it.
    """
    fitting(size, Side, "size")
    one = isinstance(paths, str | bytes | os.PathLike)
    if one or not isinstance(paths, Iterable):
        path = as_path(paths, "photos")
        paths = photos_in(path, deep=False) if path.is_dir() else [path]
        if not paths:
            raise FileNotFoundError(f"{path} holds no photos (directly in it)")
    files = [as_path(p, "a photo") for p in paths]
    if not files:
        raise FileNotFoundError("the list of photos is empty")
    with quiet():
        pixels = np.stack([read_square(f, size).pixels for f in files])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return images, [shown(f.name) for f in files]


def class_files(
    root: Path, leave_out: Sequence[str] = ()
) -> tuple[list[str], list[tuple[str, int]]]:
    """Class folders of `root` -> class names and (file relative to root, class number),
    both sorted.

    Raises FileNotFoundError if there is no class folder with an image in it.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder")
    found = {
        folder.name: photos_in(folder)
        for folder in subfolders(root)
        if folder.name not in leave_out
    }
    classes = [name for name, photos in found.items() if photos]
    if not classes:
        raise FileNotFoundError(f"{root} has no class folders with images in them")
    return classes, [
        (path.relative_to(root).as_posix(), number)
        for number, name in enumerate(classes)
        for path in found[name]
    ]


def decode(
    root: Path,
    files: Sequence[str],
    labels: Sequence[int],
    classes: Sequence[str],
    size: int,
    *,
    broken: str = "refuse",
    masks: Masks | None = None,
) -> ImageSet:
    """Decode files once into the cache (uint8, memory-mapped); later calls only map it.

    broken: "refuse" raises ValueError naming the files that cannot be read, photos or
        masks; "skip" leaves out such photos, and such masks, with a warning.
    masks: where the photos' masks are; cut as the photos are.

    Raises OSError if there is no room for the decoded photos.
    """
    if broken not in ("refuse", "skip"):
        raise UsageError(f'broken is "refuse" or "skip", not {broken!r}')
    key = _key(root, files, size, masks)
    arrays, contents = cached(
        cache_root() / f"photos-{size}-{key}",
        lambda path: _decode_all(path, root, files, size, masks),
        _read_decoded,
    )
    _report(
        contents["photos"],
        broken,
        ("cannot be read as an image", "cannot be read as images"),
        "photos",
    )
    _report(
        contents["masks"],
        broken,
        ("is no mask that can be used", "are no masks that can be used"),
        "masks",
    )
    names = tuple(shown(name) for name in files)
    data = ImageSet(
        images=Rows(arrays["images"], hashes=np.array(arrays["hashes"])),
        labels=torch.tensor(labels),
        classes=tuple(classes),
        parts=arrays.get("parts"),
        has_mask=arrays.get("has_mask"),
        paths=names,
    )
    bad = {number for number, *_ in contents["photos"]}
    if not bad:
        return data
    if len(bad) == len(files):
        raise ValueError(f"none of the {len(files)} photos in {root} can be read")
    return data.subset([i for i in range(len(files)) if i not in bad])


def _report(problems: list, broken: str, what: tuple[str, str], kind: str) -> None:
    """Refuse, or warn of, what could not be read: [position, file, reason] each."""
    if not problems:
        return
    some = "; ".join(f"{name} ({reason})" for _, name, reason in problems[:5])
    some += " ..." if len(problems) > 5 else ""
    many = len(problems) > 1
    if broken == "refuse":
        files, them = ("files", "them") if many else ("file", "it")
        raise ValueError(
            f"{len(problems)} {files} {what[many]}: {some}. Remove {them}, or say "
            "broken='skip'"
        )
    warnings.warn(f"left out {len(problems)} {kind}: {some}", stacklevel=3)


def _key(root: Path, files: Sequence[str], size: int, masks: Masks | None) -> str:
    """Changes when a file does: a file can't be written without a new change time."""
    stamp = hashlib.sha256(f"{DECODER}|{size}|".encode())
    stamp.update(b"" if masks is None else masks.stamp())
    for name in files:
        status = (root / name).lstat()
        if (root / name).exists():
            status = (root / name).stat()
        seen = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        stamp.update(os.fsencode(name) + repr(seen).encode())
    return stamp.hexdigest()[:12]


def _read_decoded(folder: Path) -> tuple[dict[str, np.ndarray], dict]:
    arrays = {file.stem: np.load(file, mmap_mode="r") for file in folder.glob("*.npy")}
    contents = json.loads((folder / "contents.json").read_text())
    return arrays, {key: contents[key] for key in ("photos", "masks")}


def _decode_all(
    folder: Path, root: Path, files: Sequence[str], size: int, masks: Masks | None
) -> None:
    """images.npy, with masks also parts.npy and has_mask.npy; contents.json says what
    could not be read and why."""
    images = reserved(
        folder / "images.npy", (len(files), 3, size, size), what="decoded photos"
    )
    parts = None
    if masks is not None:
        parts = reserved(folder / "parts.npy", (len(files), size, size))
    has_mask = np.zeros(len(files), bool)
    bad_photos, bad_masks = {}, {}

    def one(i: int) -> None:
        try:
            photo = read_square(root / files[i], size)
        except (ValueError, FileNotFoundError) as error:
            bad_photos[i] = getattr(error, "reason", str(error))
            return
        images[i] = photo.pixels.transpose(2, 0, 1)
        try:
            mask = None if masks is None else masks.square(files[i], photo)
        except ValueError as error:
            bad_masks[i] = str(error)
            return
        if mask is not None and parts is not None:
            parts[i], has_mask[i] = mask, True

    # Pillow decodes outside the interpreter's lock
    with quiet(), ThreadPoolExecutor(cores()) as pool:
        list(pool.map(one, range(len(files))))
    images.flush()
    np.save(folder / "hashes.npy", hash_rows(images))
    if parts is not None:
        parts.flush()
        np.save(folder / "has_mask.npy", has_mask)
    listed = lambda bad: [[i, shown(files[i]), bad[i]] for i in sorted(bad)]
    contents = {"photos": listed(bad_photos), "masks": listed(bad_masks)}
    (folder / "contents.json").write_text(json.dumps(contents))
