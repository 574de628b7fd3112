"""A text cell as HTML: Markdown as JupyterLab reads it, with its maths as MathML."""

import html
import re
from functools import cache

from markupsafe import Markup

from cnnviz_utils.course.mathml import MATHS, converted, replace_maths
from cnnviz_utils.course.sanitise import sanitise

LONGEST = 100_000  # characters of one cell, without the pictures in it
CODE = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[^`\n]*\n[\s\S]*?(?:^(?P=fence)[`~]*[ \t]*$|\Z)"
    r"|(?<![`\\])(?P<ticks>`{1,6})(?!`)(?:[^`\n]|\n(?!\s*\n)){1,5000}?(?P=ticks)(?!`)",
    re.MULTILINE,
)
PICTURE = re.compile(r"data:image/[\w.+-]{1,20};base64,[A-Za-z0-9+/=]{200,}")
TOKEN = re.compile("\ue000([mp])(\\d+)\ue001")
TAG = re.compile(r"<[a-zA-Z][^<>]*>")
TICKED = re.compile(r'<input class="task-list-item-checkbox"[^>]*?( checked)?\s*/?>')


def markdown(source: str, attachments: dict | None = None) -> Markup:
    """Markdown to HTML that is safe to put into a page (`sanitise`).

    attachments: pictures pasted into the cell, (MIME type, base64) by name. Formulas
    are taken out first, so that a `|` or `_` in them means nothing to Markdown. A text
    longer than `LONGEST` is cut, with a note.
    """
    kept: list[str] = []

    def keep(kind: str, value: str) -> str:
        kept.append(value)
        return f"\ue000{kind}{len(kept) - 1}\ue001"

    source = re.sub("[\ue000\ue001]", "\ufffd", source)
    source = PICTURE.sub(lambda found: keep("p", found[0]), source)
    note = ""
    if len(source) > LONGEST:
        note = f"{len(source) - LONGEST:,} more characters of this text are left out."
        source = source[:LONGEST]
    source = re.sub(r"[ \t]{200,}", " " * 200, source)
    pieces, at = [], 0
    for code in CODE.finditer(source):
        pieces += [source[at : code.start()], code[0]]
        at = code.end()
    pieces.append(source[at:])
    pieces[::2] = [
        replace_maths(piece, lambda found: keep("m", found[0])) for piece in pieces[::2]
    ]
    page = _reader()("".join(pieces))
    page = TICKED.sub(lambda found: "☑ " if found[1] else "☐ ", page)
    # inside a tag (an alternative text, say) a formula stays as it is written
    page = TAG.sub(lambda tag: TOKEN.sub(lambda f: _source(kept, f), tag[0]), page)
    page = TOKEN.sub(lambda found: _formula(kept, found), page)
    safe = sanitise(page, attachments)
    return safe + Markup('<p class="left-out">{}</p>').format(note) if note else safe


def _source(kept: list[str], found: re.Match) -> str:
    return html.escape(kept[int(found[2])])


def _formula(kept: list[str], found: re.Match) -> str:
    written = kept[int(found[2])]
    if found[1] == "p":
        return html.escape(written)
    again = MATHS.fullmatch(written)
    return converted(again) if again else html.escape(written)


@cache
def _reader():
    import mistune
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    class Renderer(mistune.HTMLRenderer):
        def block_code(self, code: str, info: str | None = None) -> str:
            try:
                lexer = get_lexer_by_name((info or "text").split()[0])
            except (ClassNotFound, IndexError):
                lexer = get_lexer_by_name("text")
            return highlight(code, lexer, HtmlFormatter())

    return mistune.create_markdown(
        # what is harmful is taken out afterwards, from all of it
        renderer=Renderer(escape=False, allow_harmful_protocols=True),
        plugins=["strikethrough", "table", "url", "task_lists", "def_list"],
    )
