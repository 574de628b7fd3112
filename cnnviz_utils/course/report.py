"""An executed notebook as one HTML file that opens anywhere, offline: maths, pictures,
provenance, claims.

Notebooks are treated as hostile: whatever could run, load or submit something is taken
out (`sanitise`).
"""

import html
import json
import re
from pathlib import Path

from bs4 import BeautifulSoup, Comment
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

from cnnviz_utils.base.paths import PACKAGE

TEMPLATES = PACKAGE / "course" / "templates"
FORBIDDEN = (
    "script",
    "iframe",
    "object",
    "embed",
    "link",
    "meta",
    "base",
    "form",
    "button",
    "textarea",
    "select",
    "frame",
    "frameset",
    "applet",
    "audio",
    "video",
    "source",
    "track",
    "portal",
    "template",
    "noscript",
    "dialog",
    "foreignobject",
    "animate",
    "set",
    "use",
)
ADDRESSES = (
    "href",
    "src",
    "xlink:href",
    "action",
    "formaction",
    "data",
    "poster",
    "background",
    "srcset",
    "ping",
    "cite",
    "longdesc",
    "manifest",
    "codebase",
)


def mathml(tex: str, display: str) -> str:
    """TeX as MathML; what cannot be converted is shown as its source."""
    try:
        return convert(tex, display=display)
    except Exception:  # the converter raises many kinds
        return f"<code>{html.escape(tex)}</code>"


class _Renderer(IPythonRenderer):
    """Markdown with its maths as MathML."""

    def inline_math(self, body):
        return mathml(body, "inline")

    def block_math(self, body):
        return mathml(body, "block")

    def latex_environment(self, name, body):
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")


def markdown(source: str) -> str:
    """Markdown to HTML, with no picture fetched from anywhere."""
    return MarkdownWithMath(
        renderer=_Renderer(escape=False, anchor_link_text="")
    ).render(source)


def sanitise(page: str) -> str:
    """Take out what could run, load or submit anything: elements, event handlers,
    addresses that are not a place on the page, an embedded picture or (as a link to
    click) a web page; style sheets that load something."""
    soup = BeautifulSoup(page, "html.parser")
    for element in soup.find_all(
        string=lambda text: isinstance(text, Comment) and text != "CONTENTS"
    ):
        element.extract()
    for element in soup.find_all(FORBIDDEN):
        element.decompose()
    for element in soup.find_all("style"):
        if re.search(r"url\s*\(|@import|expression\s*\(|\\", element.get_text(), re.I):
            element.decompose()
    for element in soup.find_all("input"):
        if element.get("id") != "hide-code":
            element.decompose()
    for element in soup.find_all(True):
        for name in list(element.attrs):
            value = (
                "".join(element.attrs[name])
                if isinstance(element.attrs[name], list)
                else str(element.attrs[name])
            )
            packed = re.sub(r"[\s\x00-\x1f]", "", value).lower()
            loads = name.lower() in ADDRESSES and not (
                packed.startswith("#")
                or re.match(r"data:image/(png|jpeg|gif|webp|svg\+xml);base64,", packed)
                or (
                    element.name == "a"
                    and name.lower() == "href"
                    and re.match(r"https?://|mailto:|[\w./-]+\.html", packed)
                )
            )
            if (
                name.lower().startswith("on")
                or name.lower() == "srcdoc"
                or loads
                or (
                    name.lower() == "style"
                    and re.search(
                        r"url\(|expression|\\|position:(fixed|absolute)", packed
                    )
                )
            ):
                del element.attrs[name]
        if element.name == "a" and str(element.get("href", "")).startswith("http"):
            element["rel"] = "noopener noreferrer"
    return str(soup)


def summary(facts: dict | None) -> str:
    """The box at the top of a page: claims counted and listed, parameters,
    provenance."""
    if facts is None:
        return ""
    cell = lambda value: html.escape(
        value if isinstance(value, str) else json.dumps(value)
    )
    claims = facts["claims"]
    held = sum(claim["holds"] for claim in claims)
    tone = "good" if held == len(claims) else "bad"
    rows = "".join(
        f'<tr class="{"holds" if c["holds"] else "does-not-hold"}"><td>{cell(c["claim"])}</td>'
        f"<td>{cell(c['evidence'])}</td><td><strong>{'✓ holds' if c['holds'] else '✗ does not hold'}</strong>"
        "</td></tr>"
        for c in claims
    )
    parameters = "".join(
        f"<tr><th>{cell(k)}</th><td{' class=changed' if k in facts['changed'] else ''}>{cell(v)}"
        f"{' (changed)' if k in facts['changed'] else ''}</td></tr>"
        for k, v in facts["parameters"].items()
    )
    source = "".join(
        f"<tr><th>{cell(k)}</th><td>{cell(v)}</td></tr>"
        for k, v in facts["provenance"].items()
    )
    what = facts["provenance"]
    return (
        f'<aside class="summary" aria-label="Summary of this run"><p><strong class="{tone}">{held} of {len(claims)} '
        f"claims hold</strong> · profile {cell(what['profile'])} · {what['seconds']:.0f} s · {cell(what['started'])}</p>"
        f'<details{"" if tone == "good" else " open"}><summary>Claims</summary><table class="claims"><thead><tr><th>Claim'
        f"</th><th>Evidence</th><th>Result</th></tr></thead><tbody>{rows}</tbody></table></details>"
        f"<details><summary>Parameters</summary><table>{parameters}</table></details>"
        f"<details><summary>Provenance</summary><table>{source}</table></details></aside>"
    )


def render(notebook, facts: dict | None = None, title: str = "") -> str:
    """A notebook as one page. `facts` as in metrics.json gives the box at the top."""
    exporter = HTMLExporter(
        template_name="cnnviz", extra_template_basedirs=[str(TEMPLATES)]
    )
    exporter.filters = {
        "markdown2html": lambda source: markdown(source),
        "tex2mathml": lambda tex: mathml(tex.strip().strip("$"), "block"),
    }
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "data" in output:  # a view of sliders shows nothing on a page
                output.data.pop("application/vnd.jupyter.widget-view+json", None)
    style = (TEMPLATES / "style.css").read_text() + HtmlFormatter(
        style="friendly"
    ).get_style_defs(".highlight")
    resources = {"style": style, "title": title, "summary": summary(facts)}
    page, _ = exporter.from_notebook_node(notebook, resources=resources)
    page = sanitise(page)
    soup = BeautifulSoup(page, "html.parser")
    entries = [
        f'<li class="{h.name}"><a href="#{html.escape(h["id"])}">{html.escape(h.get_text().strip())}</a></li>'
        for h in soup.select("main h1[id], main h2[id], main h3[id]")
    ]
    return page.replace("<!--CONTENTS-->", f"<ul>{''.join(entries)}</ul>")


def write_page(notebook, path: Path, facts: dict | None = None) -> None:
    """Render and write."""
    path.write_text(
        render(notebook, facts, facts["title"] if facts else path.stem),
        encoding="utf-8",
    )


def write_index(out: Path) -> Path:
    """OUT/index.html over every lesson whose metrics lie in OUT: what it asks, how it
    went, its page."""
    found = [
        json.loads(path.read_text()) for path in sorted(out.glob("*.metrics.json"))
    ]
    items = []
    for facts in found:
        claims, what = facts["claims"], facts["provenance"]
        held = sum(claim["holds"] for claim in claims)
        tone = "good" if held == len(claims) else "bad"
        own = (
            ", ".join(f"{k} = {facts['parameters'][k]}" for k in facts["changed"])
            or "its own"
        )
        items.append(
            f'<li><h2><a href="{html.escape(facts["lesson"])}.html">{html.escape(facts["title"])}</a></h2>'
            f'<p><strong class="{tone}">{"✓" if tone == "good" else "✗"} {held} of {len(claims)} claims hold</strong> · '
            f"{what['seconds']:.0f} s · profile {html.escape(what['profile'])} · parameters: {html.escape(own)}</p></li>"
        )
    failed = [
        f'<li><h2>{html.escape(p.name.removesuffix(".failed.ipynb"))}</h2><p class="bad"><strong>✗ did not run to its '
        f"end</strong>; as far as it came: {html.escape(p.name)}</p></li>"
        for p in sorted(out.glob("*.failed.ipynb"))
    ]
    first = found[0]["provenance"] if found else {}
    shown = ("cnnviz", "commit", "torch", "torchvision", "python", "processor")
    foot = " · ".join(f"{k} {first[k]}" for k in shown if first.get(k))
    page = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><title>cnnviz: the course</title><style>{(TEMPLATES / "style.css").read_text()}</style></head>'
        f'<body><main class="index"><h1>How convolutional networks are trained, and what they see</h1>'
        f"<p>{len(found)} lessons, each one question. Every page stands alone and can be handed on.</p>"
        f'<ol class="lessons">{"".join(items + failed)}</ol><p class="foot"><small>{html.escape(foot)}</small></p>'
        "</main></body></html>"
    )
    path = out / "index.html"
    temporary = path.with_suffix(".html.tmp")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)
    return path
