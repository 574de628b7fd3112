"""Decoded or drawn images on disk: arrays by split, read through memory maps."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from cnnviz_utils.base.files import cached

# a split's name, its arrays, one dict for each image
Contents = tuple[str, dict[str, np.ndarray], Sequence[dict]]


def cached_arrays(
    folder: Path, make: Callable[[], Iterable[Contents]]
) -> list[Contents]:
    """What `make` yields, split by split, from `folder` if it is there and whole (see
    `cached`), else made first.

    Arrays come as read-only memory maps.
    """
    return cached(folder, lambda work: _write(work, make()), _read)


def _write(work: Path, parts: Iterable[Contents]) -> None:
    names = []
    for name, arrays, infos in parts:
        names.append(name)
        for key, array in arrays.items():
            np.save(work / f"{name}-{key}.npy", array)
        lines = [json.dumps(info) + "\n" for info in infos]
        (work / f"{name}-info.jsonl").write_text("".join(lines))
    (work / "splits.json").write_text(json.dumps(names))


def _read(folder: Path) -> list[Contents]:
    found: list[Contents] = []
    for split in json.loads((folder / "splits.json").read_text()):
        files = sorted(folder.glob(f"{split}-*.npy"))
        arrays = {
            file.stem.removeprefix(f"{split}-"): np.load(file, mmap_mode="r")
            for file in files
        }
        lines = (folder / f"{split}-info.jsonl").read_text().splitlines()
        found.append((split, arrays, tuple(json.loads(line) for line in lines)))
    return found
