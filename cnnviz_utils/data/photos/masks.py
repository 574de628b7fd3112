"""Where the object is in somebody's own photos: masks read from images, Caltech's
outlines, labelme's and COCO's polygons.

What counts as the object: in a trimap (a file in a folder called trimaps, as the Oxford
pets have it) the values 1, the animal, and 3, its border that nobody was sure of; in a
mask with a transparent part, what is not transparent; in JPEG, values from 128; in any
other image whatever is not black. Of polygons and outlines the inside, of several all.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cnnviz_utils.data.photos.layouts import Layout
from cnnviz_utils.data.photos.listing import shown, why_no_file
from cnnviz_utils.data.photos.mask_files import coco_polygons, read_json, sources
from cnnviz_utils.data.photos.reading import (
    CutPhoto,
    check_pixels,
    exif_orientation,
    fit_square,
    opened,
    turned,
)

# Four of Caltech-101's annotation folders are named differently from their image
# folders.
OUTLINE_FOLDERS = {
    "airplanes": "Airplanes_Side_2",
    "Faces": "Faces_2",
    "Faces_easy": "Faces_3",
    "Motorbikes": "Motorbikes_16",
}


@dataclass(frozen=True)
class Masks:
    """The masks of a data set's photos.

    files: photo -> its mask files, relative to root
    coco: photo -> ((width, height), segmentations) from COCO's JSON
    unclear: how many mask files could belong to several photos and are left out
    """

    root: Path
    files: dict[str, list[str]]
    coco: dict[str, tuple[tuple[int, int], list]] = field(default_factory=dict)
    unclear: int = 0

    def __len__(self) -> int:
        return len(self.files.keys() | self.coco.keys())

    def stamp(self) -> bytes:
        """Changes when a mask does: names, sizes and times of the files."""
        known = hashlib.sha256()
        for photo, files in sorted(self.files.items()):
            for name in files:
                status = (self.root / name).lstat()
                words = (photo, name, status.st_size, status.st_mtime_ns)
                known.update(repr(words).encode())
        known.update(repr(sorted(self.coco.items())).encode())
        return known.digest()

    def square(self, name: str, photo: CutPhoto) -> np.ndarray | None:
        """The mask of a photo, cut as the photo is: bool (size, size); None if it has
        none, or none of the object is in the cut.

        Raises ValueError that names a mask file which can't be read or doesn't fit.
        """
        size = len(photo.pixels)
        if files := self.files.get(name):
            cuts = [self._cut(self.root / file, photo, size) for file in files]
        elif name in self.coco:
            canvas, segments = self.coco[name]
            where = f"the COCO annotation of {shown(name)}"
            cuts = [_fitted(_coco(segments, canvas, photo, where), photo, size, where)]
        else:
            return None
        whole = np.zeros((size, size), bool)
        for cut in cuts:
            whole |= False if cut is None else cut
        return whole if whole.any() else None

    def _cut(self, path: Path, photo: CutPhoto, size: int) -> np.ndarray | None:
        if reason := why_no_file(path):
            raise ValueError(f"{shown(str(path))}, a mask, cannot be read ({reason})")
        if path.suffix.lower() == ".mat":
            mask = _drawn([outline(path)], photo.upright)
        elif path.suffix.lower() == ".json":
            mask = _labelme(path, photo)
        else:
            mask = _image(path)
        return None if mask is None else _fitted(mask, photo, size, shown(str(path)))


def find_masks(layout: Layout) -> Masks | None:
    """The masks beside the photos of a layout, or None if there are none.

    Looked for: images, .mat and .json files called like the photo, in a folder called
    masks, annotations/trimaps and the like, or beside it (images: with `_mask` after
    the name); and COCO's JSON files.
    """
    photos = [name for files in layout.parts.values() for name, _ in files]
    files, others, unclear = sources(layout.root, photos, layout.masks)
    coco = coco_polygons(layout.root, others, photos)
    masks = Masks(layout.root, files, coco, unclear)
    return masks if len(masks) or unclear else None


def caltech_masks(annotations: Path, names: Iterable[str]) -> Masks:
    """Caltech-101's outlines: those of "class/image_0001.jpg" in
    annotations/class/annotation_0001.mat."""
    files = {}
    for name in names:
        owner, file = name.split("/")
        outlined = file.replace("image", "annotation").replace(".jpg", ".mat")
        path = f"{OUTLINE_FOLDERS.get(owner, owner)}/{outlined}"
        if (annotations / path).is_file():
            files[name] = [path]
    return Masks(annotations, files)


def outline(path: Path) -> np.ndarray:
    """The outline in one of Caltech-101's .mat files: (2, points), x and y in pixels.
    Raises ValueError, naming the file, for anything else."""
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=("box_coord", "obj_contour"))
        corner = found["box_coord"].astype(float).ravel()[[2, 0]]
        points = found["obj_contour"].astype(float) + corner[:, None]
    except KeyError as error:
        raise _bad(path, f"has no {error.args[0]}") from None
    # damaged files make scipy raise errors of all kinds
    except Exception as error:
        raise _bad(path, f"{type(error).__name__}: {error}") from None
    if points.ndim != 2 or points.shape[0] != 2:
        raise _bad(path, f"its contour has the shape {points.shape}, not (2, points)")
    _check_points(points.T, shown(str(path)))
    return points


def _bad(path: Path, reason: str) -> ValueError:
    return ValueError(f"{shown(str(path))} holds no outline ({reason})")


def _check_points(points: np.ndarray, where: str) -> None:
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise ValueError(
            f"{where} has an outline of {len(points)} points, at least 3 are needed"
        )
    if not np.isfinite(points).all():
        raise ValueError(
            f"{where} has an outline with points that are no numbers (NaN)"
        )


def _drawn(outlines: Iterable[np.ndarray], canvas: tuple[int, int]) -> Image.Image:
    """Outlines (2, points), filled: "L", 255 inside."""
    mask = Image.new("L", canvas)
    for points in outlines:
        ImageDraw.Draw(mask).polygon([tuple(p) for p in points.T], fill=255)
    return mask


def _fitted(mask: Image.Image, photo: CutPhoto, size: int, where: str) -> np.ndarray:
    """A mask of the whole photo, as stored or upright, at any scale -> its cut."""
    wide, high = photo.upright
    near = lambda a, b: abs(a[0] * b[1] - a[1] * b[0]) <= 0.02 * a[0] * b[1] + max(a)
    if not near(mask.size, (wide, high)) and near(mask.size, photo.stored):
        mask = turned(mask, photo.orientation)
    elif not near(mask.size, (wide, high)):
        raise ValueError(
            f"{where}: the mask has {mask.size[0]} x {mask.size[1]} pixels, "
            f"its photo {wide} x {high}"
        )
    return np.asarray(fit_square(mask, size)) >= 128


def _image(path: Path) -> Image.Image:
    trimap = any(p.lower() in ("trimaps", "trimap") for p in path.parts[:-1])
    with opened(path) as image:
        check_pixels(image.size)
        image.load()
        if trimap and image.mode in ("L", "P", "1"):
            inside = np.isin(np.asarray(image), (1, 3))
        elif "A" in image.mode and not (solid := _alpha(image)).all():
            inside = solid
        else:
            colours = (
                image.convert("RGB")
                if image.mode not in ("L", "I", "I;16", "F")
                else image
            )
            lowest = 128 if image.format in ("JPEG", "MPO") else 1e-9
            values = np.asarray(colours)
            inside = (values if values.ndim == 2 else values.max(2)) >= lowest
        mask = Image.fromarray(inside.astype(np.uint8) * 255)
        return turned(mask, exif_orientation(image))


def _alpha(image: Image.Image) -> np.ndarray:
    return np.asarray(image.getchannel("A")) >= 128


def _labelme(path: Path, photo: CutPhoto) -> Image.Image | None:
    content, where = read_json(path), shown(str(path))
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        return None  # JSON of another kind
    outlines = []
    for shape in content["shapes"]:
        try:
            kind = shape.get("shape_type", "polygon")
            points = np.asarray(shape["points"], dtype=float)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError(f"{where} has a shape without points") from None
        if kind == "rectangle" and points.shape == (2, 2):
            (a, b), (c, d) = points
            points = np.array([(a, b), (c, b), (c, d), (a, d)])
        elif kind == "circle" and points.shape == (2, 2):
            turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
            radius = np.hypot(*(points[1] - points[0]))
            points = points[0] + radius * np.stack((np.cos(turn), np.sin(turn)), 1)
        elif kind not in ("polygon", None):
            continue  # points and lines have no inside
        _check_points(points, where)
        outlines.append(points.T)
    canvas = _canvas(content.get("imageWidth"), content.get("imageHeight"), photo)
    return _drawn(outlines, canvas) if outlines else None


def _canvas(wide: object, high: object, photo: CutPhoto) -> tuple[int, int]:
    if isinstance(wide, int) and isinstance(high, int) and wide > 0 and high > 0:
        check_pixels((wide, high))
        return wide, high
    return photo.upright


def _coco(
    segments: Sequence, canvas: tuple[int, int], photo: CutPhoto, where: str
) -> Image.Image:
    """COCO's segmentations: lists of x, y, x, y, ..., or run lengths as numbers."""
    canvas = _canvas(*canvas, photo)
    mask = _drawn([], canvas)
    for segment in segments:
        if isinstance(segment, dict):
            runs = segment.get("counts")
            if not isinstance(runs, list) or segment.get("size") != [
                canvas[1],
                canvas[0],
            ]:
                raise ValueError(
                    f"{where} is a compressed run-length code: save polygons"
                )
            flat = np.repeat(np.arange(len(runs)) % 2, runs)
            if len(flat) != canvas[0] * canvas[1]:
                raise ValueError(f"{where} has run lengths for another size")
            inside = flat.reshape(canvas).T.astype(np.uint8) * 255
            mask = Image.fromarray(np.maximum(inside, np.asarray(mask)))
            continue
        for numbers in segment:
            try:
                points = np.asarray(numbers, dtype=float).reshape(-1, 2)
            except (TypeError, ValueError):
                raise ValueError(f"{where} is no list of coordinates") from None
            _check_points(points, where)
            mask = Image.fromarray(
                np.maximum(np.asarray(mask), np.asarray(_drawn([points.T], canvas)))
            )
    return mask
