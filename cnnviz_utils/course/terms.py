"""The glossary and the bibliography: read from glossary.yaml and bibliography.yaml, as
pages, and as links where a lesson first uses a term or names a paper."""

import html
import re
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from cnnviz_utils.base.files import write_whole
from cnnviz_utils.base.paths import PACKAGE
from cnnviz_utils.course.pages import page

TAG = re.compile(r'(<[a-zA-Z/](?:[^<>"]|"[^"]*")*>)')
NO_LINKS = ("a", "code", "pre", "math", "h1", "h2", "h3", "h4", "summary")


@dataclass(frozen=True)
class Term:
    """A word of the field. also: other forms of it. lesson: the number of the lesson
    that explains it."""

    term: str
    meaning: str
    also: list[str] = field(default_factory=list)
    lesson: str = ""

    @property
    def id(self) -> str:
        return _id(self.term)


@dataclass(frozen=True)
class Paper:
    """A work that lessons name. cited: how they name it, without the year; also: other
    ways, such as the method's name."""

    key: str
    authors: str
    year: int
    title: str
    place: str
    link: str
    cited: str
    also: list[str] = field(default_factory=list)

    @property
    def mention(self) -> str:
        """What finds it in a text: "Zhou 2016", "Zhou et al. (2016)", "Zhou did that in
        2016"."""
        names = "|".join(map(re.escape, (self.cited, *self.also)))
        between = r"(?: et al\.,?|,)? [^.;()\d]{0,40}?"
        return rf"(?<![\w-])(?:{names}){between}\(?{self.year}\b\)?"


def _id(words: str) -> str:
    return re.sub(r"\W+", "-", words.lower()).strip("-")


def _read(name: str) -> list[dict[str, Any]]:
    text = (PACKAGE / "course" / name).read_text(encoding="utf-8")
    return yaml.safe_load(text)


@cache
def glossary() -> list[Term]:
    """The terms, in alphabetical order."""
    return sorted(
        (Term(**one) for one in _read("glossary.yaml")), key=lambda t: t.term.lower()
    )


@cache
def bibliography() -> list[Paper]:
    """The works, by author and year."""
    found = [Paper(**one) for one in _read("bibliography.yaml")]
    return sorted(found, key=lambda paper: (paper.authors.lower(), paper.year))


@cache
def _forms() -> tuple[re.Pattern, dict[str, Term]]:
    """What finds a term in a text, and the term by its form."""
    forms = {
        form.lower(): term for term in glossary() for form in (term.term, *term.also)
    }
    longest = sorted(forms, key=len, reverse=True)
    words = "|".join(map(re.escape, longest))
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE), forms


class Linker:
    """Links the first use of each term on one page, and every mention of a paper."""

    def __init__(self) -> None:
        self.met: set[str] = set()

    def __call__(self, safe: Markup) -> Markup:
        """The same piece of safe HTML with the links in its running text."""
        pieces, inside = TAG.split(safe), 0
        for at, piece in enumerate(pieces):
            if at % 2:
                name = re.match(r"</?(\w+)", piece)
                if name and name[1] in NO_LINKS:
                    inside += -1 if piece.startswith("</") else 1
            elif not inside:
                pieces[at] = self._linked(piece)
        return Markup("".join(pieces))

    def _linked(self, text: str) -> str:
        kept: list[str] = []

        def keep(link: str) -> str:
            kept.append(link)
            return f"\ue000{len(kept) - 1}\ue001"

        for paper in bibliography():
            title = f"{paper.authors} ({paper.year}). {paper.title}"
            link = partial(_link, "bibliography", paper.key, title)
            linked = lambda found, to=link: keep(to(found[0]))
            text = re.sub(paper.mention, linked, text)
        pattern, forms = _forms()

        def term(found: re.Match) -> str:
            one = forms[found[0].lower()]
            if one.term in self.met:
                return found[0]
            self.met.add(one.term)
            return keep(_link("glossary", one.id, one.meaning, found[0]))

        text = pattern.sub(term, text)
        return re.sub("\ue000(\\d+)\ue001", lambda found: kept[int(found[1])], text)


def _link(where: str, id_: str, title: str, words: str) -> str:
    kind = "term" if where == "glossary" else "paper"
    title = html.escape(title)
    return f'<a class="{kind}" href="{where}.html#{id_}" title="{title}">{words}</a>'


def write_references(folder: Path, pages: dict[str, str]) -> None:
    """FOLDER/glossary.html and bibliography.html. pages: the address of each lesson's
    page by the lesson's number."""
    cited = _cited(folder, pages)
    papers = [{**vars(p), "lessons": cited[p.key]} for p in bibliography()]
    for name, other, words in (
        ("glossary", "bibliography", {"terms": glossary(), "papers": []}),
        ("bibliography", "glossary", {"terms": [], "papers": papers}),
    ):
        text = page(
            "references.html.j2",
            title=TITLES[name],
            lead=LEADS[name],
            other=other,
            other_title=TITLES[other],
            pages=pages,
            **words,
        )
        write_whole(folder / f"{name}.html", text)


def _cited(folder: Path, pages: dict[str, str]) -> dict[str, list[str]]:
    """The numbers of the lessons whose pages name each paper, by the paper's key."""
    texts = {
        n: (folder / page).read_text(encoding="utf-8") for n, page in pages.items()
    }
    return {
        paper.key: [
            number
            for number, text in texts.items()
            if f'href="bibliography.html#{paper.key}"' in text
        ]
        for paper in bibliography()
    }


TITLES = {"glossary": "Glossary", "bibliography": "References"}
LEADS = {
    "glossary": "The words of the field that the lessons use, a sentence each.",
    "bibliography": "The works that the lessons name. Each link leads to the paper, "
    "or to the page of its publisher.",
}
