"""Links from each page of a folder to the index, the page before and the page after."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from cnnviz_utils.base.files import write_whole
from cnnviz_utils.course.pages import template

LINKS = re.compile(
    r'(<nav class="links(?: end)?" aria-label="[^"]*">).*?(</nav>)', re.DOTALL
)


class Linked(Protocol):
    """A page's title, and its address in the folder."""

    @property
    def title(self) -> str: ...

    @property
    def page(self) -> str: ...


def link_pages(
    folder: Path,
    pages: Sequence[Linked],
    index_title: str = "All pages",
    more: dict[str, str] | None = None,
) -> None:
    """Write into each page the way to the index, the page before and the page after.

    more: other pages of the folder, title -> address.
    """
    for at, entry in enumerate(pages):
        path = folder / entry.page
        up = "../" * entry.page.count("/")
        before = pages[at - 1] if at else None
        after = pages[at + 1] if at + 1 < len(pages) else None
        links = template("links.html.j2").render(
            index=f"{up}index.html",
            index_title=index_title,
            more={title: up + address for title, address in (more or {}).items()},
            previous=up + quote(before.page) if before else "",
            previous_title=before.title if before else "",
            next=up + quote(after.page) if after else "",
            next_title=after.title if after else "",
        )
        text = path.read_text(encoding="utf-8")
        # only ours match: no <nav> of a notebook gets onto a page

        def with_links(found: re.Match[str], new: str = links) -> str:
            return found[1] + new + found[2]

        linked = LINKS.sub(with_links, text)
        if linked != text:
            write_whole(path, linked)
