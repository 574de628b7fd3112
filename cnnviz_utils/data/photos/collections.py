"""The photo collections the course knows: where their files lie, which classes and
which split they come with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnnviz_utils.data.photos.folders import class_files, decode
from cnnviz_utils.data.photos.masks import caltech_masks
from cnnviz_utils.data.photos.own import cut, folder
from cnnviz_utils.data.photos.realms import REALMS_101, REALMS_256
from cnnviz_utils.data.sets import Splits
from cnnviz_utils.data.splits import list_split, stratified_split


def realm_of_class(name: str) -> str:
    """The realm (air, land, water) of a class of Caltech-101, or of a realm's own name;
    "" for a class that is in none."""
    if name in REALMS_101:
        return name
    realms = [realm for realm, members in REALMS_101.items() if name in members]
    return realms[0] if realms else ""


def find(root: Path, *places: str) -> Path:
    """The first of these folders under root. Raises FileNotFoundError that names the
    first."""
    for place in places:
        if (root / place).is_dir():
            return root / place
    raise FileNotFoundError(
        f"{root / places[0]} is not there: `cnnviz data` says how to get it, "
        "and CNNVIZ_DATA or the parameter root says where to look"
    )


def caltech101(
    root: Path, size: int, seed: int, split: str = "published", broken: str = "refuse"
) -> Splits:
    """Caltech-101 without its background class.

    split: "published": the published lists train.txt and test.txt; half of the train
        list, drawn at random, becomes the validation set (2,892 and 2,892 images).
        "stratified": the same, with the half drawn class by class.
        "nine_tenths": the published lists; a tenth of the train list, class by class,
        becomes the validation set.
        "own": 60/20/20 of all images, class by class.
    """
    base = find(root, "caltech101")
    classes, files = class_files(
        find(root, "caltech101/101_ObjectCategories"), ("BACKGROUND_Google",)
    )
    names = [name for name, _ in files]
    data = decode(
        base / "101_ObjectCategories",
        names,
        [label for _, label in files],
        classes,
        size,
        broken=broken,
        masks=caltech_masks(base / "Annotations", names),
    )
    if split == "own":
        return cut(
            "caltech101", data, stratified_split(data.labels, (0.6, 0.2, 0.2), seed)
        )
    shares = {"stratified": (0.5, 0.5), "nine_tenths": (0.9, 0.1)}
    if split != "published" and split not in shares:
        raise ValueError(
            'caltech101 is split "published", "stratified", "nine_tenths" or "own", '
            f"not {split!r}"
        )
    lists = {}
    for part in ("train", "test"):
        if not (base / f"{part}.txt").is_file():
            raise FileNotFoundError(
                f"{base / part}.txt, the published split, is not there; "
                "split='own' does without"
            )
        lines = (base / f"{part}.txt").read_text().split()
        lists[part] = [
            line for line in lines if not line.startswith("BACKGROUND_Google/")
        ]
    at = list_split(data.paths or (), lists)
    learn = at["train"]
    if split == "published":
        order = np.random.default_rng(seed).permutation(learn)
        train, valid = (
            np.sort(order[: len(order) // 2]),
            np.sort(order[len(order) // 2 :]),
        )
    else:
        train, valid = (
            learn[part]
            for part in stratified_split(data.labels[learn], shares[split], seed)
        )
    return cut("caltech101", data, (train, valid, at["test"]))


def realms(
    root: Path,
    size: int,
    seed: int,
    groups: dict,
    places: Sequence[str],
    name: str,
    broken: str,
) -> Splits:
    """The three-realms project's task: 27 classes in three realms. 20 % are the test
    set, and 20 % of the rest the validation set, both drawn class by class."""
    base = find(root, *places)
    _, files = class_files(base)
    realm = {
        member: i for i, members in enumerate(groups.values()) for member in members
    }
    if missing := sorted(set(realm) - {file.split("/")[0] for file, _ in files}):
        raise FileNotFoundError(
            f"{base} has no class folder {missing[0]}, which {name} needs"
        )
    files = [file for file, _ in files if file.split("/")[0] in realm]
    kinds = [file.split("/")[0] for file in files]
    annotations = base.parent / "Annotations"
    masks = caltech_masks(annotations, files) if annotations.is_dir() else None
    data = decode(
        base,
        files,
        [realm[k] for k in kinds],
        list(groups),
        size,
        broken=broken,
        masks=masks,
    )
    kinds = [path.split("/")[0] for path in data.paths or ()]
    numbers = np.unique(kinds, return_inverse=True)[1]
    return cut(name, data, stratified_split(numbers, (0.64, 0.16, 0.20), seed))


def caltech101_realms(
    root: Path, size: int, seed: int, broken: str = "refuse"
) -> Splits:
    """The three-realms project's task on photos of Caltech-101: nine classes a realm,
    those of REALMS_101."""
    return realms(
        root,
        size,
        seed,
        REALMS_101,
        ["caltech101/101_ObjectCategories"],
        "caltech101_realms",
        broken,
    )


def caltech256_realms(
    root: Path, size: int, seed: int, broken: str = "refuse"
) -> Splits:
    """The three-realms project's task on the classes of Caltech-256 that it used, those
    of REALMS_256."""
    return realms(
        root,
        size,
        seed,
        REALMS_256,
        ["256_ObjectCategories", "caltech256/256_ObjectCategories"],
        "caltech256_realms",
        broken,
    )


def caltech256(root: Path, size: int, seed: int, broken: str = "refuse") -> Splits:
    """All of Caltech-256, 60/20/20 class by class; there is no published split."""
    base = find(root, "256_ObjectCategories", "caltech256/256_ObjectCategories")
    return folder(base, size, seed, broken=broken, name="caltech256")


def tinyimagenet30(root: Path, size: int, seed: int, broken: str = "refuse") -> Splits:
    """The Tiny ImageNet assignment's 30 classes. Of each class, 450 images of the train
    folder are for training and 50 for validation; the val folder is the test set."""
    base = find(root, "tinyimagenet30")
    return folder(base, size, seed, valid=0.1, broken=broken, name="tinyimagenet30")


def tinyimagenet(root: Path, size: int, seed: int, broken: str = "refuse") -> Splits:
    """Tiny ImageNet as distributed: 200 classes; val_annotations.txt names the val
    folder's classes (the test here)."""
    base = find(root, "tiny-imagenet-200", "tinyimagenet")
    classes, files = class_files(find(base, "train"))
    learn = decode(
        base / "train",
        [f for f, _ in files],
        [k for _, k in files],
        classes,
        size,
        broken=broken,
    )
    listed = base / "val" / "val_annotations.txt"
    if not listed.is_file():
        raise FileNotFoundError(
            f"{listed}, which names the classes of the val folder, is not there"
        )
    lines = [
        line.split("\t")[:2] for line in listed.read_text().splitlines() if line.strip()
    ]
    test = decode(
        base / "val" / "images",
        [f for f, _ in lines],
        [classes.index(k) for _, k in lines],
        classes,
        size,
        broken=broken,
    )
    train, valid = stratified_split(learn.labels, (0.9, 0.1), seed)
    return Splits("tinyimagenet", learn.subset(train), learn.subset(valid), test)
