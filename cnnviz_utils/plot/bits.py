"""Numbers as they lie in memory."""

from collections.abc import Mapping, Sequence
from html import escape

from IPython.display import HTML

from cnnviz_utils.plot.figure import COLOURS

FIELDS = (
    COLOURS[6],
    COLOURS[0],
    COLOURS[1],
)  # grey sign, blue exponent, orange fraction


def show_bits(
    rows: Mapping[str, Sequence[Sequence[str]]], columns: Sequence[str]
) -> HTML:
    """A table of bits: a row a number, a column a format.

    rows: the number as text -> for each column its three groups of bits (sign,
    exponent, fraction), each drawn in its own colour.
    """
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("", *columns))
    lines = "".join(
        f"<tr><td>{escape(k)}</td>{_cells(v)}</tr>" for k, v in rows.items()
    )
    return HTML(f"<table><tr>{heads}</tr>{lines}</table>")


def _cells(numbers: Sequence[Sequence[str]]) -> str:
    return "".join(f"<td><code>{_coloured(groups)}</code></td>" for groups in numbers)


def _coloured(groups: Sequence[str]) -> str:
    pairs = zip(FIELDS, groups, strict=True)
    return " ".join(
        f'<span style="color:{c}">{escape(bits)}</span>' for c, bits in pairs
    )
