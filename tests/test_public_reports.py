"""Bugs that users of other packages reported in public, tried again here. docs/faults.md has a row for each; the names
of the tests below are its last column. What the peers did is as their users reported it."""

import gc
import json
import weakref
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from bs4 import BeautifulSoup
from odd_files import draw, draw_all, picture
from PIL import Image
from torch import nn
from torch.nn import functional as F

from cnnviz_utils import viz
from cnnviz_utils.base.hooks import get_layer
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.course.repair import read_notebook
from cnnviz_utils.course.report import render
from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.data.photos.reading import open_image

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def small(inplace=False, classes=4):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(inplace),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes),
        ).eval()


class Answering(nn.Module):
    def __init__(self, net, how):
        super().__init__()
        self.net, self.how = net, how

    def forward(self, x):
        return self.how(self.net(x))


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval()


def by_autograd(model, layer, target, images=IMAGES):
    """Grad-CAM without its ReLU, by the whole graph; a copy goes on, since what follows may work in place."""
    kept = []
    handle = get_layer(model, layer).register_forward_hook(lambda m, i, output: kept.append(output.clone()) or kept[-1].clone())
    score = model(images)[:, target].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[-1])
    return (gradient.mean((2, 3), keepdim=True) * kept[-1].detach()).sum(1)


def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


# --------------------------------------------------------- maps: pytorch-grad-cam, torch-cam, Captum


@pytest.mark.parametrize("how", [lambda y: (y, y[:, :, None]), lambda y: [y], lambda y: {"out": y}, lambda y: {"logits": y, "loss": y.sum()}])
def test_outputs_that_are_tuples_lists_or_dicts(how):
    for method in (viz.grad_cam, viz.grad_cam_plus_plus, viz.layer_cam):
        assert torch.equal(method(Answering(small(), how), IMAGES, "net.4", 1), method(small(), IMAGES, "4", 1))


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_no_gradients_around_and_frozen_weights(around):
    expected, model = by_autograd(small(), "4", 1), small().requires_grad_(False)
    with around():
        same(viz.grad_cam(model, IMAGES, "4", 1, relu=False), expected)


def test_weights_that_were_made_in_inference_mode_are_a_sentence():
    with torch.inference_mode():
        model = small()
    for method in (viz.grad_cam, viz.layer_cam, viz.input_gradient):
        with pytest.raises(ValueError, match="made inside torch.inference_mode"):
            method(model, IMAGES)


def test_what_autograd_itself_cannot_do_is_a_sentence():
    class Twice(ViewInPlace):
        def forward(self, x):
            maps = self.body(x).sigmoid()
            kept = maps * 1
            kept.sigmoid_().sigmoid_().mul_(2)
            return self.head(kept.mean((2, 3)))

    with pytest.raises(ValueError, match="changes in place what its own gradient needs"):
        viz.grad_cam(seeded(Twice), IMAGES, "body", 1)


@pytest.mark.parametrize(("name", "layer"), [("mnasnet0_5", "layers.14"), ("shufflenet_v2_x0_5", "conv5.0"), ("densenet121", "features.norm5")])
def test_what_works_in_place_behind_the_layer(name, layer):
    model = seeded(lambda: getattr(torchvision.models, name)(weights=None, num_classes=4))
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    same(viz.grad_cam(model, images, layer, 1, relu=False), by_autograd(model, layer, 1, images))


class ViewInPlace(nn.Module):
    """Xception's and a detector's way: the layer's output is a view that is changed afterwards."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)

    def forward(self, x):
        maps = self.body(x)
        half = maps[:, :4]
        half.mul_(-2)
        maps.add_(maps.detach().abs())
        return self.head(maps.mean((2, 3)))


def test_a_view_that_is_changed_in_place():
    model = seeded(ViewInPlace)
    same(viz.grad_cam(model, IMAGES, "body", 1, relu=False), by_autograd(model, "body", 1))


def test_maps_of_a_batch_are_those_of_each_image():
    maps = viz.grad_cam(small(), IMAGES, "4", [0, 1, 2])
    assert maps.shape == (3, 16, 16)
    for i in range(3):
        same(maps[i:i + 1], viz.grad_cam(small(), IMAGES[i:i + 1], "4", i))


def test_a_map_that_is_zero_or_constant_is_no_nan():
    model = small()
    with torch.no_grad():
        model[7].weight[2] = -1  # every positive activation speaks against class 2
    maps = viz.grad_cam(model, IMAGES, "4", 2)
    assert not maps.any() and not viz.normalise_maps(maps).any()
    assert (viz.grad_cam(model, IMAGES, "4", 2, relu=False) <= 0).all()
    assert viz.grad_cam_plus_plus(model, IMAGES, "4", 2).isfinite().all()


def test_a_hundred_calls_leave_no_hook_and_no_memory():
    model = small()
    graphs = lambda: sum(type(o) is torch.Tensor and o.grad_fn is not None for o in gc.get_objects())
    gc.collect()
    before = graphs()
    for _ in range(100):
        viz.grad_cam(model, IMAGES, "4")
    kept = weakref.ref(viz.grad_cam(model, IMAGES, "4"))
    viz.grad_cam(model, IMAGES, "4")
    gc.collect()
    assert kept() is None
    for module in model.modules():
        assert not any(getattr(module, name) for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks"))
    assert all(p.grad is None for p in model.parameters()) and graphs() <= before


def test_several_methods_on_one_network_one_after_another():
    model, fresh = small(), small()
    methods = [viz.guided_grad_cam, viz.grad_cam, viz.layer_cam, viz.cam, viz.grad_cam_plus_plus, viz.deconvnet]
    for method in [*methods, *reversed(methods)]:
        assert torch.equal(method(model, IMAGES, "4", 1), method(fresh, IMAGES, "4", 1))


def test_two_at_a_time_without_a_layer():
    model, other = small(), small(classes=5)

    class Watching(nn.Module):
        def forward(self, x):
            self.seen = viz.grad_cam(other, IMAGES)
            return x

    both = nn.Sequential(*model[:5], Watching(), *model[5:])
    assert torch.equal(viz.grad_cam(both, IMAGES, "4", 1), viz.grad_cam(small(), IMAGES, "4", 1))
    assert torch.equal(both[5].seen, viz.grad_cam(small(classes=5), IMAGES))


def vit():
    return seeded(lambda: timm.create_model("vit_tiny_patch16_224", num_classes=4, img_size=64, depth=2))


def test_transformers_by_layout():
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="say layout='tokens'"):
        viz.grad_cam(vit(), images, "blocks.1.norm1")
    assert viz.grad_cam(vit(), images, "blocks.1.norm1", layout="tokens").shape == (1, 4, 4)
    swin = seeded(lambda: torchvision.models.swin_v2_t(weights=None, num_classes=4))
    assert viz.grad_cam(swin, images, "norm", layout="channels_last").shape == (1, 2, 2)
    with pytest.raises(ValueError, match="say layout='channels_last'"):
        viz.grad_cam(swin, images, "norm")


def test_a_grid_that_does_not_fit_is_refused_with_the_numbers():
    images = torch.rand(1, 3, 64, 64)
    with pytest.raises(ValueError, match=r"17 tokens are not \(16, 16\); give grid"):
        viz.grad_cam(vit(), images, "blocks.1.norm1", layout="tokens", grid=(16, 16))


def test_a_layer_behind_which_only_the_class_token_counts():
    """The peer's map is zero at `blocks[-1].norm2`, without a word why: only the class token is read afterwards."""
    model, images = vit(), torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert viz.last_spatial_layer(model, images, layout="tokens") == "blocks.1.norm1"
    assert viz.grad_cam(model, images, layout="tokens", relu=False).any()


class Reusing(nn.Module):
    """One ReLU and one pooling layer, used twice."""

    def __init__(self, net, again):
        super().__init__()
        self.net, self.again = net, again

    def forward(self, x):
        net, relu, pool = self.net, self.net[1], self.net[2]
        if not self.again:
            return net[7](net[6](net[5](nn.functional.max_pool2d(net[4](net[3](pool(relu(net[0](x))))), 2))))
        return net[7](net[6](net[5](pool(relu(net[3](pool(relu(net[0](x)))))))))


@pytest.mark.parametrize("rule", ["guided", "deconvnet", "saliency"])
@pytest.mark.parametrize("inplace", [False, True])
def test_layers_that_are_used_twice_and_in_place(rule, inplace):
    expected = viz.input_gradient(Reusing(small(), False), IMAGES, 1, rule)
    same(viz.input_gradient(Reusing(small(inplace), True), IMAGES, 1, rule), expected)
    same(viz.deconvnet(Reusing(small(inplace), True), IMAGES, "net.3", 1), viz.deconvnet(Reusing(small(), False), IMAGES, "net.3", 1))


def test_relus_written_anew_in_forward():
    class Fresh(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            x = nn.ReLU()(self.net[0](x))
            x = F.relu(self.net[3](self.net[2](x)), inplace=True)
            return self.net[7](self.net[6](self.net[5](x)))

    same(viz.input_gradient(Fresh(small()), IMAGES, 1, "guided"), viz.input_gradient(small(), IMAGES, 1, "guided"))


def test_negative_evidence_is_kept_where_it_is_asked_for():
    signed = viz.grad_cam(small(), IMAGES, "4", 1, relu=False)
    assert torch.equal(viz.grad_cam(small(), IMAGES, "4", 1), signed.clamp(min=0))
    same(signed, by_autograd(small(), "4", 1))


def test_a_layer_that_gives_more_than_a_tensor_is_named():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x * 2

    class Nothing(nn.Module):
        def forward(self, x):
            return None

    class Net(nn.Module):
        def __init__(self, odd):
            super().__init__()
            self.net, self.odd = small(), odd

        def forward(self, x):
            self.odd(x)
            return self.net(x)

    for odd, what in ((Pair(), "a tuple of 2 tensors"), (Nothing(), "a NoneType of no tensor")):
        with pytest.raises(ValueError, match=f"layer 'odd' gives {what}"):
            viz.grad_cam(Net(odd), IMAGES, "odd")


def test_grey_images():
    model = seeded(lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)))
    grey = IMAGES[:, :1]
    same(viz.grad_cam(model, grey, "1", 1, relu=False), by_autograd(model, "1", 1, grey))
    assert viz.input_gradient(model, grey, 1, "guided").shape == grey.shape
    with pytest.raises(ValueError, match=r"\(N, channels, H, W\)"):
        viz.grad_cam(model, grey[:, 0], "1", 1)


def test_segmentation_says_what_to_do():
    model = Answering(small(), lambda y: {"out": y[:, :, None, None].expand(-1, -1, 8, 8)})
    with pytest.raises(ValueError, match="the mean over the places that are asked about"):
        viz.grad_cam(model, IMAGES, "net.4")


# ----------------------------------------------------------------------- pages: nbconvert

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><style>rect{fill:red}</style><rect width="9" height="9" style="stroke:blue"/></svg>'


def shown(cell, **more):
    return BeautifulSoup(render({"cells": [cell], **more}), "html.parser").main


def output(data, **more):
    return {"cell_type": "code", "source": "1", "outputs": [{"output_type": "display_data", "data": data, **more}]}


@pytest.mark.parametrize("widgets", [{"application/vnd.jupyter.widget-state+json": {"a1": {}}}, {}, None, {"state": 3}])
def test_colabs_widgets_without_a_state(widgets):
    view = output({"application/vnd.jupyter.widget-view+json": {"model_id": "a1"}, "text/plain": "Box()"})
    main = shown(view, metadata={"widgets": widgets})
    assert "sliders or other controls" in main.get_text()


def test_drawings_keep_their_shapes_and_styles():
    img = shown(output({"image/svg+xml": SVG})).img
    inside = __import__("base64").b64decode(img["src"].partition(",")[2]).decode()
    assert "<rect" in inside and "red" in inside and "blue" in inside
    listed = shown(output({"image/svg+xml": SVG.splitlines(keepends=True)})).img
    assert listed["src"] == img["src"]


@pytest.mark.parametrize("text", ["![x](attachment:a%20b.png)", '<img src="attachment:a b.png">'])
def test_attachments(text):
    main = shown({"cell_type": "markdown", "source": text, "attachments": {"a b.png": {"image/png": PIXEL}}})
    assert main.img["src"] == f"data:image/png;base64,{PIXEL}"


def test_fields_that_are_missing_or_of_another_type():
    for more in ({}, {"metadata": None}, {"metadata": []}, {"metadata": {"image/png": []}}):
        assert shown(output({"image/png": PIXEL}, **more)).img
    for metadata in ({}, None, [], "x"):
        assert "one" in shown({"cell_type": "markdown", "source": "one"}, metadata=metadata).get_text()
    assert "one" in BeautifulSoup(render({"cells": [{"cell_type": "code", "source": "one"}]}), "html.parser").main.get_text()


def test_what_is_no_notebook_is_one_sentence(tmp_path):
    for name, text in {"empty": "", "cut": '{"cells": [{"cell_type": "co', "other": json.dumps({"a": 1})}.items():
        (tmp_path / f"{name}.ipynb").write_text(text)
        with pytest.raises(UsageError, match=f"{name}.ipynb is not a notebook") as found:
            read_notebook(tmp_path / f"{name}.ipynb")
        assert "\n" not in str(found.value)


# -------------------------------------------------------------------------- photos: torchvision


def test_hidden_files_and_folders_are_no_classes(tmp_path):
    draw_all(tmp_path, "ant/{1..6}.png bee/{7..12}.png .ipynb_checkpoints/{1..3}.png ant/.ipynb_checkpoints/1-checkpoint.png __MACOSX/ant/1.png")
    for junk in (".DS_Store", "ant/.DS_Store", "Thumbs.db", "ant/._1.png"):
        (tmp_path / junk).write_bytes(b"\0\0\0\1Bud1")
    sets = load_data("folder", root=tmp_path, size=16)
    assert sets.classes == ("ant", "bee") and sum(len(s) for s in (sets.train, sets.valid, sets.test)) == 12


def test_a_broken_photo_is_named_or_left_out(tmp_path):
    draw_all(tmp_path, "ant/{1..6}.jpg bee/{7..12}.jpg")
    cut = (tmp_path / "ant" / "3.jpg").read_bytes()[:300]
    (tmp_path / "ant" / "3.jpg").write_bytes(cut)
    with pytest.raises(ValueError, match=r"ant/3\.jpg"):
        load_data("folder", root=tmp_path, size=16)
    with pytest.warns(UserWarning, match=r"ant/3\.jpg"):
        sets = load_data("folder", root=tmp_path, size=16, broken="skip")
    assert sum(len(s) for s in (sets.train, sets.valid, sets.test)) == 11


def test_empty_folders_are_no_classes_and_shift_none(tmp_path):
    draw_all(tmp_path, "train/ant/{1..4}.png train/cow/{5..8}.png valid/ant/{9..10}.png valid/cow/{11..12}.png test/cow/{13..14}.png test/ant/{15..16}.png")
    for empty in ("train/bee", "valid/bee", "test/aardvark"):
        (tmp_path / empty).mkdir(parents=True)
    sets = load_data("folder", root=tmp_path, size=16)
    assert sets.classes == ("ant", "cow")
    for part in (sets.train, sets.valid, sets.test):
        assert [Path(p).parent.name for p in part.paths] == [sets.classes[i] for i in part.labels.tolist()]


def test_a_class_that_only_one_list_has_shifts_no_labels(tmp_path):
    """A validation folder without one of the classes: labels go by name, not by position in each folder."""
    draw_all(tmp_path, "train/ant/{1..4}.png train/bee/{5..8}.png train/cow/{9..12}.png valid/ant/{13..14}.png valid/cow/{15..16}.png "
             "test/ant/{17..18}.png test/bee/{19..20}.png test/cow/{21..22}.png")
    (tmp_path / "valid" / "bee").mkdir()
    try:
        sets = load_data("folder", root=tmp_path, size=16)
    except ValueError as error:
        assert "bee" in str(error)
        return
    assert set(sets.valid.labels.tolist()) == {0, 2}


def test_photos_without_class_folders_are_refused_with_what_was_seen(tmp_path):
    draw_all(tmp_path, "{1..5}.png")
    with pytest.raises(UsageError, match="Seen: 5 photos directly in it"):
        load_data("folder", root=tmp_path, size=16)
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="holds no photos. Seen: nothing"):
        load_data("folder", root=tmp_path / "none", size=16)


@pytest.mark.parametrize("ending", ["JPEG", "JPG", "Jpg", "PNG", "TIFF", "WEBP"])
def test_endings_in_capitals(tmp_path, ending):
    draw_all(tmp_path, f"ant/{{1..4}}.{ending} bee/{{5..8}}.{ending}")
    assert len(load_data("folder", root=tmp_path, size=16).classes) == 2


def test_damaged_exif_is_no_damaged_photo(tmp_path, recwarn):
    draw(tmp_path / "a.jpg", seed=1)
    plain = (tmp_path / "a.jpg").read_bytes()
    for name, exif in {"cut": b"Exif\0\0II*\0\x08\0\0\0\x10\0\x12\x01", "wild": b"Exif\0\0MM\0*\xff\xff\xff\xff\0\0\0\0", "empty": b"Exif\0\0"}.items():
        (tmp_path / f"{name}.jpg").write_bytes(plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:])
        assert np.array_equal(np.asarray(open_image(tmp_path / f"{name}.jpg")), np.asarray(open_image(tmp_path / "a.jpg")))
    assert not recwarn.list


@pytest.mark.parametrize("orientation", [0, 9, 255, 6])
def test_an_orientation_that_there_is_not_turns_nothing(tmp_path, orientation):
    image = Image.fromarray(picture(3))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    assert open_image(tmp_path / "a.png").size == (image.size[::-1] if orientation == 6 else image.size)


def test_sixteen_bit_greys_are_scaled_not_cut(tmp_path):
    Image.fromarray(np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)).save(tmp_path / "a.png")
    found = np.asarray(open_image(tmp_path / "a.png"))[..., 0]
    assert found.min() == 0 and found.max() == 255 and len(np.unique(found)) > 200
