"""From a photo to a picture, in Python and as a command; networks that are saved with what they need."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

import cnnviz_utils as cv
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.cli import app
from cnnviz_utils.plot import explanation as drawn

CLASSES = ("cat", "dog", "ship", "car", "tree", "frog")


@pytest.fixture(scope="module")
def model():
    model = cv.build_model("small_resnet", 6, size=48, seed=1).eval()
    model.classes = CLASSES
    return model


@pytest.fixture
def photos(tmp_path):
    """Grey, with transparency, turned by EXIF, tiny, and colourful."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (60, 90, 4), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(pixels).save(tmp_path / "rgba.png")
    Image.fromarray(pixels[..., :3]).save(tmp_path / "turned.jpg", exif=turned)
    Image.fromarray(pixels[:3, :2, :3]).save(tmp_path / "tiny.png")
    return sorted(tmp_path.glob("*.*"))


def test_what_is_shown_is_what_the_network_says(model, photos, monkeypatch):
    seen = {}

    def show(images, maps, answers, **words):
        seen.update(images=images, maps=maps, answers=answers, **words)
        return show_explanations(images, maps, answers, **words)

    show_explanations = drawn.show_explanations
    monkeypatch.setattr(drawn, "show_explanations", show)
    picture = cv.explain(photos, model, "dog", top=2)
    images, names = cv.load_images(photos, 48)
    with torch.no_grad():
        shares = model(images).softmax(1)
    for i, best in enumerate(seen["answers"]):
        order = shares[i].argsort(descending=True)[:2].tolist()
        assert [name for name, _ in best] == [CLASSES[k] for k in order]
        assert [share for _, share in best] == pytest.approx([float(shares[i, k]) for k in order])
    maps = cv.grad_cam(model, images, "stage3", 1)
    assert torch.equal(seen["maps"], cv.viz.upsample_maps(cv.viz.normalise_maps(maps), 48))
    assert seen["titles"] == names and seen["captions"] == ["for dog"] * 4
    assert "grad_cam at stage3" in picture.alt and "turned.jpg" in picture.alt
    assert picture.array.shape[1] == 9 * 144


def test_tensors_and_networks_without_names(photos):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    picture = cv.explain(torch.rand(1, 3, 32, 32), net, 2, "layer_cam")
    assert "class 2" in picture.alt and "layer_cam at 1" in picture.alt


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
@pytest.mark.parametrize(("name", "options"), [("small_resnet", {"stem": "3x3"}), ("small_cnn2", {}), ("resnet18", {})])
def test_a_saved_network_comes_back_whole(tmp_path, name, options, ending):
    model = cv.build_model(name, 6, size=48, mean=(0.1, 0.2, 0.3), std=(1, 2, 3), **options).eval()
    model.classes = CLASSES
    back = cv.load_model(cv.save_model(model, tmp_path / f"net.{ending}"))
    images = torch.rand(2, 3, 48, 48)
    assert torch.equal(back(images), model(images))
    assert back.classes == CLASSES and back.built == model.built and not back.training


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_one_flipped_bit_of_a_saved_network_is_found(tmp_path, model, ending):
    file = cv.save_model(model, tmp_path / f"net.{ending}")
    content = file.read_bytes()
    number = model.state_dict()["head.weight"].numpy().tobytes()  # the bit lies among these numbers, all of which could be right
    at = content.index(number) + len(number) // 2
    file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(UsageError, match="damaged"):
        cv.load_model(file)


def test_files_that_are_no_network_get_a_sentence(tmp_path, model):
    bare = tmp_path / "bare.safetensors"
    save_file({"w": torch.zeros(2)}, bare)
    good = cv.save_model(model, tmp_path / "good.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(good.read_bytes()[:-100])
    pickled = tmp_path / "code.pt"
    torch.save(nn.Linear(1, 1), pickled)
    other = tmp_path / "other.safetensors"
    about = {"network": "small_resnet", "num_classes": 3, "size": 48, "options": {}, "classes": []}
    save_file({"w": torch.zeros(2)}, other, {"cnnviz": json.dumps(about)})
    for path, sentence in [(bare, "not of which network"), (cut, "damaged"), (pickled, "can run code"), (other, "damaged")]:
        with pytest.raises(UsageError, match=sentence):
            cv.load_model(path)
    with pytest.raises(FileNotFoundError, match="no network at"):
        cv.load_model(tmp_path / "none.pt")
    with pytest.raises(UsageError, match="not made by build_model"):
        cv.save_model(nn.Linear(1, 1), tmp_path / "x.pt")
    with pytest.raises(UsageError, match="ends in"):
        cv.save_model(model, tmp_path / "x.bin")


def test_the_command(tmp_path, model, photos):
    saved, out = cv.save_model(model, tmp_path / "saved.safetensors"), tmp_path / "new" / "picture.png"
    run = lambda *words: CliRunner().invoke(app, ["explain", *map(str, words)])
    done = run(*photos, "--model", saved, "--class", "dog", "--out", out)
    assert done.exit_code == 0, done.output
    assert "turned.jpg: " in done.output
    with Image.open(out) as picture:
        assert picture.width == 9 * 144  # as wide as a page's column
    assert run(photos[0], "--model", saved, "--class", 1, "--out", out).exit_code == 0
    text = tmp_path / "text.png"
    text.write_text("no image")
    for words, sentence in [
        ((text, "--model", saved), "cannot be read as an image"),
        ((tmp_path / "none.png", "--model", saved), "none.png"),
        ((photos[0], "--model", saved, "--class", "dgo"), "did you mean 'dog'"),
        ((photos[0], "--model", saved, "--method", "gradcam"), "did you mean 'grad_cam'"),
        ((photos[0], "--model", saved, "--layer", "stage4"), "no layer 'stage4'"),
        ((photos[0], "--model", "resnt18"), "did you mean 'resnet18'"),
        ((photos[0], "--model", tmp_path / "none.pt"), "no network at"),
        ((photos[0], "--out", "picture.jpg"), "must end in .png"),
    ]:
        failed = run(*words)
        assert failed.exit_code == 2 and sentence in failed.output and "Traceback" not in failed.output, words


def test_no_word_lies_on_a_bar_or_is_cut_off(monkeypatch):
    kept = []
    monkeypatch.setattr(drawn, "finish", lambda figure, alt: kept.append(figure))
    image, long = torch.rand(1, 3, 32, 32), "a name of a class that nobody would write out in full"
    answers = [(long, 0.6), ("cat", 0.3), ("dog", 0.004), ("ox", 0.0), ("ape", 1.0)]
    drawn.show_answers(image, answers, "cat: 40%, now 16%")
    drawn.show_explanations(image, image[:, 0], [answers], titles=[long], captions=[long], heading="one")
    drawn.show_explanations(image.repeat(2, 1, 1, 1), image[:, 0].repeat(2, 1, 1), [answers[:3]] * 2, titles=["a"] * 2,
                            captions=["b"] * 2, heading="two")
    for figure in kept:
        figure.draw_without_rendering()
        for axis in figure.axes:
            words = [t.get_window_extent() for t in axis.texts]
            bars = [p.get_window_extent() for p in axis.patches]
            others = [(a, b) for i, a in enumerate(words) for b in words[:i] + bars]
            assert not any(a.overlaps(b) and a.width and b.width for a, b in others)
            for title in (axis.title, *axis.texts):
                box = title.get_window_extent()
                assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 + 1, title.get_text()
