"""Caltech-101 on two cores: EfficientNet-Lite0 stays as ImageNet left it, and logistic
regression learns from what its layers make of each photo.

    python benchmarks/caltech101.py [--size 224]

Says what each part of the recipe buys (on validation, half of the published training
list), and then tests the plainest way and the best one, learned on half of the list and
on all of it. Prints tables and writes reports/benchmarks/caltech101.json. Features are
kept in the cache. Without the photos it says so and ends.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import cnnviz_utils as cv
from cnnviz_utils.base.paths import data_root
from cnnviz_utils.data.photos.reading import open_image
from cnnviz_utils.data.sets import ImageSet
from cnnviz_utils.training import answers, logistic_head, pooled_features, top_k

OUT = Path(__file__).resolve().parents[1] / "reports" / "benchmarks" / "caltech101.json"
LAYERS = {"stage5": 112, "stage6": 192, "stage7": 320, "pool": 1280}
PARTS = ("train", "valid", "test")
# name: cuts side by side, layers, C
WAYS = {
    "middle of the photo, last layer, C = 0.01": (["middle"], ["pool"], 0.01),
    "the same, C = 0.1": (["middle"], ["pool"], 0.1),
    "the whole photo, squeezed to a square": (["whole"], ["pool"], 0.1),
    "last four stages": (["whole"], list(LAYERS), 0.1),
    "middle and whole side by side": (["middle", "whole"], list(LAYERS), 0.1),
}


def squeezed(part: ImageSet, root: Path, size: int) -> ImageSet:
    """The same photos whole, their sides squeezed to a square, where the library's own
    reader takes the middle."""
    pixels = np.empty((len(part), 3, size, size), np.uint8)
    for i, path in enumerate(part.paths or ()):
        photo = open_image(root / path).resize((size, size), Image.Resampling.BILINEAR)
        pixels[i] = np.asarray(photo).transpose(2, 0, 1)
    return ImageSet(pixels, part.labels, part.classes, paths=part.paths)


def features(cut: str, part: ImageSet, root: Path) -> Tensor:
    """(1, N, D): all of LAYERS side by side, of one cut of the photos."""
    if cut == "whole":
        part = squeezed(part, root, part.size)
    net = cv.build_model("efficientnet_lite0", weights="imagenet")
    net = cv.viz.fast_copy(net, part[:2][0])
    return pooled_features(net, part, list(LAYERS))


def columns(layers: list[str]) -> Tensor:
    """The positions of some layers' numbers among all."""
    found, start = [], 0
    for layer, width in LAYERS.items():
        if layer in layers:
            found.append(torch.arange(start, start + width))
        start += width
    return torch.cat(found)


def measure(size: int) -> dict:
    sets = cv.load_data("caltech101", size=size)
    root = data_root() / "caltech101" / "101_ObjectCategories"
    seconds, found = {}, {}
    for cut in ("middle", "whole"):
        for name in PARTS:
            wall, processor = time.perf_counter(), time.process_time()
            found[cut, name] = features(cut, getattr(sets, name), root)[0]
            spent = time.perf_counter() - wall, time.process_time() - processor
            seconds[f"{cut}, {name}"] = spent
            print(
                f"features, {cut}, {name}: {spent[0]:.0f} s, processor {spent[1]:.0f}"
            )

    def seen(way: str, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        cuts, layers, _ = WAYS[way]
        chosen = columns(layers)
        rows = [
            torch.cat([found[cut, name][:, chosen] for cut in cuts], 1)
            for name in names
        ]
        labels = [getattr(sets, name).labels for name in names]
        return torch.cat(rows), torch.cat(labels)

    def learn(way: str, names: tuple[str, ...], tested: str) -> float:
        head = logistic_head(*seen(way, names), len(sets.classes), WAYS[way][2])
        points, labels = seen(way, (tested,))
        return top_k(answers(head, points), labels)

    validation = {}
    for way in WAYS:
        started = time.process_time()
        validation[way] = learn(way, ("train",), "valid")
        spent = time.process_time() - started
        print(f"validation {validation[way]:.4f}  {way} (head: {spent:.0f} s)")
    best = max(validation, key=validation.__getitem__)
    test = {}
    for way in dict.fromkeys((next(iter(WAYS)), best)):
        for part, names in (("half", ("train",)), ("all", ("train", "valid"))):
            test[f"{way}; {part} of the list"] = learn(way, names, "test")
            print(f"test {test[f'{way}; {part} of the list']:.4f}  {way}; {part}")
    return {
        "size": size,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "seconds (wall, processor)": seconds,
        "validation": validation,
        "test": test,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    try:
        result = measure(options.size)
    except FileNotFoundError as error:
        print(f"Caltech-101 is not here, so there is nothing to measure: {error}")
        return
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1))
    print(OUT)


if __name__ == "__main__":
    main()
