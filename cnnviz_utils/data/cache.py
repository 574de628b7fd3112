"""A folder of arrays on disk, written whole or not at all, checked when it is opened, read through memory maps."""

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from cnnviz_utils.base.files import turn, written_whole

from cnnviz_utils.data.sets import digest

Contents = tuple[str, dict[str, np.ndarray], Sequence[dict]]   # a split's name, its arrays, one dict an image


def code_fingerprint(modules: Iterable[str]) -> str:
    """Changes whenever the source text of one of these modules of this folder does."""
    return digest(b"".join(Path(__file__).with_name(f"{module}.py").read_bytes() for module in modules))


def cached_arrays(folder: Path, make: Callable[[], Iterable[Contents]]) -> list[Contents]:
    """What `make` yields, from `folder` if it is there and whole; otherwise made, written and then read back.

    Arrays come as read-only memory maps. A folder that is damaged is made again. Of two processes that want the same
    folder one makes it and the other waits.
    """
    found = _read(folder)
    if found is None:
        with turn(folder):
            found = _read(folder)
            if found is None:  # nobody made it while we waited
                with written_whole(folder) as work:
                    _write(work, make())
                found = _read(folder)
    if found is None:
        raise OSError(f"the cache {folder} cannot be read back after it was written; is the disk full or damaged?")
    return found


def _write(work: Path, parts: Iterable[Contents]) -> None:
    names = []
    for name, arrays, infos in parts:
        names.append(name)
        for key, array in arrays.items():
            np.save(work / f"{name}-{key}.npy", array)
        (work / f"{name}-info.jsonl").write_text("".join(json.dumps(info) + "\n" for info in infos))
    sums = {file.name: _checksum(file) for file in sorted(work.iterdir())}
    (work / "contents.json").write_text(json.dumps({"splits": names, "checksums": sums}))


def _read(folder: Path) -> list[Contents] | None:
    """What is in the folder, or None if it is not there, not complete, or not what was written."""
    try:
        contents = json.loads((folder / "contents.json").read_text())
        if any(_checksum(folder / name) != value for name, value in contents["checksums"].items()):
            return None
        found = []
        for split in contents["splits"]:
            arrays = {file.stem.removeprefix(f"{split}-"): np.load(file, mmap_mode="r")
                      for file in sorted(folder.glob(f"{split}-*.npy"))}
            infos = tuple(json.loads(line) for line in (folder / f"{split}-info.jsonl").read_text().splitlines())
            found.append((split, arrays, infos))
        return found
    except (OSError, ValueError, KeyError):
        return None


def _checksum(file: Path) -> int:
    """CRC-32 of a file: enough to notice a torn or damaged one, at the speed of reading it."""
    total = 0
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            total = zlib.crc32(block, total)
    return total
