"""Processes that are killed while they write: nothing lost, nothing read half-written, nothing left lying about.

The normal suite kills 4; CNNVIZ_KILLS=1 pytest tests/end_to_end/test_kills.py kills 36 (caches 17, training 8, sweeps 6, lessons 5) in some minutes.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from conftest import coloured_squares
from PIL import Image

from cnnviz_utils.base import files
from cnnviz_utils.base.files import (
    StorageError,
    cached,
    work_folder,
    writable_folder,
    write_whole,
)

MANY = pytest.mark.skipif(not os.environ.get("CNNVIZ_KILLS"), reason="takes minutes: CNNVIZ_KILLS=1 asks for it")
CACHE = """
import sys, pathlib, numpy as np
from cnnviz_utils.base.files import cached
def make(folder):
    for name in "abcdef":
        np.save(folder / f"{name}.npy", np.full(2_000_000, 7, np.uint8))
print("ready", flush=True)
for i in range(10_000):
    cached(pathlib.Path(sys.argv[1]) / f"entry{i % 3}", make, lambda f: np.load(f / "f.npy"))
    (pathlib.Path(sys.argv[1]) / f"entry{i % 3}" / "f.npy").write_bytes(b"damaged")
"""
TRAIN = """
import sys, pathlib
sys.path.insert(0, "tests")
from conftest import coloured_squares
from cnnviz_utils.models.build import build_model
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.store import fit_or_load
print("ready", flush=True)
for seed in range(1000):
    data = coloured_squares(24)
    fit_or_load(build_model("small_cnn", 3, size=16), data, data, TrainConfig(lr=0.01, epochs=1, seed=seed % 4), "cpu", pathlib.Path(sys.argv[1]))
"""


def start(code, *words):
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               start_new_session=True)
    assert process.stdout.readline()
    return process


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def make(folder):
    for name in "abcdef":
        np.save(folder / f"{name}.npy", np.full(2_000_000, 7, np.uint8))


def whole(folder):
    return all((np.load(folder / f"{name}.npy") == 7).all() for name in "abcdef")


@pytest.mark.parametrize("times", [3, pytest.param(14, marks=MANY)])
def test_a_cache_survives_kills(tmp_path, times):
    dice = random.Random(times)
    for _ in range(times):
        process = start(CACHE, tmp_path)
        time.sleep(dice.random())
        kill(process)
        for i in range(3):  # no lock is stuck, what was unfinished is swept, what was damaged is made again
            assert cached(tmp_path / f"entry{i}", make, whole)
    assert {p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")} == {"entry0", "entry1", "entry2"}


def test_an_entry_that_was_put_aside_is_swept_by_the_next_reader(tmp_path):
    """A process may be killed between putting the new entry in its place and removing the old one."""
    assert cached(tmp_path / "entry", make, whole)
    (tmp_path / ".entry.0123.before").mkdir()
    assert cached(tmp_path / "entry", make, whole)
    assert {p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")} == {"entry"}


@MANY
def test_a_store_of_trainings_survives_kills(tmp_path):
    from cnnviz_utils.models.build import build_model
    from cnnviz_utils.training.config import TrainConfig
    from cnnviz_utils.training.loop import fit
    from cnnviz_utils.training.store import fit_or_load, plain_weights

    dice, data = random.Random(0), coloured_squares(24)
    expected = build_model("small_cnn", 3, size=16)
    fit(expected, data, data, TrainConfig(lr=0.01, epochs=1), "cpu")
    for _ in range(8):
        process = start(TRAIN, tmp_path)
        time.sleep(3 * dice.random())
        kill(process)
        found = build_model("small_cnn", 3, size=16)
        fit_or_load(found, data, data, TrainConfig(lr=0.01, epochs=1), "cpu", tmp_path)
        assert all((a == b).all() for a, b in zip(plain_weights(found).values(), plain_weights(expected).values(), strict=True))


@MANY
def test_a_sweep_survives_kills(tmp_path):
    from cnnviz_utils.sweep.jobs import read_record
    from cnnviz_utils.sweep.run import run_sweep

    data = coloured_squares(30)
    for i, label in enumerate(data.labels.tolist()):
        (tmp_path / "photos" / "abc"[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.moveaxis(data.images[i], 0, -1)).save(tmp_path / "photos" / "abc"[label] / f"{i}.png")
    table = {"title": "t", "data": {"name": "folder", "root": str(tmp_path / "photos"), "size": 16},
             "base": {"model": "small_cnn", "epochs": 2, "lr": 0.01}, "rows": [{"name": f"row {i}", "momentum": i / 10} for i in range(6)]}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(table))
    code = ("import sys\nfrom cnnviz_utils.sweep.run import run_sweep\nprint('ready', flush=True)\n"
            "run_sweep(sys.argv[1], sys.argv[2], device='cpu')")
    dice, before = random.Random(0), {}
    for _ in range(6):
        process = start(code, tmp_path / "t.yaml", tmp_path / "out")
        time.sleep(4 * dice.random())
        kill(process)
        found = {p.name: p.read_bytes() for p in (tmp_path / "out").glob("records/[!.]*.json")}
        assert before.items() <= found.items() and all(map(read_record, (tmp_path / "out" / "records").glob("[!.]*.json")))
        before = found
    outcome = run_sweep(tmp_path / "t.yaml", tmp_path / "out", device="cpu")
    assert len(outcome.found) == len(before) and len(outcome.found) + len(outcome.made) == 6
    assert len(json.loads((tmp_path / "out" / "summary.json").read_text())["rows"]) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere kernels watch their parents once a second")
@pytest.mark.parametrize("times", [1, pytest.param(4, marks=MANY)])
def test_a_killed_command_leaves_no_kernel_and_its_folder_is_swept(tmp_path, times):
    for name in ("notebooks", "profiles"):
        (tmp_path / name).mkdir()
    (tmp_path / "profiles" / "quick.yaml").touch()
    cells = [nbformat.v4.new_code_cell("n: int = 1", metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(
        "import os, pathlib\npathlib.Path('pid').write_text(f'{os.getpid()} {os.getppid()}')\nwhile n: pass")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "notebooks" / "01_busy.ipynb")
    code = ("import pathlib, sys\nfrom cnnviz_utils import cli\nfrom cnnviz_utils.base import paths\nfrom cnnviz_utils.course import lessons\n"
            f"paths.course_root = lessons.course_root = lambda: pathlib.Path({str(tmp_path)!r})\n"
            "if __name__ == '__main__':\n    cli.main()")
    out, pid = tmp_path / "out", tmp_path / "notebooks" / "pid"
    for _ in range(times):
        pid.unlink(missing_ok=True)
        process = start(code, "run", "--out", out)
        wait_for(lambda: pid.exists() and len(pid.read_text().split()) == 2)
        kernel, child = map(int, pid.read_text().split())
        kill(process)
        wait_for(lambda both=(kernel, child): all(map(ended, both)), 10)
        assert len(list(out.glob(".run-*"))) == 1
        with work_folder(".run-", out) as mine:  # the next who works there
            assert list(out.glob(".run-*")) == [mine]


def ended(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition, seconds=180):
    for _ in range(20 * seconds):
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError("that never happened")


# ---------------------------------------------------------------- places that cannot be written

def test_a_folder_that_somebody_works_in_is_left_alone(tmp_path, monkeypatch):
    with work_folder(".run-", tmp_path) as mine, work_folder(".run-", tmp_path):
        assert mine.is_dir() and len(list(tmp_path.iterdir())) == 2
    (tmp_path / ".run-new").mkdir()  # of one who has not locked it yet
    with work_folder(".run-", tmp_path):
        assert (tmp_path / ".run-new").is_dir()
    os.utime(tmp_path / ".run-new", (0, 0))
    (tmp_path / ".text.abc.part").touch()
    os.utime(tmp_path / ".text.abc.part", (0, 0))
    with work_folder(".run-", tmp_path):
        assert not (tmp_path / ".run-new").exists()
    write_whole(tmp_path / "text", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize("too_soon", ["before it is locked", "while it waits for the lock"])
def test_a_folder_that_is_taken_for_abandoned_as_it_begins_is_made_again(tmp_path, monkeypatch, too_soon):
    """Two lessons began at once; the one swept away the folder that the other had made and not yet locked."""
    begun = []

    class Swept(files.FileLock):
        def acquire(self, *rest, **options):
            begun.append(self.lock_file)
            here = Path(self.lock_file).parent
            if len(begun) == 1 and too_soon == "before it is locked":
                shutil.rmtree(here)
            held = super().acquire(*rest, **options)
            if len(begun) == 1:
                shutil.rmtree(here)
            return held

    monkeypatch.setattr(files, "FileLock", Swept)
    with work_folder(".run-", tmp_path) as mine:
        (mine / "result").touch()
        assert len(begun) == 2 and list(tmp_path.iterdir()) == [mine]
    assert not list(tmp_path.iterdir())


def test_a_file_where_a_folder_belongs_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match="cannot be written .*choose another place"):
            writable_folder(place)
        with pytest.raises(StorageError, match="cannot be written"):
            write_whole(place / "x", "text")
    with pytest.raises(StorageError, match="cannot be written"):
        cached(tmp_path / "file" / "entry", make, whole)
    monkeypatch.chdir(tmp_path)  # and where the place is a name alone
    with pytest.raises(StorageError, match="^file cannot be written"):
        writable_folder(Path("file"))
    with pytest.raises(StorageError, match="^file/x cannot be written"):
        write_whole(Path("file/x"), "text")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError("2000000 requested and 1024 written")])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, error):
    def full(folder):
        (folder / "half").write_text("half")
        raise error
    with pytest.raises(StorageError, match="no space is left to write .*entry"):
        cached(tmp_path / "entry", full, whole)
    assert not [p for p in tmp_path.iterdir() if not p.name.endswith(".lock")]


def test_a_missing_source_stays_what_it_is(tmp_path):
    def missing(folder):
        raise PermissionError(13, "Permission denied", "/somewhere/photo.jpg")
    with pytest.raises(PermissionError, match=r"photo.jpg") as found:
        cached(tmp_path / "entry", missing, whole)
    assert not isinstance(found.value, StorageError)


def test_caches_can_be_shared(tmp_path):
    before = os.umask(0o002)
    try:
        cached(tmp_path / "entry", make, whole)
        write_whole(tmp_path / "text", "x")
        modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "entry", tmp_path / "entry" / "a.npy", tmp_path / "text")}
        assert modes == {"entry": 0o775, "a.npy": 0o664, "text": 0o664}
        assert (tmp_path / ".entry.lock").stat().st_mode & 0o060 == 0o060
    finally:
        os.umask(before)


@pytest.mark.parametrize("damage", [b"", b"[1]", b"\xff\x00", b'{"a.npy": 1}', "one byte", "another type"])
@pytest.mark.parametrize("file", [files.SUMS, "a.npy"])
def test_whatever_is_wrong_with_an_entry_it_is_made_again(tmp_path, file, damage):
    cached(tmp_path / "entry", make, whole)
    path = tmp_path / "entry" / file
    content = path.read_bytes()
    if damage == "one byte":  # in the middle: numbers, which no reader can find wrong
        damage = content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :]
    elif damage == "another type":
        damage = content.replace(b"|u1", b"|i1")
    path.write_bytes(damage)
    assert cached(tmp_path / "entry", make, whole) and whole(tmp_path / "entry")
