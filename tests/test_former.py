"""Lessons that had other names: each follower exists, and every old name is answered, by a sentence or by a page."""

import json
import re

import pytest
import yaml
from typer.testing import CliRunner

from cnnviz_utils.cli import app
from cnnviz_utils.course.former import FORMER, moved
from cnnviz_utils.course.index import write_index
from cnnviz_utils.course.lessons import all_lessons

BY_NUMBER = {"03": "03", "04": "05", "05": "06", "06": "08", "07": "09", "08": "10", "09": "11", "10": "13"}


def leave_a_run(out, lesson):
    """What a run of that lesson leaves, as far as the index reads it."""
    facts = {"lesson": lesson, "title": f"{lesson} · ?", "parameters": {}, "changed": [], "metrics": {}, "claims": [],
             "provenance": {"seconds": 1.0, "profile": "quick"}}
    (out / f"{lesson}.metrics.json").write_text(json.dumps(facts))
    (out / f"{lesson}.html").write_text('<nav class="links" aria-label="Lessons"></nav>')


def test_every_former_lesson_has_followers_that_are_there_and_no_former_name_is_in_use():
    lessons = all_lessons()
    assert {old[:2]: new[0][:2] for old, new in FORMER.items()} == BY_NUMBER
    assert all(name in lessons for new in FORMER.values() for name in new)
    assert not set(FORMER) & set(lessons)


@pytest.mark.parametrize(("word", "named"), [
    ("05_resnet_amp", ("06_residual_networks", "07_mixed_precision")), ("07_grad_cam.ipynb", ("09_grad_cam",)),
    ("notebooks/10_bug_museum.ipynb", ("13_bug_museum",)), ("transfer_learning", ("03_borrowed_features", "04_fine_tuning")),
])
def test_the_command_names_the_new_lesson(word, named, tmp_path):
    done = CliRunner().invoke(app, ["run", word, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and not (tmp_path / "out").exists()
    assert all(name in done.output for name in named) and len(done.output.splitlines()) == 1


def test_a_profile_that_names_a_former_lesson_is_told_so(tmp_path):
    from cnnviz_utils.base.settings import UsageError
    from cnnviz_utils.course.lessons import read_profile

    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"lessons": {"09_architectures": {"epochs": 2}}}))
    with pytest.raises(UsageError, match="mine.yaml: 09_architectures is now two lessons: 11_alexnet_vgg and 12_"):
        read_profile("mine", all_lessons(), tmp_path)


def test_a_word_that_no_lesson_ever_had_is_not_said_to_have_moved():
    assert not moved("frist", all_lessons()) and not moved("05_resnet_amp", ["01_first"]) and not moved("_", all_lessons())


def test_old_pages_lead_on(tmp_path):
    for lesson in ("06_residual_networks", "07_mixed_precision", "09_grad_cam"):
        leave_a_run(tmp_path, lesson)
    leave_a_run(tmp_path, "07_grad_cam")  # of a run long ago
    index = write_index(tmp_path).read_text()
    assert "07_grad_cam" not in index and index.count("<li>") == 3
    one, two = ((tmp_path / f"{name}.html").read_text() for name in ("07_grad_cam", "05_resnet_amp"))
    assert re.findall(r'http-equiv="refresh" content="0; url=([^"]*)"', one) == ["09_grad_cam.html"]
    assert 'href="09_grad_cam.html"' in one and "refresh" not in two
    assert 'href="06_residual_networks.html"' in two and 'href="07_mixed_precision.html"' in two
    assert not (tmp_path / "10_bug_museum.html").exists()  # nothing to lead on to


def test_a_former_lesson_alone_keeps_its_page(tmp_path):
    leave_a_run(tmp_path, "07_grad_cam")
    assert "07_grad_cam.html" in write_index(tmp_path).read_text() and "has moved" not in (tmp_path / "07_grad_cam.html").read_text()
