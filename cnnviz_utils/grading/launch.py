"""Start a program shut in: `python -I launch.py PLAN.json`. Uses only Python's own
library, as it runs by itself.

PLAN: `limits` (resource's names), `argv`, `environment`, `cwd`, `tasks` (the most
processes and threads in namespaces of its own, else None), and `rooms`: None, or what
the program sees of the disk. With `rooms` it gets namespaces of its own (Linux): a disk
that holds only what is listed, no network, no processes but its own, no rights.
"""

import contextlib
import ctypes
import json
import os
import re
import resource
import signal
import sys
from pathlib import Path

NEW = 0x00020000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000
READ_ONLY, NO_SUID, NO_DEVICES, NO_PROGRAMS = 1, 2, 4, 8
REMOUNT, BIND, RECURSIVE, PRIVATE, RELATIME = 32, 4096, 16384, 1 << 18, 1 << 21
DETACH = 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
DEVICES = ("null", "zero", "full", "random", "urandom")
SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
WHO = 1000  # the number of the user that the program believes to be
libc = ctypes.CDLL(None, use_errno=True)


def call(result: int, what: str) -> None:
    """Raises OSError where a call of the C library failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = ""):
    """The system's mount, as in the manual; "" is NULL."""
    words = [w.encode() or None for w in (source, target, kind, data)]
    result = libc.mount(*words[:3], ctypes.c_ulong(flags), words[3])
    call(result, f"mount {target}")


def bind(source: str, root: str, writable: bool = False) -> None:
    """Let `source` be seen at the same place under `root`."""
    target = Path(root + source)
    if Path(source).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(source, str(target), flags=BIND)
    if not writable:
        # what a mount forbids already must be forbidden again
        held = os.statvfs(target).f_flag
        kept = held & (NO_SUID | NO_DEVICES | NO_PROGRAMS | 1024 | 2048)
        kept |= RELATIME if held & 4096 else 0
        mount("", str(target), flags=BIND | REMOUNT | READ_ONLY | kept)


def memory(target: Path, size: str) -> None:
    """An empty folder in memory, of at most this size."""
    target.mkdir(parents=True, exist_ok=True)
    flags = NO_SUID | NO_DEVICES
    mount("tmpfs", str(target), "tmpfs", flags, f"size={size},mode=1777")


def terminals(dev: Path) -> None:
    """Terminals of its own: a notebook's `!command` wants one."""
    (dev / "pts").mkdir()
    flags = NO_SUID | NO_PROGRAMS
    with contextlib.suppress(OSError):  # where the system does not allow it
        data = "newinstance,ptmxmode=0666,mode=0620"
        mount("devpts", str(dev / "pts"), "devpts", flags, data)
        os.symlink("pts/ptmx", dev / "ptmx")


def build_disk(rooms: dict) -> None:
    """Make the new disk and go there for good."""
    root = rooms["root"]
    mount("", "/", flags=RECURSIVE | PRIVATE)
    memory(Path(root), "16m")
    memory(Path(root, "tmp"), "512m")
    for place in SYSTEM:
        if os.path.islink(place):
            os.symlink(os.readlink(place), root + place)
    everything = [(place, False) for place in rooms["read"]]
    everything += [(place, True) for place in rooms["write"]]
    for place, writable in sorted(everything, key=lambda one: len(one[0])):
        bind(place, root, writable)
    for place in rooms["hide"]:
        if os.path.isdir(root + place):
            mount("tmpfs", root + place, "tmpfs", READ_ONLY, "size=4k")
    Path(root, "proc").mkdir()
    flags = NO_SUID | NO_DEVICES | NO_PROGRAMS
    mount("proc", f"{root}/proc", "proc", flags)
    for device in DEVICES:
        bind(f"/dev/{device}", root, writable=True)
    memory(Path(root, "dev", "shm"), "512m")
    os.symlink("/proc/self/fd", f"{root}/dev/fd")
    terminals(Path(root, "dev"))
    os.chdir(root)
    number = PIVOT_ROOT[os.uname().machine]
    call(libc.syscall(number, b".", b"."), "pivot_root")
    call(libc.umount2(b".", DETACH), "umount")
    mount("", "/", flags=BIND | REMOUNT | READ_ONLY | NO_SUID | NO_DEVICES)
    os.chdir("/")


def enter_namespaces(rooms: dict) -> None:
    """From now on alone. The process that called this waits for the one that goes on,
    and ends as it does."""
    user, group = os.geteuid(), os.getegid()
    call(libc.unshare(NEW), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{WHO} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{WHO} {group} 1")
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 255)
    libc.prctl(1, signal.SIGKILL)  # end with the one that waits
    os.setsid()
    build_disk(rooms)


def limit_processes(most: int) -> None:
    """Let the system itself refuse more than `most` processes and threads together,
    however fast they come. Only inside namespaces of our own: RLIMIT_NPROC counts those
    in them. It does not bind root, for whom a namespace's own pid_max does (Linux 6.14
    and newer; before, that file was the whole machine's, and is left alone)."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    version = tuple(int(n) for n in re.findall(r"\d+", os.uname().release)[:2])
    if version >= (6, 14):
        with contextlib.suppress(OSError):  # bubblewrap shows /proc read-only
            Path("/proc/sys/kernel/pid_max").write_text(str(most))


def main(plan: dict) -> None:
    linux = sys.platform == "linux"
    if linux:
        libc.prctl(1, signal.SIGKILL)
    if plan["rooms"]:
        enter_namespaces(plan["rooms"])
    if plan["tasks"]:
        limit_processes(plan["tasks"])
    if linux:
        libc.prctl(38, 1, 0, 0, 0)  # no program gives it more rights
    for name, value in plan["limits"].items():
        with contextlib.suppress(ValueError, OSError):  # the system allows less already
            resource.setrlimit(getattr(resource, name), (value, value))
    os.chdir(plan["cwd"])
    os.execve(plan["argv"][0], plan["argv"], plan["environment"])


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
