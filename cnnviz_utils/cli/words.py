"""What the commands share: options, the words of a command line in the form that typer
reads, and the way a command stops with a message."""

from typing import Annotated, NoReturn

import typer

EngineName = Annotated[
    str, typer.Option(help="local: on this machine; ray: on a cluster's machines.")
]
Address = Annotated[
    str | None,
    typer.Option(help="Ray: a running cluster, HOST:6379; by default one here."),
]

# options that take as many values as follow, and what a further value looks like
MANY_VALUES = {
    "--set": lambda word: "=" in word,
    "--seeds": str.isdecimal,
    "--rows": lambda word: True,
    "--lessons": lambda word: True,
}


def fail(message: object, code: int) -> NoReturn:
    """Print one sentence on stderr and end the command with this exit code."""
    typer.echo(f"cnnviz: {message}", err=True)
    raise typer.Exit(code)


def pairs(words: list[str] | None) -> dict[str, object]:
    """["seed=3", ...] -> {"seed": "3", ...}."""
    return {
        name: value for name, _, value in (word.partition("=") for word in words or [])
    }


def one_value_each(words: list[str]) -> list[str]:
    """The words of a command line, with one value after each option, as typer wants
    them: `--rows a b` becomes `--rows a --rows b`, `-p seed 3` becomes `-p seed=3`."""
    return join_pairs(repeat_options(words))


def repeat_options(words: list[str]) -> list[str]:
    """`--rows a b` as `--rows a --rows b`, likewise --seeds and --set: typer has no
    option that takes as many values as follow."""
    result, option, first = [], "", False
    for word in words:
        if word.startswith("-"):
            option, first = word, True
        elif first:
            first = False
        elif option in MANY_VALUES and MANY_VALUES[option](word):
            result.append(option)
        else:
            option = ""
        result.append(word)
    return result


def join_pairs(words: list[str]) -> list[str]:
    """`-p NAME VALUE`, also written `-pNAME VALUE` or `--parameter=NAME VALUE`, as
    `-p NAME=VALUE`: typer has no repeatable option with two values. Exits with code 2
    where the value is missing."""
    waiting, result = list(words), []
    while waiting:
        word = waiting.pop(0)
        for option in ("-p", "--parameter="):
            if word.startswith(option) and (name := word.removeprefix(option)):
                word = "-p"
                waiting.insert(0, name)
        result.append(word)
        if word not in ("-p", "--parameter"):
            continue
        if len(waiting) < 2 and not (waiting and "=" in waiting[0]):
            typer.echo(
                "cnnviz: -p needs a parameter's name and a value, e.g. -p seed 3",
                err=True,
            )
            raise SystemExit(2)
        name = waiting.pop(0)
        result.append(name if "=" in name else f"{name}={waiting.pop(0)}")
    return result
