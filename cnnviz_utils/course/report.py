"""An executed notebook as one HTML file that opens anywhere, offline: maths, pictures,
provenance, claims.

Each cell's text and each output is made safe by itself (`sanitise`) before the page is
put together, so that nothing in one can reach the others. What the page says of itself
(the summary, the contents) stands outside the notebook's part of the page, and its
class names mean nothing there. A Content-Security-Policy forbids the rest.
"""

import re
from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from markupsafe import Markup

from cnnviz_utils.base.files import write_whole
from cnnviz_utils.course.markdown import markdown
from cnnviz_utils.course.outputs import note, output_html, shortened
from cnnviz_utils.course.pages import page, template
from cnnviz_utils.course.repair import Cell, Notebook, repaired
from cnnviz_utils.course.sanitise import MATHS, anchor, text_of
from cnnviz_utils.course.terms import Linker

HANDED_IN = (
    "This page shows a notebook as it was handed in. It was not run or checked here."
)
MOST_CODE = 100_000  # characters of one cell
MOST_OUTPUTS = 1_000  # of one cell
HEADING = re.compile(r'<h([1-6])((?:\s[\w:-]+="[^"]*")*)>(.*?)</h\1>', re.DOTALL)
# cells that a reader opens, by tag
FOLDED = {
    "check-definition": "How the answer is checked",
    "solution": "Solution",
    "hidden-check": "What only the grader checks",
    "install": "Install the course (Colab)",
}
LEVELS = {"think": "to think about"}
# nothing but the question: strings, brackets and commas in one call
PREDICTION = re.compile(r"""\s*cv\.predict_first\((?:"[^"\n]*"|[\s\[\],]|key=)*\)\s*""")
TITLE = re.compile(r"\s*(#[ \t]+[^\n]+)(?:\n|$)")


def render(
    notebook: object,
    facts: dict | None = None,
    title: str = "",
    about: str = HANDED_IN,
) -> str:
    """A notebook as one page.

    notebook: as `repair.read_notebook` or nbformat gives it. facts: those of
    metrics.json, for the box at the top; without them the box says `about`, and the
    page has no links to the course's glossary and bibliography. title: by default the
    notebook's first heading.
    """
    if not isinstance(notebook, Notebook):
        notebook = repaired(notebook)
    head, cells = _title_and_rest(notebook.cells)
    title = title or title_of(notebook) or "Notebook"
    contents = Contents()
    top = contents.add(markdown(head)) if head else Markup("<h1>{}</h1>").format(title)
    contents.entries.clear()  # the title stands right above them
    linked = Linker() if facts else Markup
    parts = [
        (_folded_as(cell), _part(cell, notebook.language, contents, linked))
        for cell in cells
    ]
    return page(
        "page.html.j2",
        "page",
        title=title,
        top=top,
        contents=contents.entries,
        summary=summary(facts, about),
        parts=_folded([(words, part) for words, part in parts if part]),
    )


def title_of(notebook: Notebook) -> str:
    """The words of the heading that a notebook begins with, "" if it does not."""
    head = _title_and_rest(notebook.cells)[0]
    return text_of(markdown(head)) if head else ""


def write_page(
    notebook: object, path: Path, facts: dict | None = None, about: str = HANDED_IN
) -> None:
    """Render and write, all of it or nothing."""
    if not isinstance(notebook, Notebook):
        notebook = repaired(notebook)
    title = facts["title"] if facts else title_of(notebook) or path.stem
    write_whole(path, render(notebook, facts, title, about))


def summary(facts: dict | None, about: str = HANDED_IN) -> Markup:
    """The box at the top of a page: claims counted and listed, parameters,
    provenance; without facts a sentence about the page."""
    return Markup(template("summary.html.j2").render(facts=facts, about=about))


class Contents:
    """The headings of a page, each with an id of its own."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, Markup]] = []  # level, id, words
        self._taken: dict[str, int] = {}

    def add(self, page: Markup) -> Markup:
        """The same piece of safe HTML, its headings numbered and noted."""
        return Markup(HEADING.sub(self._heading, page))

    def _heading(self, found: re.Match) -> str:
        level, attributes, inner = found.groups()
        given = re.search(r' id="([^"]*)"', attributes)
        words = text_of(re.sub("<math.*?</math>", "", inner, flags=re.DOTALL))
        name = anchor(given[1] if given else words)
        self._taken[name] = self._taken.get(name, 0) + 1
        if self._taken[name] > 1:
            name = f"{name}_{self._taken[name]}"
        if level in "123":
            self.entries.append((level, name, _label(inner)))
        attributes = re.sub(r' id="[^"]*"', "", attributes)
        return f'<h{level} id="{name}"{attributes}>{inner}</h{level}>'


def _label(inner: str) -> Markup:
    """A heading's words and formulas, without links and pictures."""
    import nh3

    return Markup(nh3.clean(inner, tags={*MATHS, "code", "em", "sub", "sup"}).strip())


def _title_and_rest(cells: list[Cell]) -> tuple[str, list[Cell]]:
    """The first heading of a notebook that begins with one, and the cells without
    it."""
    first = cells[0] if cells else Cell("code")
    found = TITLE.match(first.source) if first.kind == "markdown" else None
    if not found:
        return "", cells
    rest = Cell("markdown", first.source[found.end() :], first.tags)
    rest.attachments = first.attachments
    return found[1], [rest, *cells[1:]]


def _folded_as(cell: Cell) -> str:
    """What a reader opens to see a cell, "" if it lies open."""
    return next((FOLDED[tag] for tag in cell.tags if tag in FOLDED), "")


def _folded(parts: list[tuple[str, Markup]]) -> list[Markup]:
    """The parts of a page; checks and solutions are folded, a solution of several cells
    under one label. parts: (label or "", part)."""
    fold = '<details class="fold"><summary>{}</summary>{}</details>'
    page: list[Markup] = []
    for words, cells in groupby(parts, itemgetter(0)):
        inside = [part for _, part in cells]
        if words:
            inside = [Markup(fold).format(words, Markup("").join(inside))]
        page += inside
    return page


def _part(
    cell: Cell, language: str, contents: Contents, linked: Callable[[Markup], Markup]
) -> Markup:
    """One cell as a part of the page. linked: adds the course's links to a text."""
    if cell.kind == "markdown":
        text = linked(contents.add(markdown(cell.source, cell.attachments)))
        return _section("text", _worth(cell) + text) if text.strip() else Markup("")
    if cell.kind == "code":
        shown = [output_html(output) for output in cell.outputs[:MOST_OUTPUTS]]
        boxes = [Markup('<div class="output">{}</div>').format(s) for s in shown if s]
        if (more := len(cell.outputs) - MOST_OUTPUTS) > 0:
            boxes.append(note(f"{more:,} more outputs are left out."))
        kind = "code solution" if "solution" in cell.tags else "code"
        # a prediction's box says its question already
        asked = boxes and "predict" in cell.tags and PREDICTION.fullmatch(cell.source)
        source = Markup("") if asked else _source(cell.source, language)
        return _section(kind, source + Markup("").join(boxes))
    text, said = shortened(cell.source, MOST_CODE)
    if cell.kind != "raw":
        said += note(f"This cell is of a kind that is not known here: {cell.kind}.")
    plain = Markup("<pre>{}</pre>{}").format(text, said)
    return _section("raw", plain) if text.strip() else Markup("")


def _worth(cell: Cell) -> Markup:
    """A line above an exercise: how hard it is, what kind, and what it is worth."""
    if "exercise" not in cell.tags:
        return Markup("")
    level, kind, points = (cell.ours.get(n) for n in ("level", "kind", "points"))
    level = LEVELS.get(str(level), level)
    unit = "point" if points == 1 else "points"
    said = [level, kind, f"{points} {unit}" if points is not None else None]
    words = " · ".join(str(word) for word in said if word)
    return Markup('<p class="worth">{}</p>').format(words) if words else Markup("")


def _section(kind: str, inside: Markup) -> Markup:
    return Markup('<section class="cell {}">{}</section>').format(kind, inside)


def _source(code: str, language: str) -> Markup:
    """A cell's code, coloured."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    if not code.strip():
        return Markup("")
    code, said = shortened(code, MOST_CODE)
    # spaces without end take a lexer minutes
    code = re.sub(r"[ \t]{1000,}", " " * 1000, code)
    try:
        lexer = get_lexer_by_name("text" if said else language)
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    coloured = Markup(highlight(code, lexer, HtmlFormatter(wrapcode=False)))
    return Markup('<div class="source">{}{}</div>').format(coloured, said)
