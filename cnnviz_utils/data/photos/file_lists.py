"""A list of files looked at as folders: which lie in which, where the only way leads,
and which folders' names say train, valid or test."""

import re
from collections.abc import Iterable

from cnnviz_utils.base.settings import many
from cnnviz_utils.data.photos.listing import shown

PARTS = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev"), "valid"),
    **dict.fromkeys(("test", "testing", "testset", "tst"), "test"),
}
# folders that only hold the others
HOLDERS = {"images", "imgs", "photos", "pictures", "jpegimages", "data", *PARTS}
File = tuple[str, ...]  # the parts of a path relative to the folder asked for


def groups_at(files: Iterable[File], depth: int) -> dict[str, list[File]]:
    """Files by the folder they lie in at a depth; without those that lie in none."""
    groups: dict[str, list[File]] = {}
    for file in files:
        if len(file) > depth + 1:
            groups.setdefault(file[depth], []).append(file)
    return groups


def descend(
    files: list[File], prefix: File, notes: list[str]
) -> tuple[File, list[File]]:
    """Into the only folder, as long as there is only one."""
    while len(groups := groups_at(files, len(prefix))) == 1:
        [(name, inside)] = groups.items()
        loose = len(files) - len(inside)
        if loose and not groups_at(inside, len(prefix) + 1):
            break
        if loose:
            notes.append(
                f"{many(loose, 'photo')} beside the folder {shown(name)} left out."
            )
        files, prefix = inside, (*prefix, name)
    return prefix, files


def part_of(name: str) -> str | None:
    """train, valid or test, if a folder's name says so: `Train`, `training_set`."""
    words = [PARTS.get(word) for word in re.split(r"[\W_]+", name.lower())]
    named = {word for word in words if word}
    return named.pop() if len(named) == 1 else None


def holds(name: str) -> bool:
    return name.lower() in HOLDERS or part_of(name) is not None
