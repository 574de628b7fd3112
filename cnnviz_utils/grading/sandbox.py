"""What a program of a student can see and do: its own folder, the libraries, the data;
no network, no other process, nothing of the grader's."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cnnviz_utils.base.paths import PACKAGE, cache_root, data_root
from cnnviz_utils.base.settings import UsageError

LAUNCH = Path(__file__).with_name("launch.py")
ETC = (
    "alternatives ca-certificates fonts group ld.so.cache ld.so.conf ld.so.conf.d "
    "localtime mime.types nsswitch.conf passwd ssl"
)
METHODS = ("bubblewrap", "namespaces", "none")
# processes and threads together, that the system lets a program have: far more than a
# lesson needs, far fewer than would hurt (a look from outside stops it much earlier)
MOST_TASKS = 1024
SAID = {
    "bubblewrap": "shut in by bubblewrap: no network, and only a folder of its own "
    "to write to",
    "namespaces": "shut in by Linux's namespaces: no network, and only a folder of its "
    "own to write to",
    "none": "NOT shut in: this system has neither bubblewrap nor user namespaces that "
    "work here; a hostile notebook could reach the network, and read and change "
    "your files",
}


@dataclass(frozen=True)
class Limits:
    """What one submission may use. seconds: of the whole notebook; cell: of one cell.

    output: megabytes that it may print; files: megabytes that it may write; memory: in
    gigabytes.
    """

    seconds: float = 900
    cell: float = 300
    memory: float = 4
    output: float = 20
    files: float = 500
    processes: int = 64

    def of_the_system(self) -> dict[str, int]:
        """As `resource.setrlimit` takes them."""
        return {
            "RLIMIT_DATA": int(self.memory * 1e9),
            "RLIMIT_FSIZE": int(self.files * 1e6),
            "RLIMIT_CORE": 0,
            "RLIMIT_CPU": int(self.seconds * 2 + 60),
            "RLIMIT_NOFILE": 1024,
        }


@dataclass(frozen=True)
class Place:
    """The folders of one submission's run; the program may write to all of them."""

    folder: Path
    names: tuple[str, ...] = field(default=("work", "home", "cache", "sockets"))

    def __post_init__(self) -> None:
        for name in (*self.names, "root"):
            (self.folder / name).mkdir(exist_ok=True)

    def __getitem__(self, name: str) -> Path:
        return self.folder / name

    @property
    def writable(self) -> list[str]:
        return [str(self.folder / name) for name in self.names]


def readable() -> list[str]:
    """What every program needs: the system's libraries, Python's, ours, the data and
    the caches. The lessons, and whatever else lies in the checkout, are not in it."""
    wanted = [Path("/usr"), *(Path("/etc", name) for name in ETC.split())]
    wanted += [Path(f"/{name}") for name in ("bin", "sbin", "lib", "lib64")]
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix}
    wanted += [Path(prefix) for prefix in prefixes]
    wanted += [Path(sys.executable).resolve().parent.parent]
    wanted += [PACKAGE, PACKAGE.resolve(), data_root(), cache_root()]
    found = {str(path) for path in wanted if path.exists() and not path.is_symlink()}
    return sorted(path for path in found if path not in ("/", str(Path.home())))


def hidden(secret: Sequence[Path]) -> list[str]:
    """Folders inside the readable ones that hold lessons with their solutions, and
    those of `secret`."""
    # an installed copy of the package may lie beside the checkout's
    roots = {PACKAGE.parent, *map(Path, filter(None, sys.path))}
    wanted = [root / "cnnviz_utils" / "course" / "notebooks" for root in roots]
    wanted += [*secret]
    inside = lambda path: any(path.is_relative_to(place) for place in readable())
    return [str(path) for path in wanted if path.is_dir() and inside(path)]


def command(
    method: str,
    place: Place,
    argv: list[str],
    limits: Limits,
    secret: Sequence[Path] = (),
) -> list[str]:
    """The command line that starts `argv` shut in by one of METHODS. secret: folders of
    the grader's, as whole paths, wherever they lie."""
    rooms = None
    if method == "namespaces":
        rooms = {"root": str(place["root"]), "read": readable()}
        rooms |= {"hide": hidden(secret), "write": place.writable}
    plan = {
        "limits": limits.of_the_system(),
        "argv": argv,
        "cwd": str(place["work"]),
        "environment": environment(place),
        "rooms": rooms,
        "tasks": None if method == "none" else MOST_TASKS,
    }
    order = place["sockets"] / "plan.json"
    order.write_text(json.dumps(plan))
    start = [sys.executable, "-I", str(LAUNCH), str(order)]
    return _bubblewrap(place, secret) + start if method == "bubblewrap" else start


def environment(place: Place) -> dict[str, str]:
    """A clean environment: nothing of the grader's, everything in the place."""
    kept = ("LANG", "LC_ALL", "TZ", "OMP_NUM_THREADS", "PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "HOME": str(place["home"]),
        "CNNVIZ_CACHE": str(place["cache"]),
        "CNNVIZ_DATA": str(data_root()),
        "JUPYTER_PLATFORM_DIRS": "1",
        "IPYTHONDIR": str(place["home"] / "ipython"),
        "PYTHONDONTWRITEBYTECODE": "1",
        # where nothing else shuts the network out
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }


def _bubblewrap(place: Place, secret: Sequence[Path]) -> list[str]:
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session"]
    words += ["--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"]
    words += ["--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev"]
    for name in ("/bin", "/sbin", "/lib", "/lib64"):
        if os.path.islink(name):
            words += ["--symlink", os.readlink(name), name]
    for path in sorted(readable(), key=len):
        words += ["--ro-bind", path, path]
    for path in hidden(secret):
        words += ["--tmpfs", path, "--remount-ro", path]
    for path in place.writable:
        words += ["--bind", path, path]
    return [*words, "--remount-ro", "/", "--"]


@cache
def method() -> str:
    """The best of METHODS that works here; each is tried.

    Raises UsageError on Windows, whose kernels cannot be limited.
    """
    if sys.platform == "win32":
        raise UsageError(
            "notebooks are checked and graded on Linux or macOS, or in WSL"
        )
    # root's processes can be limited in namespaces of our own only (`launch`)
    root = sys.platform.startswith("linux") and os.geteuid() == 0
    for name in sorted(METHODS[:-1], reverse=root):
        if name == "bubblewrap" and not shutil.which("bwrap"):
            continue
        if name == "namespaces" and not sys.platform.startswith("linux"):
            continue
        with tempfile.TemporaryDirectory(prefix="cnnviz-try-") as folder:
            place = Place(Path(folder))
            words = command(name, place, [sys.executable, "-c", "1"], Limits())
            tried = subprocess.run(words, capture_output=True)
        if tried.returncode == 0:
            return name
    return "none"
