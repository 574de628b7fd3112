"""The grader's pages are pages of somebody hostile: real payloads in names, answers, outputs, claims and parameters, in
Chromium; and what the one script of ours does."""

import contextlib
import re

import pytest
from payloads import CALLS, PAYLOADS, SCRIPTS
from small_lesson import PIXEL, write_lesson
from test_report import aimed, listener  # noqa: F401

from cnnviz_utils.course.lessons import read_lesson
from cnnviz_utils.course.markdown import markdown
from cnnviz_utils.course.outputs import output_html
from cnnviz_utils.course.repair import Output
from cnnviz_utils.grading.comments import apply, read_comments
from cnnviz_utils.grading.compare import write_comparison
from cnnviz_utils.grading.overview import write_overview
from cnnviz_utils.grading.pages import write_class
from cnnviz_utils.grading.tasks import read_tasks, rubric


def result(student, text, tasks, state="to be read"):
    """A result in which everything that a student can choose is this text."""
    shown = {"text": str(markdown(text, {})), "picture": str(output_html(Output("data", data={"text/html": text, "image/png": PIXEL})))}
    rows = [{"key": task.key, "level": task.level, "kind": task.kind, "of": task.points, "written": task.written, "points": None if task.written else 1.0,
             "message": text, "state": state if task.written else "wrong", "answer": text, "shown": shown} for task in tasks]
    return {"student": student, "name": text, "number": "", "lms": "", "late": True, "file": text, "others": [text], "key": "", "lesson": "01_small",
            "title": "x", "of": 10.0, "rubric": rubric(tasks), "isolation": "none", "graded": "today", "cnnviz": text, "reason": text,
            "seconds": 1.0, "cpu": 1.0, "tasks": rows, "problems": [{"cell": 1, "what": text, "line": text}], "errors": [{"cell": 1, "what": text, "line": text}],
            "notes": [text], "own": [{"exercise": text, "words": "w", "size": 99, "shown": "s"}], "claims": [{"claim": text, "evidence": text, "holds": True}],
            "changes": [{"what": "changed", "kind": text, "exercise": text, "part": "answer", "cell": 1, "diff": ["+" + text, "-" + text]}],
            "metrics": {}, "parameters": {text: text}, "changed_parameters": [text], "predictions": [0, 1], "page": "notebook.html", "size": 5}


def class_of(tmp_path, texts):
    lesson = read_lesson(write_lesson(tmp_path / "lessons"))
    import nbformat

    tasks = read_tasks(nbformat.read(lesson.path, as_version=4))
    found = [apply(result(f"s{number}", text, tasks), {}) for number, text in enumerate(texts)]
    own = apply(result("reference", "own", tasks), {})
    write_class(tmp_path / "out", lesson, found, own)
    return tmp_path / "out"


def pages_with(tmp_path, attacks):
    """Every kind of page with these texts: class, student, answers, comparison, overview."""
    import json

    out = class_of(tmp_path, attacks)
    pages = [out / "index.html", out / "marking.html", *(out / "students" / f"s{n}" / "index.html" for n in range(len(attacks)))]
    for number, text in enumerate(attacks):
        facts = {"lesson": text, "title": text, "parameters": {text: text}, "changed": [text], "metrics": {text: text, "n": number},
                 "claims": [{"claim": text, "evidence": text, "holds": True}], "provenance": {"profile": text, "seconds": text}}
        (tmp_path / "out" / f"r{number}.metrics.json").write_text(json.dumps(facts))
        cells = [{"cell_type": "markdown", "source": f"## {text}"}, {"cell_type": "code", "source": "x", "outputs": [
            {"output_type": "display_data", "data": {"image/png": PIXEL, "text/html": text, "image/svg+xml": text}, "metadata": {"image/png": {"alt": text}}}]}]
        (tmp_path / "out" / f"r{number}.ipynb").write_text(json.dumps({"cells": cells}))
    write_overview(out, out)
    write_comparison([out / f"r{number}.metrics.json" for number in range(2)], out / "compare.html")
    return [*pages, out / "metrics.html", out / "compare.html"]


def test_no_payload_runs_or_calls_home(browser, listener, tmp_path):  # noqa: F811
    """With the policy as it is, and with one that lets every script run: what is left then is escaping and sanitising."""
    attacks = [aimed(payload, number, listener) for number, payload in enumerate(PAYLOADS)]
    pages = pages_with(tmp_path, attacks)
    tab = browser.new_page()
    listener.hits.clear()
    ran, wrong = [], []
    for page in pages:
        for strict in (True, False):
            text = page.read_text()
            if not strict:
                text, many = re.subn(r"<meta http-equiv=.Content-Security-Policy.[^>]*>", "", text)
                assert many == 1
            listener.pages["/page/x"] = text
            tab.goto(f"http://{listener.host}/page/x", wait_until="load")
            ran += [str(page)] if tab.evaluate("window.ran === 1") else []
            alien = tab.evaluate("document.querySelectorAll('iframe, object, embed, form, link, base, style:not(head style), script:not(body > script)').length")
            wrong += [str(page)] if alien else []
    tab.wait_for_timeout(300)
    tab.close()
    assert not ran and not wrong and not listener.hits and len(pages) == len(PAYLOADS) + 4


def test_the_control_runs_without_escaping(browser, listener, tmp_path):  # noqa: F811
    """Put in as they are, without the policy, many do run or call."""
    from playwright.sync_api import Error

    out = class_of(tmp_path, ["PLACE", "other"])
    text = re.sub(r"<meta http-equiv=.Content-Security-Policy.[^>]*>", "", (out / "index.html").read_text())
    tab = browser.new_page()
    listener.hits.clear()
    for number, payload in enumerate([*SCRIPTS[:20], *CALLS[:20]]):
        attack = aimed(payload, number, listener)
        listener.pages["/page/x"] = re.sub(r"<body[^>]*>", lambda found, attack=attack: found[0] + attack, text, count=1)
        with contextlib.suppress(Error):  # a payload that leads to another page may interrupt this
            tab.goto(f"http://{listener.host}/page/x", wait_until="load")
    tab.wait_for_timeout(300)
    tab.close()
    assert len(set(listener.hits)) >= 12


def test_keys_fields_and_sorting(browser, tmp_path):
    out = class_of(tmp_path, ["Ada", "Ben, =x", "Cleo"])
    context = browser.new_context(accept_downloads=True)
    tab = context.new_page()
    faults = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    tab.goto((out / "marking.html").as_uri())
    assert tab.inner_text(".left") == "3 to go"
    for key in ("u", "3", "j", "4", "c"):
        tab.keyboard.press(key)
    tab.keyboard.type('good "work", j')
    tab.keyboard.press("Escape")
    tab.keyboard.press("7")  # more than the exercise has
    with tab.expect_download() as waiting:
        tab.keyboard.press("s")
    waiting.value.save_as(tmp_path / "comments.csv")
    found = read_comments(tmp_path / "comments.csv")
    assert {key: (one.points, one.text) for key, one in found.items()} == {("s0", "01.4"): (3.0, ""), ("s1", "01.4"): (4.0, 'good "work", j')}
    assert tab.inner_text(".left") == "1 to go"
    tab.reload()
    assert tab.input_value("textarea >> nth=1") == 'good "work", j'  # remembered
    tab.goto((out / "index.html").as_uri())
    first = lambda: tab.inner_text("table.names tbody tr:first-child td:first-child")
    assert first().startswith("Ada")
    for _ in range(2):
        tab.click("table.names thead th:first-child button")
    assert first().startswith("Cleo") and not faults
    context.close()


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("light", 390), ("dark", 1280)])
def test_nothing_is_wider_than_the_screen_by_day_and_by_night(browser, tmp_path, scheme, width):
    long = "x" * 300 + " " + "a long sentence " * 30
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    for page in pages_with(tmp_path, [long, "short"]):
        tab.goto(page.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, page.name
        colours = tab.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
        paper, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
        assert (paper > ink) == (scheme == "light")
    tab.close()
