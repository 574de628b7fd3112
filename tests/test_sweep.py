"""Tables of runs: what is refused, what is changed, what is run, found again and left out, and what the summary says."""

import csv
import json
import math
import statistics

import numpy as np
import pytest
import torch
import yaml
from conftest import coloured_squares
from PIL import Image
from safetensors.torch import save_file

from cnnviz_utils import cli
from cnnviz_utils.base import paths
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.cli.words import repeat_options
from cnnviz_utils.data.sets import Splits
from cnnviz_utils.models.build import build_model
from cnnviz_utils.sweep import jobs, plan, row
from cnnviz_utils.sweep.overrides import check, choose_rows, override
from cnnviz_utils.sweep.page import page
from cnnviz_utils.sweep.plan import read_sweep
from cnnviz_utils.sweep.report import order_of, provenances
from cnnviz_utils.sweep.run import run_sweep
from cnnviz_utils.training.optimiser import parameter_groups
from cnnviz_utils.training.recipes import recipe
from cnnviz_utils.training.store import TRAINING_CODE

TABLE = {
    "title": "Squares & <circles>", "about": "First.\n\n\nSecond.", "data": {"name": "folder", "size": 16},
    "base": {"model": "small_resnet", "lr": 0.05, "epochs": 2, "batch_size": 12, "schedule": "step", "step_size": 2},
    "rows": [
        {"name": "fast", "published": {"last_loss": 0.5, "val": 0.5, "test": 0.25}, "note": "a note"},
        {"name": "slow", "lr": "1e-5", "published": {"last_loss": None, "val": 0.4, "test": 0.75}},
        {"name": "only the head", "freeze": ["stem", "stage1", "stage2", "stage3"]}],
}
# the nine rows as published: row -> lr, epochs, step, gamma, loss of the last epoch, validation, test
PUBLISHED = {
    "scratch, Base": (1e-3, 30, 20, 0.1, 4.2544, 0.0858, 0.0919),
    "scratch, Model 1": (1e-1, 30, 10, 0.1, 3.4646, 0.2483, 0.2454),
    "scratch, Model 2": (1e-1, 40, 10, 0.01, 3.1392, 0.2773, 0.2745),
    "scratch, Model 3": (1e-2, 30, 15, 0.01, 2.8083, 0.2932, 0.2969),
    "borrowed weights, Base": (1e-3, 30, 20, 0.1, 0.0471, 0.8333, 0.8604),
    "borrowed weights, Model 3": (1e-2, 30, 15, 0.01, 0.0011, 0.8534, 0.8628),
    "only fully connected layers trained": (1e-2, 30, 15, 0.01, None, 0.8492, 0.8676),
    "only convolutional layers trained": (1e-2, 30, 15, 0.01, 1.9712, 0.5533, 0.5620),
    "ResNet-50, borrowed weights, AMP, Model 3": (1e-2, 30, 15, 0.01, 0.0003, 0.9156, 0.9357),
}


@pytest.fixture(scope="module")
def squares_folder(tmp_path_factory):
    """Three classes of 20 small pictures, as files."""
    folder, data = tmp_path_factory.mktemp("squares"), coloured_squares(60)
    for i, label in enumerate(data.labels.tolist()):
        (folder / data.classes[label]).mkdir(exist_ok=True)
        Image.fromarray(np.moveaxis(np.asarray(data.images[i]), 0, -1)).save(folder / data.classes[label] / f"{i}.png")
    return folder


@pytest.fixture
def table(tmp_path, squares_folder):
    """Writes TABLE with changes ("data", "base", or a row's number: settings; others replace) and returns its path."""
    def write(changes=None, name="squares", **keys):
        content = json.loads(json.dumps(TABLE)) | keys
        content["data"]["root"] = str(squares_folder)
        for place, settings in (changes or {}).items():
            (content["rows"] if isinstance(place, int) else content)[place].update(settings)
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return tmp_path / f"{name}.yaml"
    return write


@pytest.fixture
def in_memory():
    """Three small sets that need no files."""
    return Splits("squares", *(coloured_squares(n, seed=s) for s, n in enumerate((36, 12, 12))))


def summary_of(outcome) -> dict:
    return json.loads((outcome.page.parent / "summary.json").read_text())


def without_times(value):
    """A record without what no two runs share."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in ("seconds", "started", "checksum")}
    return [without_times(v) for v in value] if isinstance(value, list) else value


# the published table

def test_the_courses_table_is_the_published_one_row_by_row():
    sweep = read_sweep("caltech101_assignment")
    rows = {r.name: r for r in sweep.rows if r.published}
    assert list(rows) == list(PUBLISHED) and len(sweep.rows) == 10
    for name, (lr, epochs, step, gamma, loss, val, test) in PUBLISHED.items():
        s = rows[name].settings
        assert (s["lr"], s["epochs"], s["step_size"], s["gamma"]) == (lr, epochs, step, gamma), name
        assert rows[name].published == {"last_loss": loss, "val": val, "test": test}, name
        assert (s["momentum"], s["weight_decay"], s["batch_size"], s["drop_last"]) == (0.9, 5e-5, 256, True), name
        assert (s["optimiser"], s["schedule"], s["augment"]) == ("sgd", "step", None), name
        assert s["weights"] == (None if "scratch" in name else "imagenet"), name
        assert (s["model"], s["amp"]) == (("resnet50", "float16") if "ResNet" in name else ("alexnet", "off")), name
    frozen = {r.name: (r.settings["first"], r.settings["freeze"]) for r in sweep.rows if r.settings["freeze"]}
    assert frozen == {"only fully connected layers trained": (None, ["features"]),
                      "only convolutional layers trained": (None, ["classifier"]),
                      "only convolutional layers trained, behind a trained head": ({"freeze": ["features"]}, ["classifier"])}
    assert sweep.data == {"name": "caltech101", "split": "published", "size": 224, "seed": 0}
    assert check(sweep) is sweep


def test_the_same_questions_are_asked_of_efficientnet():
    asked, ours = read_sweep("caltech101_assignment"), read_sweep("caltech101_efficientnet")
    scratch = {r.name: r.settings["lr"] for r in asked.rows if r.name.startswith("scratch")}
    assert {r.name: r.settings["lr"] for r in ours.rows if r.name.startswith("scratch")} == scratch
    assert len(ours.rows) == 9 and {r.settings["model"] for r in ours.rows} == {"efficientnet_lite0"}
    assert {k: v for k, v in ours.data.items() if k != "size"} == {k: v for k, v in asked.data.items() if k != "size"}
    parts = build_model("efficientnet_lite0", 2).stages
    for r in ours.rows:   # 224 px where the convolutions are frozen, so that they run once
        assert (r.settings["image_size"] == 224) == ("stem" in r.settings["freeze"]) and set(r.settings["freeze"]) <= set(parts)


def test_published_accuracies_are_counts_of_images():
    for *_, val, test in PUBLISHED.values():
        for share, images in ((val, 2892), (test, 2893)):
            assert abs(round(share * images) / images - share) < 0.5e-4 + 1e-9


def test_every_table_of_the_course_is_in_order():
    for path in (paths.course_root() / "sweeps").glob("*.yaml"):
        check(read_sweep(path.stem))


# reading and refusing

def test_a_table_is_read_with_its_defaults(table):
    sweep = read_sweep(table())
    fast, slow, head = sweep.rows
    assert (sweep.name, sweep.seeds, fast.slug, head.slug) == ("squares", (0,), "fast", "only-the-head")
    assert slow.settings["lr"] == 1e-5 and fast.settings["lr"] == 0.05  # YAML reads 1e-5 as a text
    assert fast.settings["weights"] is None and fast.settings["freeze"] == [] and fast.settings["momentum"] == 0.9
    config = plan.training_config(head.settings | {"lrs": {"head": 0.5}, "augment": {"flip": 0.5}}, seed=3)
    assert config.lrs == (("head", 0.5),) and config.augment.flip == 0.5 and config.seed == 3 and config.step_size == 2


@pytest.mark.parametrize(("changes", "keys", "message"), [
    ({}, {"rows": []}, "squares.yaml has no 'rows'"),
    ({}, {"titel": "x"}, "there is no 'titel', did you mean 'title'"),
    ({"data": {"name": "caltech11"}}, {}, "no data set is called 'caltech11', did you mean 'caltech101'"),
    ({"data": {"sise": 64}}, {}, "there is no 'sise', did you mean 'size'"),
    ({"data": {"size": "big"}}, {}, "'size' must be a whole number from 8 to 1,024, not 'big'"),
    ({1: {"lrr": 0.1}}, {}, "row 'slow': there is no 'lrr', did you mean 'lr'"),
    ({1: {"epochs": 2.5}}, {}, "row 'slow': parameter 'epochs' must be a whole number from 1 to 100,000, not 2.5"),
    ({1: {"seed": 1}}, {}, "row 'slow': there is no 'seed'"),
    ({1: {"name": "Fast!"}}, {}, "two rows called 'Fast!'"),
    ({1: {"published": {"tset": 0.5}}}, {}, "there is no 'tset', did you mean 'test'"),
    ({1: {"published": {"test": "0.5"}}}, {}, "the published test must be a number, or nothing, not '0.5'"),
    ({1: {"first": {"model": "small_cnn"}}}, {}, "there is no 'model'"),
    ({}, {"rows": [{"lr": 0.1}]}, "every row is a mapping with a name"),
    ({}, {"base": {"lr": 0.1}}, "neither the row nor the base says which model"),
    ({}, {"seeds": [0, 0]}, "seeds are different whole numbers"),
    ({}, {"seeds": [-1]}, "seeds are different whole numbers"), ({}, {"seeds": [[1]]}, "seeds are different"),
    ({1: {"epochs": -5}}, {}, "'epochs' must be a whole number from 1"), ({1: {"clip": 0}}, {}, "'clip' must be a number above 0"),
    ({1: {"lrs": {"head": -1}}}, {}, "'lrs' must be .* a rate of at least 0"), ({1: {"gamma": -1}}, {}, "'gamma' must be a number above 0"),
    ({1: {"lr": math.inf}}, {}, "'lr' must be a number above 0, not inf"), ({1: {"lr": math.nan}}, {}, "'lr' must be"),
    ({1: {"published": {"test": math.nan}}}, {}, "the published test must be a number"),
    ({1: {"published": [1]}}, {}, "published must be a mapping"), ({1: {"augment": {"flip": "x"}}}, {}, "flip must be a number from 0 to 1"),
    ({1: {"augment": [1]}}, {}, "'augment' must be a mapping"), ({1: {"freeze": [1]}}, {}, "'freeze' must be a list, each entry of it a text"),
    ({1: {"name": "n" * 300}}, {}, "at most 120 letters, not 300"), ({}, {"base": [1]}, "base must be a mapping"),
    ({}, {"rows": {"a": 1}}, "rows must be a list"), ({1: {"first": {"epochs": 0}}}, {}, "row 'slow', first: parameter 'epochs'"),
    ({"data": {"valid": math.nan}}, {}, "'valid' must be a number above 0 and below 1"), ({"data": {"size": 2.5}}, {}, "'size' must be"),
])
def test_what_does_not_belong_in_a_table_is_refused(table, changes, keys, message):
    with pytest.raises(UsageError, match=message):
        read_sweep(table(changes, **keys))


@pytest.mark.parametrize(("content", "message"), [
    (b"title: caf\xe9", "no text in UTF-8"), (b"title: !!python/object:os.system x", "no YAML that can be used"), (b"5", "must be a mapping"),
    (b"- 1", "must be a mapping"), (b"1: a\ntitle: b", "1 is no text"), (b"title: a\ntitle: b", "'title' stands twice"), (b"", "has no 'title'"),
    (b"title: a\ndata: [1]\nbase: {a: 1}\nrows: [1]", "data must be a mapping"), (b"title: \x00", "no YAML"),
])
def test_a_file_that_is_no_table_is_one_sentence(tmp_path, content, message):
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_sweep(tmp_path / "x.yaml")


def test_names_in_lrs_mean_in_a_table_what_they_mean_in_training(table):
    """A part, something in it, or one parameter: whatever `parameter_groups` takes."""
    for part in ("head", "stage1.0", "head.weight"):
        settings = check(read_sweep(table({1: {"lrs": {part: 0.5}}}))).rows[1].settings
        groups = parameter_groups(build_model("small_resnet", 3, size=16), plan.training_config(settings))
        assert 0.5 in [group["lr"] for group in groups]


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "x.yaml").write_text("title: [\nrows")
    with pytest.raises(UsageError, match="x.yaml is no YAML that can be used: see line 2"):
        read_sweep(tmp_path / "x.yaml")
    (tmp_path / "y.yaml").write_text("just words")
    with pytest.raises(UsageError, match=r"y.yaml must be a mapping"):
        read_sweep(tmp_path / "y.yaml")
    with pytest.raises(UsageError, match="did you mean 'caltech101_assignment'"):
        read_sweep("caltech101_asignment")


@pytest.mark.parametrize(("settings", "message"), [
    ({"model": "small_rasnet"}, "row 'slow': no network is called 'small_rasnet', did you mean 'small_resnet'"),
    ({"model": "alexnet"}, "row 'slow': alexnet cannot take images of 16 x 16 px"),
    ({"freeze": ["stage9"]}, "row 'slow': ResNet has no part 'stage9'"),
    ({"freeze": ["stem", "stage1", "stage2", "stage3", "head"]}, "row 'slow': freeze leaves nothing that learns"),
    ({"first": {"freeze": ["tail"]}}, "row 'slow': ResNet has no part 'tail'"),
    ({"lrs": {"haed": 0.1}}, "row 'slow': lrs: this network has no part 'haed', did you mean 'head'"),
    ({"augment": {"flipp": 0.5}}, "row 'slow': parameter 'augment': its settings: there is no 'flipp', did you mean 'flip'"),
    ({"augment": {"flip": 5}}, "'augment': flip must be a number from 0 to 1, not 5"),
    ({"epochs": 0}, "row 'slow': parameter 'epochs' must be a whole number from 1"),
    ({"schedule": "stepp"}, "row 'slow': parameter 'schedule' must be one of"),
    ({"weights": "tinyimagenet3"}, "row 'slow': no weights are called 'tinyimagenet3' and no file is, did you mean 'tinyimagenet30'"),
    ({"weights": "caltech101"}, "no weights are called 'caltech101'"),  # a data set, but no source of weights
])
def test_settings_that_do_not_go_together_are_refused_by_row(table, settings, message):
    with pytest.raises(UsageError, match=message):
        check(read_sweep(table({1: settings})))


@pytest.mark.parametrize("weights", ["imagenet", "menagerie_source", "tinyimagenet30", None])
def test_weights_go_by_the_names_that_build_model_knows(table, weights):
    check(read_sweep(table({1: {"weights": weights}})))


# rows and other settings

def test_rows_are_chosen_by_number_name_or_part_of_it(table):
    rows = read_sweep("caltech101_assignment").rows
    assert choose_rows([], rows) == list(range(10))
    assert choose_rows(["scratch", "1", 10], rows) == [0, 1, 2, 3, 9]
    assert choose_rows(["only convolutional layers trained"], rows) == [7]  # the whole name wins over being a part
    assert choose_rows(["only"], rows) == [6, 7, 8] and choose_rows(["model 3"], rows) == [3, 5, 9]
    for word, message in (("scrach, Base", "did you mean 'scratch, Base'"), ("11", "no row is called '11'"), ("0", "no row")):
        with pytest.raises(UsageError, match=message):
            choose_rows([word], rows)


def test_a_table_shrinks_by_overrides():
    sweep = override(read_sweep("caltech101_assignment"), {
        "size": "64", "epochs_share": "0.5", "model": "small_alexnet", "ResNet-50:model": "small_resnet",
        "weights": "tinyimagenet30"})
    assert sweep.data["size"] == 64 and sweep.changed == {"size": (224, 64)}
    by_name = {r.name: r for r in sweep.rows}
    assert [r.settings["model"] for r in sweep.rows] == ["small_alexnet"] * 9 + ["small_resnet"]
    assert [r.settings["weights"] for r in sweep.rows] == [None] * 4 + ["tinyimagenet30"] * 6
    assert by_name["scratch, Model 2"].settings["epochs"] == 20 and by_name["scratch, Model 2"].settings["step_size"] == 5
    assert by_name["scratch, Model 3"].settings["step_size"] == 8  # 7.5 up
    assert by_name["scratch, Base"].changed == {"model": ("alexnet", "small_alexnet"), "epochs": (30, 15), "step_size": (20, 10)}
    check(sweep)


def test_a_training_that_goes_first_is_shortened_too(table):
    sweep = read_sweep(table({1: {"first": {"epochs": 8, "freeze": ["stem"]}}}))
    assert override(sweep, {"epochs_share": 0.25}).rows[1].settings["first"] == {"epochs": 2, "freeze": ["stem"]}


def test_another_data_set_keeps_the_settings_it_knows():
    sweep = override(read_sweep("caltech101_assignment"), {"data": "menagerie", "train": "3"})
    assert sweep.data == {"name": "menagerie", "size": 224, "seed": 0, "train": 3}


@pytest.mark.parametrize(("given", "message"), [
    ({"lrr": 1}, "there is no 'lrr', did you mean 'lr'"), ({"lr": "fast"}, "'lr' must be a number above 0, not 'fast'"),
    ({"epochs_share": 0}, "epochs_share' must be a number above 0"), ({"epochs_share": 1.5}, "and at most 1, not 1.5"),
    ({"seed": 1}, "not a setting but --seeds"), ({"fist:lr": 1}, "no row is called 'fist', did you mean 'fast'"),
    ({"fast:size": 32}, "row 'fast': there is no 'size'"), ({"data": "folders"}, "did you mean 'folder'"),
])
def test_an_override_that_does_not_fit_is_refused(table, given, message):
    with pytest.raises(UsageError, match=message):
        override(read_sweep(table()), given)


# runs

def test_a_table_runs_and_a_second_call_makes_no_run(table, tmp_path, monkeypatch):
    lines = []
    outcome = run_sweep(table(), tmp_path / "out", device="cpu", progress=lambda text, passing: lines.append((text, passing)))
    assert outcome.made == ["fast, seed 0", "slow, seed 0", "only the head, seed 0"] and not outcome.found + outcome.failed
    assert any(passing and "[1/3] fast, seed 0: epoch 2 of 2, loss" in text for text, passing in lines)
    assert sum(not passing for _, passing in lines) == 3 and "(published 0.2500)" in str(lines)
    records = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out" / "records").iterdir()}
    assert len(records) == 3
    for record in records.values():
        assert {"row", "seed", "parameters", "published", "metrics", "history", "provenance"} <= set(record)
        assert len(record["history"]) == 2 and {"torch", "processor", "commit", "data", "device"} <= set(record["provenance"])
        best = max(record["history"], key=lambda e: (e["valid_accuracy"], -e["epoch"]))
        assert record["metrics"]["val"] == best["valid_accuracy"] and record["metrics"]["best_epoch"] == best["epoch"]
        assert record["metrics"]["last_loss"] == record["history"][-1]["train_loss"]

    monkeypatch.setattr(jobs, "train_row", None)  # calling it would fail
    before = (tmp_path / "out" / "index.html").read_text()
    again = run_sweep(table(), tmp_path / "out", device="cpu")
    assert again.found == outcome.made and not again.made + again.failed
    assert (tmp_path / "out" / "index.html").read_text() == before


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(table, tmp_path):
    for place, seeds in (("a", [0, 1]), ("b", [0])):
        run_sweep(table(), tmp_path / place, seeds=seeds, rows=["fast"], device="cpu")
    a, b = ({p.name: without_times(json.loads(p.read_text())) for p in (tmp_path / x / "records").iterdir()} for x in "ab")
    [name] = b
    assert a[name] == b[name] and len(a) == 2
    other = next(record for key, record in a.items() if key != name)
    assert other["history"] != a[name]["history"]


def test_a_changed_setting_or_picture_is_a_new_run_and_a_name_or_note_is_not(table, tmp_path, in_memory):
    fast = read_sweep(table()).rows[0]
    key = row.row_key(fast, in_memory)
    assert key == row.row_key(read_sweep(table({0: {"name": "quick", "note": "", "published": {}}})).rows[0], in_memory)
    assert key != row.row_key(read_sweep(table({0: {"gamma": 0.2}})).rows[0], in_memory)
    assert key != row.row_key(fast, Splits("squares", *(coloured_squares(n, seed=9) for n in (36, 12, 12))))
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    borrowing = read_sweep(table({0: {"weights": str(tmp_path / "w.safetensors")}})).rows[0]
    first = row.row_key(borrowing, in_memory)
    save_file({"x": torch.ones(1)}, tmp_path / "w.safetensors")
    assert row.row_key(borrowing, in_memory) != first


def test_other_code_or_another_torch_is_a_new_run(table, in_memory, monkeypatch):
    fast, source, keys = read_sweep(table()).rows[0], row.inspect.getsource, set()
    parts = (*TRAINING_CODE, row.train_row, row.freezing, row.recipes)
    for change in (None, "torch", *parts):
        with monkeypatch.context() as other:
            if change == "torch":
                other.setattr(torch, "__version__", "0.1")
            elif change:
                other.setattr(row.inspect, "getsource", lambda part, change=change: "other code" if part is change else source(part))
            keys.add(row.row_key(fast, in_memory))
    assert len(keys) == 2 + len(parts) > 10


def fake(settings, splits, seed, device, progress):
    """A run that takes no time: its test accuracy is told by its settings and seed."""
    metrics = {"last_loss": 1.0, "val": 0.5, "test": min(1.0, settings["lr"] * 10) - seed / 10, "seconds": 0.1,
               "best_epoch": 1, "numbers": 10, "numbers_learning": 5, "test_top5": 1.0}
    return {"metrics": metrics, "history": [{"stage": 1, "epoch": 1}]}


def test_what_was_finished_before_an_interruption_is_kept(table, tmp_path, monkeypatch):
    def interrupted(settings, *rest):
        if settings["lr"] < 0.01:
            raise KeyboardInterrupt
        return fake(settings, *rest)

    monkeypatch.setattr(jobs, "train_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(table(), tmp_path / "out", device="cpu")
    rows = json.loads((tmp_path / "out" / "summary.json").read_text())["rows"]
    assert [len(r["runs"]) for r in rows] == [1, 0, 0] and "not run" in (tmp_path / "out" / "index.html").read_text()
    monkeypatch.setattr(jobs, "train_row", fake)
    after = run_sweep(table(), tmp_path / "out", device="cpu")
    assert after.found == ["fast, seed 0"] and len(after.made) == 2


def test_a_run_that_fails_is_named_and_the_others_are_kept(table, tmp_path, monkeypatch):
    outcome = run_sweep(table({1: {"lr": 1e30}}), tmp_path / "out", device="cpu")  # the loss is no number any more
    assert outcome.failed == ["slow, seed 0"] and outcome.made == ["fast, seed 0", "only the head, seed 0"]
    slow = summary_of(outcome)["rows"][1]
    assert slow["failed"][0]["seed"] == 0 and "the loss became" in slow["failed"][0]["error"] and slow["runs"] == []
    assert "seed 0 failed: the loss became" in outcome.page.read_text()
    monkeypatch.setattr(jobs, "train_row", fake)  # the reason is gone: it is run again, and the failure forgotten
    again = run_sweep(table({1: {"lr": 1e30}}), tmp_path / "out", device="cpu")
    assert again.made == ["slow, seed 0"] and summary_of(again)["rows"][1]["failed"] == []
    assert not list((tmp_path / "out" / "records").glob("*.failed.json"))


def test_a_record_that_cannot_be_read_is_made_again(table, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "train_row", fake)
    run_sweep(table(), tmp_path / "out", device="cpu")
    for path, text in zip(sorted((tmp_path / "out" / "records").iterdir()), ("", "{}", "[1]"), strict=True):
        path.write_text(text)
    assert len(run_sweep(table(), tmp_path / "out", device="cpu").made) == 3


def test_a_record_that_says_something_else_than_was_written_is_made_again(table, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "train_row", fake)
    run_sweep(table(), tmp_path / "out", device="cpu")
    record = sorted((tmp_path / "out" / "records").iterdir())[0]
    said = json.loads(record.read_text())
    said["metrics"]["test"] = said["metrics"]["test"] + 0.1
    record.write_text(json.dumps(said))
    assert len(run_sweep(table(), tmp_path / "out", device="cpu").made) == 1
    said.pop("checksum")  # one of an older version
    record.write_text(json.dumps(said))
    assert not run_sweep(table(), tmp_path / "out", device="cpu").made


def test_only_chosen_rows_run_and_the_summary_has_them_all(table, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "train_row", fake)
    outcome = run_sweep(table(), tmp_path / "out", rows=["2"], device="cpu")
    assert outcome.made == ["slow, seed 0"]
    assert [(r["row"], len(r["runs"])) for r in summary_of(outcome)["rows"]] == [("fast", 0), ("slow", 1), ("only the head", 0)]


@pytest.mark.parametrize(("changes", "options", "message"), [
    ({"base": {"batch_size": 99, "drop_last": True}}, {}, "row 'fast': a batch of 99 is more than the 36 images"),
    ({"data": {"root": "/nowhere"}}, {}, "/nowhere"),
    ({1: {"weights": __file__}}, {}, "row 'slow': "), ({}, {"device": "cudo"}, "did you mean 'cuda'"),
    ({}, {"device": "cuda:99"}, "there is no GPU 99"), ({}, {"rows": ["fats"]}, "did you mean 'fast'"),
    ({}, {"seeds": [1, 1]}, "seeds are different"), ({1: {"weights": "imagenet"}}, {}, "row 'slow': there are no ImageNet weights"),
])
def test_nothing_runs_if_anything_is_wrong(table, tmp_path, changes, options, message):
    with pytest.raises(UsageError, match=message):
        run_sweep(table(changes), tmp_path / "out", **({"device": "cpu"} | options))
    assert not (tmp_path / "out").exists()


def test_a_row_may_see_images_of_its_own_size(table, tmp_path, monkeypatch):
    seen = {}
    def note(settings, splits, *_):
        seen[settings["image_size"]] = (splits.size, splits.train[0][0].shape[-1])
        return fake(settings, splits, *_)
    monkeypatch.setattr(jobs, "train_row", note)
    outcome = run_sweep(table({1: {"image_size": 24}}), tmp_path / "out", device="cpu")
    assert seen == {None: (16, 16), 24: (24, 24)}
    records = [json.loads(file.read_text()) for file in (tmp_path / "out" / "records").glob("*.json")]
    assert {r["row"]: r["parameters"]["data"]["size"] for r in records} == {"fast": 16, "slow": 24, "only the head": 16}
    assert "24 px" in outcome.page.read_text()
    with pytest.raises(UsageError, match="row 'slow': small_cnn cannot take images of 4 x 4 px"):
        run_sweep(table({1: {"image_size": 4, "model": "small_cnn"}}), tmp_path / "other", device="cpu")


def test_half_precision_for_gpus_is_run_whole_on_a_cpu_and_told(table, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "train_row", fake)
    outcome = run_sweep(table({1: {"amp": "float16"}}), tmp_path / "out", device="cpu")
    fast, slow, _ = summary_of(outcome)["rows"]
    assert slow["settings"]["amp"] == "off" and slow["changed"] == {"amp": ["float16", "off"]} and fast["changed"] == {}
    assert "amp off instead of float16 in <em>slow</em>" in outcome.page.read_text()


# weights and freezing

def watched(monkeypatch):
    """Every training inside `train_row`: what learned, and the weights before and after."""
    seen, fit = [], row.fit

    def watch(model, *rest):
        copy = lambda: {k: v.clone() for k, v in model.state_dict().items()}
        before, learns = copy(), {n for n, p in model.named_parameters() if p.requires_grad}
        history = fit(model, *rest)
        seen.append((learns, before, copy()))
        return history

    monkeypatch.setattr(row, "fit", watch)
    return seen


def settings_of(table, **own):
    return read_sweep(table({0: own})).rows[0].settings


def moved(before, after) -> set[str]:
    """The parts of which any number changed, buffers included."""
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_frozen_parts_keep_every_bit(table, in_memory, monkeypatch):
    seen = watched(monkeypatch)
    settings = settings_of(table, freeze=["stem", "stage1"], lr=0.1)
    found = row.train_row(settings, in_memory, 0, "cpu", lambda row: None)
    [(learns, before, after)] = seen
    assert {name.split(".")[0] for name in learns} == {"stage2", "stage3", "head"} == moved(before, after)
    numbers = build_model("small_resnet", 3, size=16)
    assert found["metrics"]["numbers"] == sum(p.numel() for p in numbers.parameters())
    assert found["metrics"]["numbers_learning"] == sum(p.numel() for n, p in numbers.named_parameters() if n in learns)


def test_a_head_is_trained_first_and_then_frozen_as_it_was_best(table, in_memory, monkeypatch):
    seen = watched(monkeypatch)
    body = ["stem", "stage1", "stage2", "stage3"]
    settings = settings_of(table, first={"freeze": body, "epochs": 3}, freeze=["head"])
    epochs = []
    found = row.train_row(settings, in_memory, 0, "cpu", epochs.append)
    (first, start, between), (second, again, end) = seen
    assert {n.split(".")[0] for n in first} == {"head"} == moved(start, between)
    assert {n.split(".")[0] for n in second} == set(body) == moved(again, end)
    assert not moved(between, again)  # the second training starts from the first one's best
    assert [(r["stage"], r["epoch"]) for r in found["history"]] == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]
    assert [(r["epoch"], r["of"]) for r in epochs] == [(1, 3), (2, 3), (3, 3), (1, 2), (2, 2)]
    assert found["metrics"]["val"] == max(r["valid_accuracy"] for r in found["history"] if r["stage"] == 2)


def test_borrowed_weights_are_where_a_row_starts(table, in_memory, tmp_path, monkeypatch):
    other = build_model("small_resnet", 5, size=16, seed=7).state_dict()
    save_file(other, tmp_path / "w.safetensors")
    seen = watched(monkeypatch)
    row.train_row(settings_of(table, weights=str(tmp_path / "w.safetensors")), in_memory, 0, "cpu", lambda row: None)
    [(_, before, _)] = seen
    assert all(torch.equal(before[k], other[k]) for k in before if not k.startswith("head"))
    assert before["head.weight"].shape == (3, 128)


def test_weights_of_another_network_are_refused_before_anything_runs(table, tmp_path):
    save_file(build_model("small_cnn", 3, size=16).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="row 'slow': these weights are for another network"):
        run_sweep(table({1: {"weights": str(tmp_path / "w.safetensors")}}), tmp_path / "out", device="cpu")


# the summary

def test_the_summary_has_published_here_and_difference_over_seeds(table, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "train_row", fake)
    run_sweep(table(), tmp_path / "out", seeds=[0], device="cpu")
    outcome = run_sweep(table(), tmp_path / "out", seeds=[1, 2], device="cpu")  # more seeds later are added
    fast, slow, head = summary_of(outcome)["rows"]
    values = [0.5, 0.4, 0.3]
    assert fast["here"]["test"] == {"mean": pytest.approx(0.4), "spread": pytest.approx(statistics.stdev(values)), "n": 3}
    assert fast["difference"]["test"] == pytest.approx(0.15) and fast["published"]["test"] == 0.25
    assert slow["difference"]["last_loss"] is None and head["published"] == {"last_loss": None, "val": None, "test": None}
    assert [r["seed"] for r in fast["runs"]] == [0, 1, 2]
    lines = list(csv.DictReader((tmp_path / "out" / "summary.csv").read_text().splitlines()))
    assert [line["row"] for line in lines] == ["fast", "slow", "only the head"] and lines[0]["runs"] == "3"
    assert math.isclose(float(lines[0]["test_difference"]), 0.15) and math.isclose(float(lines[0]["test_spread"]), 0.1)
    assert lines[2]["test_published"] == "" and lines[2]["test_difference"] == ""
    text = outcome.page.read_text()
    assert "0.4000<span class=\"spread\">± 0.1000</span>" in text and "+0.1500" in text and "a note" in text


def test_the_page_stands_alone_and_escapes(table, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "train_row", fake)
    text = run_sweep(table(), tmp_path / "out", device="cpu").page.read_text()
    assert "Squares &amp; &lt;circles&gt;" in text and "<circles>" not in text
    assert "<script" not in text and "http" not in text and "<p>Second.</p>" in text
    assert text.count("src=") == text.count('src="data:image/png;base64,') == 1
    assert "fast: published 0.250, here 0.500" in text


def test_a_table_of_nothing_published_has_our_columns_only(table, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "train_row", fake)
    plain = table({0: {"published": {}}, 1: {"published": {}}})
    text = run_sweep(plain, tmp_path / "out", device="cpu").page.read_text()
    assert "published" not in text.lower() and "difference" not in text and "0.5000" in text and "<img" in text


def test_where_runs_are_from_is_told_once():
    records = {"a": {"runs": [{"provenance": {"torch": "2", "commit": c, "started": c}} for c in ("x", "y", "x")]},
               "b": {"runs": [{"provenance": {"torch": "3", "commit": "", "started": "z"}}]}}
    assert provenances(records) == [{"runs": 3, "commits": ["x", "y"], "torch": "2"}, {"runs": 1, "commits": [], "torch": "3"}]


def test_rows_that_stand_in_another_order_than_published_are_named(table, tmp_path, monkeypatch):
    cell = lambda name, published, here: {"row": name, "published": {"test": published}, "here": {"test": {"mean": here}}}
    rows = [cell("a", 0.1, 0.5), cell("b", 0.2, 0.4), cell("c", 0.3, 0.6), cell("d", 0.3, 0.1), cell("e", None, 0.9)]
    order = order_of(rows)
    assert order["pairs"] == 5  # of six, c and d are published as equal
    assert [(t["better_there"], t["better_here"]) for t in order["turned"]] == [("b", "a"), ("d", "a"), ("d", "b")]
    assert order["turned"][0] == {"better_there": "b", "better_here": "a", "published": pytest.approx(0.1), "here": pytest.approx(0.1)}
    monkeypatch.setattr(jobs, "train_row", fake)
    outcome = run_sweep(table(), tmp_path / "out", device="cpu")
    [turned] = summary_of(outcome)["order"]["turned"]
    assert (turned["better_there"], turned["better_here"]) == ("slow", "fast")
    assert "<em>fast</em> is 0.4999 better than <em>slow</em> here; in the source it is 0.5000 worse" in outcome.page.read_text()


def test_a_page_without_any_run_or_published_value_is_still_one(table, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "train_row", lambda *rest: {}["missing"])
    outcome = run_sweep(table({0: {"published": {}}, 1: {"published": {}}}), tmp_path / "out", device="cpu")
    assert len(outcome.failed) == 3 and "KeyError" in outcome.page.read_text()
    assert "<img" not in page(summary_of(outcome))


# the command

def call(monkeypatch, capsys, *words):
    """(exit code, what was printed) of `cnnviz sweep ...`, through the real entry point."""
    monkeypatch.setattr(cli.sys, "argv", ["cnnviz", "sweep", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    printed = capsys.readouterr()
    return end.value.code, printed.out + printed.err


def test_the_command_ends_with_0_2_3_and_130(table, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    monkeypatch.setattr(jobs, "train_row", fake)
    code, text = call(monkeypatch, capsys, table(), "--out", out, "--set", "epochs=1", "fast:lr=0.02", "--rows", "fast", "2",
                      "--seeds", "0", "3", "--device", "cpu")
    assert code == 0 and "4 runs made, 0 were there" in text and "[4/4] slow, seed 3" in text and "\r" not in text
    records = [json.loads(p.read_text()) for p in sorted((out / "records").iterdir())]
    assert [(r["row"], r["seed"], r["parameters"]["lr"], r["parameters"]["epochs"]) for r in records] == [
        ("fast", 0, 0.02, 1), ("fast", 3, 0.02, 1), ("slow", 0, 1e-5, 1), ("slow", 3, 1e-5, 1)]

    for words, message in ((["--set", "size"], "as in --set size=64, not 'size'"), (["--set", "lrr=1"], "did you mean 'lr'"),
                           (["--rows", "fats"], "did you mean 'fast'"), (["--seeds", "-1"], "seeds are different")):
        code, text = call(monkeypatch, capsys, table(), "--out", out, "--device", "cpu", *words)
        assert code == 2 and message in text and "Traceback" not in text
    assert call(monkeypatch, capsys, "no_such_table")[0] == 2

    monkeypatch.setattr(jobs, "train_row", lambda *rest: 1 / 0)
    code, text = call(monkeypatch, capsys, table(), "--out", tmp_path / "other", "--device", "cpu")
    assert code == 3 and "cnnviz: failed: fast, seed 0; slow, seed 0" in text and "division by zero" in text

    def interrupted(*rest):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "train_row", interrupted)
    code, text = call(monkeypatch, capsys, table(), "--out", tmp_path / "third", "--device", "cpu")
    assert code == 130 and "what was finished is kept" in text


@pytest.mark.parametrize(("words", "expected"), [
    ("sweep f --rows a b --seeds 0 1 --out x", "sweep f --rows a --rows b --seeds 0 --seeds 1 --out x"),
    ("sweep --set a=1 b=2 f", "sweep --set a=1 --set b=2 f"), ("sweep --seeds 0 1 f", "sweep --seeds 0 --seeds 1 f"),
    ("sweep --set a=1 --set b=2", "sweep --set a=1 --set b=2"), ("run 1 -p n 4", "run 1 -p n 4"), ("sweep f --set", "sweep f --set"),
])
def test_options_take_as_many_values_as_follow(words, expected):
    assert repeat_options(words.split()) == expected.split()


@pytest.mark.parametrize(("file", "number"), [("recipe", 0), ("tinyimagenet30", 3)])
def test_a_row_called_the_recipe_has_its_settings(file, number):
    found = read_sweep(file).rows[number]
    assert "recipe" in found.name
    assert plan.training_config(found.settings) == recipe(found.settings["epochs"])
