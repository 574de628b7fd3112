"""What our own processes leave out when they start. To be imported before nbformat, by
commands and workers only, not by what a reader's notebook imports.

With JupyterLab comes a grammar of international addresses. jsonschema, which nbformat
imports, builds it at once, for a second or more; nothing here checks such addresses.
Python's collector of cycles is asked to work more rarely.
"""

import sys
from typing import Any

from cnnviz_utils.base.collector import collect_rarely

LEFT_OUT = "rfc3987_syntax"

modules: dict[str, Any] = sys.modules
modules.setdefault(LEFT_OUT, None)  # an import of it fails, as if it was not installed

collect_rarely()
