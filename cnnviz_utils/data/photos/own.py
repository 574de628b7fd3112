"""Somebody's own photos: any folder whose layout is recognised, as a data set in three
sets."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.photos.folders import decode
from cnnviz_utils.data.photos.layouts import Layout, recognise
from cnnviz_utils.data.photos.masks import find_masks
from cnnviz_utils.data.sets import ImageSet, Splits
from cnnviz_utils.data.splits import stratified_split


def cut(name: str, data: ImageSet, parts: Sequence[np.ndarray]) -> Splits:
    """A set in three, by positions."""
    return Splits(name, *(data.subset(part) for part in parts))


def folder(
    root: Path,
    size: int,
    seed: int,
    valid: float = 0.2,
    test: float = 0.2,
    broken: str = "refuse",
    name: str = "folder",
) -> Splits:
    """Any folder that `recognise` understands, with the masks that `find_masks` finds.

    Class folders are cut class by class; `valid` and `test` are shares of all. With
    train, valid and test there nothing is cut. Where only one is beside train it is the
    test, and validation is cut from train; with train alone both are.

    Raises UsageError if the layout is not understood, or a class has too few photos for
    what is cut from it; ValueError for files and masks that cannot be read, unless
    broken is "skip".
    """
    if not (valid > 0 and test > 0 and valid + test < 1):
        raise UsageError(
            "valid and test are shares above 0 that leave something for train, "
            f"not {valid} and {test}"
        )
    layout = recognise(root)
    masks = find_masks(layout)
    if masks and masks.unclear:
        warnings.warn(
            f"{masks.unclear} masks could belong to several photos and are left out: "
            "lay them out in folders as the photos are",
            stacklevel=2,
        )
    sets = {
        part: decode(
            layout.root,
            [file for file, _ in files],
            [number for _, number in files],
            layout.classes,
            size,
            broken=broken,
            masks=masks,
        )
        for part, files in layout.parts.items()
    }
    if len(sets) == 3:
        return Splits(name, sets["train"], sets["valid"], sets["test"])
    whole = sets.get("all") or sets["train"]
    given = sets.get("test") or sets.get("valid")
    shares = (1 - valid, valid) if given else (1 - valid - test, valid, test)
    _enough(layout, whole, len(shares))
    pieces = [
        whole.subset(part) for part in stratified_split(whole.labels, shares, seed)
    ]
    pieces += [given] if given else []
    for part, piece in zip(("training", "validation", "test"), pieces, strict=True):
        if not len(piece):
            raise UsageError(
                f"{layout.root}: the {part} set is left without a photo; there are "
                f"{len(whole)} in all: add some, or change valid and test"
            )
    return Splits(name, *pieces)


def _enough(layout: Layout, data: ImageSet, parts: int) -> None:
    """Raises UsageError for a class with fewer photos than parts are cut from it."""
    counts = data.counts.tolist()
    if few := [i for i, count in enumerate(counts) if count < parts]:
        first, more = few[0], f" (and {len(few) - 1} more classes)" if few[1:] else ""
        photos = "1 photo" if counts[first] == 1 else f"{counts[first]} photos"
        raise UsageError(
            f"{layout.root}: class {layout.classes[first]!r} has {photos}{more}, but "
            f"each class is cut into {parts} sets: add photos, or take its folder out"
        )
