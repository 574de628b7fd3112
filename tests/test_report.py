"""Pages that open anywhere, offline, and in which nothing runs."""

import re
import shutil
import subprocess

import nbformat
import pytest
from bs4 import BeautifulSoup

from cnnviz_utils.course.report import mathml, render, sanitise

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FACTS = {"title": "01 · Is it?", "parameters": {"n": 3, "name": "<i>"}, "changed": ["n"],
         "provenance": {"profile": "quick", "seconds": 3.0, "started": "today", "torch": "2"},
         "claims": [{"claim": "a < b", "evidence": "1 < 2", "holds": True}, {"claim": "c", "evidence": "0", "holds": False}]}


def notebook(*extra):
    md, code, out = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell, nbformat.v4.new_output
    figure = out("execute_result", {"image/png": PIXEL, "text/plain": "a pixel"}, execution_count=1,
                 metadata={"image/png": {"alt": "One red pixel", "width": 20}})
    view = out("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "image/png": PIXEL,
                                "text/plain": "sliders"}, metadata={"image/png": {"alt": "A still of the sliders"}})
    return nbformat.v4.new_notebook(cells=[
        md("# 01 · Is it?\n\nInline $a^2 < b$ and\n\n$$\\sum_k w_k A_k$$\n\n## Next part"),
        code("1 + 1 < 3", outputs=[figure], execution_count=1), code("explore()", outputs=[view], execution_count=2),
        code("print()", outputs=[out("stream", name="stdout", text="out <text>")], execution_count=3), *extra])


def page(*extra, facts=FACTS):
    text = render(notebook(*extra), facts, "01 · Is it?")
    return text, BeautifulSoup(text, "html.parser")


def test_the_page_refers_to_nothing_outside_itself():
    text, soup = page()
    assert not soup.find_all(["script", "link", "iframe"])
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:image/)[^"']+|url\(|@import""", text)


def test_maths_is_mathml_and_what_is_no_maths_stays_readable():
    _, soup = page()
    assert len(soup.find_all("math")) == 2 and soup.find("math", display="block").find("munder") is not None
    assert "<code>" in mathml("\\begin{nonsense", "inline") or "<math" in mathml("\\begin{nonsense", "inline")


def test_figures_have_alt_text_and_sliders_their_still():
    _, soup = page()
    assert [image["alt"] for image in soup.find_all("img")] == ["One red pixel", "A still of the sliders"]
    assert soup.find("img")["width"] == "20"


def test_contents_parameters_provenance_and_claims_are_there():
    _, soup = page()
    assert [a.get_text() for a in soup.select("nav a")] == ["01 · Is it?", "Next part"]
    assert all(soup.find(id=a["href"][1:]) for a in soup.select("nav a"))
    box = soup.select_one(".summary").get_text(" ")
    assert "1 of 2 claims hold" in box and "3 (changed)" in box and "a < b" in box and "✗ does not hold" in box and "<i>" in box


def test_code_can_be_hidden_without_a_script():
    text, soup = page()
    assert soup.select_one("#hide-code")["type"] == "checkbox" and ".switch:checked ~ .page .source { display: none; }" in text
    assert "out &lt;text&gt;" in text


HOSTILE = [
    "<script>alert(1)</script>", '<img src="x" onerror="alert(1)">', '<a href="javascript:alert(1)">x</a>',
    '<a href=" java&#10;script:alert(1)">x</a>', '<iframe src="https://example.org"></iframe>', '<svg onload="alert(1)"></svg>',
    '<form action="https://example.org"><button>x</button></form>', '<link rel="stylesheet" href="https://example.org/x.css">',
    '<style>body { background: url("https://example.org/x") }</style>', '<div style="background:url(https://example.org)">x</div>',
    '<img src="https://example.org/x.png">', '<meta http-equiv="refresh" content="0;url=https://example.org">',
    '<object data="x.swf"></object>', '<svg><use href="https://example.org#x"/></svg>', '<base href="https://example.org/">',
    '<img srcset="https://example.org/x.png 2x">', '<math><a xlink:href="javascript:alert(1)">x</a></math>',
    '<a href="data:text/html;base64,PHNjcmlwdD4=">x</a>', '<div style="position:fixed;top:0">x</div>', "<!-- <script> -->",
]


@pytest.mark.parametrize("attack", HOSTILE)
@pytest.mark.parametrize("where", ["markdown", "html output"])
def test_submitted_notebooks_cannot_run_or_load_anything(attack, where):
    cell = nbformat.v4.new_markdown_cell(attack) if where == "markdown" else nbformat.v4.new_code_cell(
        "x", outputs=[nbformat.v4.new_output("display_data", {"text/html": attack})], execution_count=9)
    _, soup = page(cell)
    main = soup.find("main")
    assert not main.find_all(["script", "iframe", "object", "embed", "form", "link", "meta", "base", "button", "use"])
    for element in main.find_all(True):
        for name, value in element.attrs.items():
            assert not name.lower().startswith("on")
            assert not re.search(r"javascript:|text/html|example\.org|url\(|fixed", "".join(value), re.I), (name, value)
    assert "example.org" not in "".join(style.get_text() for style in soup.find_all("style"))


def test_links_to_click_and_tables_stay():
    kept = sanitise('<a href="https://example.org/paper">paper</a><table style="color: red"><tr><td colspan="2">1</td></tr></table>')
    assert 'href="https://example.org/paper"' in kept and 'rel="noopener noreferrer"' in kept and 'colspan="2"' in kept


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here to look at the page with")
def test_a_browser_shows_it_wide_and_narrow(tmp_path):
    (tmp_path / "page.html").write_text(page()[0])
    for width in (1280, 420):
        shot = tmp_path / f"{width}.png"
        subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                        "--disable-background-networking", "--disable-component-update", "--disable-sync",
                        f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", f"--screenshot={shot}",
                        (tmp_path / "page.html").as_uri()], check=True, capture_output=True, timeout=120)
        from PIL import Image

        colours = Image.open(shot).convert("RGB").resize((64, 64)).getcolors(5000)
        assert len(colours) > 20  # text and boxes, not a blank sheet
