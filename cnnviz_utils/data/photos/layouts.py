"""How somebody's folder of photos is laid out: which folders are classes, which are
train and test, which hold masks. Recognised, or refused with what was seen."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnviz_utils.base.paths import as_path
from cnnviz_utils.base.settings import UsageError, many, nearest
from cnnviz_utils.data.photos.file_lists import (
    File,
    descend,
    groups_at,
    holds,
    part_of,
)
from cnnviz_utils.data.photos.listing import photos_in, shown, subfolders
from cnnviz_utils.data.photos.mask_files import set_apart

EXPECTED = (
    "Expected are class folders (FOLDER/<class>/photo.jpg), or train and test, each of "
    "class folders (FOLDER/train/<class>/photo.jpg); masks, if there are any, in "
    "FOLDER/masks under the photos' names."
)


@dataclass(frozen=True)
class Layout:
    """What a folder holds.

    root: the folder asked for; all files are relative to it, with / between folders
    parts: "all", or "train" with "valid" or "test" or both -> (file, class number),
        sorted by file
    classes: names as people read them, sorted
    masks: image files that are masks of photos, not photos
    notes: one sentence for each thing that was decided or left out
    """

    root: Path
    parts: dict[str, tuple[tuple[str, int], ...]]
    classes: tuple[str, ...]
    masks: tuple[str, ...]
    notes: tuple[str, ...]

    def counts(self, part: str) -> list[int]:
        """Photos of each class in a part."""
        found = Counter(number for _, number in self.parts[part])
        return [found[i] for i in range(len(self.classes))]

    def __str__(self) -> str:
        total = sum(len(files) for files in self.parts.values())
        lines = [f"{total} photos in {len(self.classes)} classes", ""]
        wide = max(len(name) for name in (*self.classes, "class"))
        heads = ["photos"] if "all" in self.parts else list(self.parts)
        lines.append(f"  {'class':{wide}}" + "".join(f"  {h:>6}" for h in heads))
        columns = [self.counts(part) for part in self.parts]
        for i, name in enumerate(self.classes):
            lines.append(f"  {name:{wide}}" + "".join(f"  {c[i]:6}" for c in columns))
        return "\n".join(lines + [""] * bool(self.notes) + list(self.notes))


def describe(folder: str | Path) -> str:
    """Classes and counts of a folder of photos as text, or, where its layout is not
    recognised, what was seen and what is expected. Raises FileNotFoundError if it is no
    folder."""
    root = as_path(folder, "folder")
    try:
        return str(recognise(root))
    except UsageError as error:
        return str(error)


def recognise(folder: str | Path) -> Layout:
    """The layout of a folder of photos.

    Understood: class folders; train, valid (val, validation) and test of class folders,
    under these names in any case or with more words (`Train`, `training_set`,
    `seg_test`); either of them some folders deeper (`archive/train`); `images` beside
    `annotations` or `masks`, also with all photos in one folder if their names are
    <class>_<number>. A folder called train beside bus and car is a class.

    Raises FileNotFoundError if it is no folder, UsageError for any other layout.
    """
    root = as_path(folder, "folder")
    if not root.is_dir():
        raise FileNotFoundError(f"{shown(str(root))} is not a folder")
    found = [path.relative_to(root).parts for path in photos_in(root)]
    files, masks = set_apart(root, found)
    notes = [f"{len(masks)} of the image files are masks."] if masks else []
    if not files:
        raise _refusal(root, found, "holds no photos")
    prefix, files = descend(files, (), notes)
    if prefix:
        notes.append(f"Taken from the folder {shown('/'.join(prefix))} in it.")
    depth = len(prefix)
    groups = groups_at(files, depth)
    if not groups:
        parts = {"all": _by_name(root, found, files, bool(masks), depth, notes)}
    elif parts := _split(root, found, groups, depth, notes):
        pass
    else:
        parts = {"all": _by_folder(groups)}
        if loose := sum(len(file) == depth + 1 for file in files):
            notes.append(f"{many(loose, 'photo')} beside the class folders left out.")
    return _layout(root, found, prefix, parts, masks, notes)


def _by_folder(groups: dict[str, list[File]]) -> list[tuple[File, str]]:
    return [(file, name) for name, files in groups.items() for file in files]


def _split(
    root: Path,
    found: Sequence[File],
    groups: dict[str, list[File]],
    depth: int,
    notes: list[str],
) -> dict[str, list[tuple[File, str]]] | None:
    """train, valid and test with their files and classes; None if the folders are
    classes."""
    parts: dict[str, str] = {}
    for name in groups:
        if part := part_of(name):
            if part in parts:
                raise _refusal(
                    root, found, f"has {parts[part]} and {name}, two folders for {part}"
                )
            parts[part] = name
    others = [name for name in groups if name not in parts.values()]
    inside = {}
    for part, name in parts.items():
        inside[part] = groups_at(groups[name], depth + 1)
        deeper = depth + 2
        while len(inside[part]) == 1 and holds(*inside[part]):
            [files] = inside[part].values()
            inside[part], deeper = groups_at(files, deeper), deeper + 1
    learn = set(inside.get("train", ()))
    shared = any(learn & set(inside[part]) for part in parts if part != "train")
    if not parts or (others and not (learn and shared)):
        if "train" in parts:
            notes.append(f"The folder {parts['train']} is taken for a class.")
        return None
    if "train" not in parts:
        raise _refusal(root, found, f"has {' and '.join(parts.values())}, but no train")
    if not learn:
        raise _refusal(root, found, f"has no class folders in {parts['train']}")
    if others:
        notes.append(
            f"Left out, for there are train and test: {', '.join(map(shown, others))}."
        )
    result = {}
    for part in ("train", "valid", "test"):
        if part not in parts:
            continue
        if inside[part]:
            result[part] = _by_folder(inside[part])
        else:  # photos without labels: `load_images` reads those
            notes.append(f"{parts[part]} has no class folders and is left out.")
    return result


def _by_name(
    root: Path,
    found: Sequence[File],
    files: list[File],
    masks: bool,
    depth: int,
    notes: list[str],
) -> list[tuple[File, str]]:
    """Photos in one folder, classes by their names (<class>_<number>.jpg): as the
    Oxford pets come, beside their annotations only."""
    name = re.compile(r"(.*[^\W\d])[ _-]+\(?\d+\)?\.\w+")
    named = [(file, match[1]) for file in files if (match := name.fullmatch(file[-1]))]
    beside = masks or any(
        p.name.lower().startswith("annot")
        for p in (
            *subfolders(root),
            *subfolders(root.joinpath(*files[0][:depth]).parent),
        )
    )
    if not beside or len(named) < len(files) or len({c for _, c in named}) < 2:
        raise _refusal(
            root, found, f"holds {many(len(files), 'photo')}, but no class folders"
        )
    notes.append("The classes are the beginnings of the files' names.")
    return named


def _layout(
    root: Path,
    found: Sequence[File],
    prefix: File,
    parts: dict[str, list[tuple[File, str]]],
    masks: Sequence[File],
    notes: list[str],
) -> Layout:
    """Names made readable, classes numbered, and a last look at whether it can be."""
    learn = "train" if "train" in parts else "all"
    owners: dict[str, str] = {}
    for raw in sorted({name for files in parts.values() for _, name in files}):
        same = owners.setdefault(shown(raw), raw)
        if unicodedata.normalize("NFC", same) != unicodedata.normalize("NFC", raw):
            raise _refusal(
                root,
                found,
                f"has two class folders that read {shown(raw)!r}: rename one",
            )
    classes = tuple(sorted({shown(name) for _, name in parts[learn]}))
    for part, files in parts.items():
        if unknown := sorted({shown(name) for _, name in files} - set(classes)):
            raise UsageError(
                f"{shown(str(root))}: {part} has a class {unknown[0]!r} that train has "
                f"not{nearest(unknown[0], classes)}"
            )
    if len(classes) < 2:
        raise _refusal(
            root,
            found,
            f"holds one class only, {classes[0]!r}; a network needs two to tell apart",
        )
    if alike := [
        n for n, k in Counter(name.casefold() for name in classes).items() if k > 1
    ]:
        notes.append(f"Two classes differ only in capitals: {alike[0]}.")
    if learn == "all":
        empty = {shown(p.name) for p in subfolders(root.joinpath(*prefix))} - set(
            classes
        )
        empty -= {shown(mask[len(prefix)]) for mask in masks if len(mask) > len(prefix)}
        if empty and parts["all"][0][0][len(prefix)] == parts["all"][0][1]:
            notes.append(f"Folders without photos: {', '.join(sorted(empty))}.")
    number = {name: i for i, name in enumerate(classes)}
    numbered = {
        part: tuple(
            sorted(("/".join(file), number[shown(name)]) for file, name in files)
        )
        for part, files in parts.items()
    }
    return Layout(
        root, numbered, classes, tuple("/".join(m) for m in masks), tuple(notes)
    )


def _refusal(root: Path, found: Sequence[File], what: str) -> UsageError:
    """The sentence: what is wrong, what was seen, what is expected."""
    seen = [
        f"{shown(folder.name)} ("
        + many(sum(f[0] == folder.name for f in found), "photo")
        + (f", {many(k, 'folder')})" if (k := len(subfolders(folder))) else ")")
        for folder in subfolders(root)
    ]
    if loose := sum(len(file) == 1 for file in found):
        seen.append(f"{many(loose, 'photo')} directly in it")
    more = f" and {len(seen) - 8} more" if len(seen) > 8 else ""
    return UsageError(
        f"{shown(str(root))} {what}. Seen: {', '.join(seen[:8]) or 'nothing'}{more}. "
        f"{EXPECTED}"
    )
