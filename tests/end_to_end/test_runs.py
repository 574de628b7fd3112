"""Runs that succeed, and every way to fail: each with its sentence, its exit code, and nothing half-written."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import pytest
import torch
from typer.testing import CliRunner

from cnnviz_utils import cli
from cnnviz_utils.base import paths
from cnnviz_utils.base.declared import declared
from cnnviz_utils.base.settings import UsageError, convert, many
from cnnviz_utils.cli import words as words_
from cnnviz_utils.cli.run import _shared_out
from cnnviz_utils.course import lessons, together
from cnnviz_utils.course.about import About
from cnnviz_utils.course.lessons import parse_parameters
from cnnviz_utils.course.records import RECORD, Claim, plain, record
from cnnviz_utils.course.together import memory_gb, share_out

PARAMETERS = "n: int = 3  # how many\nlr: float = 0.1  # step\nname: str = 'bee'\nflag: bool = False\nsizes: list = [1, 2]"
RECORDING = ("from cnnviz_utils.course.records import Claim, record\n"
             "record('01_first', {'n': n}, [Claim('n is at most 5', f'n = {n}', n <= 5)])")


def lesson_file(folder: Path, name: str, *cells: str) -> None:
    md, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    first = [md(f"# {name[:2]} · What is it?"), code(PARAMETERS, metadata={"tags": ["parameters"]}), md("## Part one")]
    notebook = nbformat.v4.new_notebook(cells=first + [code(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of two tiny lessons, and a function that calls the command in it: (exit code, output)."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "quick.yaml").write_text("description: as they are\n")
    (tmp_path / "profiles" / "big.yaml").write_text("all: {n: 9}\nlessons: {02_second: {lr: 1}}\n")
    lesson_file(tmp_path, "01_first", "x = n * 2\nx", RECORDING)
    lesson_file(tmp_path, "02_second", "import os\nassert os.path.exists('02_second.ipynb')  # it runs in its own folder", "lr")
    for module in (paths, lessons):
        monkeypatch.setattr(module, "course_root", lambda: tmp_path)

    def call(*words):
        result = CliRunner().invoke(cli.app, [*words, "--out", str(tmp_path / "out")] if words[0] == "run" else list(words))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output + (result.stderr or "")

    call.folder = tmp_path
    return call


def test_a_course_that_holds_ends_with_zero_and_leaves_everything(course):
    code, output = course("run")
    out = course.folder / "out"
    assert code == 0, output
    assert {p.name for p in out.iterdir()} == {"index.html", "glossary.html", "bibliography.html"} | {f"{n}{e}" for n in ("01_first", "02_second")
                                                               for e in (".html", ".ipynb", ".metrics.json")}
    facts = json.loads((out / "01_first.metrics.json").read_text())
    assert facts["parameters"]["n"] == 3 and facts["metrics"] == {"n": 3} and facts["claims"][0]["holds"] is True
    assert {"torch", "python", "processor", "seconds", "commit"} <= set(facts["provenance"])
    index = (out / "index.html").read_text()
    assert "01 · What is it?" in index and "1 of 1 claims hold" in index
    assert "01_first" in output and "Part one" in output and "1 of 1 claims hold" in output


def test_parameters_reach_the_notebook_and_a_broken_claim_ends_with_one(course):
    code, output = course("run", "1", "-p", "n=7")
    assert code == 1 and "does not hold: n is at most 5 (n = 7)" in output
    facts = json.loads((course.folder / "out" / "01_first.metrics.json").read_text())
    assert facts["parameters"]["n"] == 7 and facts["changed"] == ["n"]
    executed = nbformat.read(course.folder / "out" / "01_first.ipynb", 4)
    assert "14" in str(executed.cells[4].outputs)


def test_a_profile_sets_parameters_and_its_broken_claims_are_told_not_fatal(course):
    code, output = course("run", "--profile", "big")
    assert code == 0 and "does not hold" in output
    facts = json.loads((course.folder / "out" / "02_second.metrics.json").read_text())
    assert facts["parameters"]["n"] == 9 and facts["parameters"]["lr"] == 1.0


def test_several_profiles_have_a_folder_each_and_only_quick_ones_claims_are_fatal(course):
    code, output = course("run", "--profile", "quick", "--profile", "big", "--profile", "quick")
    out = course.folder / "out"
    assert code == 0 and output.count("2 of 2 lessons ran") == 2, output
    assert "01_first, profile big: 0 of 1 claims hold" in output
    for profile, n in (("quick", 3), ("big", 9)):
        facts = json.loads((out / profile / "01_first.metrics.json").read_text())
        assert facts["parameters"]["n"] == n and facts["provenance"]["profile"] == profile
        assert (out / profile / "index.html").exists()
    assert {p.name for p in out.iterdir()} == {"quick", "big"}
    assert course("run", "--profile", "quick", "--profile", "big", "-p", "n=7")[0] == 1


@pytest.mark.parametrize(("words", "message"), [
    (["3"], "no lesson is called '3'"), (["frist"], "did you mean '01_first'"), (["s"], "could be"),
    (["--profile", "quik"], "did you mean 'quick'"), (["-p", "m=1"], "no chosen lesson has a parameter 'm'"),
    (["-p", "n=2.5"], "'n' must be a whole number, not '2.5'"), (["-p", "n=many"], "'n' must be a whole number, not 'many'"), (["-p", "flag=1"], "'flag' must be true or false"),
    (["-p", "sizes=3"], "'sizes' must be a list"), (["\u00b2"], "no lesson is called"), (["-p", "lr=-1"], "'lr' must be a number above 0"),
    (["-p", "lr=1e999"], "'lr' must be a number"), (["--engine", "slurm"], "no engine is called 'slurm'"),
    (["--engine", "ray", "-j", "2"], "Ray runs as many as it has cores"), (["--address", "here:1"], "add --engine ray"),
    (["--profile", "quick", "--profile", "big", "--photos", "."], "--photos takes one profile"),
])
def test_what_does_not_exist_is_refused_before_anything_runs(course, words, message):
    code, output = course("run", *words)
    assert code == 2 and message in output and "Traceback" not in output
    assert not (course.folder / "out").exists()


def test_a_profile_with_a_misspelt_parameter_is_refused(course):
    (course.folder / "profiles" / "odd.yaml").write_text("lessons: {01_first: {sise: 3}}\n")
    code, output = course("run", "--profile", "odd")
    assert code == 2 and "01_first has no parameter 'sise'" in output and "sizes" in output


@pytest.mark.parametrize(("cell", "message"), [
    ("raise ValueError('no photos in that folder')", "raised ValueError: no photos in that folder"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "kernel died"),
    ("import time\ntime.sleep(60)", "took longer than 2 seconds"),
])
def test_a_lesson_that_fails_says_how_and_the_others_still_run(course, cell, message):
    lesson_file(course.folder, "01_first", "1 + 1", cell, RECORDING)
    code, output = course("run", "--timeout", "2")
    out = course.folder / "out"
    assert code == 3 and message in output and "Traceback" not in output
    assert not (out / "01_first.html").exists() and (out / "02_second.html").exists()
    assert "01_first" in (out / "index.html").read_text()
    assert (out / "01_first.failed.ipynb").exists()


def test_an_older_page_survives_a_failure_and_a_success_removes_the_failed_one(course):
    course("run", "1")
    good = (course.folder / "out" / "01_first.html").read_text()
    original = (course.folder / "notebooks" / "01_first.ipynb").read_text()
    lesson_file(course.folder, "01_first", "raise KeyError('x')")
    assert course("run", "1")[0] == 3
    assert (course.folder / "out" / "01_first.html").read_text() == good
    (course.folder / "notebooks" / "01_first.ipynb").write_text(original)
    assert course("run", "1")[0] == 0 and not (course.folder / "out" / "01_first.failed.ipynb").exists()


MEET = """import pathlib, time
pathlib.Path('{mine}').touch()
for _ in range(600):
    if pathlib.Path('{other}').exists():
        break
    time.sleep(0.1)
else:
    raise RuntimeError('the other lesson never ran at the same time')"""


def test_two_lessons_run_at_the_same_time_and_share_the_cores(course):
    """Each waits for the other: they end only if they run together."""
    for name, mine, other in (("01_first", "a", "b"), ("02_second", "b", "a")):
        lesson_file(course.folder, name, MEET.format(mine=mine, other=other),
                    "import os, torch\nprint(os.environ['OMP_NUM_THREADS'], torch.get_num_threads())")
    code, output = course("run", "--jobs", "2")
    assert code == 0, output
    threads = max(1, torch.get_num_threads() // 2)
    for name in ("01_first", "02_second"):
        executed = nbformat.read(course.folder / "out" / f"{name}.ipynb", 4)
        assert executed.cells[-1].outputs[0].text == f"{threads} {threads}\n"
        facts = json.loads((course.folder / "out" / f"{name}.metrics.json").read_text())["provenance"]
        assert f", {many(threads, 'thread')}" in facts["processor"]


@pytest.mark.parametrize(("jobs", "order"), [(1, "000102"), (2, "010200")])
def test_one_at_a_time_runs_in_order_and_of_several_the_longest_begin(tmp_path, monkeypatch, jobs, order):
    """The two that begin wait for each other, so that the third begins last."""
    begun, meet = [], threading.Barrier(2)

    def run(lesson, *rest):
        begun.append(lesson.name[:2])
        if jobs == 2 and lesson.about.minutes:
            meet.wait(60)

    monkeypatch.setattr(together, "run_lesson", run)
    chosen = [lessons.Lesson(Path(f"{i:02d}_x.ipynb"), "", {}, About(minutes=m)) for i, m in enumerate((0.0, 2.0, 1.0))]
    works, engine = _shared_out([together.Work(lesson, {}, tmp_path) for lesson in chosen], jobs, "local", None)
    assert len(list(together.run_lessons(works, engine, together.Progress()))) == 3
    assert sorted(begun[:2]) + begun[2:] == re.findall("..", order)


@pytest.mark.parametrize(("lessons_", "cores", "memory", "jobs", "gpu", "expected"), [
    (10, 2, 16, None, False, (2, 1)), (10, 1, 16, None, False, (1, 1)), (10, 8, 16, None, False, (4, 2)),
    (1, 8, 16, None, False, (1, 8)), (3, 16, 64, None, False, (3, 5)), (10, 8, 8, None, False, (2, 4)),
    (10, 2, 2, None, False, (1, 2)), (10, 8, float("inf"), None, False, (4, 2)), (10, 8, 64, None, True, (1, 8)),
    (10, 8, 64, 2, True, (2, 4)), (10, 2, 4, 5, False, (5, 1)),
])
def test_cores_are_shared_out(lessons_, cores, memory, jobs, gpu, expected):
    assert share_out(lessons_, cores, memory, jobs, gpu) == expected


def test_the_machines_memory_is_in_gigabytes():
    assert 0.5 < memory_gb() < 1e5


def started(*words: str) -> subprocess.Popen:
    """Python with these words, as from a terminal: leader of its processes, and not deaf to Ctrl-C (what a shell starts
    in the background is, and so are we if we were started there)."""
    return subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def test_a_request_to_end_stops_what_runs_and_keeps_what_is_finished(course):
    """The command as a system starts and stops it; the lesson that waits forever is not left running. SIGTERM raises
    what Ctrl-C does (the next test), so one of the two shows what happens then."""
    lesson_file(course.folder, "02_second", PID, "time.sleep(300)")
    script = ("import pathlib, sys\nfrom cnnviz_utils import cli\nfrom cnnviz_utils.base import paths\nfrom cnnviz_utils.course import lessons\n"
              f"paths.course_root = lessons.course_root = lambda: pathlib.Path({str(course.folder)!r})\ncli.main()")
    out = course.folder / "out"
    command = started("-c", script, "run", "--jobs", "2", "--out", str(out))
    wait_for(lambda: (out / "01_first.html").exists() and (course.folder / "notebooks" / "pid").exists())
    command.send_signal(signal.SIGTERM)
    output = command.communicate(timeout=180)[0]
    assert command.returncode == 130 and "interrupted; what was finished is kept" in output and "Traceback" not in output
    assert (out / "index.html").exists() and not list(out.glob("*.failed.ipynb")) and not list(out.glob(".run-*"))
    kernel = int((course.folder / "notebooks" / "pid").read_text())
    wait_for(lambda: ended(kernel))


def test_sigterm_and_sighup_raise_what_ctrl_c_raises(monkeypatch):
    usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(cli.sys, "argv", ["cnnviz", "run", "nothing"])
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
        with pytest.raises(SystemExit):
            cli.main()
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def test_ctrl_c_while_it_is_still_importing_ends_without_a_traceback(course):
    """A terminal sends the signal to every process of the command."""
    command = started("-m", "cnnviz_utils.cli", "run", "01", "--out", str(course.folder / "out"))
    assert command.stdout.readline().startswith("01_data_splits")
    time.sleep(1)
    os.killpg(command.pid, signal.SIGINT)
    output = command.communicate(timeout=180)[0]
    assert command.returncode == 130 and "interrupted" in output and "Traceback" not in output, output


PID = "import os, pathlib, signal, sys, time\npathlib.Path('pid').write_text(str(os.getpid()))"


def test_a_kernel_does_not_outlive_the_process_that_runs_the_lesson(course):
    lesson_file(course.folder, "01_first", PID, "os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(300)")
    code, output = course("run", "1")
    assert code == 3 and "ended without a word" in output
    wait_for(lambda: ended(int((course.folder / "notebooks" / "pid").read_text())))


def ended(process: int) -> bool:
    """Gone, or dead and not yet collected by its parent (Linux)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition, seconds=180):
    for _ in range(10 * seconds):
        if condition():
            return
        time.sleep(0.1)
    raise TimeoutError("that never happened")


def test_execute_stores_outputs_with_clean_metadata(course):
    assert course("execute", "1")[0] == 0
    notebook = nbformat.read(course.folder / "notebooks" / "01_first.ipynb", 4)
    assert [c.execution_count for c in notebook.cells if c.cell_type == "code"] == [1, 2, 3]
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(set(c.metadata) <= {"tags"} for c in notebook.cells)
    assert RECORD in notebook.cells[-1].outputs[0].data
    before = (course.folder / "notebooks" / "01_first.ipynb").read_bytes()
    course("execute", "1")
    assert (course.folder / "notebooks" / "01_first.ipynb").read_bytes() == before


def test_two_words_after_p_as_the_readme_has_it(course, monkeypatch, capsys):
    monkeypatch.setattr(cli.sys, "argv", ["cnnviz", "run", "1", "-p", "n", "4", "--out", str(course.folder / "out")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert json.loads((course.folder / "out" / "01_first.metrics.json").read_text())["parameters"]["n"] == 4


@pytest.mark.parametrize("words", [["-p", "seed", "3"], ["-p", "seed=3"], ["-pseed", "3"], ["-pseed=3"], ["--parameter", "seed", "3"],
                                   ["--parameter=seed", "3"], ["--parameter=seed=3"]])
def test_a_parameter_however_it_is_written(words):
    assert words_.one_value_each(["run", *words, "02", "-j", "1"])[1:] in (
        [option, "seed=3", "02", "-j", "1"] for option in ("-p", "--parameter"))


@pytest.mark.parametrize("words", [["-p"], ["-p", "seed"], ["-pseed"], ["--parameter=seed"]])
def test_a_parameter_without_a_value_is_one_sentence(words, capsys):
    with pytest.raises(SystemExit) as end:
        words_.one_value_each(["run", *words])
    assert end.value.code == 2 and "needs a parameter's name and a value" in capsys.readouterr().err


def test_lessons_and_data_are_listed(course, tmp_path):
    code, output = course("lessons")
    assert code == 0 and "n: int = 3  how many" in output
    code, output = course("data", "--root", str(tmp_path))
    assert code == 0 and "menagerie: here" in output and "caltech101: missing" in output
    assert course("data", "caltech101", "--root", str(tmp_path))[0] == 1
    assert course("data", "caltech11", "--root", str(tmp_path))[0] == 2


def test_copy_never_overwrites(course, tmp_path):
    assert course("copy", str(tmp_path / "mine"))[0] == 0 and len(list((tmp_path / "mine").iterdir())) == 2
    assert course("copy", str(tmp_path / "mine"))[0] == 2


@pytest.mark.parametrize(("text", "kind", "expected"), [
    ("3", "int", 3), ("3", "float", 3.0), ("1e-3", "float", 0.001), ("true", "bool", True), ("False", "bool", False),
    ("bee", "str", "bee"), ("7", "str", "7"), ("(1, 2)", "list", [1, 2]), ("none", "int | None", None), ("[1]", "list[int]", [1]),
])
def test_values_take_the_declared_type(text, kind, expected):
    value = convert(text, kind, "lesson: parameter 'p'")
    assert value == expected and type(value) is type(expected)


@pytest.mark.parametrize(("text", "kind"), [("['a', 3]", "list[int]"), ("1", "bool"), ("nan", "float"), ("inf", "float"), ("2.0", "int"),
                                            ("1", "__import__('os')"), ("1", "int.real"), ([1.5], "list[int]")])
def test_values_that_do_not_fit_are_refused(text, kind):
    with pytest.raises(UsageError, match="lesson: parameter 'p'"):
        convert(text, kind, "lesson: parameter 'p'")


@pytest.mark.parametrize(("content", "message"), [
    (b"all: [1", "odd.yaml is no YAML"), (b"all: !!python/name:os.system", "odd.yaml is no YAML"), (b"[1]", "must be a mapping"),
    (b"5", "must be a mapping"), (b"description: caf\xe9", "no text in UTF-8"), (b"1: a\nall: {}", "1 is no text"), (b"all: [1]", "all must be a mapping"),
    (b"lessons: {01_first: [1]}", "01_first must be a mapping"), (b"lessons: 5", "lessons must be a mapping"), (b"al: {}", "did you mean 'all'"),
    (b"all: {lr: .nan}", "'lr' must be a number"),
])
def test_a_profile_that_is_none_is_one_sentence(course, content, message):
    (course.folder / "profiles" / "odd.yaml").write_bytes(content)
    code, output = course("run", "--profile", "odd")
    assert code == 2 and message in output and "Traceback" not in output


@pytest.mark.parametrize("name", ["epochs", "pool_epochs", "seed", "size", "few", "rows_share", "device", "data", "amp", "broken", "source",
                                  "near", "far"])
def test_a_lessons_parameters_are_those_that_training_has(name):
    """-1, NaN and a word are none of theirs, whatever the notebook says of its type."""
    for value in (-1, float("nan"), "nonsense"):
        with pytest.raises(UsageError, match=f"'{name}' must be"):
            lessons.value_for(lessons.Parameter(name, "int | float | str", 1, ""), value, "01_first")


def test_every_number_of_the_courses_lessons_is_declared():
    for lesson in lessons.all_lessons().values():
        for p in lesson.parameters.values():  # paths are looked for
            assert declared(p.name) or p.name in ("root", "own_image"), f"{lesson.name}: {p.name}"
            assert lessons.value_for(p, p.value, lesson.name) == p.value


def test_folders_are_looked_for_from_where_the_user_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    found = lessons.all_lessons()
    first = [found["01_data_splits"]]
    assert lessons.plan(first, "quick", {"root": "pets"}, found)["01_data_splits"]["root"] == str(tmp_path / "pets")
    for given, message in (({"root": "cats"}, "'root': .*cats is not there"), ({"size": 16}, "'size' must be .* from 32 to 224"),
                           ({"data": "menagery"}, "did you mean 'menagerie'")):
        with pytest.raises(UsageError, match=message):
            lessons.plan(first, "quick", given, found)


def test_a_claim_that_rests_on_nan_does_not_hold():
    nan = float("nan")
    assert [Claim("x", text, holds).holds for text, holds in (
        ("1 %", nan), ("nan% of 5", True), (f"{nan:.2f}", True), ("NaN", True), ("banana", True), ("1 %", 1), ("", 0))] == [
        False, False, False, False, True, True, False]


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_an_out_that_is_a_file_is_refused_before_anything_runs(course, out, monkeypatch, capsys):
    (course.folder / "file").touch()
    monkeypatch.setattr(cli.sys, "argv", ["cnnviz", "run", "1", "--out", str(course.folder / out)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2 and "cannot be written" in capsys.readouterr().err


def test_a_parameters_cell_holds_annotated_literals_only():
    found = parse_parameters(PARAMETERS, "x")
    assert found["lr"].value == 0.1 and found["lr"].meaning == "step" and found["sizes"].kind == "list"
    for bad in ("n = 3", "n: int = 1 + x", "import os"):
        with pytest.raises(UsageError, match="line 1"):
            parse_parameters(bad, "x")


def test_a_claim_about_other_data_shows_its_evidence_and_is_not_made(monkeypatch, capsys):
    from cnnviz_utils.course import records

    monkeypatch.setattr(records, "_made", {})
    assert records.claim("one", "1 of 2", False).holds is False
    shown = records.claim("one", "1 of 2", False, when=False)
    assert "1 of 2" in shown.data and "one" in shown.data and "hold" not in shown.data
    record("x", {})
    assert capsys.readouterr().out.strip() == "No claim is made about this data."
    records.claim("two", "2", True, when=True)
    record("x", {})
    assert capsys.readouterr().out.strip() == "holds: two (2)"


def test_a_record_is_plain_json_and_refuses_what_is_not(capsys):
    import numpy as np
    import torch

    assert plain({"a": torch.tensor([1.5]), "b": np.float32(2), "c": float("nan"), 3: (True, None)}) == \
        {"a": [1.5], "b": 2.0, "c": None, "3": [True, None]}
    with pytest.raises(TypeError, match="not set"):
        plain({"a": {1, 2}})
    record("x", {}, [Claim("<b>bold</b>", "1 & 2", False)])
