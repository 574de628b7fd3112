"""Diagrams against facts: their numbers are torch's, their shapes the module's, grey is what does not learn."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnnviz_utils as cv
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.course.outputs import output_html
from cnnviz_utils.course.repair import Output
from cnnviz_utils.course.sanitise import drawing
from cnnviz_utils.models.architectures import Inception, SeparableBlock
from cnnviz_utils.models.efficientnet import InvertedResidual
from cnnviz_utils.models.networks import ResidualBlock
from cnnviz_utils.plot.diagrams.canvas import COLOURS, SMALLEST, Sheet

GREY, BLUE = COLOURS["grey"][0], COLOURS["light blue"][0]
IMAGE = torch.tensor([[1, 2, 0, 1, 3], [0, 1, 2, 1, 0], [2, 0, 1, 3, 1], [1, 1, 0, 2, 2], [0, 3, 1, 0, 1]])
KERNEL = torch.tensor([[1, 0, -1], [2, 0, -2], [1, 0, -1]])


def numbers(diagram):
    """The words of a diagram that are numbers, in order."""
    words = [word.replace("−", "-") for word in diagram.words]
    return [float(word) for word in words if re.fullmatch(r"-?[\d.]+", word)]


def fills(diagram):
    """How often each colour fills something in the drawing."""
    found = re.findall(r"fill: (#[0-9a-f]{6})", diagram.svg.partition("</style>")[2])
    return {colour: found.count(colour) for colour in set(found)}


def every_diagram():
    net = cv.build_model("small_resnet", 5)
    alex = cv.build_model("small_alexnet", 5)
    return {
        "convolution": cv.plot.draw_convolution(IMAGE, KERNEL, 2, 1, (1, 0)),
        "pooling": cv.plot.draw_pooling(IMAGE[:4, :4]),
        "residual": cv.plot.draw_block(ResidualBlock(8, 16, 2), (8, 8, 8)),
        "inception": cv.plot.draw_block(Inception(16, (8, 8, 4, 4), (4, 2)), (16, 8, 8)),
        "separable": cv.plot.draw_block(SeparableBlock(8, 16, 1), (8, 8, 8)),
        "inverted": cv.plot.draw_block(InvertedResidual(8, 8, 3, 1, 6), (8, 8, 8)),
        "network": cv.plot.draw_network(net, 64),
        "Grad-CAM": cv.plot.draw_grad_cam(net, "stage3", 64),
        "deconvnet": cv.plot.draw_deconvnet(alex, [f"features.{i}" for i in range(3)], 64),
        "splits": cv.plot.draw_splits(60, 20, 20),
    }


@pytest.fixture(scope="module")
def diagrams():
    return every_diagram()


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 1), (2, 1), (2, 0)])
def test_the_numbers_of_a_convolution_are_a_sum_over_each_window(stride, padding):
    diagram = cv.plot.draw_convolution(IMAGE, KERNEL, stride, padding)
    padded = np.pad(IMAGE.numpy(), padding)
    steps = range(0, len(padded) - 2, stride)
    by_hand = [float((padded[r:r + 3, c:c + 3] * KERNEL.numpy()).sum()) for r in steps for c in steps]
    theirs = F.conv2d(IMAGE[None, None].float(), KERNEL[None, None].float(), stride=stride, padding=padding)
    shown = sorted(numbers(diagram))
    assert shown == sorted([*padded.flatten().tolist(), *KERNEL.flatten().tolist(), *by_hand])
    assert by_hand == theirs.flatten().tolist()


def test_the_sum_that_is_written_out_is_the_number_that_is_marked():
    diagram = cv.plot.draw_convolution(IMAGE, KERNEL, 2, 1, at=(1, 2))
    [line] = [word for word in diagram.words if "·" in word and "padding" not in word]
    left, right = line.replace("−", "-").replace("·", "*").split(" = ")
    expected = F.conv2d(IMAGE[None, None], KERNEL[None, None], stride=2, padding=1)[0, 0, 1, 2]
    assert eval(left) == float(right) == expected


def test_pooling_shows_torchs_maxima_and_puts_them_back_in_their_places():
    maps = torch.tensor([[1, 3, 2, 0], [4, 2, 1, 5], [0, 1, 7, 2], [6, 2, 3, 1]])
    pooled, places = F.max_pool2d(maps[None, None].float(), 2, return_indices=True)
    back = torch.zeros(16).scatter(0, places.flatten(), pooled.flatten())
    shown = numbers(cv.plot.draw_pooling(maps))
    assert sorted(shown) == sorted([*maps.flatten().tolist(), *pooled.flatten().tolist(), *back.tolist()])


@pytest.mark.parametrize("name", ["small_cnn", "small_alexnet", "small_resnet", "small_googlenet", "small_mobilenet", "resnet18"])
def test_the_shapes_of_a_network_are_those_of_its_stages(name):
    net = cv.build_model(name, 7, size=64).eval()
    diagram = cv.plot.draw_network(net, 64)
    x, shown = torch.zeros(1, 3, 64, 64), set(diagram.words)
    for stage in getattr(net, "stages", [child for child, _ in net.named_children()]):
        if stage == "flatten" or (stage in ("fc", "head") and x.ndim == 4):
            x = x.flatten(1)
        if stage == "flatten" or getattr(net, stage) is None or stage.startswith("aux"):
            continue
        with torch.no_grad():
            x = getattr(net, stage)(x)
        if stage not in ("normalise", "bn1", "relu", "avgpool"):
            assert stage in shown
            assert " × ".join(map(str, x.shape[1:])) in shown
    assert str(x.shape[1]) == "7"


def test_grey_is_what_is_frozen():
    net = cv.build_model("small_resnet", 5)
    assert GREY not in fills(cv.plot.draw_network(net))
    cv.models.freeze(net, ["stem", "stage1"])
    half = cv.plot.draw_network(net)
    assert "stage1 (frozen)" in half.alt and "stage2 (learns)" in half.alt
    # a box each, and one in the legend
    assert fills(half)[GREY] == 3 and fills(half)[BLUE] == 4
    net.requires_grad_(False)
    frozen = fills(cv.plot.draw_network(net))
    assert BLUE not in frozen and frozen[GREY] == 6
    next(net.stage2.parameters()).requires_grad_(True)
    assert "stage2 (learns in part)" in cv.plot.draw_network(net).alt


def test_a_frozen_block_is_grey():
    block = ResidualBlock(8, 16, 2)
    assert fills(cv.plot.draw_block(block, (8, 8, 8)))[BLUE] == 3
    block.requires_grad_(False)
    assert fills(cv.plot.draw_block(block, (8, 8, 8)))[GREY] == 3


def test_a_diagram_leaves_the_network_as_it_was():
    net = cv.build_model("small_resnet", 5).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    cv.plot.draw_network(net)
    cv.plot.draw_grad_cam(net, "stage3")
    assert net.training and all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(("block", "shape"), [
    (ResidualBlock(8, 8), (8, 6, 6)),
    (ResidualBlock(8, 16, 2), (8, 6, 6)),
    (ResidualBlock(8, 16, 2, shortcut=False), (8, 6, 6)),
    (Inception(16, (8, 6, 4, 2), (4, 2)), (16, 8, 8)),
    (Inception(16, (8, 6, 4, 2), None), (16, 8, 8)),
    (SeparableBlock(8, 16, 2), (8, 8, 8)),
    (InvertedResidual(8, 8, 3, 1, 6), (8, 8, 8)),
    (InvertedResidual(8, 12, 5, 2, 6), (8, 8, 8)),
    (InvertedResidual(8, 12, 3, 1, 1), (8, 8, 8)),
])
def test_what_a_block_gives_stands_at_its_last_arrow(block, shape):
    with torch.no_grad():
        out = block.eval()(torch.zeros(1, *shape)).shape[1:]
    diagram = cv.plot.draw_block(block, shape)
    assert " × ".join(map(str, shape)) in diagram.words
    assert " × ".join(map(str, out)) in diagram.words


def test_a_shortcut_is_drawn_where_there_is_one():
    said = lambda *options, **more: cv.plot.draw_block(ResidualBlock(*options, **more), (8, 6, 6))
    assert "the shortcut: x as it is" in said(8, 8).words
    assert {"the shortcut", "conv 1×1 /2"} <= set(said(8, 16, 2).words)
    assert "+" not in said(8, 8, shortcut=False).words


def test_separable_weights_are_counted():
    block = SeparableBlock(32, 64, 2)
    counts = [sum(m.weight.numel() for m in part.modules() if isinstance(m, nn.Conv2d))
              for part in (block.depthwise, block.pointwise)]
    full = nn.Conv2d(32, 64, 3, bias=False).weight.numel()
    [line] = [w for w in cv.plot.draw_block(block, (32, 8, 8)).words if "full" in w]
    assert [int(n.replace(",", "")) for n in re.findall(r"[\d,]*\d", line)] == [*counts, sum(counts), full]


def test_grad_cams_path_has_the_shapes_of_the_layer():
    net = cv.build_model("small_resnet", 5)
    maps = cv.feature_maps(net, torch.rand(1, 3, 48, 48), "stage2")
    words = cv.plot.draw_grad_cam(net, "stage2", 48).words
    shape = " × ".join(map(str, maps.shape[1:]))
    assert words.count(shape) == 2 and f"{maps.shape[1]} weights w" in words and "5 logits" in words


def test_the_way_down_mirrors_the_way_up():
    alex = cv.build_model("small_alexnet", 5)
    layers = [f"features.{i}" for i in range(6)]
    words = cv.plot.draw_deconvnet(alex, layers).words
    x = torch.zeros(1, 3, 64, 64)
    for layer in layers:
        with torch.no_grad():
            x = alex.get_submodule(layer)(x)
        assert words.count(" × ".join(map(str, x.shape[1:]))) >= 2
    assert words.count("unpool") == words.count("switches") == 2 and words.count("transposed") == 2


def test_the_sets_are_counted():
    words = cv.plot.draw_splits(1620, 540, 540).words
    assert {"1,620 (60%)", "540 (20%)", "2,700 images"} <= set(words)


def test_every_diagram_is_a_drawing_that_pages_let_through(diagrams):
    for name, diagram in diagrams.items():
        assert drawing(diagram.svg), name
        root = ET.fromstring(diagram.svg)
        assert root.get("width") == "830", name
        assert not [e for e in root.iter() if e.tag.endswith(("script", "image", "foreignObject"))]
        assert not re.search(r"url\((?!#)|href=\"(?!#)", diagram.svg), "something from elsewhere"
        data, facts = diagram._repr_mimebundle_()
        assert {"image/png", "image/svg+xml", "text/plain"} == set(data)
        assert all(len(facts[kind]["alt"]) > 30 for kind in ("image/png", "image/svg+xml"))


def test_on_a_page_a_diagram_is_as_wide_as_the_column_on_its_own_ground(diagrams):
    data, facts = diagrams["splits"]._repr_mimebundle_()
    shown = str(output_html(Output("data", data=data, facts=facts)))
    assert 'src="data:image/svg+xml;base64,' in shown and 'width="830"' in shown and 'class="own-ground"' in shown
    strange = str(output_html(Output("data", data=data, facts={"image/svg+xml": {"ground": "<b>"}})))
    assert "class" not in strange


def test_every_colour_of_a_drawing_has_a_dark_counterpart(diagrams):
    light = {a for a, _ in COLOURS.values()}
    for name, diagram in diagrams.items():
        used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", re.sub(r"<style>.*?</style>", "", diagram.svg)))
        assert used <= light, name
        rules = re.search(r"<style>(.*?)</style>", diagram.svg)[1]
        assert all(f"fill: {colour}" in rules and f"stroke: {colour}" in rules for colour in used)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("back", ["paper", "grey", "light blue", "light orange", "light green", "light yellow"])
def test_words_can_be_read_on_every_colour_in_light_and_dark(back, side):
    """The contrast of WCAG: 4.5 to 1."""
    def light(colour):
        parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    inks = ("ink", "soft", "orange", "blue") if back == "paper" else ("ink",)
    for ink in inks:
        a, b = sorted((light(COLOURS[back][side]), light(COLOURS[ink][side])))
        assert (b + 0.05) / (a + 0.05) > 4.5, (ink, back)


def test_small_words_are_refused():
    with pytest.raises(ValueError, match="too small"):
        Sheet(100).text(0, 0, "fine print", SMALLEST - 1)


def test_words_stay_on_the_sheet(diagrams, monkeypatch):
    """Drawn in the widest of the usual fonts, no word is cut off at the edge."""
    cut = []
    finished = Sheet.done

    def measured(sheet, alt):
        sheet.figure.draw_without_rendering()
        for text in sheet.axis.texts:
            box = text.get_window_extent()
            inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= sheet.figure.bbox.x1 and box.y1 <= sheet.figure.bbox.y1
            cut.extend([] if inside else [(alt[:40], text.get_text())])
        return finished(sheet, alt)

    monkeypatch.setattr(Sheet, "done", measured)
    every_diagram()
    assert not cut


def test_the_same_diagram_has_the_same_bytes(diagrams):
    again = every_diagram()
    assert all(again[name].svg == diagrams[name].svg and again[name].png == diagrams[name].png for name in diagrams)


@pytest.mark.parametrize(("wrong", "says"), [
    (lambda: cv.plot.draw_convolution(torch.zeros(1, 3, 4, 4), KERNEL), "one image"),
    (lambda: cv.plot.draw_convolution(IMAGE, KERNEL, at=(9, 0)), "not in the result"),
    (lambda: cv.plot.draw_convolution(IMAGE[:2, :2], KERNEL), "larger"),
    (lambda: cv.plot.draw_pooling(IMAGE), "multiples of 2"),
    (lambda: cv.plot.draw_block(nn.Linear(2, 2), (2,)), "knows no Linear"),
    (lambda: cv.plot.draw_block(ResidualBlock(8, 8), (3, 6, 6)), "cannot take a shape of 3 × 6 × 6"),
    (lambda: cv.plot.draw_grad_cam(cv.build_model("small_resnet", 5), "head"), "before the average"),
    (lambda: cv.plot.draw_deconvnet(cv.build_model("small_alexnet", 5), ["features.0", "classifier.1"]), "Linear"),
    (lambda: cv.plot.draw_splits(10, 0, 5), "needs an image"),
])
def test_what_cannot_be_drawn_is_said(wrong, says):
    with pytest.raises(UsageError, match=says):
        wrong()
