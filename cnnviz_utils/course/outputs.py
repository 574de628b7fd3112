"""A cell's outputs as HTML: of the forms that an output has, the best that a page can
show."""

import json
import re
import struct
from base64 import b64decode
from binascii import Error

from markupsafe import Markup

from cnnviz_utils.course.markdown import markdown
from cnnviz_utils.course.mathml import latex
from cnnviz_utils.course.repair import Output
from cnnviz_utils.course.sanitise import drawing, left_out, sanitise, text_of
from cnnviz_utils.course.terminal import plain, terminal

MOST_TEXT = 200_000  # characters printed by one output
MOST_HTML = 2_000_000
COLUMN = 830  # pixels that a page's column is wide
OURS = "application/vnd.cnnviz"  # a lesson's record, shown in the summary
BASE64 = re.compile("[A-Za-z0-9+/]+=*")
PICTURES = {
    "image/png": b"\x89PNG",
    "image/jpeg": b"\xff\xd8",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
# forms that need a program to be seen
PROGRAMS = {
    "application/vnd.plotly.v1+json": "an interactive Plotly figure",
    "application/vnd.bokehjs_exec.v0+json": "an interactive Bokeh figure",
    "application/vnd.jupyter.widget-view+json": "sliders or other controls",
    "application/javascript": "a program",
}


PDF = "application/pdf"


def note(what: str) -> Markup:
    """A line that says what is not on the page."""
    return Markup('<p class="left-out">{}</p>').format(what)


def shortened(text: str, most: int) -> tuple[str, Markup]:
    """Beginning and end of a long text, and a note about what is missing."""
    if len(text) <= most:
        return text, Markup("")
    gone = len(text) - most
    half = most // 2
    said = note(f"{gone:,} characters in the middle of this are left out.")
    return f"{text[:half]}\n[...]\n{text[-half:]}", said


def output_html(output: Output) -> Markup:
    """One output, ready to be put into a page."""
    if output.kind in ("stream", "error"):
        if not output.text:
            return Markup("")
        kind = "error" if output.kind == "error" else output.name
        return _printed(output.text, kind)
    missing = [what for mime, what in PROGRAMS.items() if mime in output.data]
    missing += [
        f"an interactive {mime.split('.')[1]} figure"
        for mime in output.data
        if mime.startswith(("application/vnd.vega", "application/vnd.altair"))
    ]
    for mime, show in FORMS.items():
        if mime in output.data:
            shown = show(output, mime, missing)
            if shown:
                return shown
    if PDF in output.data and not missing:
        # a page has no viewer for it, and lending the browser's would run one
        return note("Left out here: a PDF document. It is in the notebook.")
    said = output.data.get("text/plain")
    said = plain(said).strip() if isinstance(said, str) else ""
    if missing:
        gone = " and ".join(dict.fromkeys(missing))
        shown = note(f"Left out here, as nothing runs on this page: {gone}.")
        helpful = said and len(said) < 300 and not said.startswith("<")
        return shown + (_printed(said, "stdout") if helpful else Markup(""))
    if "text/plain" in output.data:
        return _printed(output.data["text/plain"], "stdout") if said else Markup("")
    unknown = [mime for mime in output.data if not mime.startswith(OURS)]
    if not unknown:
        return Markup("")
    return note(f"Left out here: an output of the kind {unknown[0]}.")


def _printed(text: object, kind: str) -> Markup:
    text, said = shortened(str(text), MOST_TEXT)
    return Markup('<pre class="{}">{}</pre>{}').format(kind, terminal(text), said)


def _html(output: Output, mime: str, missing: list[str]) -> Markup:
    page, said = str(output.data[mime]), Markup("")
    if "sk-top-container" in page and "text/plain" in output.data:
        return Markup("")  # scikit-learn's diagram is unreadable without its style
    if len(page) > MOST_HTML:
        whole, rows = len(page), page.count("<tr")
        page = page[:MOST_HTML]
        page = page[: max(page.rfind("</tr>"), page.rfind("</p>"), 0) or None]
        what = f"{rows - page.count('<tr'):,} rows" if rows else "the rest"
        said = note(f"Cut, as it has {whole / 1e6:.1f} MB: {what} are left out.")
    gone = left_out(page)
    safe = sanitise(page)
    if not text_of(safe) and not re.search(r"<(img|math|hr)\b", safe):
        missing.extend(gone)
        return Markup("")
    if gone:
        said += note(f"Left out here, as nothing runs on this page: {', '.join(gone)}.")
    return Markup('<div class="table">{}</div>{}').format(safe, said)


def _markdown(output: Output, mime: str, missing: list[str]) -> Markup:
    return Markup('<div class="reading">{}</div>').format(
        markdown(str(output.data[mime]))
    )


def _latex(output: Output, mime: str, missing: list[str]) -> Markup:
    text, said = shortened(str(output.data[mime]), MOST_TEXT)
    return Markup('<div class="formula">{}</div>{}').format(sanitise(latex(text)), said)


def _svg(output: Output, mime: str, missing: list[str]) -> Markup:
    address = drawing(str(output.data[mime]))
    if address is None:
        missing.append("a drawing that is damaged")
        return Markup("")
    return _img(address, output.facts.get(mime))


def _image(output: Output, mime: str, missing: list[str]) -> Markup:
    content = "".join(str(output.data[mime]).split())
    try:
        start = b64decode(content[:4000], validate=True)
    except (Error, ValueError):  # of other letters
        start = b""
    whole = start.startswith(PICTURES[mime]) and BASE64.fullmatch(content)
    if not whole or (mime == "image/png" and len(start) < 24):
        missing.append("a picture that is damaged")
        return Markup("")
    pixels = struct.unpack(">I", start[16:20])[0] if mime == "image/png" else 0
    address = f"data:{mime};base64,{content}"
    return _img(address, output.facts.get(mime) or output.facts, pixels)


def _img(address: str, facts: object, pixels: int = 0) -> Markup:
    """A picture at the width that the notebook gives it; a figure that was meant to
    fill most of a page, and has the pixels for it, as wide as the column. A drawing
    that says it has a ground of its own, dark in dark pages, gets none from here."""
    facts = facts if isinstance(facts, dict) else {}
    alt = facts.get("alt")
    alt = alt if alt and isinstance(alt, str) else "Figure without a description"
    width = str(facts.get("width", ""))
    width = width if re.fullmatch(r"\d{1,5}(\.\d+)?(px|%)?", width) else ""
    points = float(width.removesuffix("px")) if width and width[-1] != "%" else 0
    wide = points >= 0.5 * COLUMN and pixels >= COLUMN
    kind = "wide" if wide else "own-ground" if facts.get("ground") == "own" else ""
    look = Markup(' class="{}"').format(kind) if kind else Markup("")
    size = Markup(' width="{}"').format(width.removesuffix("px")) if width else ""
    return Markup('<img src="{}" alt="{}"{}{}>').format(address, alt, size, look)


def _json(output: Output, mime: str, missing: list[str]) -> Markup:
    if "text/plain" in output.data:
        return Markup("")
    return _printed(json.dumps(output.data[mime], indent=1, default=str), "stdout")


FORMS = {
    "text/html": _html,
    "text/markdown": _markdown,
    "image/svg+xml": _svg,
    "image/png": _image,
    "image/jpeg": _image,
    "image/gif": _image,
    "image/webp": _image,
    "text/latex": _latex,
    "application/json": _json,
}
