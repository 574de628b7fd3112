"""What a sweep found: published values beside ours and the difference, as JSON, as CSV
and as a page that stands alone."""

import csv
import io
import json
import statistics
from itertools import combinations
from pathlib import Path

from cnnviz_utils.base.files import write_whole
from cnnviz_utils.course.records import plain
from cnnviz_utils.sweep.page import page
from cnnviz_utils.sweep.plan import METRICS, Row, Sweep


def mean_and_spread(values: list[float]) -> dict:
    """Mean, standard deviation over seeds (None for a single one), and how many."""
    if not values:
        return {"mean": None, "spread": None, "n": 0}
    return {
        "mean": statistics.fmean(values),
        "spread": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
    }


def summarise_row(row: Row, runs: list[dict], failed: list[dict]) -> dict:
    """One line of the table: published, here (mean and spread), and here minus
    published where both are known."""
    finite = {
        m: [r["metrics"][m] for r in runs if r["metrics"].get(m) is not None]
        for m in METRICS
    }
    here = {metric: mean_and_spread(values) for metric, values in finite.items()}
    published = {metric: row.published.get(metric) for metric in METRICS}
    difference = {
        m: None
        if None in (published[m], here[m]["mean"])
        else here[m]["mean"] - published[m]
        for m in METRICS
    }
    return {
        "row": row.name,
        "note": row.note,
        "settings": row.settings,
        "changed": row.changed,
        "published": published,
        "here": here,
        "difference": difference,
        "runs": [
            {
                "seed": r["seed"],
                **r["metrics"],
                "device": r["provenance"].get("device"),
                "record": r["file"],
            }
            for r in runs
        ],
        "failed": [{"seed": f["seed"], "error": f["error"]} for f in failed],
    }


def order_of(rows: list[dict], metric: str = "test") -> dict:
    """Compare the order of the rows by a metric, published and here: how many pairs of
    rows can be compared (ties cannot), and which of them are the other way round."""
    known = [
        r
        for r in rows
        if r["published"][metric] is not None and r["here"][metric]["mean"] is not None
    ]
    turned, pairs = [], 0
    for a, b in combinations(known, 2):
        published = a["published"][metric] - b["published"][metric]
        here = a["here"][metric]["mean"] - b["here"][metric]["mean"]
        pairs += published * here != 0
        if published * here < 0:
            better, worse = (a, b) if published > 0 else (b, a)
            turned.append(
                {
                    "better_there": better["row"],
                    "better_here": worse["row"],
                    "published": abs(published),
                    "here": abs(here),
                }
            )
    return {"pairs": pairs, "turned": turned}


def provenances(records: dict[str, dict]) -> list[dict]:
    """Which versions and processors the runs are from, how many of each, and at which
    commits."""
    origins: dict[str, dict] = {}
    for run in (run for found in records.values() for run in found["runs"]):
        facts = {
            k: v for k, v in run["provenance"].items() if k not in ("started", "commit")
        }
        origin = origins.setdefault(
            json.dumps(facts, sort_keys=True), {"runs": 0, "commits": []}
        )
        origin["runs"] += 1
        if run["provenance"].get("commit") not in (*origin["commits"], None, ""):
            origin["commits"].append(run["provenance"]["commit"])
    return [origin | json.loads(facts) for facts, origin in origins.items()]


def summarise(sweep: Sweep, records: dict[str, dict], splits) -> dict:
    """Everything the page shows, as plain numbers and texts. `records`: row -> {"runs":
    [...], "failed": [...]}."""
    rows = [summarise_row(row, **records[row.name]) for row in sweep.rows]
    images = {part: len(getattr(splits, part)) for part in ("train", "valid", "test")}
    return plain(
        {
            "sweep": sweep.name,
            "title": sweep.title,
            "about": sweep.about,
            "data": sweep.data | {"images": images},
            "changed": sweep.changed,
            "seeds": sweep.seeds,
            "rows": rows,
            "order": order_of(rows),
            "provenance": provenances(records),
        }
    )


def as_csv(summary: dict) -> str:
    """The table as CSV: one line for each row, all digits, empty cells for values that
    are not known."""
    columns = [
        "row",
        "runs",
        "failed",
        *(
            f"{metric}_{what}"
            for metric in METRICS
            for what in ("published", "here", "spread", "difference")
        ),
    ]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for row in summary["rows"]:
        numbers = [
            (
                row["published"][m],
                row["here"][m]["mean"],
                row["here"][m]["spread"],
                row["difference"][m],
            )
            for m in METRICS
        ]
        writer.writerow(
            [
                row["row"],
                len(row["runs"]),
                len(row["failed"]),
                *(v for four in numbers for v in four),
            ]
        )
    return file.getvalue()


def write_summary(sweep: Sweep, out: Path, records: dict[str, dict], splits) -> dict:
    """OUT/index.html, summary.csv and summary.json, each whole or not at all; returns
    the summary."""
    summary = summarise(sweep, records, splits)
    contents = {
        "summary.json": json.dumps(summary, indent=1),
        "summary.csv": as_csv(summary),
        "index.html": page(summary),
    }
    for name, text in contents.items():
        write_whole(out / name, text)
    return summary
