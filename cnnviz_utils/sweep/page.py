"""The summary of a sweep as one HTML file without an outside reference: a picture, the table, what differs, the runs."""

import html

from cnnviz_utils.paths import PACKAGE

STYLE = """
.index { max-width: 84rem; } caption { text-align: left; font: 14px/1.5 system-ui, sans-serif; padding-bottom: .5rem; }
thead th { vertical-align: bottom; } tbody th { font-weight: 600; min-width: 13rem; }
td.number, th.number { text-align: right !important; white-space: nowrap; } .first { border-left: 1px solid var(--line); }
.note { display: block; font-weight: 400; color: var(--soft); } .spread, .none { color: var(--soft); }
figure { margin: 1.5rem 0; } figcaption { font: 14px/1.5 system-ui, sans-serif; color: var(--soft); }
svg { max-width: 100%; height: auto; font: 13px system-ui, sans-serif; }
@media (max-width: 60rem) { .index { padding: 1rem; } }
"""
NAMES = {"last_loss": "training loss, last epoch", "val": "validation accuracy", "test": "test accuracy"}


def text(value) -> str:
    """Any value for a reader, safe in HTML."""
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{html.escape(str(k))} {text(v)}" for k, v in value.items() if v not in (None, [], {}))
    if isinstance(value, list):
        return " and ".join(text(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else html.escape(str(value))


def number(value: float | None, sign: bool = False) -> str:
    """Four decimals, as the sources print them; a dash where there is none."""
    return '<span class="none">–</span>' if value is None else f"{value:{'+' if sign else ''}.4f}".replace("-", "−")


def here(cell: dict) -> str:
    """Mean, and after ± the standard deviation over seeds where there are several."""
    spread = "" if cell["spread"] is None else f' <span class="spread">± {cell["spread"]:.4f}</span>'
    return number(cell["mean"]) + spread


def settings(row: dict) -> str:
    """What tells the rows apart, in words."""
    s = row["settings"]
    steps = f", step {s['step_size']}, gamma {text(s['gamma'])}" if s["schedule"] == "step" else f", {text(s['schedule'])}"
    parts = [f"{text(s['model'])}, {'weights: ' + text(s['weights']) if s['weights'] else 'from scratch'}",
             f"lr {text(s['lr'])}, {s['epochs']} epochs{steps}"]
    parts += [f"first a training with {text(s['first'])}"] if s["first"] else []
    parts += [f"frozen: {text(s['freeze'])}"] if s["freeze"] else []
    parts += [f"AMP: {text(s['amp'])}"] if s["amp"] != "off" else []
    return "<br>".join(parts)


def table(summary: dict) -> str:
    """Published, here, and the difference, for each of the three numbers."""
    lines = []
    for row in summary["rows"]:
        cells = "".join(f'<td class="number first">{number(row["published"][m])}</td><td class="number">{here(row["here"][m])}'
                        f'</td><td class="number">{number(row["difference"][m], sign=True)}</td>' for m in NAMES)
        state = f"{len(row['runs'])} run{'s' * (len(row['runs']) != 1)}" if row["runs"] else "not run"
        failed = "".join(f'<span class="note bad">✗ seed {f["seed"]} failed: {text(f["error"])}</span>' for f in row["failed"])
        note = f'<span class="note">{text(row["note"])}</span>' if row["note"] else ""
        lines.append(f'<tr><th scope="row">{text(row["row"])}{note}{failed}</th><td>{settings(row)}</td><td>{state}</td>'
                     f"{cells}</tr>")
    group = "".join(f'<th scope="colgroup" colspan="3" class="first">{name}</th>' for name in NAMES.values())
    heads = "".join(f'<th scope="col" class="number{" first" * (what == "published")}">{what}</th>' for _ in NAMES
                    for what in ("published", "here", "difference"))
    return (f'<div class="table"><table><caption>Published values, ours (mean ± standard deviation over seeds where there '
            f"are several), and ours minus the published one. The test is of the epoch that was best on validation."
            f'</caption><thead><tr><th scope="col" rowspan="2">row</th><th scope="col" rowspan="2">settings here</th>'
            f'<th scope="col" rowspan="2">state</th>{group}</tr><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody>'
            "</table></div>")


def picture(summary: dict) -> str:
    """Test accuracy of each row, published (ring) and here (dot with its spread), as an SVG with alt text."""
    rows = [r for r in summary["rows"] if r["published"]["test"] is not None or r["here"]["test"]["mean"] is not None]
    if not rows:
        return ""
    left, width, step = 330, 520, 26
    x, bottom = lambda value: left + width * value, step * len(rows) + 10
    parts = [f'<line x1="{x(t):.0f}" x2="{x(t):.0f}" y1="5" y2="{bottom}" stroke="#dfe3e8"/><text x="{x(t):.0f}" '
             f'y="{bottom + 17}" text-anchor="middle" fill="#5a6472">{t:g}</text>' for t in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    words = []
    for i, row in enumerate(rows):
        y, there, ours = 20 + step * i, row["published"]["test"], row["here"]["test"]
        parts.append(f'<text x="{left - 14}" y="{y + 4}" text-anchor="end" fill="#1c2430">{text(row["row"])}</text>')
        if there is not None:
            parts.append(f'<circle cx="{x(there):.1f}" cy="{y}" r="6" fill="none" stroke="#a32a1c" stroke-width="2"/>')
        if ours["mean"] is not None:
            low, high = (x(ours["mean"] + k * (ours["spread"] or 0)) for k in (-1, 1))
            parts.append(f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="#0b5a8f" stroke-width="2"/>'
                         f'<circle cx="{x(ours["mean"]):.1f}" cy="{y}" r="4" fill="#0b5a8f"/>')
        say = lambda value: "unknown" if value is None else f"{value:.3f}"
        words.append(f"{text(row['row'])}: published {say(there)}, here {say(ours['mean'])}")
    alt = f"Test accuracy by row. {'; '.join(words)}."
    return (f'<figure><svg role="img" aria-label="{alt}" viewBox="0 0 {left + width + 30} {bottom + 24}" '
            f'width="{left + width + 30}"><title>{alt}</title>{"".join(parts)}</svg><figcaption>Test accuracy: published '
            "(ring), here (dot; the bar is one standard deviation over seeds either way).</figcaption></figure>")


def differences(summary: dict) -> str:
    """What was run otherwise than the table says: once if all rows have it, else by row."""
    rows = summary["rows"]
    item = lambda k, pair: f"{html.escape(k)} {text(pair[1])} instead of {text(pair[0])}"
    shared = [k for k in rows[0]["changed"] if all(r["changed"].get(k) == rows[0]["changed"][k] for r in rows)]
    lines = [item(k, pair) for k, pair in summary["changed"].items()]
    lines += [f"in every row: {item(k, rows[0]['changed'][k])}" for k in shared]
    lines += [f"{text(r['row'])}: " + "; ".join(item(k, p) for k, p in r["changed"].items() if k not in shared)
              for r in rows if set(r["changed"]) - set(shared)]
    found = f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>" if lines else "<p>Nothing: run as the table says.</p>"
    return f"<h2>What differs from the table's own settings</h2>{found}"


def order(summary: dict) -> str:
    """Whether rows stand in the published order."""
    pairs, turned = summary["order"]["pairs"], summary["order"]["turned"]
    if not pairs:
        return ""
    said = (f"<p><strong>{pairs - len(turned)} of {pairs}</strong> pairs of rows stand in the published order by test "
            f"accuracy.{' The others:' if turned else ''}</p>")
    items = "".join(f"<li>{text(t['better_here'])} is {t['here']:.4f} better than {text(t['better_there'])} here; in the "
                    f"source it is {t['published']:.4f} worse</li>" for t in turned)
    return f"<h2>The order of the rows</h2>{said}<ul>{items}</ul>"


def runs(summary: dict) -> str:
    """Every run, with the file that holds its record, and where the runs are from."""
    columns = ("seed", "last_loss", "val", "test", "test_top5", "best_epoch", "seconds", "device", "record")
    cell = lambda name, value: number(value) if name in (*NAMES, "test_top5") else \
        f"{value:.0f}" if isinstance(value, float) else text(value)
    lines = "".join(f'<tr><th scope="row">{text(row["row"])}</th>'
                    + "".join(f"<td>{cell(c, run.get(c))}</td>" for c in columns) + "</tr>"
                    for row in summary["rows"] for run in row["runs"])
    heads = "".join(f'<th scope="col">{c.replace("_", " ")}</th>' for c in ("row", *columns))
    origin = "".join(f"<li>{text(facts)}</li>" for facts in summary["provenance"])
    return (f'<h2>The runs</h2><div class="table"><table><caption>One line a run. The record holds parameters, every '
            f"epoch and provenance.</caption><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
            f"<h2>Where they are from</h2><p>Data: {text(summary['data'])}.</p><ul>{origin}</ul>")


def page(summary: dict) -> str:
    """The whole page."""
    style = (PACKAGE / "templates" / "style.css").read_text() + STYLE
    about = "".join(f"<p>{html.escape(part.strip())}</p>" for part in summary["about"].split("\n\n") if part.strip())
    return (f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
            f'initial-scale=1"><title>{text(summary["title"])}</title><style>{style}</style></head><body><main class="index">'
            f"<h1>{text(summary['title'])}</h1>{about}{picture(summary)}{table(summary)}{order(summary)}"
            f"{differences(summary)}{runs(summary)}</main></body></html>")
