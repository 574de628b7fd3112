"""How fast the Menagerie is drawn and read back: images a second on one core, median of
several rounds.

    python benchmarks/menagerie.py [--size 64] [--images 400] [--rounds 7]

Drawing and reading take turns within each round, so that a busy machine slows both.
Prints a table and writes reports/benchmarks/menagerie.json.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import platform
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

from cnnviz_utils.data.drawn.menagerie import SPECIES, MenagerieConfig, draw, menagerie

OUT = Path(__file__).resolve().parents[1] / "reports" / "benchmarks" / "menagerie.json"


def rate(work, images: int) -> float:
    """Images a second of one call."""
    start = perf_counter()
    work()
    return images / (perf_counter() - start)


def measure(size: int, images: int, rounds: int) -> dict[str, float]:
    """Median images a second: drawn one by one, and read from the cache as float
    batches of 64."""
    config = MenagerieConfig(
        size=size, train=-(-images // len(SPECIES)), valid=1, test=1
    )
    order = (
        np.random.default_rng(0)
        .permutation(sum(config.counts("train")))[:images]
        .tolist()
    )
    train = menagerie(config).train
    draw_all = lambda: [draw(config, "train", i) for i in order]
    read_all = lambda: [
        train[torch.tensor(order[i : i + 64])] for i in range(0, images, 64)
    ]
    draw_all(), read_all()
    drawn, read = zip(
        *((rate(draw_all, images), rate(read_all, images)) for _ in range(rounds)),
        strict=True,
    )
    return {
        "drawn": median(drawn),
        "best_drawn": max(drawn),
        "read": median(read),
        "read_over_drawn": median(r / d for r, d in zip(read, drawn, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs="*", default=[64, 96, 224])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CNNVIZ_CACHE"] = folder
        for size in options.size:
            rows[size] = measure(
                size,
                options.images if size <= 96 else options.images // 4,
                options.rounds,
            )
    print(f"{'size':>6}{'drawn/s':>10}{'best':>8}{'read/s':>10}{'ratio':>8}")
    for size, row in rows.items():
        print(
            f"{size:>6}{row['drawn']:>10.0f}{row['best_drawn']:>8.0f}{row['read']:>10.0f}{row['read_over_drawn']:>8.1f}"
        )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(
        json.dumps(
            {
                "python": platform.python_version(),
                "numpy": np.__version__,
                "machine": platform.machine(),
                "images_per_second": rows,
            },
            indent=2,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
