"""A checkup of somebody's own photos, and where the index says what it found."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from cnnviz_utils import checkup as module
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.checkup import checkup, interval, judged, read
from cnnviz_utils.cli import app
from cnnviz_utils.cli.photos import forget_photos, look_at_photos
from cnnviz_utils.course.index import write_index
from cnnviz_utils.data.photos.inspection import inspect_folder


def photo(path, seed, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 90, (6, 6, 3), np.uint8)
    coarse[..., colour] += 150
    Image.fromarray(coarse).resize((72, 72), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def shelf(tmp_path):
    """Red & green photos, six each; one broken, one copied, one with another's colour."""
    folder = tmp_path / "<mine>"
    for i in range(6):
        photo(folder / "red" / f"{i}.png", i, 0)
        photo(folder / "green" / f"{i}.png", 10 + i, 1)
    (folder / "red" / "broken.jpg").write_text("no picture")
    shutil.copy(folder / "red" / "0.png", folder / "red" / "again.png")
    photo(folder / "red" / "odd.png", 99, 1)
    return folder


def test_a_folder_is_judged_and_the_index_says_so(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAPS", 3)
    found = checkup(shelf)
    assert (found.photos, found.classes, found.judged, found.problems) == (14, 2, 14, 2)
    assert found.right == 13 and found.confused == [("red", "green", 1)]
    assert 0 <= found.faithful <= found.mapped == 3
    assert "names 13 of 14 photos (92.9%" in found.lines[0] and "red taken for green (1)" in found.lines[1]
    out = tmp_path / "out"
    assert "broken.jpg" in look_at_photos(shelf, out)
    page = write_index(out).read_text()
    assert "names 13 of 14 photos" in page and "&lt;mine&gt;" in page and "<mine>" not in page
    forget_photos(out)
    assert "13 of 14" not in write_index(out).read_text()
    (out / "photos.json").write_text("{}")
    assert "<section" not in write_index(out).read_text()


def test_copies_stay_together(shelf, monkeypatch):
    data, groups = read(inspect_folder(shelf))
    at = {path: i for i, path in enumerate(data.paths)}
    assert groups[at["red/0.png"]] == groups[at["red/again.png"]]
    assert len(set(groups.tolist())) == 13
    rounds, head = [], module.logistic_head

    def noting(features, labels, *rest):
        rounds.append(set(groups[features[0, :, 0].long()].tolist()))  # the first feature is the photo's number
        return head(features, labels, *rest)

    def check(given, features):
        assert not rounds[-1] & set(groups[features[0, :, 0].long()].tolist())
        return given(features[0])

    monkeypatch.setattr(module, "logistic_head", noting)
    monkeypatch.setattr(module, "answers", check)
    said = judged(torch.stack([torch.arange(14.0), torch.rand(14)], 1)[None], data.labels, groups, 2)
    assert len(rounds) == 5 and (said >= 0).all()


def test_where_there_is_a_test_folder_only_it_is_judged(shelf, monkeypatch):
    monkeypatch.setattr(module, "MAPS", 1)
    for kind in ("red", "green"):
        (shelf / "train").mkdir(exist_ok=True)
        shutil.move(shelf / kind, shelf / "train" / kind)
        for i in (1, 2):
            photo(shelf / "test" / kind / f"{i}.png", 50 + i, int(kind == "green"))
    found = checkup(shelf)
    assert (found.right, found.judged, found.photos) == (4, 4, 18)
    assert found.way == "the folder's own test photos" and found.confused == []
    assert "It confuses: nothing." in found.lines


def test_interval_is_wilsons():
    # Newcombe 1998, table I: 81 of 263, and 0 of 20
    np.testing.assert_allclose(interval(81, 263), (0.2553, 0.3662), atol=5e-5)
    np.testing.assert_allclose(interval(0, 20), (0.0, 0.1611), atol=5e-5)


@pytest.mark.parametrize("share, words", [(16, "show what it uses"), (12, "show what it uses"), (11, "be careful"), (6, "be careful"), (4, "do not trust")])
def test_what_the_maps_are_worth_in_words(share, words):
    asked = {"folder": "", "found": "", "problems": 0, "photos": 20, "classes": 2, "right": 18, "judged": 20,
             "interval": (0.7, 0.97), "way": "", "confused": [], "mapped": 16, "faithful": share}
    assert words in module.Checkup(**asked).lines[2]
    assert json.dumps(module.Checkup(**asked).facts())
    assert "no map was tried" in module.Checkup(**asked | {"mapped": 0}).lines[2]


def test_refused_in_a_sentence_before_anything_runs(shelf, tmp_path):
    for number in range(1, 6):
        (shelf / "green" / f"{number}.png").unlink()
    with pytest.raises(UsageError, match="class 'green' has 1 photo,"):
        checkup(shelf)
    done = CliRunner().invoke(app, ["run", "--photos", str(shelf), "01", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and "class 'green'" in done.output + done.stderr
    assert not (tmp_path / "out").exists()
