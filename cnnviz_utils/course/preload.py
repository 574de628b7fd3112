"""Imports what lessons import, once, in the process from which they are forked (see
`process`)."""

import importlib
import signal

# not pyplot: at its import it looks at the kernel, which does not exist here yet
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

# Ctrl-C during the imports ends the process without a traceback
usual = signal.signal(signal.SIGINT, signal.SIG_DFL)
for name in MODULES:
    importlib.import_module(name)
signal.signal(signal.SIGINT, usual)
