"""What the benchmarks share: methods that take turns, and tables of their ratios."""

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

import torch

OUT = Path(__file__).resolve().parents[2] / "reports" / "benchmarks"
PACKAGES = (
    "torch", "torchvision", "captum", "torchcam", "grad-cam", "zennit", "fastai",
    "lightning", "torch-lucent",
)  # fmt: skip


def has(name: str) -> bool:
    """Whether the library of that name is installed; what needs none always is."""
    package = name.lower()
    if package not in PACKAGES:
        return True
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def in_turns(
    calls: Mapping[str, Callable[[], object]], rounds: int, warm: int = 1
) -> dict[str, list[float]]:
    """Seconds of each call in each round: every round runs each once, one after the
    other, so that whatever else the machine does falls on all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + warm):
        for name, call in calls.items():
            wait()
            start = time.perf_counter()
            call()
            wait()
            if number >= warm:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def table(seconds: Mapping[str, list[float]], to: str) -> dict[str, dict[str, float]]:
    """Median seconds, and the median over rounds of the ratio to one method, with the
    quartiles of that ratio."""
    rows = {}
    for name, times in seconds.items():
        ratios = [t / base for t, base in zip(times, seconds[to], strict=True)]
        quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        rows[name] = {
            "seconds": statistics.median(times),
            "ratio": statistics.median(ratios),
            "quarter": quartiles[0],
            "three_quarters": quartiles[2],
        }
    return rows


def show(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    print(f"\n{title}")
    for name, row in rows.items():
        more = "".join(
            f"  {key} {value:,.3g}"
            for key, value in row.items()
            if key not in ("seconds", "ratio", "quarter", "three_quarters")
        )
        print(
            f"  {name:28} {1e3 * row['seconds']:10.1f} ms  ratio {row['ratio']:5.2f} "
            f"({row['quarter']:.2f} to {row['three_quarters']:.2f}){more}",
            flush=True,
        )


def machine() -> dict[str, object]:
    """Versions, processor, GPU: no names of machines or people."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    load = Path("/proc/loadavg")
    return {
        "versions": versions,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        "load": load.read_text().split()[0] if load.exists() else None,
    }


def write(name: str, results: object) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    file = OUT / f"{name}.json"
    file.write_text(json.dumps({**machine(), "results": results}, indent=1))
    print(f"\nwritten to reports/benchmarks/{file.name}")
