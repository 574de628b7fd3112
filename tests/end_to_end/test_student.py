"""Hand-outs: nothing of the solutions is in them, marks add up, and nbgrader can work with them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from small_lesson import SECRETS, lesson, write_lesson
from typer.testing import CliRunner

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.course.lessons import read_lesson
from cnnviz_utils.grading.student import student_copy
from cnnviz_utils.grading.tasks import read_tasks, rubric, rubric_words


def parts(notebook, part):
    return [c for c in notebook.cells if c.metadata.get("cnnviz", {}).get("part") == part]


@pytest.fixture
def copied(tmp_path):
    return student_copy(lesson(), read_lesson(write_lesson(tmp_path)))


def test_tasks_are_read_with_their_parts_and_add_up():
    tasks = read_tasks(lesson())
    assert [task.key for task in tasks] == ["01.1", "01.2", "01.3", "01.4"] and [task.written for task in tasks] == [False] * 3 + [True]
    assert rubric(tasks) == {"computing": 5, "reading": 1, "explaining": 4, "total": 10}
    assert rubric_words(tasks) == "10 points: 5 for computing, 1 for reading, 4 for explaining"
    assert [task.answers for task in tasks] == [["share"], ["first"], ["double"], []]
    assert [len(task.hidden) for task in tasks] == [1, 0, 1, 0]


@pytest.mark.parametrize("harm, words", [
    (lambda cell: cell.metadata["cnnviz"].pop("points"), "needs points"), (lambda cell: cell.metadata["cnnviz"].update(points=-1), "needs points"),
    (lambda cell: cell.metadata["cnnviz"].update(kind="guessing"), "needs a kind"), (lambda cell: cell.metadata["cnnviz"].update(level=3), "needs a level"),
    (lambda cell: cell.metadata["cnnviz"].update(exercise="01.2"), "twice"), (lambda cell: cell.metadata.pop("cnnviz"), "no key")])
def test_what_is_wrong_with_an_exercise_is_named(harm, words):
    notebook = lesson()
    harm(next(c for c in notebook.cells if "exercise" in c.metadata.tags))
    with pytest.raises(UsageError, match=words):
        read_tasks(notebook, "01_small")


def test_an_exercise_without_a_place_for_the_answer_or_a_check_is_refused():
    for tag, words in (("answer", "no cell tagged 'answer'"), ("check", "or no 'check'")):
        notebook = lesson()
        notebook.cells = [c for c in notebook.cells if tag not in c.metadata.tags]
        with pytest.raises(UsageError, match=words):
            read_tasks(notebook)


def test_nothing_secret_is_in_a_student_copy(copied):
    text = nbformat.writes(copied)
    assert not [secret for secret in SECRETS if secret in text] and "SECRET.png" not in text and "check_hidden" not in text
    assert sum(secret in nbformat.writes(lesson()) for secret in SECRETS) == len(SECRETS)  # the control
    code = [c for c in copied.cells if c.cell_type == "code"]
    assert not [c for c in code if c.outputs or c.execution_count]
    assert "p.png" in json.dumps(copied) and [c.source for c in parts(copied, "answer")][:2] == ["share = ...  # your code", "first = ...  # your code"]
    nbformat.validate(copied)


def test_the_copy_says_what_it_is_worth(copied):
    told = next(c for c in copied.cells if c.metadata.get("tags") == ["rubric"])
    assert "10 points: 5 for computing, 1 for reading, 4 for explaining" in told.source
    assert "*3 points, computing*" in [c.source for c in parts(copied, "exercise")][2]
    assert copied.metadata.cnnviz_copy.lesson == "01_small" and copied.metadata.cnnviz_copy.points["total"] == 10
    graded = [c.metadata.nbgrader for c in copied.cells if c.metadata.get("nbgrader", {}).get("grade")]
    assert sum(one.points for one in graded) == 10 and len({one.grade_id for one in graded}) == len(graded)


def test_the_command_writes_copies_once_and_names_what_is_wrong(tmp_path):
    from cnnviz_utils.cli import app

    write_lesson(tmp_path / "lessons")
    run = lambda *words: CliRunner().invoke(app, ["student", str(tmp_path / "out"), "--source", str(tmp_path / "lessons"), *words])
    assert run().exit_code == 0
    read_me, needed = (tmp_path / "out" / "README.md").read_text(), (tmp_path / "out" / "requirements.txt").read_text()
    assert "01_small.ipynb" in read_me and "cnnviz check" in read_me and "&" not in read_me and "torch==" in needed
    again = run()
    assert again.exit_code == 2 and "already there" in again.stderr
    assert "no lesson is called" in run("--lessons", "9").stderr
    (tmp_path / "none").mkdir()
    nothing = CliRunner().invoke(app, ["student", str(tmp_path / "out2"), "--source", str(tmp_path / "none")])
    assert nothing.exit_code == 2 and "holds no lessons" in nothing.stderr


def test_nbgrader_hands_out_grades_and_keeps_the_checks(tmp_path):
    """From one of our folders to nbgrader's own marks: 2 for a right share, 0 for a wrong number whose check was cut, and
    0 for a function that only the hidden check finds wrong."""
    from cnnviz_utils.cli import app

    pytest.importorskip("nbgrader")
    write_lesson(tmp_path / "lessons")
    course = tmp_path / "course"
    assert CliRunner().invoke(app, ["student", str(course), "--source", str(tmp_path / "lessons"), "--nbgrader"]).exit_code == 0
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "JUPYTER_PLATFORM_DIRS": "1"}

    def nbgrader(*words):
        done = subprocess.run([str(Path(sys.executable).with_name("nbgrader")), *words], cwd=course, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    nbgrader("generate_assignment", "01_small")
    released = course / "release" / "01_small" / "01_small.ipynb"
    assert not [secret for secret in SECRETS if secret in released.read_text()]
    notebook = nbformat.read(released, as_version=4)
    for cell in notebook.cells:
        for stub, answer in {"share =": "share = 0.25", "first =": "first = 2", 'cv.check("01.2"': "pass",
                             "def double": "def double(x):\n    return float(x) * 2"}.items():
            cell.source = answer if cell.source.startswith(stub) else cell.source
    mine = course / "submitted" / "ada" / "01_small"
    mine.mkdir(parents=True)
    nbformat.write(notebook, mine / "01_small.ipynb")
    nbgrader("autograde", "01_small")
    nbgrader("export")
    head, row = (line.split(",") for line in (course / "grades.csv").read_text().splitlines())
    found = dict(zip(head, row, strict=True))
    assert found["student_id"] == "ada" and float(found["raw_score"]) == 2 and float(found["max_score"]) == 10
