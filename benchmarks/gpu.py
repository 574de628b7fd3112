"""A GPU's three minutes: maps, gradients, covers, scores, images of a class, and
training, each beside its bound and its peers.

    python benchmarks/gpu.py                # three minutes on a GPU
    python benchmarks/gpu.py --tiny         # a few small calls anywhere, to try it
    python benchmarks/gpu.py --only maps    # maps, pixels, pictures, training

Without a GPU a batch has four images at most, and there are five rounds.

Every round runs each method once, waits for the GPU, and the table has the median over
rounds of the ratio to ours. Peers that are not installed are left out: `make bench`
sets up an environment that has them. Writes reports/benchmarks/gpu.json.
"""

import argparse
import warnings

import torch
from cams_parts.peers import METHODS, available
from parts import side_by_side as sides
from parts.pictures import ascent_methods, cover_methods, score_methods
from parts.pixels import pixel_methods
from parts.question import network, question
from parts.steps import step_methods

from cnnviz_utils.viz.cams import grad_cam
from cnnviz_utils.viz.fast import fast_copy

# network, side of the images, images a batch
MAPS = [
    ("resnet18", 224, 64), ("resnet50", 224, 64), ("resnet18", 64, 64),
    ("resnet18", 224, 1),
]  # fmt: skip
PIXELS = [("resnet18", 224, 32), ("resnet18", 64, 64)]
PICTURES = [("resnet18", 224, 8), ("resnet18", 64, 32)]
# network, side, images a batch, precision
STEPS = [
    ("small_resnet", 64, 64, "off"), ("resnet50", 224, 64, "off"),
    ("resnet50", 224, 64, "bfloat16"), ("resnet50", 224, 64, "float16"),
]  # fmt: skip
LEFT_OUT = ("pytorch-grad-cam", "ours, fast copy")  # three times; made here in two ways


def peak(call, device: torch.device) -> float:
    """Extra peak memory of a call in MB, on a GPU; NaN elsewhere."""
    if device.type != "cuda":
        return float("nan")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    sides.wait()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def maps(name: str, size: int, batch: int, rounds: int, device: torch.device) -> dict:
    """Grad-CAM of one batch, by method; half precision for ours and a peer alike."""
    model, images, targets = question(name, size, batch, device)
    made = {n: METHODS[n](model, "layer4") for n in available() if n not in LEFT_OUT}
    calls = {n: (lambda f=f: f(images, targets)) for n, f in made.items()}
    errors = {}
    for title, dtype in (("float32", None), ("bfloat16", torch.bfloat16)):
        copy = fast_copy(model, images, dtype=dtype)
        errors[f"ours, fast copy {title}"] = copy.error
        calls[f"ours, fast copy {title}"] = lambda net=copy: grad_cam(
            net, images, "layer4", targets
        )
    if "Captum" in made:
        half = network(name, device).to(torch.bfloat16)
        theirs = METHODS["Captum"](half, "layer4")
        small = images.to(torch.bfloat16)
        calls["Captum, bfloat16"] = lambda: theirs(small, targets)
    found = sides.table(sides.in_turns(calls, rounds), "ours")
    for n, row in found.items():
        row["extra_mb"] = peak(calls[n], device)
        if n in errors:
            row["error"] = errors[n]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", choices=("maps", "pixels", "pictures", "training"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    slow = device.type != "cuda"
    rounds = 3 if options.tiny else min(5, options.rounds) if slow else options.rounds
    shrink = lambda row: (row[0], 64, min(row[2], 2), *row[3:])
    fit = lambda row: (*row[:2], min(row[2], 4), *row[3:]) if slow else row
    chosen = lambda rows: (
        [shrink(r) for r in rows[:1]] if options.tiny else [fit(r) for r in rows]
    )
    wanted = lambda kind: options.only in (None, kind)
    results = {}
    for name, size, batch in chosen(MAPS) if wanted("maps") else []:
        title = f"Grad-CAM, {name}, {size} px, batch {batch}"
        results[title] = maps(name, size, batch, rounds, device)
        sides.show(title, results[title])
    for name, size, batch in chosen(PIXELS) if wanted("pixels") else []:
        for rule in ("deconvnet", "guided"):
            calls = pixel_methods(name, size, batch, rule, device)
            title = f"{rule}, {name}, {size} px, batch {batch}"
            results[title] = sides.table(sides.in_turns(calls, rounds), "ours")
            sides.show(title, results[title])
    for name, size, batch in chosen(PICTURES) if wanted("pictures") else []:
        for kind, methods in (
            ("occlusion", cover_methods),
            ("deletion", score_methods),
            ("class images, 8 steps", ascent_methods),
        ):
            calls = methods(name, size, batch, device)
            title = f"{kind}, {name}, {size} px, batch {batch}"
            results[title] = sides.table(sides.in_turns(calls, rounds), "ours")
            sides.show(title, results[title])
    for name, size, batch, amp in chosen(STEPS) if wanted("training") else []:
        if amp == "float16" and slow:
            continue
        calls = step_methods(name, size, batch, amp, device, 1 if options.tiny else 20)
        title = f"training, {name}, {size} px, batch {batch}, {amp}: a pass"
        results[title] = sides.table(sides.in_turns(calls, min(rounds, 5)), "fit")
        sides.show(title, results[title])
    sides.write("gpu", results)


if __name__ == "__main__":
    main()
