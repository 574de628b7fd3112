"""Land, water, air: the three-realms project with EfficientNet-Lite0's weights from
ImageNet, from the bars of its classes to the class activation maps of its mistakes.

    python benchmarks/realms.py [--data caltech101_realms] [--size 224] [--epochs 3]

Writes the pictures, results.json and index.html to reports/realms. Settings are chosen
on validation; the test set is looked at once, at the end. Without the photos it says
so and ends.
"""

import argparse
import base64
import html
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from caltech101 import squeezed
from torch import Tensor, nn

import cnnviz_utils as cv
from cnnviz_utils.base.paths import data_root
from cnnviz_utils.data.augment import Augment
from cnnviz_utils.models import freeze, unfreeze
from cnnviz_utils.models.networks import run_stages
from cnnviz_utils.plot import Picture, plot_bars, plot_confusion
from cnnviz_utils.training import answers, logistic_head, pooled_features, top_k
from cnnviz_utils.viz import normalise_maps, upsample_maps

OUT = Path(__file__).resolve().parents[1] / "reports" / "realms"
LAYERS = ["stage5", "stage6", "stage7", "pool"]
BODY = ["stem", *(f"stage{i}" for i in range(1, 8)), "top"]
CS = (3e-3, 1e-2, 3e-2, 1e-1)


@dataclass
class Report:
    """What was found: a line for each way, and pictures with their captions."""

    out: Path
    started: float = field(default_factory=time.perf_counter)
    rows: list[dict] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)

    def line(self, way: str, valid: float, test: float) -> None:
        """Note a way's accuracies, and the seconds since the last one."""
        seconds = time.perf_counter() - self.started
        self.started = time.perf_counter()
        self.rows.append(
            {"way": way, "validation": valid, "test": test, "seconds": seconds}
        )
        print(f"{way}: validation {valid:.4f}, test {test:.4f}, {seconds:.0f} s")

    def write(self) -> Path:
        """The pictures as files, and a page that holds them all."""
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "results.json").write_text(json.dumps(self.rows, indent=1))
        kinds = {"validation": "{:.3f}", "test": "{:.3f}", "seconds": "{:.0f}"}
        body = [
            pd.DataFrame(self.rows).style.format(kinds).hide(axis="index").to_html()
        ]
        for name, picture in self.pictures.items():
            (self.out / f"{name}.png").write_bytes(picture.png)
            png = base64.b64encode(picture.png).decode()
            width = picture.array.shape[1] // 2
            body.append(
                f'<figure><img width="{width}" src="data:image/png;base64,{png}" '
                f'alt="{html.escape(picture.alt)}"></figure>'
            )
        style = "body{font:16px sans-serif;max-width:60em;margin:auto;padding:1em}"
        style += "img{max-width:100%;height:auto}td,th{padding:.2em .6em}"
        page = self.out / "index.html"
        page.write_text(
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            f"<title>Land, water, air</title><style>{style}</style>"
            f"<h1>Land, water, air</h1>{''.join(body)}</html>"
        )
        return page


def linear(sets, report: Report) -> tuple[nn.Linear, float]:
    """Logistic regression on features: of the last layer, then of four stages and two
    views. Returns the head for the last layer's features, and its C."""
    net = cv.build_model("efficientnet_lite0", weights="imagenet")
    net = cv.viz.fast_copy(net, sets.train[:2][0])
    parts = {"train": sets.train, "valid": sets.valid, "test": sets.test}
    features = {
        name: pooled_features(net, part, LAYERS, mirrored=True)
        for name, part in parts.items()
    }
    kept = None
    ways = {
        "head alone": (slice(1), slice(-1280, None)),
        "head alone, mirrored images too": (slice(2), slice(-1280, None)),
        "head on four stages, mirrored images too": (slice(2), slice(None)),
    }
    for way, (views, columns) in ways.items():
        seen = {name: f[views][..., columns] for name, f in features.items()}
        heads = {
            c: logistic_head(seen["train"], sets.train.labels, len(sets.classes), c)
            for c in CS
        }
        valid = {
            c: top_k(answers(head, seen["valid"]), sets.valid.labels)
            for c, head in heads.items()
        }
        best = max(CS, key=lambda c: (valid[c], -c))
        test = top_k(answers(heads[best], seen["test"]), sets.test.labels)
        report.line(f"{way} (C = {best:g})", valid[best], test)
        kept = kept or (heads[best], best)
    return kept


def by_kind(sets, report: Report) -> None:
    """A realm is no shape, a kind of animal is one: learn the 27 kinds, from the middle
    of each photo and the whole of it side by side, and add up their probabilities."""
    root = data_root() / "caltech101" / "101_ObjectCategories"
    net = cv.build_model("efficientnet_lite0", weights="imagenet")
    net = cv.viz.fast_copy(net, sets.train[:2][0])
    parts = (sets.train, sets.valid, sets.test)
    points = []
    for part in parts:
        cuts = (part, squeezed(part, root, part.size))
        points.append(torch.cat([pooled_features(net, c, LAYERS)[0] for c in cuts], 1))
    names = [[path.split("/")[0] for path in part.paths] for part in parts]
    kinds = sorted(set(names[0]))
    labels = torch.tensor([kinds.index(name) for name in names[0]])
    realm = dict(zip(labels.tolist(), sets.train.labels.tolist(), strict=True))
    belongs = torch.zeros(len(kinds), len(sets.classes))
    for kind, number in realm.items():
        belongs[kind, number] = 1
    found = {}
    for c in (0.1, 1.0):
        head = logistic_head(points[0], labels, len(kinds), c)
        added = [(answers(head, p).exp() @ belongs).log() for p in points[1:]]
        loss = float(torch.nn.functional.nll_loss(added[0], sets.valid.labels))
        found[loss, c] = [
            top_k(logits, part.labels)
            for logits, part in zip(added, parts[1:], strict=True)
        ]
    loss, best = min(found)
    report.line(f"27 kinds, added up (C = {best:g})", *found[loss, best])


def accuracies(net: nn.Module, sets) -> tuple[float, float]:
    return tuple(top_k(*cv.predict(net, part)) for part in (sets.valid, sets.test))


def whole_recipe(sets, head: nn.Linear, epochs: int, report: Report) -> nn.Module:
    """Behind the computed head all layers learn, at three rates; then test-time
    augmentation."""
    net = cv.build_model("efficientnet_lite0", weights="imagenet", classes=sets.classes)
    net.head.load_state_dict(head.state_dict())
    early = dict.fromkeys(BODY[:4], 3e-5)
    config = cv.TrainConfig(
        optimiser="adamw",
        lr=1e-3,
        lrs=tuple((early | dict.fromkeys(BODY[4:], 2e-4)).items()),
        weight_decay=0.02,
        epochs=epochs,
        batch_size=32,
        label_smoothing=0.1,
        augment=Augment(flip=0.5, shift=0.05),
    )
    cv.training.fit_or_load(net, sets.train, sets.valid, config)
    report.line(f"all layers, three rates, {epochs} epochs", *accuracies(net, sets))
    views = [lambda images: images.flip(-1)]
    both = [
        cv.training.predict_tta(net, s, views, 0.5) for s in (sets.valid, sets.test)
    ]
    report.line("the same, answers of the mirror image too", *(top_k(*b) for b in both))
    table = cv.training.confusion(*both[1], sets.classes)
    report.pictures["confusion"] = plot_confusion(table, percent=False)
    return net


class CamNetwork(nn.Module):
    """The project's network for maps: behind the borrowed layers a 3x3 convolution to a
    map for each class, and the average of each map is the class's logit."""

    def __init__(self, borrowed: nn.Module, classes: tuple[str, ...]):
        super().__init__()
        for name in ["normalise", *BODY]:
            setattr(self, name, getattr(borrowed, name))
        self.maps = nn.Conv2d(1280, len(classes), 3, padding=1)
        self.pool, self.classes = nn.AdaptiveAvgPool2d(1), tuple(classes)
        self.stages = ["normalise", *BODY, "maps", "pool", "flatten"]

    def forward(self, images: Tensor) -> Tensor:
        return run_stages(self, images, self.stages)


def cam_network(sets, report: Report) -> None:
    """The convolution alone learns, on maps that are computed once."""
    torch.manual_seed(0)
    lent = cv.build_model("efficientnet_lite0", weights="imagenet")
    net = CamNetwork(lent, sets.classes)
    freeze(net, BODY)
    config = cv.TrainConfig(
        optimiser="adamw",
        lr=1e-3,
        weight_decay=0.1,
        epochs=10,
        batch_size=32,
        label_smoothing=0.1,
    )
    cv.training.fit_or_load(net, sets.train, sets.valid, config)
    unfreeze(net, BODY)
    report.line("the CAM network", *accuracies(net, sets))
    report.pictures["cam_network"] = grid(net, sets, "The CAM network", per_class(sets))


def per_class(sets, each: int = 5) -> list[int]:
    """Positions of some test images of each class."""
    found = []
    for number in range(len(sets.classes)):
        members = (sets.test.labels == number).nonzero().flatten()
        found += members[torch.linspace(0, len(members) - 1, each).long()].tolist()
    return found


def grid(net: nn.Module, sets, heading: str, chosen: list[int]) -> Picture:
    """Class activation maps of the answers over test images."""
    images, labels = sets.test[chosen]
    maps = normalise_maps(cv.cam(net, images))
    with torch.no_grad():
        said = net.eval()(images).softmax(1)
    titles = [
        f"{sets.classes[truth]}: {sets.classes[int(p.argmax())]} {p.max():.0%}"
        for truth, p in zip(labels, said, strict=True)
    ]
    return cv.show_images(
        cv.overlay(images, upsample_maps(maps, sets.size)),
        titles,
        columns=5,
        heading=f"{heading}: true realm, answer, and where it speaks for the answer",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="caltech101_realms")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    try:
        sets = cv.load_data(options.data, size=options.size)
    except FileNotFoundError as error:
        print(f"{options.data} is not here, so there is nothing to measure: {error}")
        return
    report = Report(options.out)
    parts = {"train": sets.train, "valid": sets.valid, "test": sets.test}
    counts = {name: part.counts.numpy() for name, part in parts.items()}
    bars = pd.DataFrame(counts, index=list(sets.classes))
    report.pictures["frequencies"] = plot_bars(bars, ylabel="images", width=6)
    head, _ = linear(sets, report)
    if sets.name == "caltech101_realms":
        by_kind(sets, report)
    cam_network(sets, report)
    net = whole_recipe(sets, head, options.epochs, report)
    report.pictures["cams"] = grid(net, sets, "All layers learned", per_class(sets))
    logits, labels = cv.predict(net, sets.test)
    if wrong := (logits.argmax(1) != labels).nonzero().flatten().tolist():
        report.pictures["mistakes"] = grid(net, sets, "The mistakes", wrong[:15])
    print(report.write())


if __name__ == "__main__":
    main()
