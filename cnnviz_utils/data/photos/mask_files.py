"""Which files beside photos say where the object is: mask images, outlines, polygons;
and whose photo each of them is."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from cnnviz_utils.data.photos.listing import walk
from cnnviz_utils.data.photos.reading import opened, quiet

_FOLDERS = """
    masks mask trimaps trimap segmentations segmentation segmentationclass
    segmentationobject annotations annotation groundtruth ground_truth gt labels label
    outlines silhouettes
"""
FOLDERS = frozenset(_FOLDERS.split())
BESIDE = re.compile(r"(.+?)[_\- ](?:mask|seg|segmentation|gt)(?:[_\- ]?\d+)?", re.I)
ANNOTATIONS = re.compile("annot|coco|instances|mask|segment", re.I)
MOST_COLOURS = 64  # of a mask; a photo has thousands
File = tuple[str, ...]


def set_apart(root: Path, files: Sequence[File]) -> tuple[list[File], list[File]]:
    """Image files -> (photos, masks).

    A mask is called like a photo that lies beside it, with `_mask` (`_seg`, `_gt`)
    after it; or it lies in a folder called masks, annotations, trimaps (`FOLDERS`),
    whose files are called as photos outside are and hold few colours.
    """
    known = {(*file[:-1], _stem(file)) for file in files}
    beside = {
        file
        for file in files
        if (match := BESIDE.fullmatch(_stem(file))) and (*file[:-1], match[1]) in known
    }
    rest = [file for file in files if file not in beside]
    inside = defaultdict(list)
    for file in rest:
        if (at := _mask_folder(file)) is not None:
            inside[file[: at + 1]].append(file)
    outside = {_stem(file) for file in rest if _mask_folder(file) is None}
    for members in inside.values():
        named = sum(_photo_stem(file) in outside for file in members)
        if 2 * named >= len(members) and _few_colours(root, members):
            beside.update(members)
    photos = [file for file in files if file not in beside]
    return photos, [file for file in files if file in beside]


def sources(
    root: Path, photos: Sequence[str], masks: Sequence[str]
) -> tuple[dict[str, list[str]], list[str], int]:
    """Photos and mask images (paths relative to root) -> the mask files of each photo
    (images, else .mat, else .json), JSON files that are no single photo's, and how many
    masks could belong to several photos."""
    by_stem = defaultdict(list)
    for photo in photos:
        by_stem[_stem(photo.split("/"))].append(photo)
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    shared, unclear = [], 0
    others = (path.relative_to(root).as_posix() for path in walk(root))
    data = [name for name in others if name.lower().endswith((".mat", ".json"))]
    for name in (*masks, *data):
        kind = PurePosixPath(name).suffix.lower()
        owners = _owners(tuple(name.split("/")), by_stem)
        if len(owners) == 1:
            kind = kind if kind in (".mat", ".json") else "image"
            found[owners[0]][kind].append(name)
        elif owners:
            unclear += 1
        elif kind == ".json":
            shared.append(name)
    best = {
        photo: next(kinds[k] for k in ("image", ".mat", ".json") if k in kinds)
        for photo, kinds in found.items()
    }
    return best, shared, unclear


def coco_polygons(
    root: Path, files: Iterable[str], photos: Sequence[str]
) -> dict[str, tuple[tuple[int, int], list]]:
    """COCO's JSON files -> for each photo (width, height) and its annotations'
    `segmentation` entries. JSON of another kind is passed over; raises ValueError,
    naming the file, for one that should hold annotations and is no JSON."""
    ends = defaultdict(list)
    for photo in photos:
        ends[photo.rsplit("/", 1)[-1]].append(photo)
    found = {}
    for name in files:
        try:
            content = read_json(root / name)
        except ValueError:
            if ANNOTATIONS.search(name):
                raise
            continue
        if not isinstance(content, dict) or not {"images", "annotations"} <= {*content}:
            continue
        images = {}
        for image in content["images"]:
            path = str(image["file_name"]).replace("\\", "/")
            same = [
                photo
                for photo in ends.get(path.rsplit("/", 1)[-1], [])
                if f"/{photo}".endswith(f"/{path}")
            ]
            if len(same) == 1:
                images[image["id"]] = same[0]
                size = (int(image.get("width", 0)), int(image.get("height", 0)))
                found.setdefault(same[0], (size, []))
        for entry in content["annotations"]:
            if entry.get("image_id") in images and entry.get("segmentation"):
                found[images[entry["image_id"]]][1].append(entry["segmentation"])
    return {photo: value for photo, value in found.items() if value[1]}


def read_json(path: Path) -> object:
    """Raises ValueError that names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({error})") from None


def _stem(file: Sequence[str]) -> str:
    return PurePosixPath(file[-1]).stem


def _photo_stem(file: File) -> str:
    """What the photo of a mask is called: without `_mask`; Caltech's annotation_0001 is
    of image_0001."""
    stem = _stem(file)
    if match := BESIDE.fullmatch(stem):
        stem = match[1]
    return re.sub(r"^annotation_", "image_", stem)


def _mask_folder(file: File) -> int | None:
    """Where in a path the first folder for masks stands."""
    return next((i for i, n in enumerate(file[:-1]) if n.lower() in FOLDERS), None)


def _owners(mask: File, by_stem: dict[str, list[str]]) -> list[str]:
    """The photos that a mask may belong to: same stem; what stands before the folder of
    masks before the photo too, what stands after it somewhere in the photo's path."""
    at = _mask_folder(mask)
    before = mask[:-1] if at is None else mask[:at]
    after = [] if at is None else [n for n in mask[at:-1] if n.lower() not in FOLDERS]
    fits = []
    for stem in dict.fromkeys((_stem(mask), _photo_stem(mask))):
        for photo in by_stem.get(stem, ()):
            folders = tuple(photo.split("/")[:-1])
            if at is None:
                if folders == before:
                    fits.append(photo)
            elif folders[: len(before)] == before and set(after) <= set(folders):
                fits.append(photo)
    return fits


def _few_colours(root: Path, files: Sequence[File]) -> bool:
    """Whether the first files look like masks."""
    for file in islice(files, 3):
        try:
            with quiet(), opened(root.joinpath(*file)) as image:
                lossy = image.format in ("JPEG", "MPO")
                small = np.asarray(
                    image.convert("RGB").resize((128, 128), Image.Resampling.NEAREST)
                )
        except ValueError:
            continue
        # JPEG blurs the edge of a mask, but leaves its colours near few levels
        if lossy:
            small = (small.astype(int) + 16) // 32
        if len(np.unique(small.reshape(-1, 3), axis=0)) > MOST_COLOURS:
            return False
    return True
