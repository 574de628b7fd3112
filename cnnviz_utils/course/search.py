"""What the search of the course finds: the sections of its pages, as plain words."""

import re

from cnnviz_utils.course.sanitise import text_of

MOST = 20_000  # characters of one section
MAIN = re.compile(r'<main class="notebook">(.*)</main>', re.DOTALL)
HEAD = re.compile(r'<h[123] id="([^"]*)"[^>]*>(.*?)</h[123]>', re.DOTALL)
SOURCE = re.compile(r'<div class="source">.*?</pre></div>', re.DOTALL)
PICTURE = re.compile(r'<img src="data:[^"]*" alt="([^"]*)"[^>]*>')
NAME = re.compile(r"\bcv\.(?:\w+\.)*\w+")


def sections(page: str, address: str, title: str) -> list[dict[str, str]]:
    """The sections of one of our pages: its address, the lesson's title, the section's
    title and id, and its words. Of code only the names of the library are kept, of
    figures what they show."""
    found = MAIN.search(page)
    if not found:
        return []
    pieces = HEAD.split(PICTURE.sub(r" \1 ", found[1]))
    heads = [("", title), *zip(pieces[1::3], map(text_of, pieces[2::3]), strict=True)]
    return [
        {"page": address, "lesson": title, "id": id_, "title": head, "words": words}
        for (id_, head), piece in zip(heads, pieces[::3], strict=True)
        if (words := _words(piece)) or id_
    ]


def _words(piece: str) -> str:
    names = [
        name
        for source in SOURCE.findall(piece)
        for name in NAME.findall(text_of(source))
    ]
    # a tag ends a word: cells of a table, items of a list
    text = text_of(re.sub(r"(</\w+>)", r"\1 ", SOURCE.sub(" ", piece)))
    return " ".join([*text.split(), *dict.fromkeys(names)])[:MOST]
