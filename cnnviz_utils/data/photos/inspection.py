"""A look at somebody's photos before anything is trained on them: what is broken, what
is there twice, what looks alike, how large the photos are, which have masks."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnviz_utils.base.settings import many
from cnnviz_utils.data.photos.layouts import Layout, recognise
from cnnviz_utils.data.photos.listing import shown
from cnnviz_utils.data.photos.masks import Masks, find_masks
from cnnviz_utils.data.photos.reading import cores, quiet, read_square

SIDE = 32  # of the squares that are compared, in pixels
ALIKE = 0.995  # correlation of two thumbnails from which photos look the same
LISTED = 10  # of each kind of finding


@dataclass(frozen=True)
class Seen:
    """One file: why it can't be read, or None; the SHA-256 of its bytes; width and
    height; a thumbnail, float32 (64,) with mean 0 and norm 1 (0 if it has one colour);
    whether it has a mask; and why its mask can't be used, or None."""

    broken: str | None
    sha256: str = ""
    size: tuple[int, int] = (0, 0)
    thumbnail: np.ndarray | None = None
    has_mask: bool = False
    bad_mask: str | None = None


@dataclass(frozen=True)
class Inspection:
    """What was found in a folder; `str()` of it is the text for people.

    broken, bad_masks: (file, reason). copies: groups of files with the same bytes.
    alike: pairs of files whose thumbnails, as they are or mirrored, correlate by 0.995
    or more. apart: those groups and pairs that stand in two classes, or in two of
    train, valid and test, and which. sizes: (photos, 2), width and height.
    """

    layout: Layout
    broken: list[tuple[str, str]]
    bad_masks: list[tuple[str, str]]
    copies: list[tuple[str, ...]]
    alike: list[tuple[str, str]]
    apart: dict[tuple[str, ...], str]
    sizes: np.ndarray
    masks: int
    unclear_masks: int

    @property
    def problems(self) -> int:
        """How many things should be mended; photos that look alike are no problem,
        unless they stand apart."""
        near = set(self.alike) & set(self.apart)
        return len(self.broken) + len(self.bad_masks) + len(self.copies) + len(near)

    def __str__(self) -> str:
        lines = [str(self.layout), ""]
        if len(self.sizes):
            shorter = self.sizes.min(1)
            small, large = self.sizes[shorter.argmin()], self.sizes[shorter.argmax()]
            lines.append(
                f"Sizes: {small[0]} x {small[1]} to {large[0]} x {large[1]} pixels; "
                f"half of the photos have {int(np.median(shorter))} or more on the "
                "shorter side."
            )
        endings = Counter(
            Path(file).suffix.lower()
            for files in self.layout.parts.values()
            for file, _ in files
        )
        kinds = ", ".join(f"{ending} {n}" for ending, n in endings.most_common())
        lines += [f"Kinds: {kinds}.", f"Masks: for {many(self.masks, 'photo')}."]
        if self.unclear_masks:
            lines.append(f"  {self.unclear_masks} more could belong to several photos.")
        reason = lambda pair: f"{pair[0]} ({pair[1]})"
        joined = lambda sign: lambda group: sign.join(group) + self.apart.get(group, "")
        lines += _listed("Broken files", self.broken, reason)
        lines += _listed("Masks that can't be used", self.bad_masks, reason)
        lines += _listed("The same file more than once", self.copies, joined(" = "))
        lines += _listed("Photos that look alike", self.alike, joined(" ~ "))
        if self.apart:
            lines.append(
                "What stands in two classes, or in train and test too, makes scores "
                "mean less than they seem to: take one of them out."
            )
        return "\n".join(lines)


def inspect_folder(
    folder: str | Path, progress: Callable[[int, int], None] | None = None
) -> Inspection:
    """Read every photo and mask of a folder whose layout is recognised; nothing is
    written. `progress` is called with (photos read, photos in all).

    Raises UsageError or FileNotFoundError as `recognise` does, ValueError for
    annotations in JSON that can't be read.
    """
    layout = recognise(folder)
    masks = find_masks(layout)
    place = {
        file: (part, number)
        for part, files in layout.parts.items()
        for file, number in files
    }
    names = list(place)
    seen = look(layout.root, names, masks, progress)
    broken = [
        (shown(n), s.broken) for n, s in zip(names, seen, strict=True) if s.broken
    ]
    bad = [
        (shown(n), s.bad_mask) for n, s in zip(names, seen, strict=True) if s.bad_mask
    ]
    copies = same_files(names, seen)
    twice = {name for group in copies for name in group[1:]}
    alike = [
        pair
        for pair in look_alike(names, seen)
        if not twice & set(pair)  # said already
    ]
    groups = [*copies, *alike]
    text = lambda group: tuple(shown(name) for name in group)
    apart = {}
    for group in groups:
        parts, classes = (
            set(kind) for kind in zip(*map(place.get, group), strict=True)
        )
        if len(parts) > 1:
            apart[text(group)] = f", in {' and '.join(sorted(parts))}"
        elif len(classes) > 1:
            apart[text(group)] = ", in two classes"
    return Inspection(
        layout=layout,
        broken=broken,
        bad_masks=bad,
        copies=[text(group) for group in copies],
        alike=[(shown(a), shown(b)) for a, b in alike],
        apart=apart,
        sizes=np.array([s.size for s in seen if not s.broken]).reshape(-1, 2),
        masks=sum(s.has_mask for s in seen),
        unclear_masks=masks.unclear if masks else 0,
    )


def look(
    root: Path,
    names: Sequence[str],
    masks: Masks | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Seen]:
    """Read files, on all cores: what was seen of each, in the same order."""

    def one(name: str) -> Seen:
        try:
            photo = read_square(root / name, SIDE)
            sha256 = hashlib.sha256((root / name).read_bytes()).hexdigest()
        except (ValueError, OSError) as error:
            return Seen(getattr(error, "reason", str(error)))
        found, bad = None, None
        try:
            found = None if masks is None else masks.square(name, photo)
        except ValueError as error:
            bad = str(error)
        grey = photo.pixels.astype(np.float32).mean(2)
        cells = grey.reshape(8, SIDE // 8, 8, SIDE // 8).mean((1, 3)).ravel()
        cells -= cells.mean()
        thumbnail = cells / max(float(np.linalg.norm(cells)), 1e-6)
        return Seen(None, sha256, photo.upright, thumbnail, found is not None, bad)

    result = []
    with quiet(), ThreadPoolExecutor(cores()) as pool:
        for seen in pool.map(one, names):
            result.append(seen)
            if progress:
                progress(len(result), len(names))
    return result


def same_files(names: Sequence[str], seen: Sequence[Seen]) -> list[tuple[str, ...]]:
    """Groups of files with the same bytes."""
    groups = defaultdict(list)
    for name, one in zip(names, seen, strict=True):
        if not one.broken:
            groups[one.sha256].append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def look_alike(names: Sequence[str], seen: Sequence[Seen]) -> list[tuple[str, str]]:
    """Pairs of photos whose thumbnails, as they are or mirrored, correlate by at least
    `ALIKE`: as `near_duplicates` finds them, in bounded memory."""
    kept = [i for i, one in enumerate(seen) if one.thumbnail is not None]
    if not kept:
        return []
    small = np.stack([one.thumbnail for one in seen if one.thumbnail is not None])
    mirrored = small.reshape(-1, 8, 8)[:, :, ::-1].reshape(-1, 64)
    pairs = []
    for start in range(0, len(kept), 512):
        rows = small[start : start + 512]
        alike = np.maximum(rows @ small.T, rows @ mirrored.T) >= ALIKE
        for i, j in zip(*np.nonzero(alike), strict=True):
            if start + i < j:
                pairs.append((names[kept[start + i]], names[kept[j]]))
    return pairs


def _listed(title: str, found: Sequence, line: Callable) -> list[str]:
    if not found:
        return [f"{title}: none."]
    lines = [f"{title}: {len(found)}", *(f"  {line(one)}" for one in found[:LISTED])]
    return lines + [f"  and {len(found) - LISTED} more"] * (len(found) > LISTED)
