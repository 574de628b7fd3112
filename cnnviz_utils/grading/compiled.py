"""Python's compiled files, made once. A notebook that is shut in may not write them: it
would compile torch and the rest anew, for 7 seconds each time."""

import compileall
import sys
from pathlib import Path

from cnnviz_utils.grading.kernel import Kernel

MIME = "application/vnd.cnnviz.modules+json"
ASK = f"""import sys as _s
from IPython import get_ipython as _g
_f = [getattr(_m, "__file__", None) for _m in list(_s.modules.values())]
_g().display_pub.publish({{{MIME!r}: [_n for _n in _f if isinstance(_n, str)]}})
del _s, _g, _f"""


def keep_compiled(kernel: Kernel) -> int:
    """Compile what a kernel of our own has imported, where that may be written; how
    many files were looked at."""
    found = kernel.ask(ASK, MIME).found
    if not isinstance(found, list):
        return 0
    roots = [Path(entry).resolve() for entry in sys.path if entry]
    many = 0
    for name in found:
        path = Path(name).resolve()
        if path.suffix == ".py" and any(path.is_relative_to(root) for root in roots):
            compileall.compile_file(path, quiet=2)
            many += 1
    return many
