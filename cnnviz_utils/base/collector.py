"""Python's collector of objects that refer to each other, less often.

It looks through all that a process has imported, again and again while that is being
imported and once more at the end: with torch, matplotlib and pandas a fifth of the
processor's time for beginning and ending (docs/results.md).
"""

import atexit
import gc


def collect_rarely() -> None:
    """From now on this process collects after 10,000 new objects (Python: after 700 or
    2,000), and leaves what is there at its end to the system."""
    gc.set_threshold(10_000, 10, 10)
    atexit.register(gc.freeze)
