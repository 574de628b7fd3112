"""An archive unpacked without leaving its folder, whole or not at all."""

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from cnnviz_utils.data.photos.download import FULL, DownloadError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")


def unpack(archive: Path, target: Path, wanted: Sequence[str]) -> None:
    """Unpack a .zip or .tar, and the archives in it, and put the folders `wanted` of it
    into `target`. Folders of that name which are there already stay as they are.

    Raises DownloadError for an archive that is damaged, lacks a folder, or has an entry
    that would lie outside its folder; and if there is no room.
    """
    target.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target))
    try:
        _extract(archive, work)
        for inner in sorted(work.rglob("*")):
            if inner.name.endswith(ENDINGS) and not inner.name.startswith("."):
                _extract(inner, inner.parent)
                inner.unlink()
        for name in wanted:
            found = sorted(path for path in work.rglob(name) if path.is_dir())
            found = [path for path in found if "__MACOSX" not in path.parts]
            if not found:
                raise DownloadError(f"{archive} has no folder {name} in it")
            if not (target / name).exists():
                found[0].rename(target / name)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise DownloadError(f"{archive} cannot be unpacked: {error}") from None
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DownloadError(
            f"no room to unpack {archive} in {target}: free some and try again"
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _extract(archive: Path, into: Path) -> None:
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                path = PurePosixPath(name.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
                    raise ValueError(f"its entry {name!r} would lie outside the folder")
            file.extractall(into)  # zipfile makes no links: they become small files
    else:
        with tarfile.open(archive) as file:
            # refuses absolute paths, `..`, links that lead out, and devices
            file.extractall(into, filter="data")
