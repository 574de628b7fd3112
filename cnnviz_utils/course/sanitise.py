"""What a notebook brings along, made safe for a page.

Notebooks are treated as hostile. A piece of HTML is parsed as browsers parse it (nh3,
html5ever) and only what stands in the lists below is written out again: no script, no
form, nothing that loads, nothing that could cover or imitate the rest of the page.
"""

import base64
import html
import re
from collections.abc import Iterator
from functools import cache
from urllib.parse import unquote

import nh3
from markupsafe import Markup


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TEXT = names("""
a abbr b bdi bdo blockquote br caption center cite code col colgroup dd del
details dfn div dl dt em figcaption figure font h1 h2 h3 h4 h5 h6 hr i img ins kbd li
mark ol p pre q rp rt ruby s samp section small span strong sub summary sup table tbody
td tfoot th thead time tr tt u ul var wbr
""")
MATHS = names("""
math maction menclose merror mfrac mi mmultiscripts mn mo mover mpadded
mphantom mprescripts mroot mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd
mtext mtr munder munderover none
""")
# their content goes with them; of all others only the tags
WHOLE = names("""
annotation annotation-xml applet audio canvas dialog embed frameset iframe
math-field noembed noframes noscript object option plaintext script select style svg
template textarea title video xmp head
""")
MATHS_ATTRIBUTES = names("""
accent accentunder columnalign columnlines columnspacing display
displaystyle fence form linebreak linethickness lspace mathcolor mathvariant maxsize
minsize movablelimits notation rowlines rowspacing rspace scriptlevel separator stretchy
symmetric columnspan rowspan
""")
ATTRIBUTES = {
    "*": {"class", "id", "style", "title", "lang", "dir", "align"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan", "headers", "valign"},
    "th": {"colspan", "rowspan", "scope", "valign"},
    "col": {"span", "width"},
    "colgroup": {"span", "width"},
    "ol": {"start", "type", "reversed"},
    "li": {"value"},
    "details": {"open"},
    "font": {"color"},
    "mspace": {"width"},
    **dict.fromkeys(MATHS - {"mspace"}, MATHS_ATTRIBUTES),
}
# of a style attribute: nothing that moves, covers, hides or loads
COLOUR = r"[a-z]+|#[0-9a-f]{3,8}|(rgb|hsl)a?\([\d\s.,%/]{1,40}\)"
LENGTH = r"0|\d{0,3}(\.\d+)?(px|em|rem|ex|ch|pt|%)|auto"
STYLES = {
    "color": COLOUR,
    "background-color": COLOUR,
    "text-align": r"left|right|center|justify|start|end",
    "vertical-align": r"top|middle|bottom|baseline|sub|super",
    "font-weight": r"normal|bold|bolder|lighter|[1-9]00",
    "font-style": r"normal|italic|oblique",
    "font-size": r"(\d|[1-4]\d)(\.\d+)?(px|pt)|[0-2](\.\d+)?(em|rem)"
    r"|(x-)?(small|large)",
    "text-decoration": r"none|underline|line-through",
    "white-space": r"normal|nowrap|pre|pre-wrap",
    "width": LENGTH,
    "max-width": LENGTH,
}
CLASSES = re.compile(
    r"highlight|dataframe|data|blank|(col|row)_heading|index_name|(level|row|col)\d+"
    r"|claims?|holds|does-not-hold|task-list-item"
    r"|exercise|unanswered|wrong|right|prediction"
)
PREFIX = "nb-"  # of every id, so that none is ours
PICTURE = re.compile(r"data:image/(png|jpe?g|gif|webp|bmp|avif|svg\+xml)[;,]", re.I)
PAGE = re.compile(r"(?![\w+.-]*:|/|\\)[\w ./%-]+\.(html|ipynb)(#.*)?")
LEFT_OUT = {  # what is taken out, as a reader would call it
    "script": "a program (an interactive figure, perhaps)",
    "video": "a video",
    "audio": "a sound",
    "canvas": "a drawing of a program",
    "iframe": "a page from elsewhere",
    "embed": "an embedded object",
    "object": "an embedded object",
    "form": "a form",
    "input": "a form",
    "button": "a form",
    "textarea": "a form",
    "select": "a form",
}
DAMAGED = "<small>Left out here: a drawing that is damaged.</small>"
PAIRS = r'((?:\s[\w:-]+="[^"]*")*)'  # attributes, as nh3 writes them
IMG = re.compile(rf"<img{PAIRS}>")


def sanitise(page: str, attachments: dict | None = None) -> Markup:
    """A piece of HTML with only what is allowed, ready to be put into a page.

    attachments: pictures that `<img src="attachment:NAME">` means, (MIME type, base64)
    by name. Drawings (`<svg>`) become pictures, in which nothing runs or loads; the
    look of pandas's styled tables is kept. The result is read once more until it stays
    the same, so that a browser reads it as it was checked.
    """
    page = "".join(
        _drawing(piece) if inside else piece
        for inside, piece in pieces(styled_cells(page), "svg")
    )
    keep = lambda tag, name, value: allowed(tag, name, value, attachments or {})
    for _ in range(5):
        before, page = page, nh3.clean(page, attribute_filter=keep, **_lists())
        if page == before:
            return Markup(IMG.sub(_without_source, page))
    return Markup("<pre>{}</pre>").format(before)


def pieces(page: str, tag: str) -> Iterator[tuple[bool, str]]:
    """HTML cut at the elements of one kind: (whether it is one, its text). One that is
    never closed is not cut out."""
    at, ends = 0, page.lower()
    for start in re.finditer(rf"<{tag}\b", page, re.IGNORECASE):
        if start.start() < at:
            continue
        end = ends.find(f"</{tag}", start.end())
        end = page.find(">", end) if end >= 0 else -1
        if end < 0:
            break
        yield False, page[at : start.start()]
        yield True, page[start.start() : end + 1]
        at = end + 1
    yield False, page[at:]


def text_of(page: str) -> str:
    """The words of a piece of HTML."""
    return html.unescape(nh3.clean(page, tags=set())).strip()


def left_out(page: str) -> list[str]:
    """What `sanitise` takes out of a piece that a reader would miss, in words."""
    found = re.findall(rf"<({'|'.join(LEFT_OUT)})\b", page, re.I)
    return list(dict.fromkeys(LEFT_OUT[tag.lower()] for tag in found))


def anchor(name: str) -> str:
    """The id on the page for a heading, or for an id or #fragment in a notebook."""
    name = re.sub(r"[^\w.]+", "-", unquote(name).removeprefix(PREFIX)).strip("-")
    return PREFIX + name[:100]


@cache
def _lists() -> dict:
    return {
        "tags": TEXT | MATHS,
        "clean_content_tags": WHOLE,
        "attributes": ATTRIBUTES,
        "url_schemes": {"http", "https", "mailto", "data", "attachment"},
    }


@cache
def _colouring() -> frozenset[str]:
    """The classes of coloured code."""
    from pygments.token import STANDARD_TYPES

    return frozenset(name for name in STANDARD_TYPES.values() if name)


def allowed(tag: str, name: str, value: str, attachments: dict) -> str | None:
    """An attribute's value as it may stay, or None."""
    if name == "class":
        kept = [
            word
            for word in value.split()
            if CLASSES.fullmatch(word) or word in _colouring()
        ]
        return " ".join(kept) or None
    if name == "style":
        return safe_style(value) or None
    if name in ("id", "headers"):
        return anchor(value)
    if name == "href":
        return _link(value.strip())
    if name == "src":
        return _picture(value.strip(), attachments)
    if name in ("width", "height") and tag != "mspace":
        return value if re.fullmatch(r"\d{1,4}(\.\d+)?(%|px)?", value) else None
    if name in ("width", "lspace", "rspace", "minsize", "maxsize"):
        return value if re.fullmatch(r"-?\d?\d?(\.\d+)?(em|ex|px)?", value) else None
    return value


def safe_style(value: str) -> str:
    """The declarations of a style attribute that may stay."""
    kept = []
    for declaration in value.split(";"):
        name, _, wish = declaration.lower().partition(":")
        name, wish = name.strip(), wish.strip()
        if name in STYLES and re.fullmatch(STYLES[name], wish):
            kept.append(f"{name}: {wish}")
    return "; ".join(kept)


def _link(address: str) -> str | None:
    """Places on the page, pages beside it, and web pages to click on."""
    if address.startswith("#"):
        return "#" + anchor(address[1:])
    if re.match(r"https?://|mailto:", address, re.I):
        return address
    if PAGE.fullmatch(address):
        page, _, place = address.partition("#")
        # another notebook's page, which names its headings as this one does
        if page.endswith(".ipynb"):
            page = page.removesuffix(".ipynb") + ".html"
            place = place and anchor(place)
        return page + (place and f"#{place}")
    return None


def _picture(address: str, attachments: dict) -> str | None:
    if address.startswith("attachment:"):
        name = address.removeprefix("attachment:")
        name = name if name in attachments else unquote(name)
        mime, content = attachments.get(name, ("", ""))
        address = f"data:{mime};base64,{content}"
    return address if PICTURE.match(address) else None


def _without_source(found: re.Match) -> str:
    """A picture that would have to be loaded is replaced by its description."""
    if ' src="' in found[1]:
        return found[0]
    said = re.search(r' alt="([^"]*)"', found[1])
    said = f": {said[1]}" if said and said[1] else ""
    return f'<span class="left-out">A picture that is not in the notebook{said}</span>'


def drawing(svg: str) -> str | None:
    """A drawing's address as a picture, None if it is no well-formed SVG."""
    from xml.parsers import expat

    svg = re.sub(r"^\s*(<\?xml.*?\?>)?\s*(<!DOCTYPE[^>\[]*>)?", "", svg, flags=re.S)
    svg = svg.strip()
    if "<!" in re.sub(r"<!--|<!\[CDATA\[", "", svg):
        return None  # entities
    start = re.match(r"<svg\b[^>]*>", svg)
    if start and "xmlns=" not in start[0]:
        svg = f'<svg xmlns="http://www.w3.org/2000/svg"{svg[4:]}'
    if start and "xlink:" in svg and "xmlns:xlink" not in svg:
        svg = f'<svg xmlns:xlink="http://www.w3.org/1999/xlink"{svg[4:]}'
    try:
        expat.ParserCreate().Parse(svg, True)
    except (expat.ExpatError, ValueError):
        return None
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _drawing(svg: str) -> str:
    address = drawing(svg)
    return f'<img alt="Drawing" src="{address}">' if address else DAMAGED


def styled_cells(page: str) -> str:
    """pandas's styled tables have a style sheet with one rule a cell, by its id: each
    becomes the style of its cell, so that it goes through the same list."""
    rules: dict[str, str] = {}
    sheets = [sheet for inside, sheet in pieces(page, "style") if inside]
    for rule in "".join(sheet.partition(">")[2] for sheet in sheets).split("}"):
        selectors, _, declarations = rule.partition("{")
        for cell in selectors.split(","):
            if re.fullmatch(r"#T_[\w-]+", cell := cell.strip()):
                name = cell.removeprefix("#")
                rules[name] = f"{rules.get(name, '')};{safe_style(declarations)}"
    if not rules:
        return page
    return re.sub(
        r'(<(?:table|tr|td|th)\s[^<>]*?\bid=")(T_[\w-]+)"',
        lambda found: f'{found[0]} style="{rules.get(found[2], "").strip(";")}"',
        page,
    )
