"""A table over all metrics.json of a folder: every run of a class, or of a person."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from cnnviz_utils.base.files import write_whole
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.course.pages import template
from cnnviz_utils.grading.export import table
from cnnviz_utils.grading.pages import frame
from cnnviz_utils.grading.reports import METRICS, Report, read_report

CSV, PAGE = "metrics.csv", "metrics.html"
MOST_COLUMNS = 40  # of metrics, on the page; the table has all


def write_overview(folder: Path, out: Path) -> tuple[int, list[str]]:
    """OUT/metrics.csv with a line for each run, and OUT/metrics.html to sort, a table
    for each lesson. (How many runs, sentences about files that are damaged.)

    Raises UsageError where no metrics.json lies in the folder.
    """
    found, wrong = [], []
    for path in sorted(folder.rglob(f"*{METRICS}")):
        try:
            found.append((path, read_report(path)))
        except UsageError as error:
            wrong.append(str(error))
    if not found and not wrong:
        raise UsageError(f"{folder} holds no *{METRICS}: `cnnviz run` leaves them")
    lines = [_line(path.relative_to(folder), report) for path, report in found]
    heads = list(dict.fromkeys(name for line in lines for name in line))
    body = [[line.get(head, "") for head in heads] for line in lines]
    write_whole(out / CSV, table([heads, *body]))
    groups: dict[str, list] = {}
    for path, report in found:
        groups.setdefault(report.lesson, []).append((path.relative_to(folder), report))
    shown = [_group(name, members, out, folder) for name, members in groups.items()]
    page = template("overview.html.j2").render(
        title=folder.resolve().name,
        groups=shown,
        wrong=wrong,
        csv=CSV,
        store="cnnviz-overview",
        **frame(),
    )
    write_whole(out / PAGE, page)
    return len(found), wrong


def _line(path: Path, report: Report) -> dict[str, Any]:
    """A run as one line of the table."""
    held = sum(claim["holds"] for claim in report.claims)
    facts = {name: report.provenance.get(name, "") for name in ("profile", "seconds")}
    line = {"run": path.as_posix().removesuffix(METRICS), "lesson": report.lesson}
    line |= {f"parameter {name}": v for name, v in report.parameters.items()}
    counts = {"claims": len(report.claims), "hold": held}
    return line | facts | counts | report.numbers


def _group(name: str, members: list, out: Path, folder: Path) -> dict:
    """The runs of one lesson: the parameters in which they differ, and their
    metrics."""
    reports = [report for _, report in members]
    parameters = [
        key
        for key in dict.fromkeys(key for r in reports for key in r.parameters)
        if len({str(r.parameters.get(key)) for r in reports}) > 1
    ]
    metrics = list(dict.fromkeys(key for r in reports for key in r.numbers))
    differing = [
        k for k in metrics if len({str(r.numbers.get(k)) for r in reports}) > 1
    ]
    chosen = (differing if len(reports) > 1 else metrics)[:MOST_COLUMNS]
    return {
        "lesson": name,
        "title": reports[0].title or name,
        "parameters": parameters,
        "metrics": chosen,
        "left_out": len(metrics) - len(chosen),
        "runs": [
            {
                "name": path.as_posix().removesuffix(METRICS),
                "page": _page(folder / path, out),
                "report": report,
                "held": sum(claim["holds"] for claim in report.claims),
            }
            for path, report in members
        ],
    }


def _page(facts: Path, out: Path) -> str:
    """The way from the table to a run's page, "" if there is none or it lies
    elsewhere."""
    page = facts.with_name(facts.name.removesuffix(METRICS) + ".html")
    try:
        return quote(page.resolve().relative_to(out.resolve()).as_posix())
    except ValueError:
        return ""
