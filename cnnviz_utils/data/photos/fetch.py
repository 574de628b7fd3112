"""What `cnnviz get` fetches: public data sets and torchvision's ImageNet weights. Only
when asked, from the addresses that stand here or in torchvision's tables."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cnnviz_utils.base.files import storing
from cnnviz_utils.base.networks import TORCHVISION
from cnnviz_utils.base.paths import data_root
from cnnviz_utils.base.settings import check_name
from cnnviz_utils.data.photos.download import download, has_checksum
from cnnviz_utils.data.photos.unpack import unpack


@dataclass(frozen=True)
class Source:
    """Something that can be fetched.

    size: bytes of the file. checksum: "md5:..." or "sha256:..." (also its beginning).
    place: the folder in the data root where the file, or what is in it, belongs.
    folders: which folders of the archive; none if the file is no archive.
    after: what to know before using it.
    """

    name: str
    what: str
    url: str
    size: int
    checksum: str
    place: str = "."
    folders: tuple[str, ...] = ()
    after: str = ""

    def file(self, root: str | Path | None = None) -> Path:
        """Where the file belongs, also if it is fetched by hand."""
        name = self.url.rsplit("/", 1)[-1]
        return data_root(root) / (self.place if not self.folders else ".") / name

    def present(self, root: str | Path | None = None) -> bool:
        """Whether it is here: its folders, or the file with the right checksum."""
        base = data_root(root) / self.place
        if self.folders:
            return all((base / folder).is_dir() for folder in self.folders)
        file = self.file(root)
        return file.is_file() and has_checksum(file, self.checksum)


# The addresses and checksums of Caltech's are torchvision's (datasets/caltech.py).
SETS = (
    Source(
        "caltech101",
        "9,144 photos in 101 classes and a background, with outlines",
        "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
        137_414_764,
        "md5:3138e1922a9193bfa496528edbbc45d0",
        "caltech101",
        ("101_ObjectCategories", "Annotations"),
        "The published split, train.txt and test.txt, is not in it: without it, "
        "split='own'.",
    ),
    Source(
        "caltech256",
        "30,607 photos in 257 classes",
        "https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar",
        1_183_006_720,
        "md5:67b4f42ca05d46448c6bb8ecd2220f6d",
        ".",
        ("256_ObjectCategories",),
    ),
    Source(
        "tinyimagenet",
        "120,000 photos of 64 x 64 pixels in 200 classes",
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        248_100_043,
        "md5:90528d7ca1a48142e341f4ef8d21d0de",
        ".",
        ("tiny-imagenet-200",),
    ),
)


def source(name: str) -> Source:
    """What is fetched under a name. Raises UsageError, with the nearest name, if there
    is no such thing."""
    check_name("download", name, [*(one.name for one in SETS), *TORCHVISION])
    for one in SETS:
        if one.name == name:
            return one
    from torchvision.models import get_model_weights

    weights = get_model_weights(name).DEFAULT
    # the file's name ends in the first digits of its SHA-256
    digits = weights.url.rsplit("-", 1)[-1].removesuffix(".pth")
    return Source(
        name,
        f"torchvision's ImageNet weights ({weights.name})",
        weights.url,
        round(weights.meta["_file_size"] * 1024**2),
        f"sha256:{digits}",
        "weights",
    )


def fetch(
    one: Source,
    root: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **patience: float,
) -> bool:
    """Fetch it, check it, unpack it; whether there was anything to do.

    A file that was put at `one.file(root)` by hand is taken instead of the address.
    `patience` is `download`'s wait and timeout. Raises DownloadError or
    StorageError with one sentence.
    """
    if one.present(root):
        return False
    file = one.file(root)
    with storing(file):
        download(one.url, file, one.checksum, one.size, progress, **patience)
        if one.folders:
            unpack(file, data_root(root) / one.place, one.folders)
            file.unlink()
    return True
