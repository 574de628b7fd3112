"""What every page of ours is made of: the templates, one style sheet, two scripts, and
the policy that forbids every other."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from markupsafe import Markup

from cnnviz_utils.base.paths import PACKAGE

TEMPLATES = PACKAGE / "course" / "templates"


@cache
def style() -> Markup:
    """The style sheet of every page, with the colours of code for day and night."""
    from pygments.formatters import HtmlFormatter

    day = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    night = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    colours = re.compile(r"^\.highlight \.(?!err).*", re.MULTILINE)
    day, night = ("\n".join(colours.findall(sheet)) for sheet in (day, night))
    own = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    dark = f"@media screen and (prefers-color-scheme: dark) {{\n{night}\n}}"
    return Markup(f"{own}\n{day}\n{dark}")


@cache
def script(name: str) -> Markup:
    """One of our scripts, wrapped so that its names are its own."""
    own = (TEMPLATES / f"{name}.js").read_text(encoding="utf-8")
    return Markup(f"(() => {{\n{own}}})();")


def policy(name: str = "") -> str:
    """A page's Content-Security-Policy: pictures that are in it, its style, and of
    scripts only ours of that name, by its hash."""
    allowed = ""
    if name:
        digest = hashlib.sha256(script(name).encode()).digest()
        allowed = f" script-src 'sha256-{base64.b64encode(digest).decode()}';"
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline';"
        f"{allowed} form-action 'none'; base-uri 'none'"
    )


def page(template_name: str, script_name: str = "", **words: object) -> str:
    """A page from one of our templates, with our style, and our script of that name."""
    if script_name:
        words["script"] = script(script_name)
    return template(template_name).render(
        style=style(), policy=policy(script_name), **words
    )


def data(value: object) -> Markup:
    """A value as JSON that can stand in a page's `<script type="application/json">`:
    nothing in it ends the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def plain(value: object) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def tally(claims: Sequence[Mapping]) -> str:
    """How many claims of a run hold, in words. Where the data are others than a lesson
    was written for there can be none."""
    if not claims:
        return "no claims are made about these data"
    held = sum(bool(claim["holds"]) for claim in claims)
    return f"{held} of {len(claims)} claims hold"


@cache
def template(name: str, **filters: Callable):
    """One of our templates. What is put in is escaped unless it is Markup. filters: by
    name, functions that the template may call."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    jinja = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters |= {"plain": plain, "tally": tally} | filters
    return jinja.get_template(name)
