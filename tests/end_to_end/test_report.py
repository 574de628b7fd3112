"""Pages that open anywhere, offline, and in which nothing runs: looked at in a real browser."""

import base64
import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from payloads import CALLS, DEFACES, PAYLOADS, SCRIPTS

from cnnviz_utils.course.report import render

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FACTS = {"lesson": "01", "title": "01 · Is it?", "parameters": {"n": 3, "name": "<i>"}, "changed": ["n"],
         "provenance": {"profile": "quick", "seconds": 3.0, "started": "today", "torch": "2"},
         "claims": [{"claim": "a < b", "evidence": "1 < 2", "holds": True}, {"claim": "c", "evidence": "0", "holds": False}]}


def TEXT(source, **more):
    return {"cell_type": "markdown", "metadata": {}, "source": source, **more}


def CODE(source, outputs=(), **more):
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": list(outputs), **more}


def OUT(kind, data=None, metadata=None, **more):
    return {"output_type": kind, "data": data or {}, "metadata": metadata or {}, **more}


def shows(data, **metadata):
    return CODE("x", outputs=[OUT("display_data", data, metadata=metadata)], execution_count=1)


def notebook(*extra):
    figure = OUT("execute_result", {"image/png": PIXEL, "text/plain": "a pixel"}, execution_count=1,
                 metadata={"image/png": {"alt": "One red pixel", "width": 20}})
    view = OUT("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "image/png": PIXEL,
                                "text/plain": "sliders"}, metadata={"image/png": {"alt": "A still of the sliders"}})
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        TEXT("# 01 · Is it?\n\nInline $a^2 < b$ and\n\n$$\\sum_k w_k A_k$$\n\n## Next part"),
        CODE("1 + 1 < 3", outputs=[figure], execution_count=1), CODE("explore()", outputs=[view], execution_count=2),
        CODE("print()", outputs=[OUT("stream", name="stdout", text="out <text>")], execution_count=3), *extra]}


def page(*extra, facts=FACTS):
    text = render(notebook(*extra), facts, "01 · Is it?")
    return text, BeautifulSoup(text, "html.parser")


@pytest.fixture(scope="module")
def listener():
    """A server on loopback: it hands out `pages` by path, and writes down every other address it is asked for."""
    pages, hits = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = pages.get(self.path, "").encode()
            if self.path.startswith("/hit"):
                hits.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield SimpleNamespace(pages=pages, hits=hits, host=f"127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


def aimed(payload, number, listener):
    """The payload, which says its number to the listener."""
    hit = f"http://{listener.host}/hit/{number}"
    return (payload.replace("RUN", f"window.ran=1;new Image().src=`{hit}`").replace("HIT", hit)
            .replace("HOST/hit/N", f"{listener.host}/hit/{number}"))


LOOK = """act => [...document.querySelectorAll('iframe')].map(frame => {
  const page = frame.contentWindow, doc = page.document, all = where => [...doc.querySelectorAll(where)];
  const seen = {ran: page.ran === 1};
  if (!act) return seen;
  all('.notebook a, .notebook summary').forEach(e => { if ((e.getAttribute('href') || '#')[0] == '#') e.click(); });
  page.scrollTo(0, 0);
  const box = doc.querySelector('.summary'), at = box && box.getBoundingClientRect();
  const top = at && doc.elementFromPoint(at.x + at.width / 2, at.y + 20);
  return {...seen, box: box ? box.innerText : '', uncovered: !!(top && box.contains(top)),
    boxes: all('.summary, .switch-label, #hide-code').length, words: doc.querySelector('main').innerText.slice(-14),
    links: all('.notebook a[href]').map(a => a.protocol).filter(p => !['http:', 'https:', 'mailto:'].includes(p)),
    order: [...doc.querySelector('.page').children].map(e => e.tagName + '.' + e.className).join(' '),
    children: doc.body.children.length, wider: doc.documentElement.scrollWidth > page.innerWidth};
})"""


def visit(browser, listener, texts, act=False):
    """Each page in a frame of its own: what `LOOK` sees there, and whom of them the listener heard."""
    listener.hits.clear()
    tab, found, many = browser.new_page(viewport={"width": 1000, "height": 700}), [], 32
    tab.on("dialog", lambda dialog: dialog.dismiss())
    for number, text in enumerate(texts):
        listener.pages[f"/page/{number}"] = text
    for start in range(0, len(texts), many):
        listener.pages["/frames"] = "".join(f"<iframe src=/page/{number} width=900 height=700></iframe>"
                                            for number in range(start, min(start + many, len(texts))))
        tab.goto(f"http://{listener.host}/frames", wait_until="load")
        found += tab.evaluate(LOOK, act)
    tab.wait_for_timeout(200)
    tab.close()
    return found, {int(hit.split("/")[2]) for hit in listener.hits}


def without_policy(text):
    changed = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    assert changed != text
    return changed


def test_no_payload_runs_calls_home_or_touches_our_part(browser, listener):
    """Each payload as a text and as an output, with the page's policy taken away: what is left is the sanitiser."""
    texts = []
    for number, payload in enumerate(PAYLOADS):
        attack = aimed(payload, number, listener)
        cells = [TEXT(attack)] + [shows({kind: attack}) for kind in ("text/html", "text/markdown", "text/latex", "image/svg+xml")]
        texts.append(without_policy(render(notebook(*cells, TEXT("the last words")), FACTS)))
    texts.append(without_policy(page(TEXT("the last words"))[0]))
    (*found, harmless), heard = visit(browser, listener, texts, act=True)
    assert harmless["words"] == "the last words" and "1 of 2 claims hold" in harmless["box"]
    assert harmless["uncovered"] and harmless["boxes"] == 3 and not harmless["ran"] and not harmless["wider"]
    assert len(PAYLOADS) >= 80 and not {PAYLOADS[number] for number in heard}
    assert not [payload for payload, seen in zip(PAYLOADS, found, strict=True) if seen != harmless]


def test_the_listener_notices_and_the_policy_alone_stops_them(browser, listener):
    """The control: put into a page as they are, most of these do run or call; and none does under the policy alone."""
    raw = re.sub("<style>.*?</style>", "", render(notebook(TEXT("HERE")), FACTS), flags=re.DOTALL)
    pages = [raw.replace("<p>HERE</p>", aimed(payload, n, listener)) for n, payload in enumerate(SCRIPTS + CALLS)]
    open_, heard = visit(browser, listener, [without_policy(text) for text in pages])
    ran = {number for number, seen in enumerate(open_) if seen["ran"]}
    assert len(ran) >= 25 and len(heard - ran) >= 20, (len(ran), len(heard - ran))
    strict, heard = visit(browser, listener, pages)
    going = {n for n, payload in enumerate(SCRIPTS + CALLS) if "http-equiv=refresh" in payload}  # no policy forbids leaving
    assert not any(seen["ran"] for seen in strict) and heard <= going


def test_a_page_at_a_desk_on_a_phone_at_night_and_on_paper(browser, tmp_path):
    wide = "<table><tr>" + "<td>a wide table</td>" * 30 + "</tr></table>"
    text, _ = page(shows({"text/html": wide}), CODE("x = " + "'long' + " * 60 + "''", outputs=[], execution_count=1),
                   TEXT("$$" + "x_1 + " * 60 + "y$$\n\n`" + "a" * 200 + "`\n\n" + "b" * 300))
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    colours = {}
    for scheme, width in (("light", 1280), ("light", 390), ("dark", 1280)):
        tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab.goto((tmp_path / "page.html").as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        tops = tab.evaluate("['.title', '.contents', '.summary', 'main'].map(s => document.querySelector(s).getBoundingClientRect().top)")
        assert tops == sorted(tops)
        colours[scheme] = tab.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
        visible = "[...document.querySelectorAll('.source')].filter(e => e.offsetHeight).length"
        before = tab.evaluate("document.querySelector('main').innerText")
        assert tab.evaluate(visible) == 5
        tab.click(".switch-label")
        assert tab.evaluate(visible) == 0 and "out <text>" in tab.evaluate("document.querySelector('main').innerText")
        assert "Next part" in before and "Next part" in tab.evaluate("document.querySelector('main').innerText")
        tab.click(".switch-label")
        if (scheme, width) == ("light", 1280):
            closed = tab.evaluate("[...document.querySelectorAll('.summary table')].filter(t => t.checkVisibility({contentVisibilityAuto: true, opacityProperty: true})).length")
            tab.emulate_media(media="print")
            printed = tab.evaluate("[...document.querySelectorAll('.summary table')].map(t => t.getBoundingClientRect().height > 20)")
            assert closed < 3 and printed == [True] * 3
            assert tab.evaluate("getComputedStyle(document.querySelector('img')).breakInside") == "avoid"
        tab.close()
    light, dark = (sum(map(int, re.findall(r"\d+", colours[s][0])[:3])) for s in ("light", "dark"))
    assert light > 700 and dark < 120 and colours["light"] != colours["dark"]


def test_the_page_refers_to_nothing_outside_itself():
    text, soup = page()
    assert not soup.find_all(["link", "iframe"])
    [script] = soup.find_all("script")  # ours: the policy names its hash, and no other
    digest = base64.b64encode(hashlib.sha256(script.string.encode()).digest()).decode()
    assert not script.attrs and f"script-src 'sha256-{digest}';" in soup.head.meta["content"]
    assert soup.head.meta["content"].count("script") == 1 and "unsafe-eval" not in soup.head.meta["content"]
    without = text.replace(script.string, "")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:image/)[^"']+|url\(|@import""", without)
    head = [element.name for element in soup.head.find_all(recursive=False)]
    assert head == ["meta", "meta", "meta", "title", "style"] and "default-src 'none'" in soup.head.meta["content"]
    assert soup.find("meta", charset="utf-8") and soup.find("meta", attrs={"name": "viewport"})


def test_figures_have_alt_text_and_sliders_their_still():
    _, soup = page()
    assert [image["alt"] for image in soup.find_all("img")] == ["One red pixel", "A still of the sliders"]
    assert soup.find("img")["width"] == "20" and not soup.select(".left-out")


def test_contents_parameters_provenance_and_claims_are_there():
    _, soup = page(TEXT("## Next part\n\n<h2 id='Next-part'>again $x$</h2>\n\n[there](#Next-part)"))
    entries = soup.select(".contents a")
    assert [a.get_text() for a in entries] == ["Next part", "Next part", "again x"]
    assert len({a["href"] for a in entries}) == 3 and all(len(soup.select(f"[id='{a['href'][1:]}']")) == 1 for a in entries)
    assert soup.find("a", string="there")["href"] == entries[0]["href"] and soup.select_one(".title h1").get_text() == "01 · Is it?"
    box = soup.select_one(".summary").get_text(" ")
    assert "1 of 2 claims hold" in box and "3 (changed)" in box and "a < b" in box and "✗ does not hold" in box and "<i>" in box
    assert "not run or checked here" in page(facts=None)[1].select_one(".summary").get_text()


def test_a_claim_beside_its_result_keeps_its_look_and_ours_keeps_to_us():
    from cnnviz_utils.course.records import Claim

    claim = Claim("a < b", "1 < 2", False)._repr_mimebundle_()
    _, soup = page(shows(claim), shows({"text/html": "<p class='summary good page claim' id='hide-code'>x</p>"}))
    assert soup.select_one("main .claim.does-not-hold small").get_text() == "1 < 2"
    forged = soup.select("main .claim")[-1]
    assert forged["class"] == ["claim"] and forged["id"] == "nb-hide-code"
    style = soup.style.get_text()
    assert ".claim.does-not-hold" in style and all(len(DEFACES) > 20 and word in style for word in (".claim.holds", ".verdict-fails"))


def main_of(*cells, **more):
    return BeautifulSoup(render({"cells": list(cells), **more}), "html.parser").main


def printed(text, **more):
    return CODE("", [OUT("stream", text=text, name="stdout", **more)])


def test_maths_is_mathml_wherever_it_stands():
    main = main_of(TEXT("| a | b |\n|---|---|\n| $|x|$ | $P(a|b)$ |\n\n$$\\operatorname*{argmax}_x f$$ and $\\arg\\max_x g$\n\n"
                        "costs $5 and $6, `$x$`\n\n```\n$y$\n```\n\n\\begin{align}a&=b\\end{align}\n\n<b title='$t$'>t</b>"))
    assert len(main.find_all("tr")) == 2 and [len(row.find_all("td")) for row in main.find_all("tr")][1] == 2
    assert len(main.find_all("math")) == 5 and "\\" not in main.get_text()
    limits = main.find("math", display="block").munder
    assert [child.get_text() for child in limits.find_all(recursive=False)] == ["argmax", "x"]
    assert "costs $5 and $6, $x$" in main.get_text() and "$y$" in main.get_text() and main.b["title"] == "$t$"
    mixed = main_of(shows({"text/latex": "The value <b> is $x^2$, and $$y$$"}))
    assert len(mixed.find_all("math")) == 2 and mixed.find("b") is None and "The value <b> is" in mixed.get_text()
    assert len(main_of(shows({"text/latex": "$\\displaystyle \\frac{1}{2}$"})).find_all("mfrac")) == 1
    assert "\\begin{nonsense" in main_of(TEXT("$\\begin{nonsense$ x")).get_text()


def test_pictures_of_all_kinds_and_widths():
    gif, webp = "R0lGODlhAQABAAAAACwAAAAAAQABAAA=", "UklGRiIAAABXRUJQ"
    main = main_of(shows({"image/gif": gif, "text/plain": "x"}), shows({"image/webp": webp}),
                   shows({"image/png": PIXEL}, **{"image/png": {"width": "50%"}}),
                   shows({"image/svg+xml": "<svg viewBox='0 0 9 9'><script>1</script></svg>"}),
                   TEXT("![p](attachment:a%20b.png) <img src='attachment:a b.png'> ![q](attachment:none.png) ![r](https://x.org/r.png)",
                        attachments={"a b.png": {"image/png": PIXEL}}),
                   shows({"text/html": "<p>before <svg width='9'><rect/></svg></p>"}), shows({"text/html": "<p>a <svg width=9></svg></p>"}))
    kinds = [image["src"].split(";")[0].removeprefix("data:image/") for image in main.find_all("img")]
    assert kinds == ["gif", "webp", "png", "svg+xml", "png", "png", "svg+xml"] and not main.find("svg")
    assert main.find_all("img")[2]["width"] == "50%"
    assert "a drawing that is damaged" in main.small.get_text()
    assert [s.get_text() for s in main.select("span.left-out")] == ["A picture that is not in the notebook: q", "A picture that is not in the notebook: r"]


@pytest.mark.parametrize(("data", "said"), [
    ({"application/vnd.plotly.v1+json": {}, "text/html": "<div><script>1</script></div>", "text/plain": "Figure({...})"}, "Plotly"),
    ({"text/html": "<video src='data:video/mp4;base64,AAAA'>no video</video>", "text/plain": "<IPython.core.display.Video object>"}, "a video"),
    ({"text/html": "<iframe src='https://example.org'></iframe>"}, "a page from elsewhere"),
    ({"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "IntSlider(value=3)"}, "controls"),
    ({"application/x-strange": "?"}, "application/x-strange"),
    ({"image/png": PIXEL[:24]}, "a picture that is damaged"),
    ({"image/png": PIXEL + "é"}, "a picture that is damaged"),
    ({"application/pdf": "JVBERi0xLjQ=", "text/plain": "<Figure>"}, "a PDF document. It is in the notebook"),
    ({"image/png": "no picture"}, "damaged"),
])
def test_what_cannot_be_shown_is_named(data, said):
    note = main_of(shows(data)).select_one(".left-out").get_text()
    assert "Left out" in note and said in note


def test_printed_text_is_as_a_terminal_shows_it():
    main = main_of(CODE("x", [OUT("stream", name="stdout", text="1%\r50%\r100%\nab\bc\n"), OUT("stream", name="stdout", text="one \x1b[1;31mred\x1b[0m"),
                              OUT("stream", name="stderr", text="w\x1b[38;2;1;2;3mx\x1b[0m"), OUT("stream", text=["no", " name"])]))
    assert [(pre["class"], pre.get_text()) for pre in main.select(".output pre")] == [
        (["stdout"], "100%\nac\none red"), (["stderr"], "wx"), (["stdout"], "no name")]
    assert main.select_one(".ansi-red-fg.ansi-bold").get_text() == "red" and main.find(style=True)["style"] == "color: rgb(1,2,3)"


def test_styled_tables_keep_their_colours_without_a_style_sheet():
    import pandas as pd

    table = pd.DataFrame({"a": [1, 2]}).style.map(lambda value: "color: red; position: fixed" if value > 1 else "")
    main = main_of(shows({"text/html": table.to_html()}))
    assert [cell.get_text() for cell in main.find_all(style="color: red")] == ["2"] and not main.find("style")


def test_harmless_damage_is_mended():
    main = main_of({"cell_type": "code", "source": "a = 1"}, {"cell_type": "code", "metadata": {"tags": None}, "source": None, "outputs": None},
                   {"cell_type": "code", "metadata": None, "outputs": [{"output_type": "display_data"}, {"output_type": "stream"},
                    {"output_type": "display_data", "data": {"text/html": None, "image/png": [PIXEL]}}, {"x": 1}, None]},
                   {"cell_type": "zebra", "source": "what <b>?"}, {}, None, "x", TEXT("half a pair \ud83d"),
                   metadata={"widgets": {"application/vnd.jupyter.widget-state+json": {}}, "kernelspec": None, "language_info": "x"}, nbformat=5)
    assert len(main.find_all("img")) == 1 and "a = 1" in main.get_text() and "half a pair \ufffd" in main.get_text()
    assert "what <b>?" in main.get_text() and "not known here: zebra" in main.get_text()
    old = render({"nbformat": 3, "worksheets": [{"cells": [
        {"cell_type": "heading", "level": 2, "source": "Old"}, {"cell_type": "code", "input": "x", "outputs": [
            {"output_type": "pyout", "png": PIXEL, "text": "<a>"}, {"output_type": "stream", "stream": "stderr", "text": "hey"},
            {"output_type": "pyerr", "ename": "E", "evalue": "v", "traceback": ["\x1b[31mE\x1b[0m: v"]}]}]}]})
    soup = BeautifulSoup(old, "html.parser")
    assert soup.main.h2.get_text() == "Old" and soup.main.img and soup.select_one(".stderr") and soup.select_one(".error").get_text() == "E: v"


@pytest.mark.parametrize(("cells", "most"), [
    ([CODE("x = 1 + 2\n" * 200_000)], 200_000), ([printed("\x1b[31mred\x1b[0m and " * 300_000)], 800_000),
    ([shows({"text/html": "<table>" + "<tr><td>1</td><td>2</td></tr>" * 100_000 + "</table>"})], 2_500_000),
    ([TEXT(" " * 60_000 + "x"), TEXT("a" + " " * 60_000), CODE(" " * 60_000 + "x")], 100_000),
    ([TEXT("\\begin{a}" * 9_000), TEXT("$" * 20_000), TEXT("$" + "x+" * 50_000 + "$")], 500_000),
    ([printed("a\r" * 40_000 + "b" * 40_000)], 100_000), ([shows({"text/html": "<svg>" * 9_000 + "<style>" * 9_000})], 100_000),
], ids=["code", "colours", "table", "spaces", "maths", "overwritten", "never closed"])
def test_what_is_too_long_is_cut_or_goes_fast(cells, most):
    main = render({"cells": cells}).partition("<main")[2]
    assert 0 < len(main) < most
    assert (len(str(cells)) > 2_000_000) <= bool(re.search(r'<p class="left-out">[^<]*left out', main))


def test_a_solution_of_several_cells_lies_under_one_label():
    tagged = lambda cell, tag: cell | {"metadata": {"tags": [tag]}}
    cells = [TEXT("# t"), tagged(CODE("check()"), "check-definition"), tagged(TEXT("Because."), "solution"),
             tagged(CODE(""), "solution"), tagged(CODE("answer = 1"), "solution"), TEXT("Next."), tagged(CODE("answer = 2"), "solution")]
    page = BeautifulSoup(render({"cells": cells}), "html.parser")
    folds = page.select("main details.fold")
    assert [fold.summary.get_text() for fold in folds] == ["How the answer is checked", "Solution", "Solution"]
    assert "Because." in folds[1].get_text() and "answer = 1" in folds[1].get_text() and "Next." not in folds[1].get_text()
