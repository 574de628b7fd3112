"""One file from an address: resumed after a cut, checked before it counts."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PATIENCE = 4  # tries in a row that bring nothing
MOST_TRIES = 100  # in all, however little each brings
BLOCK = 1 << 15  # bytes: what a cut can lose


class DownloadError(OSError):
    """A file could not be fetched; the message says why, and what to do instead."""


class _Cut(Exception):
    """The connection broke, or the server is busy: worth another try."""


class _Refused(Exception):
    """The server will not give it: not worth another try."""


def download(
    url: str,
    target: Path,
    checksum: str,
    size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    wait: float = 2.0,
    timeout: float = 30.0,
) -> None:
    """Fetch `url` to `target`; nothing is done if it is there and has the checksum.

    What comes is kept in `target`.part, so that a later call goes on where this one
    ended, if the server can. It gets its name only when its checksum is right.

    Args:
        checksum: "md5:..." or "sha256:...", of sha256 also the first 8 digits or more.
        size: about how many bytes; a tenth more is not accepted.
        progress: called with (bytes here, bytes in all).
        wait: seconds before the next try after a cut, doubled each time.
        timeout: seconds without a byte that count as a cut.

    Raises DownloadError, in one sentence, if it can't be fetched, is another file, or
    there is no room for it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    hint = f"or fetch {url} by other means and put it at {target}"
    with FileLock(target.with_name(f".{target.name}.lock")):
        if target.exists():
            if not has_checksum(target, checksum):
                raise DownloadError(
                    f"{target} is there, but is another file than {url} (its "
                    f"checksum is not {checksum}): move it away"
                )
            return
        before = part.stat().st_size if part.exists() else 0
        _whole(url, part, size, progress, wait, timeout, hint)
        if before and not has_checksum(part, checksum):
            part.unlink()  # begun on another file: once more, from the start
            _whole(url, part, size, progress, wait, timeout, hint)
        if not has_checksum(part, checksum):
            seen = _hash(part, "sha256")
            part.unlink()
            raise DownloadError(
                f"what {url} gave is not the file that was meant: its sha256 is {seen} "
                f"where {checksum} was expected. It was thrown away; try again, {hint}"
            )
        part.replace(target)


def has_checksum(path: Path, checksum: str) -> bool:
    """Whether a file has the checksum "md5:..." or "sha256:..."."""
    algorithm, wanted = checksum.split(":")
    if len(wanted) < 8:
        raise ValueError(f"{checksum!r} is no checksum")
    return _hash(path, algorithm).startswith(wanted)


def _hash(path: Path, algorithm: str) -> str:
    import pooch

    return pooch.file_hash(str(path), alg=algorithm)


def _whole(
    url: str,
    part: Path,
    size: int,
    progress: Callable[[int, int], None],
    wait: float,
    timeout: float,
    hint: str,
) -> None:
    """All of the file into `part`, in as many tries as are worth it."""
    vain = 0
    for _ in range(MOST_TRIES):
        had = part.stat().st_size if part.exists() else 0
        try:
            return _pull(url, part, had, size, progress, timeout)
        except _Refused as error:
            raise DownloadError(f"{url} cannot be fetched: {error}; {hint}") from None
        except _Cut as error:
            reason = error
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise DownloadError(
                f"no room for {size / 1e6:,.0f} MB in {part.parent} "
                f"({error.strerror}): free some and try again, what has come is kept"
            ) from None
        gained = part.exists() and part.stat().st_size > had
        vain = 0 if gained else vain + 1
        if vain >= PATIENCE:
            break
        time.sleep(wait * 2 ** max(0, vain - 1))
    raise DownloadError(
        f"{url} cannot be fetched ({reason}): are you offline? What has come is kept, "
        f"so try again later, {hint}"
    )


def _pull(
    url: str,
    part: Path,
    start: int,
    size: int,
    progress: Callable[[int, int], None],
    timeout: float,
) -> None:
    """One request: the rest of the file from `start` on, appended to `part`."""
    import requests

    headers = {"Accept-Encoding": "identity", "User-Agent": "cnnviz"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with requests.get(
            url, stream=True, headers=headers, timeout=(timeout, timeout)
        ) as answer:
            if answer.status_code == 416:  # nothing after what is here
                return
            if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
                raise _Cut(f"the server says {answer.status_code} {answer.reason}")
            if not answer.ok:
                raise _Refused(f"the server says {answer.status_code} {answer.reason}")
            span = answer.headers.get("Content-Range", "")
            goes_on = answer.status_code == 206 and span.startswith(f"bytes {start}-")
            done = start if goes_on else 0  # a server that can't resume sends it all
            length = answer.headers.get("Content-Length")
            total = done + int(length) if length else max(size, done)
            with part.open("ab" if goes_on else "wb") as stream:
                for block in answer.iter_content(BLOCK):
                    stream.write(block)
                    done += len(block)
                    if done > 1.1 * size + 1000:
                        stream.truncate(0)
                        raise _Refused(f"it sends more than the {size:,} bytes meant")
                    progress(done, total)
            if done < (total if length else 0.9 * size):
                raise _Cut(f"cut after {done:,} of {total:,} bytes")
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
        raise _Refused(str(error)) from None
    except requests.RequestException as error:
        raise _Cut(type(error).__name__) from None
