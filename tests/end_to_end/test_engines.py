"""Engines: the same answers wherever the work is done, and none lost when a machine dies in the middle."""

import functools
import json
import os
import sys
import threading
import time
import warnings

import pytest
import torch
import yaml
from PIL import Image

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.engines import Answer, Share, make_engine, share_of
from cnnviz_utils.sweep.run import run_sweep

TABLE = {
    "title": "Two rows", "data": {"name": "folder", "size": 16},
    "base": {"model": "small_resnet", "lr": 0.05, "batch_size": 12, "epochs": 3},
    "rows": [{"name": "fast"}, {"name": "slow", "lr": 1e-5}],
}


def square(number, say):
    say(f"at {number}")
    return number * number


def die(number, say):
    os._exit(1)


def threads(number, say):
    return torch.get_num_threads(), os.environ.get("CUDA_VISIBLE_DEVICES")


def fails(number, say):
    raise UsageError("this item is no good")


class Gate:
    """An engine whose items wait until a file is there: what happens meanwhile happens while they run."""

    def __init__(self, engine, file):
        self.engine, self.file, self.device = engine, file, engine.device

    def run(self, function, items, say, **stop):
        return self.engine.run(functools.partial(gated, function, str(self.file)), items, say, **stop)


def gated(function, file, item, say):
    say("waits")
    while not os.path.exists(file):
        time.sleep(0.05)
    return function(item, say)


# here

@pytest.mark.parametrize("jobs", [1, 3])
def test_every_item_is_answered_once(jobs):
    said = []
    answers = list(make_engine(jobs=jobs, device="cpu").run(square, [3, 1, 2], lambda n, text: said.append((n, text))))
    assert sorted(answers, key=lambda a: a.number) == [Answer(0, 9), Answer(1, 1), Answer(2, 4)]
    assert sorted(said) == [(0, "at 3"), (1, "at 1"), (2, "at 2")]


def test_one_at_a_time_is_the_callers_own_thread_and_several_are_not():
    who = lambda number, say: threading.current_thread() is threading.main_thread()
    assert [a.value for a in make_engine(device="cpu").run(who, [0, 1])] == [True, True]
    assert [a.value for a in make_engine(device="cpu", jobs=2).run(who, [0, 1])] == [False, False]


def test_an_items_error_is_the_callers():
    for jobs in (1, 2):
        with pytest.raises(UsageError, match="this item is no good"):
            list(make_engine(jobs=jobs, device="cpu").run(fails, [1]))


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_runs_is_stopped_before_it_is_waited_for(jobs):
    stopped = threading.Event()

    def waits(number, say):
        return number == 0 or stopped.wait(60)

    running = make_engine(device="cpu", jobs=jobs).run(waits, [0, 1], stop=stopped.set)
    assert next(running) == Answer(0, True) and not stopped.is_set()
    running.close()
    assert stopped.is_set()


@pytest.mark.parametrize(("options", "message"), [
    ({"name": "rai"}, "no engine is called 'rai', did you mean 'ray'"), ({"address": "x:1"}, "add --engine ray"),
    ({"share": Share(gpus=1.0)}, "add --engine ray"),
])
def test_what_does_not_belong_to_an_engine_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        make_engine(**({"device": "cpu"} | options))


@pytest.mark.parametrize(("cpus", "gpus", "retries", "message"), [
    (0, None, None, "cpus must be a whole number from 1"), (1, 1.5, None, "a part of one GPU or a whole number of them, not 1.5"),
    (1, -1.0, None, "gpus must be"), (None, None, -1, "retries must be"),
])
def test_shares_out_of_range_are_refused(cpus, gpus, retries, message):
    with pytest.raises(UsageError, match=message):
        share_of(cpus, gpus, retries)
    assert share_of(None, None, None) is None and share_of(None, 0.5, None) == Share(None, 0.5, 3)


# on Ray: a head that computes nothing, and two machines of a core each, all of them processes here

@pytest.fixture
def ray_cluster(monkeypatch):
    """(Ray's cluster, its two computing nodes)."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "0")  # what else runs here is none of Ray's business
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no machine of the cluster has this file

    memory = {"object_store_memory": 100_000_000, "include_dashboard": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "num_gpus": 0, **memory})
            nodes = [cluster.add_node(num_cpus=1, num_gpus=0, object_store_memory=100_000_000) for _ in range(2)]
        except Exception as error:  # Ray gives its own processes seconds to start, whatever else the machine does
            if "timed out" not in str(error).lower():
                raise
            pytest.skip("this machine is too busy to start Ray's processes in time")
        yield cluster, nodes
        cluster.shutdown()


@pytest.fixture
def table(tmp_path):
    from conftest import coloured_squares

    data = coloured_squares(60)
    for i, label in enumerate(data.labels.tolist()):
        folder = tmp_path / "squares" / data.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.images[i].transpose(1, 2, 0)).save(folder / f"{i}.png")
    TABLE["data"]["root"] = str(tmp_path / "squares")
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(TABLE, sort_keys=False))
    return tmp_path / "two.yaml"


def results(folder) -> dict:
    """What was computed, by record: everything but times and places."""
    found = {}
    for path in (folder / "records").glob("*.json"):
        record = json.loads(path.read_text())
        history = [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in record["history"]]
        found[path.name] = ({k: v for k, v in record["metrics"].items() if k != "seconds"}, history)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("CNNVIZ_RAY"), reason="two minutes of Ray's processes: CNNVIZ_RAY=1 runs it")
def test_a_sweep_on_two_machines_of_which_one_dies_loses_nothing(ray_cluster, table, tmp_path):
    cluster, nodes = ray_cluster
    torch.set_num_threads(1)
    run_sweep(table, tmp_path / "here", seeds=[0, 1], device="cpu")
    engine = make_engine("ray", device="auto", address=cluster.address, share=Share(cpus=1))
    assert engine.device == "cpu"
    begun, own = {}, engine.ray.get_runtime_context().get_node_id()  # on one computer the command may sit on any node
    victim = next(node for node in nodes if node.node_id != own)

    def watch(text, passing):
        head, _, rest = text.partition(": ")
        if rest == "waits":
            begun[head] = begun.get(head, 0) + 1
        if len(begun) == 2 and not (tmp_path / "go").exists():  # both machines are at work
            cluster.remove_node(victim, allow_graceful=False)
            (tmp_path / "go").touch()

    try:
        outcome = run_sweep(table, tmp_path / "ray", seeds=[0, 1], progress=watch, engine=Gate(engine, tmp_path / "go"))
        assert sorted(begun.values()) == [1, 1, 1, 2]  # what was on the dead machine began again
        assert len(outcome.made) == 4 and not outcome.failed
        assert results(tmp_path / "ray") == results(tmp_path / "here") and len(results(tmp_path / "here")) == 4
        again = run_sweep(table, tmp_path / "ray", seeds=[0, 1], engine=engine)
        assert len(again.found) == 4 and not again.made

        assert [a.value for a in engine.run(threads, [0])] == [(1, "")]
        with pytest.raises(UsageError, match="this item is no good"):
            list(engine.run(fails, [0]))
        for share, message in ((Share(cpus=64), "asks for 64 cores, and no machine of this cluster has more than 1"),
                               (Share(gpus=0.5), "asks for 0.5 GPUs, and no machine of this cluster has more than 0")):
            with pytest.raises(UsageError, match=message):
                make_engine("ray", share=share)
        with pytest.raises(UsageError, match="needs a share of a GPU"):
            make_engine("ray", device="cuda", share=Share(cpus=1))
        deadly = make_engine("ray", share=Share(cpus=1, retries=1))
        assert [a.problem for a in deadly.run(die, [0])] == ["what ran it died 2 times (its process ended)"]
        # the images are others than those that the table was planned with
        pictures = sorted((tmp_path / "squares").rglob("*.png"))
        Image.new("RGB", (16, 16)).save(pictures[0])
        check_other_data(engine, table, tmp_path)
    finally:
        engine.close()


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("CNNVIZ_RAY"), reason="a minute of Ray's processes: CNNVIZ_RAY=1 runs it")
def test_lessons_of_two_profiles_on_a_cluster_are_those_of_this_machine(ray_cluster, tmp_path, capfd):
    from test_runs import RECORDING, lesson_file

    from cnnviz_utils.course.lessons import all_lessons
    from cnnviz_utils.course.run import LessonFailed
    from cnnviz_utils.course.together import Progress, Work, run_lessons

    (tmp_path / "notebooks").mkdir()
    lesson_file(tmp_path, "01_first", "import os\nos.environ['OMP_NUM_THREADS']", RECORDING)
    lesson_file(tmp_path, "02_second", "raise ValueError('no photos')")
    first, second = all_lessons(tmp_path / "notebooks").values()
    own = {name: p.value for name, p in first.parameters.items()}
    plan = [(first, "quick", own), (first, "big", own | {"n": 9}), (second, "quick", own)]

    def ran(engine, out):
        works = [Work(one, values, tmp_path / out / profile, profile, True) for one, profile, values in plan]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {work.name: done for work, done in run_lessons(works, engine, Progress())}

    engine = make_engine("ray", address=ray_cluster[0].address, share=Share(cpus=1))
    try:
        there = ran(engine, "ray")
    finally:
        engine.close()
    here = ran(make_engine(device="cpu"), "here")
    assert there.keys() == here.keys() == {"01_first, profile quick", "01_first, profile big", "02_second, profile quick"}
    for name, done in here.items():
        if isinstance(done, LessonFailed):
            assert str(there[name]) == str(done) and "no photos" in str(done)
        else:
            assert there[name].claims == done.claims and there[name].page.exists()
    said = capfd.readouterr().out
    assert said.count("01_first, profile big: 01 · What is it?") == 2 and said.count("Part one") == 6


def check_other_data(engine, table, tmp_path):
    from dataclasses import replace

    from cnnviz_utils.sweep.jobs import Job, Runner
    from cnnviz_utils.sweep.plan import read_sweep

    sweep = read_sweep(table)
    job = Job(sweep.rows[0], 0, tmp_path / "none.json", sweep.data, "000000000000")
    [answer] = engine.run(Runner("cpu"), [job, replace(job, seed=1)][:1])
    assert "has other images, weights, code, or another torch" in answer.value["error"]


@pytest.mark.skipif(not os.environ.get("CNNVIZ_RAY"), reason="Ray tries an address for minutes: CNNVIZ_RAY=1 runs it")
def test_an_address_where_nothing_answers_is_one_sentence(monkeypatch):
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match="no Ray cluster answers at 127.0.0.1:1 "), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_engine("ray", address="127.0.0.1:1")
