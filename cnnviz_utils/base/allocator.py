"""Memory that is given back and asked for again.

Each step of a training allocates and frees hundreds of megabytes. glibc returns large
blocks to the system at once and gets them back page by page, filled with zeros, which
takes a good part of a step (docs/results.md). Here it is told to keep what was freed,
and to ask for pages of 2 MB. Results do not change. Other C libraries ignore it all.
"""

import ctypes
import os
from collections.abc import Mapping

LARGEST = 1 << 32  # bytes; blocks up to this size are kept
TUNABLES = (
    "glibc.malloc.hugetlb=1"
    f":glibc.malloc.mmap_threshold={LARGEST}"
    f":glibc.malloc.trim_threshold={2 * LARGEST}"
)
# mallopt's names, from malloc.h
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3


def with_kept_memory(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a new process that keeps what it frees. Somebody's own
    GLIBC_TUNABLES stay as they are."""
    return {"GLIBC_TUNABLES": TUNABLES} | dict(environment)


def keep_memory() -> None:
    """This process keeps what it frees from now on. Call it before torch is imported,
    which reads its own setting for large pages once."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if "GLIBC_TUNABLES" in os.environ:
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    largest = (1 << 31) - 1  # mallopt takes C's int
    mallopt(MMAP_THRESHOLD, largest)
    mallopt(TRIM_THRESHOLD, largest)
