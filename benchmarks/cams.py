"""Grad-CAM side by side: ours, Captum, torch-cam, pytorch-grad-cam, and a plain forward
pass. Time, memory, rightness.

    python benchmarks/cams.py               # all of it, five minutes on two cores
    python benchmarks/cams.py --rounds 3    # quicker and rougher

Peers that are not installed are left out (pip install "cnnviz[peers]" brings
pytorch-grad-cam). Prints tables and writes reports/benchmarks/cams.json.

Time: every round runs each method once, one after the other, so that whatever else the
machine does falls on all of them; the table has the median over rounds of the ratio to
ours in the same round.
Memory: each method in a process of its own. After a call with one image (libraries
loaded), the process's high-water mark is reset, one batch is run, and
what the mark rose above the memory then in use is the extra peak: activations,
gradients, buffers of the kernels, everything.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from cams_parts.peers import METHODS, available
from cams_parts.rightness import rightness

SETTINGS = {"224 px, batch 16": (224, 16), "64 px, batch 64": (64, 64)}
LAYER = "layer4"


def network(
    size: int, batch: int
) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """ResNet-18 at random weights with images and a target each."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None).eval()
    return model, torch.rand(batch, 3, size, size), torch.randint(1000, (batch,))


def prepared(name: str, size: int, batch: int) -> Callable[[], object]:
    """The method's call on one batch, everything that is done only once already
    done."""
    model, images, targets = network(size, batch)
    explain = METHODS[name](model, LAYER)
    explain(images[:1], targets[:1])
    return lambda: explain(images, targets)


def times(size: int, batch: int, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds a batch (median) and the median ratio to ours, by method."""
    calls = {name: prepared(name, size, batch) for name in available()}
    seconds = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number:  # the first round only warms up
                seconds[name].append(time.perf_counter() - start)
    ratio = lambda name: statistics.median(
        t / ours for t, ours in zip(seconds[name], seconds["ours"], strict=True)
    )
    return {
        name: {
            "seconds": statistics.median(t),
            "images_per_second": batch / statistics.median(t),
            "ratio": ratio(name),
            "quartiles": statistics.quantiles(t, n=4),
        }
        for name, t in seconds.items()
    }


def high_water(name: str, size: int, batch: int) -> float:
    """Extra peak memory of one batch in MB, in this process (Linux)."""
    call = prepared(name, size, batch)
    # the high-water mark starts again from what is in use
    Path("/proc/self/clear_refs").write_text("5")
    status = lambda key: int(
        next(
            x for x in Path("/proc/self/status").read_text().splitlines() if key in x
        ).split()[1]
    )
    before = status("VmRSS")
    call()
    return (status("VmHWM") - before) / 1024


def memory(size: int, batch: int, threads: int, repeats: int) -> dict[str, float]:
    """Median extra peak in MB by method, each measured in fresh processes."""
    found = {}
    for name in available():
        command = [
            sys.executable,
            __file__,
            "--memory",
            name,
            str(size),
            str(batch),
            "--threads",
            str(threads),
        ]
        runs = [
            subprocess.run(command, capture_output=True, text=True, check=True)
            for _ in range(repeats)
        ]
        found[name] = statistics.median(float(run.stdout.split()[-1]) for run in runs)
    return found


def verdicts(results: dict) -> list[dict]:
    """The aims, fixed before measuring, and whether they were met."""
    found = []
    for setting, rows in results.items():
        libraries = [
            name
            for name in rows
            if name not in ("ours", "ours, fast copy", "forward pass")
        ]
        fastest = min(rows[name]["ratio"] for name in libraries)
        least = min(rows[name]["extra_mb"] for name in libraries)
        fast = rows["ours, fast copy"]
        found += [
            {
                "aim": f"{setting}: at least as fast as the fastest library "
                "(within 5 % of noise)",
                "value": fastest,
                "holds": fastest >= 0.95,
            },
            {
                "aim": f"{setting}: the fast copy at least 1.25 x as fast as it",
                "value": fastest / fast["ratio"],
                "holds": fastest / fast["ratio"] >= 1.25,
            },
            {
                "aim": f"{setting}: at most half of the extra memory of the thriftiest "
                "library, as it comes",
                "value": rows["ours"]["extra_mb"] / least,
                "holds": rows["ours"]["extra_mb"] <= least / 2,
            },
            {
                "aim": f"{setting}: the same for the fast copy",
                "value": fast["extra_mb"] / least,
                "holds": fast["extra_mb"] <= least / 2,
            },
        ]
    return found


def show(results: dict, right: list[dict], aims: list[dict]) -> None:
    for setting, rows in results.items():
        print(
            f"\nResNet-18, {LAYER}, {setting}: "
            "time as a ratio to ours, images/s, extra peak memory"
        )
        for name, row in rows.items():
            print(
                f"  {name:24} {row['ratio']:6.2f} "
                f"{row['images_per_second']:8.1f}/s {row['extra_mb']:8.0f} MB"
            )
    print(
        "\nLargest error of the raw map against plain autograd on an out-of-place copy"
    )
    names = [key for key in right[0] if key not in ("case", "maximum")]
    print(f"  {'case':44} {'maximum':>10} " + " ".join(f"{name:>18}" for name in names))
    for row in right:
        cells = [
            row[name] if isinstance(row[name], str) else f"{row[name]:.1e}"
            for name in names
        ]
        print(
            f"  {row['case']:44} {row['maximum']:10.1e} "
            + " ".join(f"{cell:>18}" for cell in cells)
        )
    print()
    for aim in aims:
        verdict = "holds" if aim["holds"] else "FAILS"
        print(f"  {verdict}  {aim['aim']}: {aim['value']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parents[1] / "reports/benchmarks/cams.json",
    )
    parser.add_argument(
        "--memory",
        nargs=3,
        metavar=("METHOD", "SIZE", "BATCH"),
        help="one measurement, used by itself",
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    if options.memory:
        name, size, batch = options.memory
        print(high_water(name, int(size), int(batch)))
        return
    results = {}
    for setting, (size, batch) in SETTINGS.items():
        peak = memory(size, batch, options.threads, repeats=1)
        results[setting] = {
            n: {**row, "extra_mb": peak[n]}
            for n, row in times(size, batch, options.rounds).items()
        }
    right, aims = rightness(), verdicts(results)
    show(results, right, aims)
    versions = {
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "python": platform.python_version(),
    }
    report = {
        "versions": versions | available(),
        "machine": platform.machine(),
        "threads": options.threads,
        "rounds": options.rounds,
        "speed_and_memory": results,
        "rightness": right,
        "aims": aims,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1))
    print(f"\nwritten to {options.out}")


if __name__ == "__main__":
    main()
