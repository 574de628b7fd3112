"""The command `cnnviz sweep`."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from cnnviz_utils.cli.words import fail, pairs

SET_HELP = (
    "Other values for settings: lr=0.01 size=64 epochs_share=0.3 data=menagerie; "
    "'ROW:model=small_resnet' for some rows only."
)


def tell(line: str, passing: bool) -> None:
    """Print a line of progress. On a terminal the next line overwrites a passing one;
    where the output is not a terminal, passing lines are left out."""
    terminal = sys.stdout.isatty()
    if terminal:
        sys.stdout.write("\r\033[K")
    if not passing:
        sys.stdout.write(line + "\n")
    elif terminal:
        sys.stdout.write(line[: shutil.get_terminal_size().columns - 1])
    sys.stdout.flush()


def sweep(
    file: Annotated[
        str, typer.Argument(help="A YAML file, or the name of one in sweeps/.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where records and summary go; by default reports/sweeps/NAME."
        ),
    ] = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option(help="Seeds of the training, instead of the file's."),
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help=SET_HELP)
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(help="Only these rows: names, parts of names, numbers from 1."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, or auto: the GPU if there is one.")
    ] = "auto",
    engine: Annotated[
        str,
        typer.Option(
            help="local: one run after the other, in this process; "
            "ray: several at a time, on this machine or a cluster."
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray: a running cluster, HOST:6379; by default the one on this "
            "machine, or one that is started for this sweep."
        ),
    ] = None,
    cpus: Annotated[
        int | None,
        typer.Option(help="Ray: cores for each run; by default as many as local."),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(help="Ray: GPUs for each run, whole or a part (0.5: two share)."),
    ] = None,
    retries: Annotated[
        int | None,
        typer.Option(help="Ray: how often a run whose machine died begins again."),
    ] = None,
) -> None:
    """Run a table of settings and compare with its published values.

    There is one run for each row and seed. Runs that are already recorded are not made
    again, so that the same command continues a sweep that was stopped.
    """
    from cnnviz_utils.base.settings import UsageError
    from cnnviz_utils.engines import make_engine, share_of
    from cnnviz_utils.sweep.run import run_sweep

    if wrong := [pair for pair in change or [] if "=" not in pair]:
        fail(
            "--set needs a setting's name and a value, as in --set size=64, "
            f"not {wrong[0]!r}",
            2,
        )
    where = None
    try:
        share = share_of(cpus, gpus, retries)
        where = make_engine(engine, device=device, address=address, share=share)
        settings = pairs(change)
        outcome = run_sweep(file, out, settings, seeds, rows or [], device, tell, where)
    except UsageError as error:
        fail(error, 2)
    except KeyboardInterrupt:
        tell("", True)
        fail(
            "interrupted; what was finished is kept, "
            "and the same command goes on from there",
            130,
        )
    finally:
        if where:
            where.close()
    typer.echo(
        f"{outcome.page}: {len(outcome.made)} runs made, "
        f"{len(outcome.found)} were there"
    )
    if outcome.failed:
        fail(f"failed: {'; '.join(outcome.failed)}", 3)
