"""Disks that are really full and really read-only, and caches that two users share: one sentence that names the place,
and nothing half-written. Needs root and a system that mounts (Linux); skipped and said elsewhere."""

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
from conftest import coloured_squares
from odd_files import draw, draw_all
from test_fetch import server, tar, toy  # noqa: F401, fixtures
from test_kills import MANY
from test_runs import course, lesson_file  # noqa: F401, a fixture
from typer.testing import CliRunner

from cnnviz_utils.base.files import StorageError, cached, writable_folder, write_whole
from cnnviz_utils.base.room import keep_latest
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.cli import app
from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.data.photos.fetch import fetch
from cnnviz_utils.models.build import build_model
from cnnviz_utils.models.saved import load_model, save_model
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.evaluation import predictions_csv
from cnnviz_utils.training.store import fit_or_load

NOBODY = 65534
CONFIG = TrainConfig(lr=0.01, epochs=1)
FULL, LOCKED = "no (space is left|room)", "cannot be written"


def mount(*words):
    return subprocess.run(["mount", *map(str, words)], capture_output=True).returncode == 0


def fill(place):
    """Write until there is no room at all."""
    with (place / "last").open("ab", buffering=0) as stream, pytest.raises(OSError, match="No space"):
        while True:
            stream.write(bytes(4096))


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a small disk of its own ("full", "nearly full", "read-only") and gives its folder."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount disks")
    mounted = []
    # pytest's own folders are closed to other users
    home = Path(tempfile.mkdtemp(prefix="cnnviz-disks-"))
    home.chmod(0o755)

    def make(kind):
        place = home / f"disk{len(mounted)}"
        place.mkdir()
        if not mount("-t", "tmpfs", "-o", "size=1m,mode=1777", "tmpfs", place):
            pytest.skip("this system does not let root mount disks")
        mounted.append(place)
        if kind == "read-only":
            assert mount("-o", "remount,ro", place)
        else:
            room = {"full": 0, "nearly full": 5_000, "half full": 500_000}[kind]
            (place / "filler").write_bytes(bytes(1_040_000 - room))
            if room == 0:
                fill(place)
        return place

    make.lock = lambda place: mount("-o", "remount,ro", place)
    yield make
    for place in mounted:
        subprocess.run(["umount", "-l", place], check=False)
    shutil.rmtree(home)


def listing(place):
    """Everything there but locks and what is kept to go on from: (name, size)."""
    files = [p for p in place.rglob("*") if p.is_file() and not p.name.endswith((".lock", ".part"))]
    return sorted((p.relative_to(place).as_posix(), p.stat().st_size) for p in files)


@contextmanager
def as_nobody(monkeypatch):
    """What is done in here is done by another user."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def photos(tmp_path):
    if not (tmp_path / "photos").exists():
        draw_all(tmp_path / "photos", "ant/{1..20}.png bee/{21..40}.png")
    return tmp_path / "photos"


def decode(tmp_path, place, monkeypatch):
    monkeypatch.setenv("CNNVIZ_CACHE", str(place / "cache"))
    return load_data("folder", root=photos(tmp_path), size=64)


def draw_menagerie(tmp_path, place, monkeypatch):
    monkeypatch.setenv("CNNVIZ_CACHE", str(place / "cache"))
    return load_data("menagerie", size=32, train=2, valid=1, test=1, seed=77)


def train(tmp_path, place, monkeypatch):
    data = coloured_squares(12)
    return fit_or_load(build_model("small_cnn", 3, size=16), data, data, CONFIG, "cpu", place / "models")


def convert(tmp_path, place, monkeypatch):
    cell = {"cell_type": "markdown", "source": "# A\n\n" + "words " * 10_000}
    source = tmp_path / "a.ipynb"
    source.write_text(json.dumps({"cells": [cell]}))
    (tmp_path / "a.html").unlink(missing_ok=True)
    (tmp_path / "a.html").symlink_to(place / "a.html")
    from cnnviz_utils.course.repair import read_notebook
    from cnnviz_utils.course.report import write_page
    write_page(read_notebook(source), place / "a.html")


def save_a_network(tmp_path, place, monkeypatch):
    save_model(build_model("small_cnn", 3, size=16), place / "net.safetensors")


def save_a_network_as_pt(tmp_path, place, monkeypatch):
    save_model(build_model("small_cnn", 3, size=16), place / "net.pt")


def save_answers(tmp_path, place, monkeypatch):
    import torch
    predictions_csv(place / "answers.csv", [f"image {i}" for i in range(9000)], torch.rand(9000, 3), ("a", "b", "c"))


def keep(tmp_path, place, monkeypatch):
    return cached(place / "entry", lambda folder: np.save(folder / "x.npy", np.zeros(80_000)), lambda folder: np.load(folder / "x.npy"))


WAYS = [decode, draw_menagerie, train, convert, save_a_network, save_a_network_as_pt, save_answers, keep]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("kind", ["full", "nearly full", "read-only"])
def test_one_sentence_and_nothing_half_written(disk, tmp_path, monkeypatch, way, kind):
    place = disk(kind)
    before = listing(place)
    with pytest.raises(StorageError) as found:
        way(tmp_path, place, monkeypatch)
    said = str(found.value)
    assert str(place) in said and "\n" not in said and len(said) < 400
    assert ("cannot be written (Read-only file system)" in said) if kind == "read-only" else ("no space is left" in said or "no room for" in said)
    assert listing(place) == before
    if kind != "read-only":  # with room again, it goes
        (place / "filler").unlink()
        (place / "last").unlink(missing_ok=True)
        mount("-o", "remount,size=20m", place)
        way(tmp_path, place, monkeypatch)


def test_what_was_there_stays(disk, tmp_path, monkeypatch):
    place = disk("half full")
    save_a_network(tmp_path, place, monkeypatch)
    write_whole(place / "page.html", "whole")
    before = {p.name: p.read_bytes() for p in place.iterdir()}
    fill(place)
    for name in ("net.safetensors", "page.html"):
        with pytest.raises(StorageError, match="no space"):
            write_whole(place / name, b"other" * 200_000)
        assert (place / name).read_bytes() == before[name]
    assert load_model(place / "net.safetensors")
    assert not [p for p in place.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("way", [decode, draw_menagerie, train, keep], ids=lambda way: way.__name__)
def test_a_cache_that_was_filled_is_read_where_it_cannot_be_written(disk, tmp_path, monkeypatch, way):
    place = disk("half full")
    mount("-o", "remount,size=20m", place)
    way(tmp_path, place, monkeypatch)
    before = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
    disk.lock(place)
    way(tmp_path, place, monkeypatch)
    assert before == {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}


COMMANDS = {
    "explain": lambda tmp_path, place: ["explain", str(draw(tmp_path / "photo.png")), "--out", str(place / "x.png")],
    "copy": lambda tmp_path, place: ["copy", str(place / "mine")],
    "html": lambda tmp_path, place: ["html", str(place / "a.ipynb")],
    "html of a folder": lambda tmp_path, place: ["html", str(place)],
    "run": lambda tmp_path, place: ["run", "01", "--out", str(place / "out")],
    "sweep": lambda tmp_path, place: ["sweep", str(table(tmp_path)), "--out", str(place / "out")],
    "pretrain": lambda tmp_path, place: ["pretrain", "menagerie_source", "--out", str(place / "w" / "x.safetensors")],
}


def table(tmp_path):
    import yaml
    for i in range(40):
        draw(tmp_path / "squares" / "ab"[i % 2] / f"{i}.png")
    rows = {"title": "t", "data": {"name": "folder", "root": str(tmp_path / "squares"), "size": 16},
            "base": {"model": "small_cnn", "epochs": 1, "lr": 0.01}, "rows": [{"name": "row"}]}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(rows))
    return tmp_path / "t.yaml"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_commands_end_with_one_sentence(disk, tmp_path, monkeypatch, kind, command):
    if command.startswith("pretrain"):  # trains first: the folder alone is asked here
        monkeypatch.setattr("cnnviz_utils.training.recipes.source_weights", lambda *_, **__: pytest.fail("trained"))
    place = disk("half full" if command.startswith("html") else kind)
    if command.startswith("html"):
        notebook = {"cells": [{"cell_type": "markdown", "source": "# A\n\n" + "words " * 4000}]}
        (place / "a.ipynb").write_text(json.dumps(notebook))
        if kind == "read-only":
            disk.lock(place)
        else:
            fill(place)
    if (kind, command) in {("full", "pretrain"), ("full", "run")}:
        pytest.skip("on a full disk it is told at the end: see below")
    before = listing(place)
    done = CliRunner().invoke(app, COMMANDS[command](tmp_path, place))
    lines = [line for line in (done.stderr or done.output).splitlines() if "disk" in line]
    if isinstance(done.exception, UsageError):  # which `main` says in one line
        lines = [str(done.exception)]
        code = 2
    else:
        code = done.exit_code
    assert code in (2, 3) and "Traceback" not in done.output, (done.output, repr(done.exception))
    assert lines and all("\n" not in line for line in lines)
    assert any("Read-only file system" in line if kind == "read-only" else "no space" in line for line in lines), lines
    assert listing(place) == before


def ends_as_main_does(words):
    """(exit code, what is said on stderr) of a command: a UsageError is a sentence, anything else a fault."""
    done = CliRunner().invoke(app, words)
    if done.exception and not isinstance(done.exception, SystemExit | UsageError):
        raise done.exception
    said = done.stderr + (f"cnnviz: {done.exception}" if isinstance(done.exception, UsageError) else "")
    return 2 if isinstance(done.exception, UsageError) else done.exit_code, said


def executed_here(source, target, *_):
    """Papermill's part without a kernel: a notebook whose cells ran is written where the disk may be full."""
    notebook = nbformat.read(source, 4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = 1, [nbformat.v4.new_output("stream", text="words " * 2000)]
    try:
        nbformat.write(notebook, target)
    except OSError as error:
        return f"no space is left to write {target}" if error.errno == errno.ENOSPC else str(error)
    return ""


@pytest.mark.parametrize("room", [0, 4_000, 40_000, 60_000])
@pytest.mark.parametrize("kernel", [False, pytest.param(True, marks=MANY)])
def test_a_run_on_a_disk_that_gets_full(disk, course, monkeypatch, room, kernel):  # noqa: F811
    """Full before it starts, while the notebook is written, before its page, before the index."""
    if not kernel:
        monkeypatch.setattr("cnnviz_utils.course.run.execute", executed_here)
    (course.folder / "notebooks" / "02_second.ipynb").unlink()
    lesson_file(course.folder, "01_first", "print('words ' * 3000)")
    place = disk("full")
    (place / "last").unlink()
    (place / "filler").write_bytes(bytes(1_044_000 - room))
    if not room:
        fill(place)
    code, said = ends_as_main_does(["run", "01", "--out", str(place / "out")])
    assert code in (2, 3) and "no space is left to write" in said and str(place) in said
    for name, begin in (("*.html", "<!doctype html>"), ("*.ipynb", "{"), ("*.json", "{")):
        for file in (place / "out").glob(name):
            assert file.read_text().lower().startswith(begin) and (name == "*.html" or json.loads(file.read_text()))
            assert name != "*.html" or file.read_text().rstrip().endswith("</html>")
    assert not list((place / "out").glob(".run-*"))
    (place / "filler").unlink()
    (place / "last").unlink(missing_ok=True)
    mount("-o", "remount,size=20m", place)
    code, said = ends_as_main_does(["run", "01", "--out", str(place / "out")])
    assert code == 0, said
    assert {"index.html", "01_first.html", "01_first.ipynb", "01_first.metrics.json"} <= {file.name for file in (place / "out").iterdir()}


def test_a_sweep_on_a_disk_that_gets_full(disk, tmp_path, monkeypatch):
    """The row that cannot be kept is named, and is run when there is room."""
    place = disk("full")
    monkeypatch.setenv("CNNVIZ_CACHE", str(tmp_path / "cache"))
    words = ["sweep", str(table(tmp_path)), "--out", str(place / "out")]
    code, said = ends_as_main_does(words)
    assert code in (2, 3) and "no space is left to write" in said and str(place) in said
    assert not [file for file in place.rglob("*") if file.is_file() and file.name not in ("filler", "last") and file.suffix != ".lock" and not file.stat().st_size]
    (place / "filler").unlink()
    mount("-o", "remount,size=20m", place)
    code, said = ends_as_main_does(words)
    assert code == 0 and (place / "out" / "index.html").is_file(), said


@pytest.mark.parametrize("full", ["out", "cache"])
def test_pretraining_on_a_full_disk(disk, tmp_path, monkeypatch, full):
    """Weights that were learned are in the cache: the second call writes them at once."""
    from cnnviz_utils.training import recipes
    few = {"seed": 0, "train": 2, "valid": 1, "test": 1}
    monkeypatch.setitem(recipes.SOURCES, "menagerie_source", (few, recipes.SOURCES["menagerie_source"][1], (1, 1)))
    place = disk("full")
    monkeypatch.setenv("CNNVIZ_CACHE", str((place if full == "cache" else tmp_path) / "cache"))
    out = (place if full == "out" else tmp_path) / "w" / "x.safetensors"
    words = ["pretrain", "--model", "small_cnn", "--size", "32", "--out", str(out)]
    code, said = ends_as_main_does(words)
    assert code in (2, 3) and "no " in said and str(place) in said and not out.exists()
    (place / "filler").unlink()
    mount("-o", "remount,size=40m", place)
    assert ends_as_main_does(words)[0] == 0 and out.is_file()


@pytest.mark.parametrize(("kind", "sentence"), [("full", "no (room|space)"), ("read-only", "Read-only file system")])
def test_downloads(disk, server, toy, kind, sentence):  # noqa: F811
    server.content = tar({"set/bee/1.jpg": bytes(400_000)})
    place = disk(kind)
    with pytest.raises(OSError, match=sentence) as found:
        fetch(toy, place, wait=0.0, timeout=0.5)
    assert str(place) in str(found.value) and "\n" not in str(found.value)
    assert not list(place.rglob("*.jpg"))


# ------------------------------------------------------------------------ two users


@pytest.fixture
def shared(tmp_path, disk):
    """A folder on a disk of its own that anybody may write into."""
    place = disk("half full")
    mount("-o", "remount,size=20m", place)
    (place / "filler").unlink()
    place.chmod(0o777)
    return place


def files_of(place):
    return {p.relative_to(place): p.stat().st_uid for p in place.rglob("*") if not p.name.endswith(".lock")}


@pytest.mark.parametrize("way", [train, keep], ids=lambda way: way.__name__)
def test_what_one_user_made_the_other_reads(shared, tmp_path, monkeypatch, way):
    way(tmp_path, shared, monkeypatch)
    before = files_of(shared)
    with as_nobody(monkeypatch):
        way(tmp_path, shared, monkeypatch)
    assert files_of(shared) == before and set(before.values()) == {0}


def test_a_user_may_add_to_what_another_began(shared, monkeypatch):
    with as_nobody(monkeypatch):
        keep(None, shared, monkeypatch)
    assert set(files_of(shared).values()) == {NOBODY}
    cached(shared / "second", lambda folder: (folder / "x").write_text("x"), lambda folder: (folder / "x").read_text())
    with as_nobody(monkeypatch):
        assert cached(shared / "second", None, lambda folder: (folder / "x").read_text()) == "x"


def test_another_users_damage_heals(shared, monkeypatch):
    keep(None, shared, monkeypatch)
    (shared / "entry" / "x.npy").write_bytes(b"damaged")
    with as_nobody(monkeypatch):
        assert keep(None, shared, monkeypatch) is not None
    assert files_of(shared)[Path("entry/x.npy")] == NOBODY
    (shared / "entry" / "x.npy").write_bytes(b"damaged")
    keep(None, shared, monkeypatch)  # whoever may, sweeps what the other could only move aside
    assert {p.name for p in shared.iterdir() if not p.name.endswith(".lock")} == {"entry"}


def test_where_others_may_not_even_move_it_is_one_sentence(shared, monkeypatch):
    keep(None, shared, monkeypatch)
    shared.chmod(0o1777)
    (shared / "entry" / "x.npy").write_bytes(b"damaged")
    with as_nobody(monkeypatch), pytest.raises(StorageError, match=r"entry cannot be written \((Permission denied|Operation not permitted)\)"):
        keep(None, shared, monkeypatch)
    assert {p.name for p in shared.iterdir() if not p.name.endswith(".lock")} == {"entry"}
    keep(None, shared, monkeypatch)  # its owner makes it anew


def test_a_private_folder_is_one_sentence(shared, monkeypatch):
    (shared / "private").mkdir(mode=0o700)
    with as_nobody(monkeypatch):
        for place in (shared / "private", shared / "private" / "below"):
            with pytest.raises(StorageError, match=r"cannot be written \(Permission denied\)"):
                writable_folder(place)
        with pytest.raises(StorageError, match=r"cannot be written \(Permission denied\)"):
            keep(None, shared / "private", monkeypatch)


def test_kept_maps_of_another_user_are_left(shared, monkeypatch):
    for name in ("maps-a", "maps-b"):
        cached(shared / name, lambda folder: (folder / "x").write_bytes(bytes(1000)), lambda folder: True)
    with as_nobody(monkeypatch):
        keep_latest(shared, "maps-*", 10)
    assert (shared / "maps-a").is_dir() and (shared / "maps-b").is_dir()
    os.utime(shared / "maps-b", (1, 1))
    keep_latest(shared, "maps-*", 10)
    assert (shared / "maps-a").is_dir() and not (shared / "maps-b").exists()


def test_modes_are_those_of_any_file(shared, monkeypatch):
    old = os.umask(0o022)
    try:
        keep(None, shared, monkeypatch)
        write_whole(shared / "text", "x")
        save_model(build_model("small_cnn", 3, size=16), shared / "net.pt")
    finally:
        os.umask(old)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in shared.rglob("*") if not p.name.startswith(".")}
    assert modes == {"entry": 0o755, "x.npy": 0o644, "checksums.json": 0o644, "text": 0o644, "net.pt": 0o644}
