"""What a lesson leaves besides pictures: its metrics and its claims, shown as a table and carried in the notebook."""

import html
import math
from dataclasses import asdict, dataclass
from numbers import Number

from IPython.display import publish_display_data

RECORD = "application/vnd.cnnviz.record+json"


@dataclass(frozen=True)
class Claim:
    """A sentence that a lesson stands for, the numbers that speak for or against it, and whether they bear it out."""

    claim: str
    evidence: str
    holds: bool


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
    if isinstance(value, Number):
        return float(value) if math.isfinite(value) else None
    raise TypeError(f"a metric is a number, a text, or lists and dicts of them, not {type(value).__name__}")


def record(lesson: str, metrics: dict, claims: list[Claim]) -> None:
    """Show the claims as a table and store them with the metrics in the cell's output, where `cnnviz run` finds them."""
    content = {"lesson": lesson, "metrics": plain(metrics),
               "claims": [asdict(claim) | {"holds": bool(claim.holds)} for claim in claims]}
    word = lambda claim: "holds" if claim.holds else "does not hold"
    rows = "".join(
        f'<tr class="{word(c).replace(" ", "-")}"><td>{html.escape(c.claim)}</td><td>{html.escape(c.evidence)}</td>'
        f"<td><strong>{'✓' if c.holds else '✗'} {word(c)}</strong></td></tr>" for c in claims)
    table = (f'<table class="claims"><thead><tr><th>Claim</th><th>Evidence</th><th>Result</th></tr></thead>'
             f"<tbody>{rows}</tbody></table>")
    text = "\n".join(f"{word(c)}: {c.claim} ({c.evidence})" for c in claims)
    publish_display_data({RECORD: content, "text/html": table, "text/plain": text})
