"""What every page of ours is made of: the templates, and one style sheet."""

import json
import re
from collections.abc import Callable
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


def plain(value: object) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


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
    jinja.filters |= {"plain": plain} | filters
    return jinja.get_template(name)
