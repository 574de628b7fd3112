"""A look at one's own photos, a full disk under them, and the commands that take them."""

import errno
import os
import resource
import shutil
import subprocess

import numpy as np
import pytest
from odd_files import draw, draw_all
from PIL import Image
from typer.testing import CliRunner

from cnnviz_utils.base.paths import cache_root
from cnnviz_utils.base.room import reserved
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.cli import app
from cnnviz_utils.cli.photos import check_photos, own_photos
from cnnviz_utils.course.lessons import all_lessons, plan
from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.data.photos.inspection import inspect_folder
from cnnviz_utils.data.splits import near_duplicates


def textured(path, seed, mirror=False, light=0):
    """A photo of its own, coarse enough for its thumbnail to know it again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(30, 220, (6, 6, 3), np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((72, 72), Image.Resampling.BICUBIC))
    Image.fromarray((pixels[:, ::-1] if mirror else pixels) + np.uint8(light)).save(path)


@pytest.fixture
def shelf(tmp_path):
    """Two classes of four; one broken, one copied into the other class, one mirrored and lighter, one mask."""
    for i in range(4):
        textured(tmp_path / "ant" / f"{i}.png", i)
        textured(tmp_path / "bee" / f"{i}.png", 10 + i)
    (tmp_path / "ant" / "broken.jpg").write_text("no picture")
    shutil.copy(tmp_path / "ant" / "0.png", tmp_path / "bee" / "copy.png")
    textured(tmp_path / "ant" / "again.png", 1, mirror=True, light=20)
    (tmp_path / "masks" / "ant").mkdir(parents=True)
    Image.fromarray(np.tri(72, dtype=np.uint8) * 255).save(tmp_path / "masks" / "ant" / "2.png")
    return tmp_path


def test_inspection(shelf):
    found = inspect_folder(shelf)
    assert [file for file, _ in found.broken] == ["ant/broken.jpg"] and not found.bad_masks
    assert found.copies == [("ant/0.png", "bee/copy.png")] and found.apart == {("ant/0.png", "bee/copy.png"): ", in two classes"}
    assert found.alike == [("ant/1.png", "ant/again.png")]
    assert found.masks == 1 and found.problems == 2
    assert found.sizes.tolist() == [[72, 72]] * 10
    text = str(found)
    for words in ("11 photos in 2 classes", "ant         6", "72 x 72", ".png 10, .jpg 1", "Masks: for 1 photo.", "ant/broken.jpg (what is in it is no image)",
                  "ant/0.png = bee/copy.png, in two classes", "ant/1.png ~ ant/again.png\n"):
        assert words in text, words


def test_alike_is_what_near_duplicates_finds(shelf):
    (shelf / "ant" / "broken.jpg").unlink()
    found = inspect_folder(shelf)
    sets = load_data("folder", root=shelf, size=64)
    pairs = set()
    parts = (sets.train, sets.valid, sets.test)
    for a in parts:
        for b in parts:
            pairs |= {tuple(sorted((a.paths[i], b.paths[j]))) for i, j in near_duplicates(a, b) if a.paths[i] != b.paths[j]}
    assert pairs == set(found.alike) | set(found.copies)


def test_a_copy_in_test_is_said(tmp_path):
    draw_all(tmp_path, "train/a/{1..3}.png train/b/{4..6}.png test/a/7.png")
    shutil.copy(tmp_path / "train/a/1.png", tmp_path / "test/a/8.png")
    assert "train/a/1.png = test/a/8.png, in test and train" in str(inspect_folder(tmp_path))


def test_the_command_data(shelf, tmp_path_factory):
    done = CliRunner().invoke(app, ["data", str(shelf)])
    assert done.exit_code == 1 and "11 photos in 2 classes" in done.output
    for path in ("ant/broken.jpg", "bee/copy.png"):
        (shelf / path).unlink()
    assert CliRunner().invoke(app, ["data", str(shelf)]).exit_code == 0
    flat = draw_all(tmp_path_factory.mktemp("flat"), "{1..3}.png")
    done = CliRunner().invoke(app, ["data", str(flat)])
    assert done.exit_code == 2 and "Seen: 3 photos directly in it. Expected are" in done.output


@pytest.mark.parametrize(("settings", "sentence"), [
    ({"data": "folder", "root": ""}, "needs a root"),
    ({"data": "folder", "root": "/nowhere"}, "/nowhere is not a folder"),
    ({"data": "caltech101", "root": "/nowhere"}, "caltech101 is not at /nowhere/caltech101"),
    ({"data": "caltech256_realms", "root": "/nowhere"}, "caltech256_realms is not at"),
    ({"data": "menagerie", "source": "tinyimagenet30", "root": "/nowhere"}, "tinyimagenet30 is not at"),
    ({"data": "menagerie", "near": "tinyimagenet30", "root": "/nowhere"}, "tinyimagenet30 is not at"),
])
def test_photos_are_looked_at_before_a_run(settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        check_photos([{"size": 3}, settings])


def test_a_run_says_classes_and_counts(shelf):
    [text] = check_photos([{"data": "folder", "root": str(shelf)}] * 2 + [{"data": "menagerie", "root": ""}])
    assert "11 photos in 2 classes" in text


def test_a_wrong_folder_starts_no_kernel(tmp_path):
    done = CliRunner().invoke(app, ["run", "01", "--photos", str(draw_all(tmp_path, "{1..3}.png")), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and "no class folders" in done.output and not (tmp_path / "out").exists()


def test_few_photos_are_shown_more_often(tmp_path):
    lessons = all_lessons()
    draw_all(tmp_path, "a/{1..4}.png b/{5..8}.png")
    assert own_photos(tmp_path, [lessons["02_training_from_scratch"]]) == {
        "data": "folder", "root": str(tmp_path), "broken": "skip", "epochs": 30}
    assert "epochs" not in own_photos(tmp_path, [lessons["01_data_splits"]])
    chosen = [lessons["00_convolution_by_hand"], lessons["02_training_from_scratch"]]
    own = plan(chosen, "quick", {}, lessons)
    theirs = plan(chosen, "quick", {"seed": 3}, lessons, {"data": "folder", "root": str(tmp_path), "epochs": 17})
    assert theirs[chosen[0].name] == own[chosen[0].name] | {"seed": 3}  # it has its own data, and its own epochs
    assert theirs[chosen[1].name]["epochs"] == 17 and theirs[chosen[1].name]["data"] == "folder"
    assert plan(chosen[1:], "quick", {"epochs": 4}, lessons, {"epochs": 17})[chosen[1].name]["epochs"] == 4
    with pytest.raises(UsageError, match="00_convolution_by_hand has its own data"):
        plan(chosen[:1], "quick", {}, lessons, {"data": "folder"})


# ------------------------------------------------------------------------ a full disk


@pytest.mark.parametrize("fallocate", ["there", "missing", "refused"])
def test_room_is_taken_beforehand(tmp_path, monkeypatch, fallocate):
    """All blocks are there before anything is written through the map."""
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "not here")

    if fallocate == "missing":
        monkeypatch.delattr(os, "posix_fallocate")
    elif fallocate == "refused":
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    array = reserved(tmp_path / "x.npy", (40, 3, 100, 100))
    assert (tmp_path / "x.npy").stat().st_blocks * 512 >= array.nbytes == 1_200_000
    array[:] = 7
    array.flush()
    assert (np.load(tmp_path / "x.npy") == 7).all()


def noise(root):
    for name in ("ant", "bee"):
        for i in range(4):
            draw(root / name / f"{name}{i}.png", seed=i)
    return root


def test_no_room_is_a_sentence(tmp_path, monkeypatch):
    """A limit on the size of files stands for a full disk."""
    monkeypatch.setenv("CNNVIZ_CACHE", str(tmp_path / "cache"))
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
        with pytest.raises(OSError, match="no room for 1 MB of decoded photos.*CNNVIZ_CACHE"):
            load_data("folder", root=noise(tmp_path / "zoo"), size=224)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert not [path for path in cache_root().iterdir() if not path.name.endswith(".lock")]
    assert load_data("folder", root=tmp_path / "zoo", size=224).size == 224


def test_no_room_on_a_small_disk(tmp_path, monkeypatch):
    """A disk of 512 kB, where it may be made: the process lives and says why."""
    (tmp_path / "cache").mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path / "cache")], capture_output=True)
    if made.returncode:
        pytest.skip("no disk can be made here")
    try:
        monkeypatch.setenv("CNNVIZ_CACHE", str(tmp_path / "cache"))
        with pytest.raises(OSError, match="no space is left to write .*free some"):
            load_data("folder", root=noise(tmp_path / "zoo"), size=224)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "cache")], check=True)
