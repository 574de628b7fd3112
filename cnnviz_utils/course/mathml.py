"""TeX as MathML, which browsers show without a script."""

import html
import re
from collections.abc import Callable

from latex2mathml.converter import convert

LONGEST = 5_000  # characters of one formula; a longer one is shown as its source
# names that the converter does not know, and others for the same
SAME = [
    (r"\\operatorname\*\s*\{([^{}]*)\}", r"\\operatorname{\1}\\limits"),
    (r"\\operatorname\*", r"\\operatorname"),
    (r"\\limits(?!\s*[_^])", ""),
    (r"\\(arg|Res|tr|rank|sgn|diag)(?![A-Za-z])", r"\\operatorname{\1}"),
    (r"\\(begin|end)\{(?:aligned|eqnarray)(\*?)\}", r"\\\1{align*}"),
    (r"\\(label|nonumber|notag)(?![A-Za-z])(\{[^{}]*\})?", ""),
    (r"\\(vert|lvert|rvert)(?![A-Za-z])", "|"),
    (r"\\(Vert|lVert|rVert)(?![A-Za-z])", r"\\|"),
]
DELIMITED = r"""
    (?<!\\)\$\$(?P<display>(?:[^$\\]|\\.){1,5000}?)\$\$
  | (?<![\\$])\$(?P<gap>[ ]?)(?![\s$])
    (?P<inline>(?:[^$\\\n]|\\.|\n(?!\s*\n)){1,2000}?)(?<!\s)(?P=gap)\$(?![\d$])
  | \\{1,2}\[(?P<bracket>(?:[^\\]|\\(?!\\?\])){1,5000}?)\\{1,2}\]
  | \\{1,2}\((?P<round>(?:[^\\\n]|\\(?!\\?\))){1,2000}?)\\{1,2}\)
  | (?P<environment>\\begin\{(?P<name>[a-zA-Z]{1,20}\*?)\}.{0,5000}?\\end\{(?P=name)\})
"""
MATHS = re.compile(DELIMITED, re.DOTALL | re.VERBOSE)


def mathml(tex: str, display: str = "inline") -> str:
    """TeX as MathML; what cannot be converted is shown as its source.

    display: "inline", or "block" for a line of its own. The result is not yet safe to
    put into a page: TeX can ask for links (`sanitise`).
    """
    tex = tex.strip()
    if len(tex) <= LONGEST:
        known = tex
        for pattern, replacement in SAME:
            known = re.sub(pattern, replacement, known)
        try:
            return convert(known, display=display)
        except Exception:  # the converter raises many kinds
            pass
    return f"<code>{html.escape(tex)}</code>"


def converted(found: re.Match) -> str:
    """A formula that `MATHS` has found, as MathML."""
    if found["environment"]:
        return mathml(found["environment"], "block")
    if found["display"] or found["bracket"]:
        return mathml(found["display"] or found["bracket"], "block")
    return mathml(found["inline"] or found["round"], "inline")


def replace_maths(text: str, formula: Callable[[re.Match], str]) -> str:
    """Text with every formula in it replaced."""
    if text.count("\\begin{") > 200 and text.count("\\end{") < 100:
        return text  # begun and never ended: searching would take minutes
    return MATHS.sub(formula, text)


def latex(text: str) -> str:
    """An output of the kind text/latex: prose with formulas in it, or one formula."""
    pieces, at = [], 0

    def take(found: re.Match) -> str:
        nonlocal at
        pieces.append(html.escape(text[at : found.start()]))
        pieces.append(converted(found))
        at = found.end()
        return ""

    replace_maths(text, take)
    if not pieces and re.search(r"[\\^_]", text):
        return mathml(text, "block")
    return "".join([*pieces, html.escape(text[at:])])
