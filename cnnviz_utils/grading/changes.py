"""What a student changed against the copy that was handed out."""

import ast
import difflib
import hashlib
import io
import tokenize

from cnnviz_utils.course.repair import Cell, Notebook

MOST_LINES = 200  # of one cell's difference
SMALL = 60  # characters below which equal cells are no wonder


def name_of(cell: Cell) -> tuple[str, ...]:
    """What makes a cell the same cell in both: its exercise and part, or its text."""
    key, part = cell.ours.get("exercise"), cell.ours.get("part")
    if key and part:
        return ("part", str(key), str(part))
    return ("text", " ".join(cell.source.split()))


def changes(handed_out: Notebook, handed_in: Notebook) -> list[dict]:
    """One entry for each cell that differs: {"what": "changed", "added" or "missing",
    "exercise", "part", "cell": its number in what was handed in or None, "diff": lines
    that begin with "+", "-" or " "}. Spaces at a line's end do not count."""
    before = [name_of(cell) for cell in handed_out.cells]
    after = [name_of(cell) for cell in handed_in.cells]
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    found = []
    for _, i, i_end, j, j_end in matcher.get_opcodes():
        old, new = handed_out.cells[i:i_end], handed_in.cells[j:j_end]
        while old or new:
            pair = (old.pop(0) if old else None, new.pop(0) if new else None)
            found.append(_change(*pair, j if pair[1] else None))
            j += pair[1] is not None
    return [one for one in found if one]


def _change(old: Cell | None, new: Cell | None, number: int | None) -> dict:
    before, after = _lines(old), _lines(new)
    if before == after:
        return {}
    known = old or new
    what = "missing" if new is None else "added" if old is None else "changed"
    if known is None or (what != "changed" and not known.source.strip()):
        return {}
    diff = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
    diff = [line[:300] for line in diff if not line.startswith("@@")]
    if len(diff) > MOST_LINES:
        diff = [*diff[:MOST_LINES], f"... {len(diff) - MOST_LINES} more lines"]
    return {
        "what": what,
        "kind": known.kind,
        "exercise": str(known.ours.get("exercise") or ""),
        "part": str(known.ours.get("part") or ""),
        "cell": number,
        "diff": diff,
    }


def _lines(cell: Cell | None) -> list[str]:
    lines = cell.source.splitlines() if cell else []
    return [line.rstrip() for line in lines if line.strip()]


def own_cells(handed_in: Notebook, changed: list[dict]) -> list[dict]:
    """What a student wrote, so that copies can be found: for each cell that was changed
    or added, the hash of its words (code without comments and spaces), their number of
    characters, and the hash of what it had printed."""
    found = []
    for one in changed:
        if one["cell"] is None or one["part"] in ("check", "check-definition"):
            continue
        cell = handed_in.cells[one["cell"]]
        words = plain_words(cell)
        shown = "".join(
            o.text + str(o.data.get("text/plain", "")) for o in cell.outputs
        )
        found.append(
            {
                "exercise": one["exercise"],
                "words": _hash(words),
                "size": len(words),
                "shown": _hash(shown) if len(shown) >= SMALL else "",
            }
        )
    return found


def plain_words(cell: Cell) -> str:
    """A cell's text without what says nothing: comments and spaces in code, marks and
    capitals in prose."""
    if cell.kind != "code":
        return " ".join(cell.source.lower().split())
    skip = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE)
    try:
        ast.parse(cell.source)
        tokens = tokenize.generate_tokens(io.StringIO(cell.source).readline)
        return " ".join(token.string for token in tokens if token.type not in skip)
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError, MemoryError):
        return " ".join(cell.source.split())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
