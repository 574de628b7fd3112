"""What every data set is, once decoded: images, labels, class names, and masks where
they are known."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cnnviz_utils.base.device import moved
from cnnviz_utils.base.settings import UsageError


class Rows:
    """Some rows of an array, in some order, without copying it: a memory map of a
    gigabyte stays on disk.

    hashes: one of each row's bytes, uint8 (N, 16) (`hash_rows`), if it is known: it is
        then not computed again.
    """

    def __init__(
        self,
        array: "np.ndarray | Rows",
        index: np.ndarray | None = None,
        hashes: np.ndarray | None = None,
    ):
        self.array: np.ndarray
        self.index: np.ndarray = np.arange(len(array)) if index is None else index
        self.hashes: np.ndarray | None = hashes
        if isinstance(array, Rows):
            self.array, self.hashes = array.array, array.hashes
            self.index = array.index[self.index]
        else:
            self.array = array

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key) -> np.ndarray:
        return self.array[self.index[key]]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.index), *self.array.shape[1:])


class Labelled(Protocol):
    """What `batches` and `predict` need of a data set."""

    @property
    def labels(self) -> Tensor: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def on(
        self, device: str | torch.device, index: int | slice | Sequence[int] | Tensor
    ) -> tuple[Tensor, Tensor]: ...


def hash_rows(rows: np.ndarray | Rows) -> np.ndarray:
    """A hash of each row's bytes (of each image's pixels): uint8 (N, 16)."""
    if isinstance(rows, Rows) and rows.hashes is not None:
        return rows.hashes[rows.index]
    found = [hashlib.sha256(row.tobytes()).digest()[:16] for row in rows]
    return np.frombuffer(b"".join(found), np.uint8).reshape(-1, 16)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Decoded images with labels.

    images: uint8 (N, 3, H, W), RGB, often a read-only memory map: index it, never copy
        it whole
    labels: int64 (N,), positions in `classes`
    parts: uint8 (N, H, W) or None; 0 = background, k = part k (Menagerie), 1 = object
        (outlines of photos)
    has_mask: bool (N,) or None; which images have a mask at all (Caltech-101's outlines
        are partial)
    paths: where each image came from: a file relative to the data set's folder, or
        "train/17" for a drawn one
    info: one dict an image or None: what was drawn (species, realm, background, ...)

    Raises UsageError where there is not one label an image, or a label has no class.
    """

    images: np.ndarray | Rows
    labels: Tensor
    classes: tuple[str, ...]
    parts: np.ndarray | Rows | None = None
    has_mask: np.ndarray | None = None
    paths: tuple[str, ...] | None = None
    info: tuple[dict, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        labels = self.labels
        if labels.ndim != 1 or len(labels) != len(self.images):
            raise UsageError(
                f"{len(self.images)} images need as many labels, "
                f"not {tuple(labels.shape)}"
            )
        if labels.is_floating_point() or labels.dtype == torch.bool:
            raise UsageError(f"labels must be whole numbers, not {labels.dtype}")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise UsageError(
                f"labels must be from 0 to {len(self.classes) - 1}, a class each, not "
                f"from {int(labels.min())} to {int(labels.max())}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change whenever images, labels, classes or their order do:
        made from their content."""
        stamp = hashlib.sha256(hash_rows(self.images).tobytes())
        stamp.update(self.labels.cpu().numpy().astype("<i8").tobytes())
        stamp.update(json.dumps([*self.images.shape, *self.classes]).encode())
        return stamp.hexdigest()[:12]

    def __getitem__(
        self, index: int | slice | Sequence[int] | Tensor
    ) -> tuple[Tensor, Tensor]:
        """Images as float32 (n, 3, H, W) in [0, 1] with labels (n,); an integer gives
        (3, H, W) and a scalar."""
        return self.on("cpu", index)

    def on(
        self, device: str | torch.device, index: int | slice | Sequence[int] | Tensor
    ) -> tuple[Tensor, Tensor]:
        """`self[index]` on a device. The images are moved as bytes and become floats
        there: a quarter of the traffic."""
        index = np.asarray(index) if not isinstance(index, int | slice) else index
        images = moved(torch.from_numpy(np.array(self.images[index])), device)
        return images.float().div_(255), moved(self.labels[index], device)

    @property
    def size(self) -> int:
        """Height and width of the images, in pixels."""
        return self.images.shape[-1]

    @property
    def counts(self) -> Tensor:
        """Images a class, int64 (classes,)."""
        return torch.bincount(self.labels, minlength=len(self.classes))

    def masks(self, index: Sequence[int] | Tensor | slice = slice(None)) -> Tensor:
        """Object masks, bool (n, H, W). Raises ValueError where the data set has
        none."""
        if self.parts is None:
            raise ValueError("this data set has no masks")
        index = np.asarray(index) if not isinstance(index, slice) else index
        return torch.from_numpy(np.asarray(self.parts[index]) > 0)

    def subset(self, index: Sequence[int] | Tensor | np.ndarray) -> "ImageSet":
        """The images at those positions, in that order, or those for which a mask (one
        truth value an image) is true. Nothing is copied: the new set looks through to
        this one's pixels.

        Raises UsageError for a mask of another length, or positions that are none.
        """
        index = _positions(index, len(self))
        pick = lambda values: (
            None if values is None else tuple(values[i] for i in index)
        )
        return replace(
            self,
            images=Rows(self.images, index),
            labels=self.labels[index],
            parts=None if self.parts is None else Rows(self.parts, index),
            has_mask=None if self.has_mask is None else self.has_mask[index],
            paths=pick(self.paths),
            info=pick(self.info),
        )


def _positions(index: Sequence[int] | Tensor | np.ndarray, count: int) -> np.ndarray:
    """Positions, int64 (n,), from positions (negative ones count from the end) or from
    a mask of all."""
    index = np.asarray(index.cpu() if isinstance(index, Tensor) else index)
    if index.dtype == bool:
        if index.shape != (count,):
            raise UsageError(
                f"a mask for {count} images has as many truth values, not {index.shape}"
            )
        return np.flatnonzero(index)
    if index.size and not np.issubdtype(index.dtype, np.integer):
        raise UsageError(f"positions must be whole numbers, not {index.dtype}")
    if index.size and not -count <= index.min() <= index.max() < count:
        far = index.max() if index.max() >= count else index.min()
        raise UsageError(f"there is no position {far} among {count} images")
    return index.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set in three disjoint sets."""

    name: str
    train: ImageSet
    valid: ImageSet
    test: ImageSet

    @property
    def classes(self) -> tuple[str, ...]:
        return self.train.classes

    @property
    def size(self) -> int:
        return self.train.size

    @property
    def fingerprint(self) -> str:
        """One short string for the three sets together: it names the data in caches and
        provenance."""
        return digest(
            "|".join(s.fingerprint for s in (self.train, self.valid, self.test))
        )


def digest(value: np.ndarray | str | bytes) -> str:
    """12 hex digits of the SHA-256 of an array's bytes or a text."""
    raw = (
        value.tobytes()
        if isinstance(value, np.ndarray)
        else value.encode()
        if isinstance(value, str)
        else value
    )
    return hashlib.sha256(raw).hexdigest()[:12]
