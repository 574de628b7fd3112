"""The commands about finished reports: check, compare, table, verify."""

from pathlib import Path
from typing import Annotated

import typer

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.cli.words import fail

SOURCE = typer.Option(help="A folder of lessons; by default the course's own.")


def check(
    notebook: Annotated[Path, typer.Argument(help="Your notebook.")],
    source: Annotated[Path | None, SOURCE] = None,
) -> None:
    """Before you hand in: does it run, is anything missing, which checks are open.

    Needs no network. Exit code 1 if something is open or wrong.
    """
    from cnnviz_utils.grading.before import check as look

    try:
        good = look(notebook, typer.echo, source)
    except UsageError as error:
        fail(error, 2)
    if not good:
        raise typer.Exit(1)


def compare(
    reports: Annotated[
        list[Path], typer.Argument(help="Executed notebooks, metrics, or run folders.")
    ],
    out: Annotated[Path, typer.Option(help="The page.")] = Path("compare.html"),
) -> None:
    """Two or more reports side by side: parameters, metrics, claims, figures."""
    from cnnviz_utils.grading.compare import write_comparison

    try:
        if len(reports) < 2:
            raise UsageError("two reports or more are compared: name another one")
        differing = write_comparison(reports, out)
    except UsageError as error:
        fail(error, 2)
    for row in differing[:20]:
        typer.echo(f"{row.name}: {', '.join(map(str, row.values))}")
    typer.echo(f"{out}: {len(differing)} parameters and metrics differ")


def table(
    folder: Annotated[Path, typer.Argument(help="Any *.metrics.json in it count.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to; by default the folder itself.")
    ] = None,
) -> None:
    """One table over all runs of a folder: metrics.csv, and a page to sort."""
    from cnnviz_utils.grading.overview import CSV, PAGE, write_overview

    out = out or folder
    try:
        many, wrong = write_overview(folder, out)
    except UsageError as error:
        fail(error, 2)
    for sentence in wrong:
        typer.echo(f"cnnviz: {sentence}", err=True)
    typer.echo(f"{out / PAGE} and {CSV}: {many} runs")
    if wrong:
        raise typer.Exit(2)


def verify(
    report: Annotated[Path, typer.Argument(help="An executed notebook, or its page.")],
    source: Annotated[Path | None, SOURCE] = None,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Run the lesson again and compare.")
    ] = False,
) -> None:
    """Can a report have come from its lesson unedited? Exit code 1 if not."""
    from cnnviz_utils.grading.verify import verify as look

    marks = {True: "✓", False: "✗", None: "?"}
    wrong = 0
    try:
        for found in look(report, source, rerun):
            typer.echo(f"{marks[found.holds]} {found.words}")
            wrong += found.holds is False
    except UsageError as error:
        fail(error, 2)
    if wrong:
        fail(f"{report} cannot have come from its lesson as it is", 1)
