"""Reports side by side: what was set otherwise, what came out otherwise, and the
figures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cnnviz_utils.base.files import write_whole
from cnnviz_utils.course.outputs import PICTURES, output_html
from cnnviz_utils.course.pages import template
from cnnviz_utils.course.repair import Notebook
from cnnviz_utils.grading.pages import frame
from cnnviz_utils.grading.reports import Report, is_number, read_report

DRAWN = {*PICTURES, "image/svg+xml"}
MOST_FIGURES = 60  # of one report
MOST_BYTES = 40_000_000  # of all figures on the page


@dataclass(frozen=True)
class Row:
    """One line: a name, a value for each report (None where it has none), and the
    differences of numbers from the first report's."""

    name: str
    values: list[Any]
    differences: list[float | None]

    @property
    def same(self) -> bool:
        return all(value == self.values[0] for value in self.values)


def rows(tables: list[dict[str, Any]]) -> list[Row]:
    """Lines for all names that one of the tables has, in their order; those that
    differ come first."""
    names = dict.fromkeys(name for table in tables for name in table)
    made = []
    for name in names:
        values = [table.get(name) for table in tables]
        first = values[0]
        gaps = [difference(value, first) for value in values]
        made.append(Row(name, values, gaps))
    return sorted(made, key=lambda row: row.same)


def difference(value: Any, first: Any) -> float | None:
    """By how much a number is larger than the first; None where one is no number."""
    return value - first if is_number(value) and is_number(first) else None


def claim_rows(reports: list[Report]) -> list[Row]:
    """Claims by their sentence; a value is the claim."""
    tables = [{c["claim"]: c for c in report.claims} for report in reports]
    names = dict.fromkeys(name for table in tables for name in table)
    made = [Row(n, [table.get(n) for table in tables], []) for n in names]
    verdict = lambda claim: claim and claim["holds"]
    return sorted(made, key=lambda row: len({verdict(v) for v in row.values}) == 1)


def figures(notebook: Notebook | None) -> dict[str, Markup]:
    """A notebook's pictures by where they are: the last heading above, and which of
    its pictures it is."""
    found: dict[str, Markup] = {}
    heading, count = "", 0
    for cell in notebook.cells if notebook else []:
        if cell.kind == "markdown":
            heads = [line for line in cell.source.splitlines() if line[:1] == "#"]
            if heads:
                heading, count = heads[-1].lstrip("# ")[:120], 0
        for output in cell.outputs:
            if DRAWN & set(output.data) and len(found) < MOST_FIGURES:
                count += 1
                found[f"{heading} ({count})"] = output_html(output)
    return found


def write_comparison(paths: list[Path], out: Path) -> list[Row]:
    """A page that shows the reports side by side; the lines about parameters and
    metrics that differ.

    Raises UsageError for a path that is no report.
    """
    reports = [read_report(path) for path in paths]
    names = short_names(paths)
    parameters = rows([report.parameters for report in reports])
    numbers = rows([report.numbers for report in reports])
    drawn = [figures(report.notebook) for report in reports]
    pictures, size = [], 0
    for row in rows([dict(one) for one in drawn]):
        size += sum(len(value or "") for value in row.values)
        if not row.same and size < MOST_BYTES:
            pictures.append(row)
    page = template("compare.html.j2").render(
        names=names,
        reports=reports,
        parameters=parameters,
        numbers=numbers,
        claims=claim_rows(reports),
        pictures=pictures,
        store="cnnviz-compare",
        **frame(),
    )
    write_whole(out, page)
    return [row for row in (*parameters, *numbers) if not row.same]


def short_names(paths: list[Path]) -> list[str]:
    """The paths without what they all begin with."""
    words = [str(path).removesuffix("/") for path in paths]
    split = [Path(word).parts for word in words]
    common = 0
    while all(len(p) > common + 1 and p[common] == split[0][common] for p in split):
        common += 1
    return [str(Path(*parts[common:])) for parts in split]
