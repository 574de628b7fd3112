"""Values that nobody meant: each is refused in one sentence of ours, before anything is computed from it; and networks of
odd kinds, each with its map or its sentence."""

import pytest
import torch
from conftest import coloured_squares
from torch import nn

import cnnviz_utils as cv
from cnnviz_utils import scores, viz
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.checkup import checkup
from cnnviz_utils.course.records import claim, say
from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.data.photos.catalogue import status, verify
from cnnviz_utils.data.photos.folders import load_images
from cnnviz_utils.data.photos.inspection import inspect_folder
from cnnviz_utils.data.photos.layouts import describe, recognise
from cnnviz_utils.data.photos.reading import open_image
from cnnviz_utils.data.splits import normalisation, stratified_split
from cnnviz_utils.models.build import build_model
from cnnviz_utils.models.costs import count_costs, images_per_second
from cnnviz_utils.sweep.plan import read_sweep
from cnnviz_utils.training.adversary import adversarial_examples
from cnnviz_utils.training.evaluation import (
    calibration,
    classification_table,
    confident_mistakes,
    confusion,
    embeddings,
    predict_tta,
    predictions_csv,
    top_k,
)
from cnnviz_utils.training.lr_finder import find_lr

NAN, INF = float("nan"), float("inf")
DATA = coloured_squares(12)
X, Y = DATA[:3]
HEAT = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
LOGITS, LABELS = torch.eye(3).repeat(2, 1), torch.tensor([0, 1, 2, 0, 1, 1])


def small():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
        ).eval()


def broken():
    net = small()
    net[-1].bias.data[:] = NAN
    return net


NET = small()
WRONG_ANSWERS = {
    "NaN": ((LOGITS * NAN, LABELS), "NaN"), "no images": ((LOGITS[:0], LABELS[:0]), "no images"),
    "two labels missing": ((LOGITS, LABELS[:4]), "4 labels"), "one label for all": ((LOGITS, LABELS[:1]), "1 labels"),
    "fractions": ((LOGITS, LABELS + 0.7), "class numbers"), "labels beyond": ((LOGITS, LABELS + 1), "labels must be from 0 to 2"),
    "negative labels": ((LOGITS, LABELS - 1), "labels must be from 0 to 2"), "one row": ((LOGITS[0], LABELS), "need logits of shape"),
}  # fmt: skip
# images of another scale give other numbers: bytes wherever a network sees them, and what is no picture where one is meant
WRONG_IMAGES = {
    "bytes": ((X * 255).byte(), "images must be floats.*, not uint8"), "0 to 255": (X * 255, r"must lie in \[0, 1\]"),
    "normalised images": (X * 4 - 2, r"must lie in \[0, 1\]"), "NaN": (X * NAN, "from nan to nan"),
}  # fmt: skip
OF_THE_NETWORK = {  # which may be one that takes what has been normalised
    "grad_cam": lambda images: viz.grad_cam(NET, images, "4"), "input_gradient": lambda images: viz.input_gradient(NET, images),
    "deconvnet": lambda images: viz.deconvnet(NET, images, "4"), "feature_maps": lambda images: viz.feature_maps(NET, images, "4"),
    "strongest_patches": lambda images: viz.strongest_patches(NET, images, "4", channels=[0], top=1), "fast_copy": lambda images: viz.fast_copy(NET, images),
    "deletion": lambda images: scores.deletion(NET, images, HEAT, Y), "insertion": lambda images: scores.insertion(NET, images, HEAT, Y),
    "part_drops": lambda images: scores.part_drops(NET, images, images[:, None], Y), "class_score": lambda images: viz.class_score(NET, 1)(images),
}  # fmt: skip
TAKE_IMAGES = OF_THE_NETWORK | {
    "explain": lambda images: cv.explain(images, NET), "overlay": lambda images: cv.overlay(images, HEAT),
    "class_images from": lambda images: viz.class_images(NET, 0, 16, [0, 1, 2], start=images),
}  # fmt: skip
COUNTS = {
    "top_k": top_k, "calibration": calibration, "confident_mistakes": lambda logits, labels: confident_mistakes(logits, labels, 3),
    "confusion": lambda logits, labels: confusion(logits, labels, "abc"), "confusion, one class named": lambda logits, labels: confusion(logits, labels, "a"),
    "classification_table": lambda logits, labels: classification_table(logits, labels, "abc"),
    "classification_table, one class named": lambda logits, labels: classification_table(logits, labels, "a"),
}  # fmt: skip
COUNTED = {("top_k", "NaN"), ("top_k", "no images")}  # NaN: `test_evaluation.py`
COUNTED |= {(name, what) for name in COUNTS if "one class" in name for what in WRONG_ANSWERS}  # below
RECIPES = [("steps", -3), ("steps", 2.5), ("steps", "9"), ("lr", 0), ("lr", -1), ("lr", NAN), ("shift", -1), ("shift", INF), ("scale", 1.5),
           ("scale", -2), ("rotate", NAN), ("blur", -1), ("blur", 1e9), ("tv", NAN), ("tv", -1), ("l2", INF), ("parametrisation", "wave"), ("colours", 2)]
REFUSED = {
    **{f"Recipe {name}={value!r}": (lambda name=name, value=value: viz.Recipe(**{name: value}), rf"recipe: {name} must be") for name, value in RECIPES},
    **{f"class_images size={size!r}": (lambda size=size: viz.class_images(NET, 0, size, [0]), "size must be") for size in (0, -2, 2.5, "8", 1)},
    **{f"class_images seeds={seeds!r}": (lambda seeds=seeds: viz.class_images(NET, 0, 8, seeds), "seeds") for seeds in ([], [2**65], ["a"], [0.5])},
    **{f"deletion steps={steps}": (lambda steps=steps: scores.deletion(NET, X, HEAT, Y, steps), "steps must be") for steps in (0, -1, 2.5)},
    "deletion targets=9": (lambda: scores.deletion(NET, X, HEAT, [9, 9, 9]), "targets must be from 0 to 2"),
    "insertion targets=0.5": (lambda: scores.insertion(NET, X, HEAT, [0.5, 1, 1]), "class numbers"),
    "part_drops targets=9": (lambda: scores.part_drops(NET, X, X[:, None], 9), "targets must be from 0 to 2"),
    "grid_share n=0": (lambda: scores.grid_share(HEAT, Y, 0), "n must be"),
    "grid_share cells=9": (lambda: scores.grid_share(HEAT, torch.tensor([9, 0, 0])), "cells go from 0 to 3"),
    "grid_share cells=-1": (lambda: scores.grid_share(HEAT, torch.tensor([-1, 0, 0])), "cells go from 0 to 3"),
    "grid_share cells of two": (lambda: scores.grid_share(HEAT, torch.tensor([1, 0])), "for each of the 3 collages"),
    **{f"upsample_maps size={size!r}": (lambda size=size: viz.upsample_maps(HEAT, size), "size must be") for size in (0, -1, 2.5, (3,), "3", (0, 5), None)},
    **{f"calibration bins={bins}": (lambda bins=bins: calibration(LOGITS, LABELS, bins), "bins must be") for bins in (0, -1, 2.5)},
    **{f"{name} of {what}": (lambda count=count, case=case: count(*case), sentence) for name, count in COUNTS.items()
       for what, (case, sentence) in WRONG_ANSWERS.items() if (name, what) not in COUNTED},
    **{name: (lambda count=count: count(LOGITS, LABELS), r"need logits of shape \(6, 1\)") for name, count in COUNTS.items() if "one class" in name},
    "confident_mistakes n=-1": (lambda: confident_mistakes(LOGITS, LABELS, -1), "n must be"),
    "predictions_csv of NaN": (lambda: predictions_csv("x.csv", "123456", LOGITS * NAN, "abc"), "NaN"),
    "predictions_csv, ids missing": (lambda: predictions_csv("x.csv", "12", LOGITS, "abc"), "6 answers need as many ids, not 2"),
    "predictions_csv, one class named": (lambda: predictions_csv("x.csv", "123456", LOGITS, "a"), r"need logits of shape \(6, 1\)"),
    "explain, a network of NaN": (lambda: cv.explain(X, broken()), "answers NaN"),
    **{f"stratified_split of {what}": (lambda labels=labels: stratified_split(labels, (0.5, 0.5)), "labels must be") for what, labels in
       {"NaN": [0, 0, NAN], "fractions": torch.tensor([0.5, 1]), "a table": [[0, 1], [1, 0]]}.items()},
    "stratified_split seed=-1": (lambda: stratified_split([0, 1], (0.5, 0.5), -1), "seed must be"),
    **{f"stratified_split shares={shares}": (lambda shares=shares: stratified_split([0, 1], shares), "shares must be") for shares in ("ab", [NAN, 1], [0, 1], [2, -1])},
    "normalisation of nothing": (lambda: normalisation(DATA.subset([])), "no images"),
    **{f"find_lr steps={steps}": (lambda steps=steps: find_lr(NET, DATA, cv.TrainConfig(), steps=steps, device="cpu"), "steps") for steps in (1, 2.5, -1, NAN)},
    **{f"{name} of {what}": (lambda ask=ask, images=images: ask(images), sentence) for name, ask in TAKE_IMAGES.items()
       for what, (images, sentence) in WRONG_IMAGES.items() if what == "bytes" or name not in OF_THE_NETWORK},
    "overlay of a map that is not normalised": (lambda: cv.overlay(X, 255 * HEAT), r"heat maps .* must lie in \[0, 1\]"),
    "overlay of a small map": (lambda: cv.overlay(X, HEAT[:, :8, :8]), "upsample_maps enlarges"),
    "explain no images": (lambda: cv.explain(X[:0], NET), "no images"),
    **{f"subset {at}": (lambda at=at: DATA.subset(at), "no position") for at in ([12], [0, -13], [2**40])},
    "a view that gives one image": (lambda: predict_tta(NET, DATA, [lambda x: x[:1]], device="cpu"), "as many images"),
    "embeddings of an idle layer": (lambda: embeddings(Idle(), DATA, "idle", device="cpu"), "'idle' does not run"),
    **{f"adversary {name}={value}": (lambda name=name, value=value: adversarial_examples(NET, X, Y, **{name: value}), f"{name} must be")
       for name, value in [("eps", -1), ("eps", NAN), ("eps", INF), ("steps", 0), ("steps", -2), ("steps", 1.5)]},
    "adversary labels=9": (lambda: adversarial_examples(NET, X, torch.tensor([9, 9, 9])), "from 0 to 2"),
    "build True classes": (lambda: build_model("small_cnn", True), "whole number"),
    **{f"costs size={size!r}": (lambda size=size: count_costs(NET, size), "size must be") for size in (0, 2.5, -1)},
    "speed of no images": (lambda: images_per_second({"a": NET}, 16, batch=0), "batch must be"),
    "speed of no repeats": (lambda: images_per_second({"a": NET}, 16, repeats=0), "repeats must be"),
    **{f"patches {name}={value!r}": (lambda name=name, value=value: viz.strongest_patches(NET, X, "4", **({"channels": [0], "top": 1} | {name: value})), name)
       for name, value in [("top", 0), ("top", 1.5), ("batch_size", 0), ("channels", []), ("channels", [-1]), ("channels", [1.5])]},
    **{f"receptive_field size={size!r}": (lambda size=size: viz.receptive_field(NET, "4", size), "size must be") for size in ((0, 0), (-1, 5), (16,), 2.5)},
    "fast_copy of no images": (lambda: viz.fast_copy(NET, X[:0]), "there is none"),
    **{f"targets={targets!r}": (lambda targets=targets: viz.grad_cam(NET, X, "4", targets), "class numbers|targets?") for targets in (-1, NAN, INF, 1e30, {}, [], "a")},
    **{f"call={call!r}": (lambda call=call: viz.grad_cam(NET, X, "4", 0, call=call), "call") for call in (1.5, None, -2, 7)},
    "load_images size=0": (lambda: load_images("x.png", 0), "size must be"),
    "a name with a zero in it": (lambda: open_image("a\0b.png"), "must be the path of a file"),
    "a name of 5,000 letters": (lambda: open_image("a" * 5000 + ".png"), "too long a name"),
    "a scripted network": (lambda: viz.grad_cam(torch.jit.script(small()), X, "4"), "scripted or traced"),
    "a traced network": (lambda: viz.grad_cam(torch.jit.trace(small(), X), X, "4"), "scripted or traced"),
}


class Idle(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.idle = small(), nn.ReLU()

    def forward(self, x):
        return self.net(x)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("what", REFUSED)
def test_refused_in_a_sentence_of_ours(what):
    ask, sentence = REFUSED[what]
    with pytest.raises(ValueError, match=sentence) as found:
        ask()
    raised = found.traceback[-1].path
    assert "cnnviz_utils" in str(raised) and "\n" not in str(found.value)


def test_layers_that_are_no_layers():
    for layer in (["4"], ("4",), 4, nn.ReLU, ""):
        with pytest.raises(KeyError):
            viz.grad_cam(NET, X, layer)


def test_a_single_class_for_all_is_taken_where_one_an_image_is():
    assert torch.equal(scores.deletion(NET, X, HEAT, 1), scores.deletion(NET, X, HEAT, torch.ones(3, dtype=torch.long)))
    assert torch.equal(scores.part_drops(NET, X, X[:, None] / 2, 1), scores.part_drops(NET, X, X[:, None] / 2, [1, 1, 1]))


def test_no_images_give_no_maps():
    assert viz.grad_cam(NET, X[:0], "4").shape == (0, 8, 8)


def test_networks_without_weights():
    free = nn.Sequential(nn.AvgPool2d(2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert viz.receptive_field(free, "0", (16, 16)).size == (2, 2)
    found = count_costs(free, 16)
    assert (found.parameters, found.multiply_adds, found.activations) == (0, 0, 0)
    assert viz.grad_cam(free, X, "1", 1, relu=False).shape == (3, 8, 8)
    assert viz.class_images(free, 1, 8, [0], viz.Recipe(steps=1)).shape == (1, 3, 8, 8)


# ---------------------------------------------------------------- paths

NO_PATHS = [3, -1, True, 2.5, NAN, b"photos", object(), "a\0b", "x" * 5000, [3], {3: 4}]
TAKE_A_PATH = {
    "load_data's root": lambda path: load_data("folder", root=path),
    "load_data's root of a collection": lambda path: load_data("caltech101", root=path),
    "recognise": recognise,
    "describe": describe,
    "inspect_folder": inspect_folder,
    "checkup": checkup,
    "open_image": open_image,
    "load_images": lambda path: load_images(path, 8),
    "load_images, one of a list": lambda path: load_images([path], 8),
    "explain": lambda path: cv.explain(path, NET),
    "explain's network": lambda path: cv.explain(X, path),
    "load_model": cv.load_model,
    "save_model": lambda path: cv.save_model(build_model("small_cnn", 3, size=16), path),
    "build_model's weights": lambda path: build_model("small_cnn", 3, weights=path, size=16),
    "fit's checkpoint": lambda path: cv.fit(build_model("small_cnn", 3, size=16), DATA, DATA, cv.TrainConfig(epochs=1), "cpu", checkpoint=path),
    "predictions_csv": lambda path: predictions_csv(path, ["1"], LOGITS[:1], ["a", "b", "c"]),
    "read_sweep": read_sweep,
    "status": status,
    "verify": lambda path: verify("caltech101", path),
}


@pytest.mark.parametrize("what", TAKE_A_PATH)
def test_what_is_no_path_is_refused(what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in NO_PATHS:
        with pytest.raises(UsageError) as found:
            TAKE_A_PATH[what](path)
        assert "\n" not in str(found.value) and len(str(found.value)) < 700, path
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("written", "read"), [
    ("by -0.00 and -0.05", "by 0.00 and -0.05"), ("+0 points, −0%", "0 points, 0%"), ("-0.004", "-0.004"),
    ("1e-0 seed-0 10-0", "1e-0 seed-0 10-0"),
])
def test_a_zero_has_no_sign_in_a_sentence(written, read):
    assert say(written).data == read
    assert claim("A claim of a test", written, True).evidence == read
