"""Numbers as they lie in memory."""

from collections.abc import Mapping, Sequence
from html import escape

from IPython.display import HTML

# sign, exponent, fraction: grey, blue and orange that can be read on a white and on a
# dark page
FIELDS = ("#7a828c", "#2f7fc1", "#d55e00")


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
