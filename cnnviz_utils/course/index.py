"""The pages of a folder together: an index, and links from each to the next."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cnnviz_utils.base.files import write_whole
from cnnviz_utils.course.former import followed, write_former_pages
from cnnviz_utils.course.pages import style, template

LINKS = re.compile(
    r'(<nav class="links(?: end)?" aria-label="[^"]*">).*?(</nav>)', re.DOTALL
)


@dataclass(frozen=True)
class Entry:
    """One line of an index. page: the address of what was made, "" if nothing was.

    tone: "good" or "bad", of the result.
    """

    title: str
    page: str = ""
    result: str = ""
    tone: str = "good"
    line: str = ""


def write_index(out: Path) -> Path:
    """OUT/index.html over every lesson whose metrics lie in OUT: what it asks, how it
    went, its page. The pages are linked with each other and the index; former names of
    lessons lead on to them."""
    found, entries = [], []
    for path in sorted(out.glob("*.metrics.json")):
        name = path.name.removesuffix(".metrics.json")
        if followed(name, out):
            continue
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            entries.append(_lesson(facts))
            found.append(facts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            said = f"{path.name} is damaged: run the lesson again"
            entries.append(Entry(name, result=f"✗ {said}", tone="bad"))
    lessons = [e for e in entries if e.page and (out / f"{e.page}").is_file()]
    for path in sorted(out.glob("*.failed.ipynb")):
        name = path.name.removesuffix(".failed.ipynb")
        line = f"; as far as it came: {path.name}"
        result = "✗ did not run to its end"
        entries.append(Entry(name, "", result, "bad", line))
    first = found[0]["provenance"] if found else {}
    shown = ("cnnviz", "commit", "torch", "torchvision", "python", "processor")
    path = _write(
        out,
        entries,
        title="cnnviz: the course",
        heading="How convolutional networks are trained, and what they see",
        lead=f"{len(found)} lessons, each one question. "
        "Every page stands alone and can be handed on.",
        foot=" · ".join(f"{name} {first[name]}" for name in shown if first.get(name)),
    )
    link_pages(out, lessons)
    write_former_pages(out)
    return path


def write_folder_index(folder: Path, entries: list[Entry]) -> Path:
    """FOLDER/index.html over pages that were made of somebody's notebooks."""
    made = [entry for entry in entries if entry.page]
    path = _write(
        folder,
        entries,
        title=folder.resolve().name or "Notebooks",
        heading=folder.resolve().name or "Notebooks",
        lead=f"{len(made)} of {len(entries)} notebooks became pages. "
        "They are shown as they were handed in, not run or checked.",
        foot="",
    )
    link_pages(folder, made)
    return path


def link_pages(folder: Path, entries: list[Entry]) -> None:
    """Write into each page the way to the index, the page before and the page after."""
    for at, entry in enumerate(entries):
        path = folder / entry.page
        up = "../" * entry.page.count("/")
        before = entries[at - 1] if at else None
        after = entries[at + 1] if at + 1 < len(entries) else None
        links = template("links.html.j2").render(
            index=f"{up}index.html",
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


def _lesson(facts: dict) -> Entry:
    claims, what = facts["claims"], facts["provenance"]
    held = sum(claim["holds"] for claim in claims)
    own = [f"{name} = {facts['parameters'][name]}" for name in facts["changed"]]
    good = held == len(claims)
    return Entry(
        facts["title"],
        f"{facts['lesson']}.html",
        f"{'✓' if good else '✗'} {held} of {len(claims)} claims hold",
        "good" if good else "bad",
        f" · {what['seconds']:.0f} s · profile {what['profile']}"
        f" · parameters: {', '.join(own) or 'its own'}",
    )


def _write(folder: Path, entries: list[Entry], **words: str) -> Path:
    path = folder / "index.html"
    addressed = [
        {**vars(entry), "page": quote(entry.page) if entry.page else ""}
        for entry in entries
    ]
    page = template("index.html.j2").render(style=style(), entries=addressed, **words)
    write_whole(path, page)
    return path
