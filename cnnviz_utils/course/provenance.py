"""Where a result comes from: versions, processor, commit. No names of people, machines
or folders."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

from cnnviz_utils import __version__
from cnnviz_utils.base.paths import CHECKOUT
from cnnviz_utils.base.settings import many

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "papermill")


def processor(threads: int | None = None) -> str:
    """The CPU's model, the number of threads (by default this process's), and the GPU's
    name if there is one."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            name = next(
                (
                    line.split(":", 1)[1].strip()
                    for line in file
                    if line.startswith("model name")
                ),
                name,
            )
    except OSError:
        pass
    import torch

    gpu = f"; {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ""
    return f"{name}, {many(threads or torch.get_num_threads(), 'thread')}{gpu}"


def commit() -> str:
    """The checkout's commit, "+changes" if files differ from it, "" outside a
    checkout."""
    if CHECKOUT is None:
        return ""
    git = lambda *words: subprocess.run(
        ["git", "-C", str(CHECKOUT), *words], capture_output=True, text=True, check=True
    )
    try:
        changed = git("status", "--porcelain", "--untracked-files=no").stdout.strip()
        return git("rev-parse", "--short=12", "HEAD").stdout.strip() + (
            "+changes" if changed else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return ""


def provenance(threads: int | None = None) -> dict[str, str]:
    """Versions, processor, system and commit, by name. threads: how many threads the
    run used, by default as many as this process."""

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    return {
        "cnnviz": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        **{package: installed(package) for package in PACKAGES},
        "processor": processor(threads),
        "system": platform.system(),
    }
