"""Which data sets there are, which of them lie here, how to get the others, and whether
what lies here is whole."""

from dataclasses import dataclass
from pathlib import Path

from cnnviz_utils.base.paths import data_root
from cnnviz_utils.base.settings import check_name
from cnnviz_utils.data.photos.folders import class_files
from cnnviz_utils.data.photos.inspection import look, same_files

# name -> (folders that may hold it, the class folders' place in them, images, classes,
# how to get it)
SETS = {
    "caltech101": (
        ("caltech101",),
        "101_ObjectCategories",
        8677,
        101,
        "get caltech-101.zip (131 MB) from data.caltech.edu (record mzrjq-6wc02), "
        "unpack it so that 101_ObjectCategories and Annotations lie in this folder, "
        "with the course's train.txt and test.txt",
    ),
    "caltech256": (
        ("256_ObjectCategories", "caltech256/256_ObjectCategories"),
        ".",
        30607,
        257,
        "get 256_ObjectCategories.tar (1.2 GB) from data.caltech.edu "
        "(record nyy15-4j048) and unpack it here",
    ),
    "tinyimagenet30": (
        ("tinyimagenet30",),
        "train",
        15000,
        30,
        "copy the 30 classes of the course from Tiny ImageNet, "
        "as train/<class> and val/<class>",
    ),
    "tinyimagenet": (
        ("tiny-imagenet-200", "tinyimagenet"),
        "train",
        100000,
        200,
        "get tiny-imagenet-200.zip (237 MB) from cs231n.stanford.edu "
        "and unpack it here",
    ),
}


@dataclass(frozen=True)
class DataStatus:
    """One data set: whether it lies here, in which folder it does or should, and how to
    get it."""

    name: str
    present: bool
    folder: Path
    how: str


def status(root: str | Path | None = None, name: str | None = None) -> list[DataStatus]:
    """The Menagerie and every photo collection. Raises ValueError for a name that is
    not known."""
    if name is not None:
        check_name("data set", name, ["menagerie", *SETS])
    entries = [DataStatus("menagerie", True, Path("drawn by the package"), "")]
    for key, (folders, inside, *_, how) in SETS.items():
        places = [data_root(root) / folder for folder in folders]
        here = [place for place in places if (place / inside).is_dir()]
        entries.append(DataStatus(key, bool(here), (here or places)[0], how))
    return [entry for entry in entries if name in (None, entry.name)]


def verify(name: str, root: str | Path | None = None) -> list[str]:
    """Read every file of a data set: one sentence for each thing that is wrong, none if
    it is whole."""
    if name == "menagerie":
        return []
    [entry] = status(root, name)
    _, inside, images, count, _ = SETS[name]
    base = entry.folder / inside
    classes, files = class_files(base, ("BACKGROUND_Google",))
    problems = []
    if len(files) != images:
        problems.append(f"{len(files)} images where the published set has {images}")
    if len(classes) != count:
        problems.append(f"{len(classes)} classes where the published set has {count}")
    names = [file for file, _ in files]
    seen = look(base, names)
    problems += [
        f"{base / file} cannot be read as an image ({one.broken})"
        for file, one in zip(names, seen, strict=True)
        if one.broken
    ]
    problems += [
        f"the same file {len(group)} times: {', '.join(group[:4])}"
        for group in same_files(names, seen)
    ]
    return problems
