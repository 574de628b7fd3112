"""Training from a folder of JPEG files to updated weights: ours beside torchvision's
ImageFolder with workers, fastai and Lightning, and beside the bound.

    python benchmarks/training.py FOLDER             # 64, 128 and 224 px, minutes
    python benchmarks/training.py FOLDER --size 64 --classes 10 --images 20 --rounds 1
    python benchmarks/training.py --memory           # memory when data grows tenfold

FOLDER has a folder of photos for each class. The same network, images, batches,
threads, precision and optimiser for all; each method is a process of its own, and
methods take turns. Timed from the list of files to the last epoch's weights, imports
left out. All take as many steps; ours validates besides, on 5 % of the images. The
bound: steps on floats that are in memory already. Writes
reports/benchmarks/training.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from parts import side_by_side as sides
from parts.loops import LOOPS, Task

RATIO_TO = "ours"


def chosen_files(folder: Path, classes: int, images: int, out: Path) -> int:
    """Links to some of a folder's photos, `images` of each of the first `classes`
    classes that have as many; how many there are."""
    count = 0
    for place in sorted(p for p in folder.iterdir() if p.is_dir()):
        files = sorted(place.glob("*.jp*g"))
        if len(files) < images or count >= classes * images:
            continue
        (out / place.name).mkdir()
        for file in files[:images]:
            (out / place.name / file.name).symlink_to(file.resolve())
        count += images
    return count


def one(name: str, task: Task) -> dict:
    """A method in a process of its own: seconds of each epoch, and of all."""
    with tempfile.TemporaryDirectory() as cache:
        env = os.environ | {
            "CNNVIZ_CACHE": cache,  # decoding is part of it
            "OMP_NUM_THREADS": str(task.threads),
        }
        words = [sys.executable, __file__, "--child", name, json.dumps(vars(task))]
        done = subprocess.run(words, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(task: Task, rounds: int, names: list[str]) -> dict:
    """All methods at one size, in turns."""
    found: dict[str, list[dict]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found[name].append(one(name, task))
    total = {n: [r["total"] for r in runs] for n, runs in found.items()}
    later = {n: [np.mean(r["epochs"][1:]) for r in runs] for n, runs in found.items()}
    whole = sides.table(
        {n: t for n, t in total.items() if n != "bound"}, RATIO_TO
    )  # the bound decodes nothing
    epochs = sides.table(later, RATIO_TO)
    title = f"{task.size} px, {task.epochs} epochs of {task.images} images"
    sides.show(f"{title}: decoding and all epochs", whole)
    sides.show(f"{title}: an epoch from the second on", epochs)
    return {"all": whole, "an epoch from the second on": epochs}


def memory(images: int, size: int) -> dict[str, float]:
    """How far our process's memory rises while it trains on so many images made up, in
    MB: the bytes lie in a memory map, which the system may drop and read again."""
    words = [sys.executable, __file__, "--child", "memory", f"{images},{size}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--size", type=int, nargs="+", default=[64, 128, 224])
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--images", type=int, default=30, help="of each class")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--network", default="small_resnet")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--most", type=int, default=100_000, help="for --memory")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, text = options.child
        print(json.dumps(LOOPS[name](text if name == "memory" else task_of(text))))
        return
    results: dict = {}
    if options.memory:
        for images in (options.most // 10, options.most):
            results[f"{images} images"] = memory(images, 64)
            print(images, results[f"{images} images"], flush=True)
    if options.folder:
        names = [n for n in LOOPS if n != "memory" and sides.has(n)]
        for size in options.size:
            with tempfile.TemporaryDirectory() as place:
                count = chosen_files(
                    options.folder, options.classes, options.images, Path(place)
                )
                task = Task(
                    place, size, options.epochs, 32, options.threads, options.network,
                    count,
                )  # fmt: skip
                results[f"{size} px"] = compare(task, options.rounds, names)
    sides.write("training", results)


def task_of(text: str) -> Task:
    return Task(**json.loads(text))


if __name__ == "__main__":
    main()
