"""Our own processes collect cycles more rarely; what a reader's notebook imports changes nothing."""

import subprocess
import sys

import pytest

SAY = "; import gc; print(gc.get_threshold()[0], gc.get_freeze_count()); import atexit; atexit._run_exitfuncs(); print(gc.get_freeze_count() > 1000)"


@pytest.mark.parametrize(("start", "expected"), [
    ("from cnnviz_utils import cli", "10000 0\nTrue\n"),
    ("import cnnviz_utils as cv; cv.grad_cam; cv.explore", "700 0\nFalse\n"),
    ("from cnnviz_utils.course.process import load_ipython_extension as load; load(None)", "10000 0\nTrue\n"),
])
def test_only_our_own_processes_collect_rarely_and_leave_the_end_to_the_system(start, expected):
    usual = "import gc; gc.set_threshold(700, 10, 10); "  # newer Pythons begin with other numbers
    assert subprocess.run([sys.executable, "-c", usual + start + SAY], capture_output=True, text=True, check=True).stdout == expected


def test_what_is_in_cycles_is_collected_all_the_same():
    """20,000 objects that hold themselves, made one after the other: at no time are all of them there."""
    code = """
import gc, weakref
from cnnviz_utils.base.collector import collect_rarely
collect_rarely()
class Held: pass
alive, most = weakref.WeakSet(), 0
for _ in range(20_000):
    held = Held(); held.itself = held; alive.add(held); most = max(most, len(alive))
print(most)
"""
    assert 0 < int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) < 15_000
