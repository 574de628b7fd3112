"""Finished reports: verified, compared, listed in a table."""

import csv
import json
import shutil
from types import SimpleNamespace

import nbformat
import pytest
from bs4 import BeautifulSoup
from small_lesson import PIXEL, write_lesson
from typer.testing import CliRunner

from cnnviz_utils.cli import app
from cnnviz_utils.course.lessons import read_lesson
from cnnviz_utils.course.links import link_pages
from cnnviz_utils.course.run import run_lesson
from cnnviz_utils.grading.compare import rows, short_names
from cnnviz_utils.grading.reports import flat, read_report
from cnnviz_utils.grading.verify import compared


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of the small lesson, with another count of numbers, and the lesson's folder."""
    top = tmp_path_factory.mktemp("runs")
    lesson = read_lesson(write_lesson(top / "lessons"))
    for name, count in (("a", 12), ("b", 13)):
        run_lesson(lesson, {"seed": 0, "count": count}, top / name)
    return top


def command(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def edited(runs, tmp_path, change, name="a"):
    """A copy of the executed notebook after `change`, as somebody might edit it."""
    notebook = nbformat.read(runs / name / "01_small.ipynb", as_version=4)
    change(notebook)
    nbformat.write(notebook, tmp_path / "01_small.ipynb")
    return tmp_path / "01_small.ipynb"


def record_of(notebook):
    return next(o.data[mime] for c in notebook.cells for o in c.get("outputs", []) for mime in o.get("data", {}) if "record" in mime)


def test_a_report_as_it_was_made_is_verified_and_run_again(runs):
    for report in (runs / "a" / "01_small.ipynb", runs / "b" / "01_small.html"):
        done = command("verify", report, "--source", runs / "lessons", "--rerun")
        assert done.exit_code == 0 and "✗" not in done.output and "run again: all" in done.output, done.output
    done = command("verify", runs / "a" / "01_small.ipynb", "--source", runs / "lessons")
    assert done.exit_code == 0 and "no signature" in done.output


@pytest.mark.parametrize("change, words", [
    (lambda nb: record_of(nb)["metrics"].update(zeros=0.9), "pictures: CHANGED"),
    (lambda nb: nb.cells[2].update(source=nb.cells[2].source + "\nnumbers[:] = 0"), "cells are not in 01_small"),
    (lambda nb: nb.metadata["cnnviz_run"]["parameters"].update(count=99), "parameters: CHANGED"),
    (lambda nb: record_of(nb)["metrics"].update(data_fingerprint="other"), "fingerprint: CHANGED"),
    (lambda nb: nb.metadata["cnnviz_run"]["fingerprint"].update(whole="0" * 16), "itself was edited")])
def test_what_was_edited_is_named(runs, tmp_path, change, words):
    done = command("verify", edited(runs, tmp_path, change), "--source", runs / "lessons")
    assert done.exit_code == 1 and words in done.output, done.output


def test_a_page_that_was_edited_beside_an_honest_notebook_is_found(runs, tmp_path):
    shutil.copytree(runs / "a", tmp_path / "run")
    page = tmp_path / "run" / "01_small.html"
    words = ("verify", page, "--source", runs / "lessons")
    link_pages(tmp_path / "run", [SimpleNamespace(title="Zeros", page=page.name)] * 2)  # ways to other pages change nothing
    done = command(*words)
    assert done.exit_code == 0 and "the page shows what" in done.output, done.output
    text = page.read_text()
    for old, new in (("0.25", "0.52"), ("</nav>", "<p>all right</p></nav>"), ("</style>", "p { display: none }</style>")):
        assert old in text
        page.write_text(text.replace(old, new, 1))
        done = command(*words)
        assert done.exit_code == 1 and "it was edited" in done.output, (old, done.output)
    assert command("html", tmp_path / "run").exit_code == 0  # made anew, of the notebook alone
    assert command(*words).exit_code == 0


def test_a_forged_fingerprint_passes_and_the_lesson_run_again_finds_it(runs, tmp_path):
    from cnnviz_utils.course.fingerprint import SIGNED, fingerprint

    def forge(notebook):
        record_of(notebook)["metrics"]["zeros"] = 0.9
        signed = notebook.metadata[SIGNED]
        signed["fingerprint"] = fingerprint(notebook, signed["parameters"], "counted", signed["fingerprint"]["cnnviz"])

    forged = edited(runs, tmp_path, forge)
    assert command("verify", forged, "--source", runs / "lessons").exit_code == 0
    done = command("verify", forged, "--source", runs / "lessons", "--rerun")
    assert done.exit_code == 1 and "zeros 0.9 (now 0.25)" in done.output, done.output


def test_what_carries_no_fingerprint_says_so(runs, tmp_path):
    plain = edited(runs, tmp_path, lambda nb: nb.metadata.pop("cnnviz_run"))
    (tmp_path / "none.ipynb").write_text("{}")
    (tmp_path / "alone.html").write_text("")
    for path, words in ((plain, "no fingerprint"), (tmp_path / "none.ipynb", "not a notebook"), (tmp_path / "alone.html", "a page alone")):
        done = command("verify", path, "--source", runs / "lessons")
        assert done.exit_code == 2 and words in done.stderr


def test_tolerance_is_for_numbers_and_claims_are_exact():
    old = {"metrics": {"a": 0.5, "b": 100.0, "s": "x"}, "claims": [{"claim": "c", "holds": True}]}
    new = {"metrics": {"a": 0.51, "b": 101.0, "s": "x"}, "claims": [{"claim": "c", "holds": True}]}
    assert [one.holds for one in compared(old, new)] == [True, True]
    new["metrics"]["b"], new["claims"][0]["holds"] = 110.0, False
    assert [one.holds for one in compared(old, new)] == [False, False]


def test_two_runs_side_by_side(runs, tmp_path):
    done = command("compare", runs / "a", runs / "b", "--out", tmp_path / "c.html")
    assert done.exit_code == 0 and "count: 12, 13" in done.output and "zeros: 0.25, 0.307" in done.output
    soup = BeautifulSoup((tmp_path / "c.html").read_text(), "html.parser")
    table = {tr.th.get_text(): [td.get_text() for td in tr.find_all("td")] for tr in soup.select("tbody tr") if tr.th}
    assert table["count"] == ["12", "13"] and table["zeros"] == ["0.25", "0.307692", "+0.05769"]
    claim = next(tr for tr in soup.select("tbody tr") if "a quarter is zero" in tr.get_text())
    assert [td.get_text()[0] for td in claim.find_all("td")][1:] == ["✓", "✗"]


def test_figures_that_differ_stand_beside_each_other(tmp_path):
    other = PIXEL.replace("mNk+M9Q", "mNk+M9R")
    for name, picture in (("a", PIXEL), ("b", other), ("c", PIXEL)):
        output = nbformat.v4.new_output("display_data", {"image/png": picture})
        cells = [nbformat.v4.new_markdown_cell("## Part"), nbformat.v4.new_code_cell("x", outputs=[output])]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    for pair, pictures in (("ab", 2), ("ac", 0)):
        command("compare", *(tmp_path / f"{name}.ipynb" for name in pair), "--out", tmp_path / "x.html")
        assert len(BeautifulSoup((tmp_path / "x.html").read_text(), "html.parser").find_all("img")) == pictures


def test_all_runs_in_one_table(runs, tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "bad.metrics.json").write_text("[1]")
    done = command("table", runs, "--out", tmp_path)
    assert done.exit_code == 0 and "2 runs" in done.output
    lines = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [(one["run"], one["parameter count"], one["zeros"], one["hold"]) for one in lines] == [
        ("a/01_small", "12", "0.25", "1"), ("b/01_small", "13", "0.307692", "0")]
    soup = BeautifulSoup((tmp_path / "metrics.html").read_text(), "html.parser")
    assert [th.get_text() for th in soup.select("thead th")] == ["Run", "Claims", "count", "zeros"]
    damaged = command("table", tmp_path / "w")
    assert damaged.exit_code == 2 and "damaged" in damaged.stderr
    (tmp_path / "empty").mkdir()
    assert "holds no" in command("table", tmp_path / "empty").stderr


def test_reports_are_read_from_whatever_is_there_or_refused(runs, tmp_path):
    by_facts, by_folder = read_report(runs / "b" / "01_small.metrics.json"), read_report(runs / "b")
    assert by_facts.numbers == by_folder.numbers and by_facts.notebook and by_facts.parameters["count"] == 13
    alone = tmp_path / "mine.ipynb"
    alone.write_bytes((runs / "b" / "01_small.ipynb").read_bytes())
    report = read_report(alone)
    assert report.parameters == {"seed": 0, "count": 13} and report.numbers["zeros"] == pytest.approx(4 / 13) and report.exercises["01.1"]
    for path, words in ((tmp_path / "none", "not there"), (runs, "0 reports"), (tmp_path / "x.html", "not there")):
        done = command("compare", runs / "a", path)
        assert done.exit_code == 2 and words in done.stderr
    assert command("compare", runs / "a").exit_code == 2


def test_small_parts():
    assert flat({"a": {"b": 1, "c": [2, {"d": True}]}, "n": None}) == {"a.b": 1, "a.c.0": 2, "a.c.1.d": True}
    assert [(row.name, row.same, row.differences) for row in rows([{"x": 1, "y": 1}, {"x": 1, "y": 3, "z": "t"}])] == [
        ("y", False, [0, 2]), ("z", False, [None, None]), ("x", True, [0, 0])]
    from pathlib import Path

    assert short_names([Path("/r/a/x"), Path("/r/b/x")]) == ["a/x", "b/x"]


def test_metrics_carry_exercises_and_fingerprint(runs):
    facts = json.loads((runs / "a" / "01_small.metrics.json").read_text())
    assert facts["exercises"]["01.1"] == {"answer": "unanswered", "solution": "right", "hidden": "right"}
    assert facts["fingerprint"]["whole"] in (runs / "a" / "01_small.html").read_text()
