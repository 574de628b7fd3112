"""Freed memory is kept: what the system says a process holds, before and after."""

import os
import platform
import subprocess
import sys

import pytest

from cnnviz_utils.base.allocator import TUNABLES, with_kept_memory

HELD = """
import ctypes, resource, sys
if "--keep" in sys.argv:
    from cnnviz_utils.base.allocator import keep_memory
    keep_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
block = libc.malloc(200 << 20)
ctypes.memset(block, 1, 200 << 20)
libc.free(block)
pages = int(open("/proc/self/statm").read().split()[1])
print(pages * resource.getpagesize() >> 20)
"""


def held_after_freeing(*arguments: str, **environment: str) -> int:
    """Megabytes that a process still holds after it has freed 200 of them."""
    clean = {k: v for k, v in os.environ.items() if k not in ("GLIBC_TUNABLES", "THP_MEM_ALLOC_ENABLE")}
    done = subprocess.run([sys.executable, "-c", HELD, *arguments], env=clean | environment,
                          capture_output=True, text=True, check=True)  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or not os.path.exists("/proc/self/statm"),
                    reason="another C library than glibc, or no /proc")  # fmt: skip
def test_what_is_freed_is_kept_for_the_next_step():
    assert held_after_freeing() < 100  # as glibc does it by itself
    assert held_after_freeing("--keep") > 200
    assert held_after_freeing(**with_kept_memory({})) > 200


def test_ones_own_setting_stays():
    assert with_kept_memory({"GLIBC_TUNABLES": "glibc.malloc.check=0", "A": "b"}) == {
        "GLIBC_TUNABLES": "glibc.malloc.check=0", "A": "b"}  # fmt: skip
    assert with_kept_memory({"A": "b"}) == {"GLIBC_TUNABLES": TUNABLES, "A": "b"}
