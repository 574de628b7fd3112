"""The command `cnnviz sweep`. Imports inside, so that --help answers at once."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

SET_HELP = ("Another value for a setting: lr=0.01, size=64, epochs_share=0.3, per_class=20, data=menagerie; "
            "'ROW:model=small_resnet' for some rows only. May be repeated.")
MANY = ("--set", "--seeds", "--rows")


def spread(words: list[str]) -> list[str]:
    """`--rows a b` as `--rows a --rows b`, `--seeds 0 1` likewise, and `--set key value` as `--set key=value`: typer has
    no option that takes as many values as follow."""
    words, result = list(words), []
    while words:
        word = words.pop(0)
        if word not in MANY:
            result.append(word)
            continue
        values = []
        while words and not words[0].startswith("-"):
            if word == "--seeds" and values and not words[0].isdigit():
                break
            value = words.pop(0)
            if word == "--set" and "=" not in value and words and not words[0].startswith("--"):
                value = f"{value}={words.pop(0)}"
            values.append(value)
        result += [w for value in values for w in (word, value)] or [word]
    return result


def tell(line: str, passing: bool) -> None:
    """A line that the next one overwrites on a terminal (an epoch's; elsewhere it is left out), or one that stays."""
    terminal = sys.stdout.isatty()
    if terminal:
        sys.stdout.write("\r\033[K")
    if not passing:
        sys.stdout.write(line + "\n")
    elif terminal:
        sys.stdout.write(line[:shutil.get_terminal_size().columns - 1])
    sys.stdout.flush()


def sweep(file: Annotated[str, typer.Argument(help="A YAML file, or the name of one in sweeps/.")],
          out: Annotated[Path | None, typer.Option(help="Where records and summary go; by default reports/sweeps/NAME."
                                                   )] = None,
          seeds: Annotated[list[int] | None, typer.Option(help="Seeds of the training, instead of the file's.")] = None,
          change: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help=SET_HELP)] = None,
          rows: Annotated[list[str] | None, typer.Option(help="Only these rows: names, parts of names, numbers from 1."
                                                         )] = None,
          device: Annotated[str, typer.Option(help="cpu, cuda, or auto: the GPU if there is one.")] = "auto",
          workers: Annotated[int, typer.Option(min=1, help="Runs made side by side, each in a process.")] = 1) -> None:
    """Run a table of settings: a run for each row and seed, published values beside ours. What is done is not done again."""
    from cnnviz_utils.lessons import UsageError
    from cnnviz_utils.sweep.run import run_sweep

    def stop(message: object, code: int) -> None:
        typer.echo(f"cnnviz: {message}", err=True)
        raise typer.Exit(code)

    if wrong := [pair for pair in change or [] if "=" not in pair]:
        stop(f"--set needs a setting's name and a value, as in --set size=64, not {wrong[0]!r}", 2)
    try:
        outcome = run_sweep(file, out, dict(pair.split("=", 1) for pair in change or []), seeds, rows or [], device, tell,
                            workers)
    except UsageError as error:
        stop(error, 2)
    except KeyboardInterrupt:
        tell("", True)
        stop("interrupted; what was finished is kept, and the same command goes on from there", 130)
    typer.echo(f"{outcome.page}: {len(outcome.made)} runs made, {len(outcome.found)} were there")
    if outcome.failed:
        stop(f"failed: {'; '.join(outcome.failed)}", 3)
