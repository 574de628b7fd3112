"""The indexes over a folder of pages: of the course, and of notebooks handed in."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from cnnviz_utils.base.files import write_whole
from cnnviz_utils.course.about import About, in_words
from cnnviz_utils.course.badges import badges
from cnnviz_utils.course.former import followed, write_former_pages
from cnnviz_utils.course.links import link_pages
from cnnviz_utils.course.pages import data, page, tally
from cnnviz_utils.course.search import sections
from cnnviz_utils.course.terms import write_references

MORE = {"Search": "index.html#search", "Glossary": "glossary.html"}
PHOTOS = "photos.json"


@dataclass(frozen=True)
class Entry:
    """One line of an index. page: the address of what was made, "" if nothing was.

    tone: "good" or "bad", of the result. about: what the lesson says of itself.
    facts: more about it, a few words each.
    """

    title: str
    page: str = ""
    result: str = ""
    tone: str = "good"
    line: str = ""
    about: About = field(default_factory=About)
    facts: tuple[str, ...] = ()


def write_index(out: Path) -> Path:
    """OUT/index.html over every lesson whose metrics lie in OUT: what it asks, what one
    learns, how it went, its page, and a search over all of them; beside it the glossary
    and the bibliography. The pages are linked with each other and the index; former
    names of lessons lead on to them."""
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
    photos = _photos(out)
    shown = ("cnnviz", "commit", "torch", "torchvision", "python", "processor")
    text = page(
        "course.html.j2",
        "course",
        title="cnnviz: the course",
        heading="How convolutional networks are trained, and what they see",
        lead=_lead(found, entries),
        badges=badges(),
        entries=_addressed(entries),
        sections=data(_sections(out, lessons)),
        foot=" · ".join(f"{name} {first[name]}" for name in shown if first.get(name)),
        photos=photos,
    )
    write_whole(out / "index.html", text)
    write_references(out, {e.page[:2]: quote(e.page) for e in lessons})
    link_pages(out, lessons, "Index", MORE)
    write_former_pages(out)
    return out / "index.html"


def _photos(out: Path) -> dict | None:
    """What a checkup of one's own photos left in OUT, if there was one."""
    try:
        facts = json.loads((out / PHOTOS).read_text(encoding="utf-8"))
        return {key: facts[key] for key in ("folder", "lines", "found")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_folder_index(folder: Path, entries: list[Entry]) -> Path:
    """FOLDER/index.html over pages that were made of somebody's notebooks."""
    made = [entry for entry in entries if entry.page]
    text = page(
        "index.html.j2",
        title=folder.resolve().name or "Notebooks",
        heading=folder.resolve().name or "Notebooks",
        lead=f"{len(made)} of {len(entries)} notebooks became pages. "
        "They are shown as they were handed in, not run or checked.",
        foot="",
        entries=_addressed(entries),
    )
    write_whole(folder / "index.html", text)
    link_pages(folder, made)
    return folder / "index.html"


def _lead(found: list[dict], entries: list[Entry]) -> str:
    hours = sum(entry.about.hours for entry in entries)
    time = f", about {hours:.0f} hours of your time" if hours else ""
    return (
        f"{len(found)} lessons, each one question{time}. "
        "Every page stands alone and can be handed on."
    )


def _lesson(facts: dict) -> Entry:
    claims, what = facts["claims"], facts["provenance"]
    own = [f"{name} = {facts['parameters'][name]}" for name in facts["changed"]]
    good = all(claim["holds"] for claim in claims)
    about = About(**facts.get("about", {}))
    return Entry(
        facts["title"],
        f"{facts['lesson']}.html",
        f"{'✓' if good else '✗'} {tally(claims)}" if claims else tally(claims),
        "good" if good else "bad",
        f" · {what['seconds']:.0f} s · profile {what['profile']}"
        f" · {'parameters: ' + ', '.join(own) if own else 'default parameters'}",
        about,
        tuple(_facts(about)),
    )


def _facts(about: About) -> list[str]:
    said = []
    if about.hours:
        said.append(f"{in_words(about.hours)} of your time")
    if about.needs:
        said.append(f"after lesson{'s' * (len(about.needs) > 1)} {_list(about.needs)}")
    if about.core:
        numbers = _list([str(number) for number in about.core])
        said.append(f"in a short course section{'s' * (len(about.core) > 1)} {numbers}")
    return said


def _list(words: list[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _sections(out: Path, lessons: list[Entry]) -> list[dict]:
    return [
        section
        for entry in lessons
        for section in sections(
            (out / entry.page).read_text(encoding="utf-8"),
            quote(entry.page),
            entry.title,
        )
    ]


def _addressed(entries: list[Entry]) -> list[dict]:
    return [
        {**vars(entry), "page": quote(entry.page) if entry.page else ""}
        for entry in entries
    ]
