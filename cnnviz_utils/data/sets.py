"""What every data set is, once decoded: images, labels, class names, and masks where
they are known."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor


class Rows:
    """A view of some rows of an array, in some order. Nothing is copied, so that an
    array mapped from a large file stays on disk."""

    def __init__(self, array: "np.ndarray | Rows", index: np.ndarray):
        self.array: np.ndarray
        self.index: np.ndarray
        if isinstance(array, Rows):
            self.array, self.index = array.array, array.index[index]
        else:
            self.array, self.index = array, index

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
    info: one dict for each image, or None: what was drawn (species, realm, background,
        ...)
    fingerprint: changes whenever images or labels do
    """

    images: np.ndarray | Rows
    labels: Tensor
    classes: tuple[str, ...]
    fingerprint: str
    parts: np.ndarray | Rows | None = None
    has_mask: np.ndarray | None = None
    paths: tuple[str, ...] | None = None
    info: tuple[dict, ...] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.labels)

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
        images = torch.from_numpy(np.array(self.images[index])).to(device)
        return images.float().div_(255), self.labels[index].to(device)

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
        """The images at those positions, in that order. No pixels are copied: the new
        set is a view of this one."""
        index = np.asarray(index, dtype=np.int64)
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
            fingerprint=f"{self.fingerprint}[{digest(index)}]",
        )


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
