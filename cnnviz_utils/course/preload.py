"""Imports, once, what lessons import, in the process that they are forked from (see
`child`)."""

import importlib
import signal

# not pyplot: what it does at its import depends on the kernel that it is imported in
MODULES = (
    "torch",
    "torch._dynamo",
    "torchvision",
    "pandas",
    "scipy.io",
    "scipy.stats",
    "sklearn.metrics",
    "matplotlib.figure",
    "papermill",
    "ipykernel.kernelapp",
)

# Ctrl-C meanwhile ends it without a traceback
usual = signal.signal(signal.SIGINT, signal.SIG_DFL)
for name in MODULES:
    importlib.import_module(name)
signal.signal(signal.SIGINT, usual)
