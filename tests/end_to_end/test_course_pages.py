"""The course's pages together, made of the stored lessons: links, search, glossary, references, on a phone."""

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from bs4 import BeautifulSoup

from cnnviz_utils.course import badges, terms
from cnnviz_utils.course.about import About, about
from cnnviz_utils.course.former import FORMER
from cnnviz_utils.course.index import write_index
from cnnviz_utils.course.lessons import all_lessons
from cnnviz_utils.course.pages import data
from cnnviz_utils.course.report import render, write_page
from cnnviz_utils.course.run import find_record
from cnnviz_utils.course.search import sections

LESSONS = list(all_lessons().values())
FACTS = {"parameters": {}, "changed": [], "provenance": {"profile": "quick", "seconds": 1.0, "started": "today"}, "metrics": {}, "claims": []}


def text(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A folder as `cnnviz run` leaves it, of the outputs that the lessons carry."""
    out = tmp_path_factory.mktemp("course")
    for lesson in LESSONS:
        notebook = nbformat.read(lesson.path, as_version=4)
        facts = FACTS | {"lesson": lesson.name, "title": lesson.title, "about": vars(lesson.about),
                         "parameters": {name: p.value for name, p in lesson.parameters.items()},
                         "claims": find_record(notebook)["claims"]}
        (out / f"{lesson.name}.metrics.json").write_text(json.dumps(facts))
        write_page(notebook, out / f"{lesson.name}.html", facts)
    write_index(out)
    return out


def soups(course):
    strip = lambda page: re.sub(r'src="data:[^"]*"', 'src=""', page)
    return {path.name: BeautifulSoup(strip(path.read_text()), "html.parser") for path in sorted(course.glob("*.html"))}


def test_every_link_between_the_pages_leads_to_a_page_and_a_place_on_it(course):
    pages = soups(course)
    assert len(pages) == len(LESSONS) + 3 + len(FORMER)
    ids = {name: {e["id"] for e in page.find_all(id=True)} for name, page in pages.items()}
    wrong = []
    for name, page in pages.items():
        for link in page.find_all("a", href=True):
            address = link["href"]
            if re.match(r"https?:|mailto:", address):
                continue
            target, _, place = unquote(address).partition("#")
            target = target or name
            if target not in pages or (place and place not in ids[target]):
                wrong.append((name, address))
    assert not wrong
    for at, lesson in enumerate(LESSONS):
        top = {a["href"] for a in pages[f"{lesson.name}.html"].select(".top a")}
        beside = {f"{LESSONS[i].name}.html" for i in (at - 1, at + 1) if 0 <= i < len(LESSONS)}
        assert beside | {"index.html", "index.html#search", "glossary.html"} == top


def test_a_mention_of_another_lessons_section_leads_to_it(tmp_path):
    cells = [text("# 02 · B?\n\nSee [lesson 05](05_a_b.ipynb#What-is-it?-Really) and [lesson 06](06_c.ipynb).")]
    page = BeautifulSoup(render({"cells": cells}), "html.parser")
    assert [a["href"] for a in page.select("main a")] == ["05_a_b.html#nb-What-is-it-Really", "06_c.html"]
    other = BeautifulSoup(render({"cells": [text("# 05 · A?\n\n## What is it? Really")]}), "html.parser")
    assert other.find("h2")["id"] == "nb-What-is-it-Really"


def test_nothing_is_wider_than_a_phone_on_any_page(course, browser):
    beyond = """() => [...document.querySelectorAll('body *')].filter(e => {
      const box = e.getBoundingClientRect();
      if (box.right <= innerWidth + 0.5 || !box.width) return false;
      for (let p = e.parentElement; p; p = p.parentElement) if (['auto', 'scroll'].includes(getComputedStyle(p).overflowX)) return false;
      return true; }).map(e => e.outerHTML.slice(0, 80))"""
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    for path in sorted(course.glob("*.html")):
        if path.stem in FORMER:
            continue  # leads on at once
        tab.goto(path.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390, path.name
        assert not tab.evaluate(beyond), path.name
        if tab.query_selector(".contents"):
            tops = tab.evaluate("['.top', '.title', '.contents', '.summary', 'main'].map(s => document.querySelector(s).getBoundingClientRect().top)")
            assert tops == sorted(tops)
    tab.close()


def test_search_finds_the_section_and_its_link_leads_there(course, browser):
    from_page = sections((course / f"{LESSONS[1].name}.html").read_text(), "x.html", "T")
    wanted = max((s for s in from_page if s["id"]), key=lambda s: len(s["words"]))
    errors, tab = [], browser.new_page()
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.goto((course / "index.html").as_uri() + "#search")
    assert tab.evaluate("document.activeElement.type") == "search"
    tab.keyboard.type("qqqzzz")
    assert tab.inner_text(".search p") == "0 sections"
    tab.fill(".search input", " ".join(wanted["words"].split()[:6]).upper())
    links = tab.evaluate("[...document.querySelectorAll('.search a')].map(a => a.getAttribute('href'))")
    assert f"{LESSONS[1].name}.html#{wanted['id']}" in links
    tab.click(f".search a[href$='#{wanted['id']}']")
    assert tab.wait_for_selector(":target").get_attribute("id") == wanted["id"] and not errors
    tab.close()


def test_a_figure_opens_large_by_click_and_by_key_and_closes(course, browser):
    tab = browser.new_page(viewport={"width": 1200, "height": 800})
    tab.goto((course / f"{LESSONS[1].name}.html").as_uri())
    figure = tab.locator(".notebook .output img").first
    before = figure.bounding_box()["width"]
    open_ = "!!document.querySelector('dialog[open]')"
    figure.click()
    assert tab.evaluate(open_) and tab.locator("dialog img").bounding_box()["width"] > before
    assert tab.evaluate("document.querySelector('dialog img').alt") == figure.get_attribute("alt")
    tab.keyboard.press("Escape")
    assert not tab.evaluate(open_)
    figure.focus()
    tab.keyboard.press("Enter")
    assert tab.evaluate(open_)
    tab.locator("dialog img").click()
    assert not tab.evaluate(open_)
    tab.close()


def test_nothing_in_a_lesson_ends_the_searchs_data():
    hostile = "</script><script>alert(1)</script> <!-- & \u2028"
    page = render({"cells": [text("# t"), text(f"## `{hostile}`\n\n`{hostile}`")]})
    found = sections(page, "a.html", hostile)
    assert any("</script><script>" in one["words"] for one in found)
    assert not set("<>&\u2028") & set(data(found)) and json.loads(data(found)) == found


def test_the_first_use_of_a_term_is_linked_and_only_in_running_text():
    term = next(t for t in terms.glossary() if t.term == "confusion matrix")
    source = "# Confusion matrix\n\n## A confusion matrix\n\n`confusion matrix` and [a confusion matrix](x.html): the Confusion matrix, the confusion matrix."
    page = BeautifulSoup(render({"cells": [text(source), text("confusion matrix")]}, FACTS | {"title": "t"}), "html.parser")
    [link] = page.select("a.term")
    assert link.get_text() == "Confusion matrix" and link["href"] == "glossary.html#confusion-matrix" and link["title"] == term.meaning
    assert link.previous_sibling.endswith(": the ") and not BeautifulSoup(render({"cells": [text(source)]}), "html.parser").select("a.term")


def test_the_glossary_is_sentences_without_doubles():
    forms = [form.lower() for term in terms.glossary() for form in (term.term, *term.also)]
    assert len(forms) == len(set(forms)) >= 60
    assert all(term.meaning[0].isupper() and term.meaning.endswith(".") for term in terms.glossary())
    numbers = {lesson.name[:2] for lesson in LESSONS} | {""}
    assert {term.lesson for term in terms.glossary()} <= numbers


YEAR = re.compile(r"\b[A-Z][\w-]+(?: et al\.?,?| and [A-Z][\w-]+| and his co-authors)?,? \(?(?:in )?((?:19|20)\d\d)\b")
NO_PAPER = re.compile(r"(?:By|AlexNet|VGG|GoogLeNet|ResNet|MobileNet|GPUs|Since|In|From|MobileNetV2)\W")  # years of networks


def test_every_work_that_a_lesson_names_is_among_the_references(course):
    named, missing = set(), []
    for name, page in soups(course).items():
        if name[:2].isdigit():
            for cell in page.select("main .cell.text"):
                named |= {a["href"].partition("#")[2] for a in cell.select("a.paper")}
                for gone in cell.select("a.paper, pre, code"):
                    gone.extract()
                missing += [(name, found[0]) for found in YEAR.finditer(cell.get_text()) if not NO_PAPER.match(found[0])]
    assert not missing
    assert {paper.key for paper in terms.bibliography()} == named
    for paper in terms.bibliography():
        assert paper.link.startswith("https://") and 1980 < paper.year < 2027 and paper.authors and paper.title and paper.place


def test_every_lesson_says_what_it_asks_gives_takes_and_needs(course):
    numbers = [lesson.name[:2] for lesson in LESSONS]
    page = soups(course)["index.html"]
    entries = page.select(".lessons > li")
    assert len(entries) == len(LESSONS) and page.select_one("#claims")
    for at, (lesson, entry) in enumerate(zip(LESSONS, entries, strict=True)):
        said = lesson.about
        assert lesson.title.endswith("?")
        assert 2 <= len(said.outcomes) <= 6 and 1 <= said.hours <= 3
        assert set(said.needs) <= set(numbers[:at])
        shown = entry.get_text(" ", strip=True)
        assert all(outcome in shown for outcome in said.outcomes) and "of your time" in shown
        headings = [line for cell in nbformat.read(lesson.path, 4).cells if cell.cell_type == "markdown"
                    for line in cell.source.splitlines()]
        assert said.core and all(any(re.match(rf"## (Exhibit )?{number}\b", line) for line in headings) for number in said.core)


@pytest.mark.parametrize("wrong", [{"hours": "long"}, {"hour": 1}, {"core": ["1"]}, "text", {"outcomes": "one"}])
def test_what_a_lesson_says_of_itself_is_checked(wrong):
    from cnnviz_utils.base.settings import UsageError

    with pytest.raises(UsageError, match=r"07_x.ipynb: .*metadata"):
        about({"cnnviz": wrong}, "07_x.ipynb")
    assert about({}, "x") == About()


def test_badges_follow_the_one_setting(tmp_path, monkeypatch):
    readme, lesson = tmp_path / "README.md", tmp_path / LESSONS[0].path.name
    root = Path(__file__).resolve().parents[2]
    shutil.copy(root / "README.md", readme)
    shutil.copy(LESSONS[0].path, lesson)
    as_is = [file.read_bytes() for file in (readme, lesson)]
    assert badges.write_badges(readme, [lesson]) == [] and badges.badges() == []  # README and lessons agree with the setting
    monkeypatch.setattr(badges, "REPOSITORY", "someone/somewhere")
    assert badges.write_badges(readme, [lesson]) == [readme, lesson] and badges.write_badges(readme, [lesson]) == []
    assert readme.read_text().count("someone/somewhere") == 2
    cells = json.loads(lesson.read_text())["cells"]
    assert f"blob/main/notebooks/{lesson.name}" in "".join(cells[1]["source"]) and cells[2]["metadata"]["tags"] == ["install"]
    nbformat.validate(nbformat.read(lesson, as_version=4))
    called = []
    monkeypatch.setattr("subprocess.run", lambda command, **more: called.append(command))
    exec("".join(cells[2]["source"]), {})
    assert not called  # the package is here
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec("".join(cells[2]["source"]), {})
    assert [command[-1] for command in called] == ["git+https://github.com/someone/somewhere@main"]
    monkeypatch.setattr(badges, "REPOSITORY", "")
    badges.write_badges(readme, [lesson])
    assert [file.read_bytes() for file in (readme, lesson)] == as_is
