"""The summary of a sweep as one HTML file without an outside reference: a picture, the
table, what differs, the runs."""

import html

from cnnviz_utils.base.paths import PACKAGE

STYLE = """
.index { max-width: 80rem; } .index > p, .index > ul { max-width: 52rem; }
.about { font: 14px/1.5 system-ui, sans-serif; color: var(--soft); } thead th { vertical-align: bottom; }
tbody th { font-weight: 600; min-width: 18rem; } tbody.runs th { font-weight: 400; }
td.number, th.number { text-align: right !important; white-space: nowrap; } .first { border-left: 1px solid var(--line); }
.note, .spread { display: block; font-weight: 400; color: var(--soft); } .note.bad { color: var(--bad); }
.none { color: var(--soft); } figure { margin: 1.5rem 0; }
svg { display: block; max-width: 100%; height: auto; font: 13px system-ui, sans-serif; }
@media (max-width: 60rem) { .index { padding: 1rem; } tbody th { min-width: 11rem; } }
"""
NAMES = {
    "last_loss": "training loss, last epoch",
    "val": "validation accuracy",
    "test": "test accuracy",
}


def text(value) -> str:
    """Any value for a reader, safe in HTML."""
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, dict):
        return ", ".join(
            f"{html.escape(str(k))} {text(v)}"
            for k, v in value.items()
            if v not in (None, [], {})
        )
    if isinstance(value, list):
        return " and ".join(text(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else html.escape(str(value))


def number(value: float | None, sign: bool = False) -> str:
    """Four decimals, as the sources print them; a dash where there is none."""
    return (
        '<span class="none">–</span>'
        if value is None
        else f"{value:{'+' if sign else ''}.4f}".replace("-", "−")
    )


def here(cell: dict) -> str:
    """Mean, and under it the standard deviation over seeds where there are several."""
    return number(cell["mean"]) + (
        ""
        if cell["spread"] is None
        else f'<span class="spread">± {cell["spread"]:.4f}</span>'
    )


def settings(row: dict) -> str:
    """What tells the rows apart, in words."""
    s = row["settings"]
    parts = [
        f"{s['model']} {'with weights of ' + s['weights'] if s['weights'] else 'from scratch'}",
        f"lr {s['lr']:g}, {s['epochs']} epochs",
        f"step {s['step_size']}, gamma {s['gamma']:g}"
        if s["schedule"] == "step"
        else s["schedule"],
    ]
    parts += [f"first trained with {text(s['first'])}"] if s["first"] else []
    parts += [f"frozen: {text(s['freeze'])}"] if s["freeze"] else []
    parts += [f"AMP {s['amp']}"] if s["amp"] != "off" else []
    return html.escape(", ".join(parts), quote=False)


def note(words: str, kind: str = "") -> str:
    return f'<span class="note{kind}">{words}</span>' if words else ""


def any_published(summary: dict) -> bool:
    return any(
        value is not None
        for row in summary["rows"]
        for value in row["published"].values()
    )


def table(summary: dict) -> str:
    """Published, here, and the difference, for each of the three numbers; only ours
    where nothing was published."""
    columns = {"here": lambda row, m: here(row["here"][m])}
    about = "Under the mean of several seeds stands their standard deviation. The test is of the epoch best on validation."
    if any_published(summary):
        columns = {
            "published": lambda row, m: number(row["published"][m]),
            **columns,
            "difference": lambda row, m: number(row["difference"][m], sign=True),
        }
        about = f"Published values, ours, and ours minus the published one. {about}"
    edge = lambda column: " first" if column == next(iter(columns)) else ""
    lines = []
    for row in summary["rows"]:
        cells = "".join(
            f'<td class="number{edge(c)}">{content(row, m)}</td>'
            for m in NAMES
            for c, content in columns.items()
        )
        failed = "".join(
            note(f"✗ seed {f['seed']} failed: {text(f['error'])}", " bad")
            for f in row["failed"]
        )
        idle = note("not run" if not row["runs"] and not row["failed"] else "")
        lines.append(
            f'<tr><th scope="row">{text(row["row"])}{note(settings(row))}'
            f"{note(html.escape(row['note']))}{failed}{idle}</th>{cells}</tr>"
        )
    group = "".join(
        f'<th scope="colgroup" colspan="{len(columns)}" class="first">{name}</th>'
        for name in NAMES.values()
    )
    heads = "".join(
        f'<th scope="col" class="number{edge(c)}">{c}</th>'
        for _ in NAMES
        for c in columns
    )
    return (
        f'<p class="about">{about}</p><div class="table"><table><thead><tr><th scope="col" rowspan="2">row</th>{group}</tr>'
        f"<tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def picture(summary: dict) -> str:
    """Test accuracy of each row, published (ring) and here (dot with its spread), as an
    SVG with alt text."""
    rows = [
        r
        for r in summary["rows"]
        if r["published"]["test"] is not None or r["here"]["test"]["mean"] is not None
    ]
    if not rows:
        return ""
    left, width, step = 12, 440, 42
    x, bottom = lambda value: left + width * value, step * len(rows)
    parts = [
        f'<line x1="{x(t):.0f}" x2="{x(t):.0f}" y1="0" y2="{bottom}" stroke="#dfe3e8"/><text x="{x(t):.0f}" '
        f'y="{bottom + 17}" text-anchor="middle" fill="#5a6472">{t:g}</text>'
        for t in (0, 0.2, 0.4, 0.6, 0.8, 1)
    ]
    words = []
    for i, row in enumerate(rows):
        y, there, ours = 32 + step * i, row["published"]["test"], row["here"]["test"]
        parts.append(
            f'<text x="{left + 6}" y="{y - 14}" fill="#1c2430">{text(row["row"])}</text>'
        )
        if there is not None:
            parts.append(
                f'<circle cx="{x(there):.1f}" cy="{y}" r="6" fill="none" stroke="#a32a1c" stroke-width="2"/>'
            )
        if ours["mean"] is not None:
            low, high = (x(ours["mean"] + k * (ours["spread"] or 0)) for k in (-1, 1))
            parts.append(
                f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="#0b5a8f" stroke-width="2"/>'
                f'<circle cx="{x(ours["mean"]):.1f}" cy="{y}" r="4" fill="#0b5a8f"/>'
            )
        say = lambda value: "unknown" if value is None else f"{value:.3f}"
        words.append(
            f"{text(row['row'])}: "
            + (f"published {say(there)}, here " if any_published(summary) else "")
            + say(ours["mean"])
        )
    alt = f"Test accuracy by row. {'; '.join(words)}."
    return (
        f'<figure><svg role="img" aria-label="{alt}" viewBox="0 0 {left + width + 12} {bottom + 24}" '
        f'width="{left + width + 12}"><title>{alt}</title>{"".join(parts)}</svg><figcaption class="about">Test accuracy'
        f"{': published (ring), here (dot' if any_published(summary) else ' (dot'}; the bar is one standard deviation over "
        "seeds either way).</figcaption></figure>"
    )


def differences(summary: dict) -> str:
    """What was run otherwise than the table says, and in which rows."""
    names, where = [text(row["row"]) for row in summary["rows"]], {}
    item = lambda k, pair: (
        f"{html.escape(k)} {text(pair[1])} instead of {text(pair[0])}"
    )
    for row in summary["rows"]:
        for key, pair in row["changed"].items():
            where.setdefault(item(key, pair), []).append(text(row["row"]))

    def place(those: list[str]) -> str:
        others = [name for name in names if name not in those]
        if len(others) < len(those):
            return "in every row" + (
                f" but <em>{'</em>; <em>'.join(others)}</em>" if others else ""
            )
        return f"in <em>{'</em>; <em>'.join(those)}</em>"

    lines = [item(k, pair) for k, pair in summary["changed"].items()] + [
        f"{k} {place(v)}" for k, v in where.items()
    ]
    found = (
        f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"
        if lines
        else "<p>Nothing: run as the table says.</p>"
    )
    return f"<h2>What differs from the table's own settings</h2>{found}"


def order(summary: dict) -> str:
    """Whether rows stand in the published order."""
    pairs, turned = summary["order"]["pairs"], summary["order"]["turned"]
    if not pairs:
        return ""
    said = (
        f"<p><strong>{pairs - len(turned)} of {pairs}</strong> pairs of rows stand in the published order by test "
        f"accuracy.{' The others:' if turned else ''}</p>"
    )
    items = "".join(
        f"<li><em>{text(t['better_here'])}</em> is {t['here']:.4f} better than <em>{text(t['better_there'])}</em> "
        f"here; in the source it is {t['published']:.4f} worse</li>"
        for t in turned
    )
    return f"<h2>The order of the rows</h2>{said}<ul>{items}</ul>"


def runs(summary: dict) -> str:
    """Every run, with the file that holds its record, and where the runs are from."""
    columns = (
        "seed",
        "last_loss",
        "val",
        "test",
        "test_top5",
        "best_epoch",
        "seconds",
        "device",
        "record",
    )
    cell = lambda name, value: (
        number(value)
        if name in (*NAMES, "test_top5")
        else f"{value:.0f}"
        if isinstance(value, float)
        else text(value)
    )
    lines = "".join(
        f'<tr><th scope="row">{text(row["row"])}</th>'
        + "".join(f"<td>{cell(c, run.get(c))}</td>" for c in columns)
        + "</tr>"
        for row in summary["rows"]
        for run in row["runs"]
    )
    heads = "".join(
        f'<th scope="col">{c.replace("_", " ")}</th>' for c in ("row", *columns)
    )
    origin = "".join(f"<li>{text(facts)}</li>" for facts in summary["provenance"])
    return (
        f'<h2>The runs</h2><p class="about">One line a run. The record holds parameters, every epoch and provenance.</p>'
        f'<div class="table"><table><thead><tr>{heads}</tr></thead><tbody class="runs">{lines}</tbody></table></div>'
        f"<h2>Where they are from</h2><p>Data: {text(summary['data'])}.</p><ul>{origin}</ul>"
    )


def page(summary: dict) -> str:
    """The whole page."""
    style = (PACKAGE / "course" / "templates" / "style.css").read_text() + STYLE
    about = "".join(
        f"<p>{html.escape(part.strip())}</p>"
        for part in summary["about"].split("\n\n")
        if part.strip()
    )
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><title>{text(summary["title"])}</title><style>{style}</style></head><body><main class="index">'
        f"<h1>{text(summary['title'])}</h1>{about}{picture(summary)}{table(summary)}{order(summary)}"
        f"{differences(summary)}{runs(summary)}</main></body></html>"
    )
