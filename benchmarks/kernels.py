"""How long a lesson takes to begin: its kernel forked from a process that has torch
imported, or started anew.

    python benchmarks/kernels.py [--rounds 5]

A notebook that imports what lessons import and takes one step of an optimiser is run
both ways in turn. Prints the median seconds and their ratio and writes
reports/benchmarks/kernels.json.
"""

import argparse
import json
import platform
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import nbformat

from cnnviz_utils.course import run as runs

OUT = Path(__file__).resolve().parents[1] / "reports" / "benchmarks" / "kernels.json"
CELL = """import torch
from cnnviz_utils import plot
from cnnviz_utils.training import evaluation
from cnnviz_utils.training import recipes as trained
weight = torch.nn.Parameter(torch.ones(1))
optimiser = torch.optim.AdamW([weight])
weight.sum().backward()
optimiser.step()"""


def seconds(notebook: Path, fork: bool) -> float:
    """One run. Raises RuntimeError if the notebook did not run."""
    runs.can_fork = lambda: fork
    start = perf_counter()
    problem = runs._execute(
        notebook,
        notebook.with_name("out.ipynb"),
        {},
        300,
        lambda line: None,
        runs.Children(),
        1,
    )
    if problem:
        raise RuntimeError(problem)
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    if not runs.can_fork():
        print("Kernels are not forked here: it takes Linux, and no GPU.")
        return
    with tempfile.TemporaryDirectory() as folder:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, Path(folder) / "lesson.ipynb")
        seconds(Path(folder) / "lesson.ipynb", fork=True)  # imports, once for all
        times = {"forked": [], "started": []}
        for _ in range(rounds):
            for name in times:
                times[name].append(
                    seconds(Path(folder) / "lesson.ipynb", name == "forked")
                )
    found = {name: median(values) for name, values in times.items()} | {
        "machine": platform.machine()
    }
    found["ratio"] = found["started"] / found["forked"]
    print(
        f"forked {found['forked']:.1f} s, started {found['started']:.1f} s: "
        f"{found['ratio']:.1f} times as long"
    )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
