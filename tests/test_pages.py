"""Files and folders of notebooks as pages: what can be, each in time; the rest is named."""

import json

import pytest
from bs4 import BeautifulSoup
from typer.testing import CliRunner

from cnnviz_utils.course import convert
from cnnviz_utils.course.index import write_index

GOOD = {"cells": [{"cell_type": "markdown", "source": "# A &lt;title>\n\nwords"}]}


def test_a_folder_becomes_pages_and_an_index_and_the_bad_are_named(tmp_path):
    from cnnviz_utils.cli import app

    (tmp_path / "a.ipynb").write_text(json.dumps(GOOD), encoding="utf-8-sig")
    (tmp_path / "b é.ipynb").write_text(json.dumps({"cells": []}))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.ipynb").write_text(json.dumps(GOOD))
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "a.ipynb").write_text("{}")
    bad = {"empty": b"", "list": b"[]", "none": b"{}", "latin": b'{"cells": ["\xe9"]}', "nested": b"[" * 100_000, "index": json.dumps(GOOD).encode()}
    for name, content in bad.items():
        (tmp_path / f"{name}.ipynb").write_bytes(content)
    (tmp_path / "folder.ipynb").mkdir()
    result = CliRunner().invoke(app, ["html", str(tmp_path)])
    assert result.exit_code == 2 and "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line]
    assert len(lines) == 7 and all(sum(f"{name}.ipynb" in line for line in lines) == 1 for name in [*bad, "folder"])
    index = BeautifulSoup((tmp_path / "index.html").read_text(), "html.parser")
    assert [a["href"] for a in index.select("a")] == ["a.html", "b%20%C3%A9.html", "deep/c.html"]
    assert [a.get_text() for a in index.select("a")] == ["A <title>", "b é", "A <title>"] and ":not(pre) > code" in index.style.get_text()
    assert len(index.select(".bad")) == 7
    page = BeautifulSoup((tmp_path / "deep" / "c.html").read_text(), "html.parser")
    assert [a["href"] for a in page.select(".top a")] == ["../index.html", "../b%20%C3%A9.html"]
    assert not (tmp_path / ".ipynb_checkpoints" / "a.html").exists() and not list(tmp_path.glob(".*.html*"))


def test_no_file_is_overwritten_by_a_page_and_none_takes_for_ever(tmp_path, monkeypatch):
    same, other, slow = tmp_path / "page.html", tmp_path / "page.ipynb", tmp_path / "slow.ipynb"
    for file in (same, other):
        file.write_text(json.dumps(GOOD))
    # 400 cells, each just below the limit of what is coloured
    slow.write_text(json.dumps({"cells": [{"cell_type": "code", "source": "f(x) + [1]\n" * 9_000}] * 400}))
    pages = list(convert.convert_files([same, other, slow, tmp_path / "gone.ipynb"], limit=0.5))
    assert [bool(page.problem) for page in pages] == [True] * 4 and same.read_text() == json.dumps(GOOD)
    assert "its own page" in pages[0].problem and "rename" in pages[1].problem
    assert "longer than 0.5 s" in pages[2].problem and "not there" in pages[3].problem
    assert not (tmp_path / "slow.html").exists() and not list(tmp_path.glob(".slow*"))


def facts(name, *holds):
    return {"lesson": name, "title": f"{name} <question>?", "parameters": {"seed": 3}, "changed": ["seed"],
            "provenance": {"profile": "quick", "seconds": 2.0, "started": "today", "torch": "2"}, "metrics": {},
            "claims": [{"claim": "c", "evidence": "e", "holds": held} for held in holds]}


def test_the_courses_index_counts_claims_and_links_lessons(tmp_path):
    from cnnviz_utils.course.report import write_page

    for name, holds in {"01_a": (True, True), "02_b": (True, False)}.items():
        (tmp_path / f"{name}.metrics.json").write_text(json.dumps(facts(name, *holds)))
        write_page(GOOD, tmp_path / f"{name}.html", facts(name, *holds))
    (tmp_path / "03_c.metrics.json").write_text("[]")
    (tmp_path / "04_d.failed.ipynb").write_text("{}")
    for _ in range(2):  # once more changes nothing
        index = BeautifulSoup(write_index(tmp_path).read_text(), "html.parser")
        said = [entry.get_text(" ", strip=True) for entry in index.select(".lessons li")]
        assert [word in line for word, line in zip(("✓ 2 of 2", "✗ 1 of 2", "damaged", "did not run to its end"), said, strict=True)] == [True] * 4
        assert "01_a <question>?" in said[0] and "seed = 3" in said[0] and index.select_one(".lessons a")["href"] == "01_a.html"
        page = BeautifulSoup((tmp_path / "01_a.html").read_text(), "html.parser")
        assert [(a["class"], a["href"]) for a in page.select(".top a")] == [
            (["index-link"], "index.html"), (["more"], "index.html#search"), (["more"], "glossary.html"), (["next"], "02_b.html")]
        assert page.select_one(".next").get_text() == "02_b <question>? →" and len(page.select(".links.end a")) == 4


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "a.ipynb").write_text(json.dumps(GOOD))
    (tmp_path / "a.html").mkdir()
    (page,) = convert.convert_files([tmp_path / "a.ipynb"])
    assert "a.html cannot be written" in page.problem


@pytest.mark.parametrize("name", ["a.ipynb", "b.html"])
def test_a_folder_without_notebooks_says_so(tmp_path, name):
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / name).write_text(json.dumps(GOOD))
    (page,) = convert.convert_folder(tmp_path)
    assert "holds no notebooks" in page.problem and not (tmp_path / "index.html").exists()


def test_a_run_without_claims_is_said_to_have_none(tmp_path):
    from cnnviz_utils.course.report import write_page

    (tmp_path / "x.metrics.json").write_text(json.dumps(facts("x")))
    write_page(GOOD, tmp_path / "x.html", facts("x"))
    for page in (tmp_path / "x.html", write_index(tmp_path)):
        words = BeautifulSoup(page.read_text(), "html.parser").body.get_text()
        assert "no claims are made about these data" in words and "0 of 0" not in words
