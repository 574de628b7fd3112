"""What a lesson leaves besides pictures: its metrics and its claims, shown as a table
and carried in the notebook."""

import html
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from typing import cast

from IPython.display import Markdown, publish_display_data

RECORD = "application/vnd.cnnviz.record+json"
# a number that is none, as it is printed: "nan", "nan%"
NAN = re.compile(r"(?<![a-z])nan(?![a-z])", re.IGNORECASE)
# a zero with a sign, which a small number leaves when it is rounded: "-0.00", "+0%"
SIGNED_ZERO = re.compile(r"(?<![\w.])[-−+](0(?:\.0+)?)(?![\d.]*\d)")


def carried(notebook, kind: str) -> Iterator[tuple]:
    """(cell, data) for every output of a notebook, in order, that carries data of one
    MIME kind; what is no mapping (a stranger's notebook) is passed over."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {}).get(kind)
            if isinstance(data, dict):
                yield cell, data


@dataclass(frozen=True)
class Claim:
    """A sentence that a lesson stands for, and whether the numbers bear it out.

    evidence: the numbers that speak for or against it, in words. As the last value of a
    cell it shows itself, with a tick or a cross.

    A claim that rests on a NaN does not hold: Python counts NaN as true, and every
    comparison with it as false, so that "not worse than" would be true of it.
    """

    claim: str
    evidence: str
    holds: bool

    def __post_init__(self) -> None:
        number = bool(self.holds == self.holds)  # NaN is not even itself
        holds = number and not NAN.search(self.evidence) and bool(self.holds)
        object.__setattr__(self, "holds", holds)

    @property
    def verdict(self) -> str:
        return "holds" if self.holds else "does not hold"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        mark = "✓" if self.holds else "✗"
        claim, evidence = html.escape(self.claim), html.escape(self.evidence)
        kind = self.verdict.replace(" ", "-")
        return {
            "text/plain": f"{self.verdict}: {self.claim} ({self.evidence})",
            "text/html": f'<p class="claim {kind}">'
            f"<strong>{mark} {self.verdict}</strong> "
            f"{claim} <small>{evidence}</small></p>",
        }


_made: dict[
    str, Claim
] = {}  # the claims of this kernel's lesson, by sentence, in order


def claim(
    sentence: str, evidence: object, holds: object, when: bool = True
) -> Claim | Markdown:
    """Make a claim beside the result that it is about; `record` collects them.

    evidence: text, or anything that says itself as text. holds: anything true or false.
    when: False where the claim's limits were set for other data: it is not made, and
    only the evidence is shown. The same sentence again (a cell that is run twice)
    replaces the earlier claim.
    """
    if not when:
        _made.pop(sentence, None)
        return say(
            f"Here: {evidence}. On the built-in data the claim is: *{sentence}.*"
        )
    said = SIGNED_ZERO.sub(r"\1", str(evidence))
    _made[sentence] = Claim(sentence, said, cast(bool, holds))
    return _made[sentence]


def plain(value):
    """Numbers, texts, lists and dicts as JSON has them; NaN and infinity become None.

    Raises TypeError naming what cannot be written.
    """
    if hasattr(value, "tolist"):  # tensors and numpy's numbers
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | str | int | None):
        return value
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    raise TypeError(
        "a metric is a number, a text, or lists and dicts of them, "
        f"not {type(value).__name__}"
    )


def say(*sentences: str) -> Markdown:
    """Sentences with numbers in them, as one paragraph in Markdown below the cell. A
    zero loses its sign: "-0.00" is 0.00."""
    return Markdown(SIGNED_ZERO.sub(r"\1", " ".join(sentences)))


def record(lesson: str, metrics: dict, claims: Sequence[Claim] | None = None) -> None:
    """Show the claims as a table, and store them with the metrics in the cell's output.

    claims: by default those that were made with `claim` in this kernel. `cnnviz run`
    finds them there, and writes them into metrics.json and onto the page.
    """
    claims = list(_made.values()) if claims is None else list(claims)
    content = {
        "lesson": lesson,
        "metrics": plain(metrics),
        "claims": [asdict(claim) for claim in claims],
    }
    rows = "".join(_row(claim) for claim in claims)
    heads = "<tr><th>Claim</th><th>Evidence</th><th>Result</th></tr>"
    table = f'<table class="claims"><thead>{heads}</thead><tbody>{rows}</tbody></table>'
    lines = [f"{c.verdict}: {c.claim} ({c.evidence})" for c in claims]
    if not claims:
        lines = ["No claim is made about this data."]
        table = f"<p>{lines[0]}</p>"
    publish_display_data(
        {RECORD: content, "text/html": table, "text/plain": "\n".join(lines)}
    )


def _row(claim: Claim) -> str:
    mark = "✓" if claim.holds else "✗"
    return (
        f'<tr class="{claim.verdict.replace(" ", "-")}">'
        f"<td>{html.escape(claim.claim)}</td><td>{html.escape(claim.evidence)}</td>"
        f"<td><strong>{mark} {claim.verdict}</strong></td></tr>"
    )
