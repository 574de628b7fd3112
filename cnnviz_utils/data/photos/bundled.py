"""Photographs that come inside installed packages: scikit-image's, matplotlib's and
scikit-learn's. Their files are read where they lie; nothing is downloaded, and no photo
is kept in this repository."""

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from cnnviz_utils.base.settings import UsageError, check_name
from cnnviz_utils.data.photos.folders import load_images


@dataclass(frozen=True)
class Photo:
    """One photograph.

    name: what it is called here. title, source, licence: as its package states them.
    package, file: the package (by its import name) and where in it the file lies.
    imagenet_class: which of ImageNet's classes it shows, or the nearest (a motorcycle
        is none of them); None where there is none.
    """

    name: str
    title: str
    source: str
    licence: str
    package: str
    file: str
    imagenet_class: str | None = None

    @property
    def path(self) -> Path | None:
        """The file, or None where the package is not installed or lacks it."""
        # the package's place is looked up without running it
        spec = importlib.util.find_spec(self.package)
        places = (spec.submodule_search_locations or []) if spec else []
        files = (Path(place) / self.file for place in places)
        return next((file for file in files if file.is_file()), None)


PHOTOS = (
    Photo(
        "cat",
        "Chelsea the cat",
        "Stefan van der Walt, in scikit-image",
        "CC0",
        "skimage",
        "data/chelsea.png",
        "tiger cat",
    ),
    Photo(
        "coffee",
        "Coffee cup",
        "Rachel Michetti, courtesy of Pikolo Espresso Bar, in scikit-image",
        "CC0",
        "skimage",
        "data/coffee.png",
        "espresso",
    ),
    Photo(
        "camera",
        "A man with a camera on a tripod",
        "Lav Varshney, in scikit-image",
        "CC0",
        "skimage",
        "data/camera.png",
        "tripod",
    ),
    Photo(
        "rocket",
        "Launch of DSCOVR on a Falcon 9",
        "SpaceX, in scikit-image",
        "public domain",
        "skimage",
        "data/rocket.jpg",
        "missile",
    ),
    Photo(
        "motorcycle",
        "Motorcycle, left picture of a stereo pair",
        "Middlebury 2014 stereo benchmark (Nesic and others), in scikit-image",
        "CC0",
        "skimage",
        "data/motorcycle_left.png",
        "moped",
    ),
    Photo(
        "astronaut",
        "Eileen Collins",
        "NASA Great Images, in scikit-image",
        "public domain",
        "skimage",
        "data/astronaut.png",
    ),
    Photo(
        "admiral",
        "Grace Hopper",
        "United States Navy, in matplotlib",
        "public domain",
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "military uniform",
    ),
    Photo(
        "palace",
        "Palace in China",
        "danielbuechele, in scikit-learn (china.jpg)",
        "CC BY 2.0",
        "sklearn",
        "datasets/images/china.jpg",
        "palace",
    ),
    Photo(
        "flower",
        "Flower",
        "vultilion, in scikit-learn (flower.jpg)",
        "CC BY 2.0",
        "sklearn",
        "datasets/images/flower.jpg",
    ),
)


def photos(
    size: int = 224, names: Sequence[str] | None = None
) -> tuple[Tensor, list[Photo]]:
    """Photographs of installed packages, and what is known about each.

    size: height and width in pixels; the shorter side is scaled to size * 256 / 224,
        then the middle is cut out, as networks that learned on ImageNet expect.
    names: which of PHOTOS, in that order ("cat", "coffee", ...); all by default.

    Returns images (N, 3, size, size), float in [0, 1], and N records. Where an
    installed package lacks a photo that was not asked for by name, a warning says so
    and the others are given.

    Raises: UsageError: no photo of that name, no names, or no such size.
        FileNotFoundError: the package of a photo asked for does not contain it.
    """
    if not isinstance(size, int) or size < 1:
        raise UsageError(
            f"size is a whole number of pixels of at least 1, not {size!r}"
        )
    known = {photo.name: photo for photo in PHOTOS}
    names = [names] if isinstance(names, str) else names
    for name in names or []:
        check_name("photo", name, known)
    wanted = [known[name] for name in (known if names is None else names)]
    missing = [photo for photo in wanted if photo.path is None]
    sentence = "; ".join(
        f"the photo {photo.name!r} is not in the installed package {photo.package} "
        f"({photo.file})"
        for photo in missing
    )
    found = [photo for photo in wanted if photo not in missing]
    if missing and (names is not None or not found):
        raise FileNotFoundError(f"{sentence}: install it again from a full wheel")
    if missing:
        warnings.warn(f"{sentence}: left out", stacklevel=2)
    if not found:
        raise UsageError("no photo was asked for: leave names out for all of them")
    images, _ = load_images([photo.path for photo in found if photo.path], size)
    return images, found
