"""The command `cnnviz sweep`. Imports inside, so that --help answers at once."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

SET_HELP = (
    "Other values for settings: lr=0.01 size=64 epochs_share=0.3 data=menagerie; 'ROW:model=small_resnet' for "
    "some rows only."
)
# options that take as many values as follow, and what a further value looks like
MANY = {
    "--set": lambda word: "=" in word,
    "--seeds": str.isdecimal,
    "--rows": lambda word: True,
}


def spread(words: list[str]) -> list[str]:
    """`--rows a b` as `--rows a --rows b`, likewise --seeds and --set: typer has no
    option that takes as many values as follow."""
    result, option, first = [], "", False
    for word in words:
        if word.startswith("-"):
            option, first = word, True
        elif first:
            first = False
        elif option in MANY and MANY[option](word):
            result.append(option)
        else:
            option = ""
        result.append(word)
    return result


def tell(line: str, passing: bool) -> None:
    """A line that the next one overwrites on a terminal (an epoch's; elsewhere it is
    left out), or one that stays."""
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
) -> None:
    """Run a table of settings: a run for each row and seed, published values beside
    ours. What is done is not done again."""
    from cnnviz_utils.base.settings import UsageError
    from cnnviz_utils.sweep.run import run_sweep

    def stop(message: object, code: int) -> None:
        typer.echo(f"cnnviz: {message}", err=True)
        raise typer.Exit(code)

    if wrong := [pair for pair in change or [] if "=" not in pair]:
        stop(
            f"--set needs a setting's name and a value, as in --set size=64, not {wrong[0]!r}",
            2,
        )
    try:
        outcome = run_sweep(
            file,
            out,
            dict(pair.split("=", 1) for pair in change or []),
            seeds,
            rows or [],
            device,
            tell,
        )
    except UsageError as error:
        stop(error, 2)
    except KeyboardInterrupt:
        tell("", True)
        stop(
            "interrupted; what was finished is kept, and the same command goes on from there",
            130,
        )
    typer.echo(
        f"{outcome.page}: {len(outcome.made)} runs made, {len(outcome.found)} were there"
    )
    if outcome.failed:
        stop(f"failed: {'; '.join(outcome.failed)}", 3)
