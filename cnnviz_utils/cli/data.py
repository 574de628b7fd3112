"""The commands about data and weights: data, pretrain."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from cnnviz_utils.cli.words import fail


def data(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME or FOLDER]",
            help="One data set, or a folder of your own photos; none: all data sets.",
        ),
    ] = None,
    verify: Annotated[bool, typer.Option(help="Count and read every file.")] = False,
    root: Annotated[
        Path | None,
        typer.Option(help="Where photos lie; by default CNNVIZ_DATA, or data/."),
    ] = None,
) -> None:
    """List the data sets, and how to get those that are missing. Of a folder of your
    own photos: classes and counts, broken files, copies, masks.

    With a name, the command ends with exit code 1 if that data set is missing; with
    --verify, if anything is wrong with its files; with a folder, if there is anything
    to mend in it, and with 2 if its layout is not understood.
    """
    from cnnviz_utils.data.photos import catalogue

    if name and name not in ("menagerie", *catalogue.SETS) and Path(name).is_dir():
        _own_folder(Path(name))
        return
    if name and Path(name).exists():
        fail(
            f"{name} is a file: name a folder of photos, or `cnnviz explain {name}`", 2
        )
    try:
        entries = catalogue.status(root, name)
    except ValueError as error:
        fail(error, 2)
    wrong = 0
    for entry in entries:
        typer.echo(
            f"{entry.name}: {'here' if entry.present else 'missing'}, {entry.folder}"
        )
        if not entry.present:
            typer.echo(f"  {entry.how}")
            wrong += name is not None
        elif verify:
            for line in (problems := catalogue.verify(entry.name, root)):
                typer.echo(f"  {line}")
            wrong += len(problems)
            typer.echo(
                "  verified: "
                + ("no problems" if not problems else f"{len(problems)} problems")
            )
    if wrong:
        raise typer.Exit(1)


def _own_folder(folder: Path) -> None:
    """Look at somebody's photos; exit code 2 if the folder can't be used, 1 if there is
    something to mend."""
    from cnnviz_utils.data.photos.inspection import inspect_folder
    from cnnviz_utils.data.photos.layouts import shown

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty() and (done == total or not done % 50):
            typer.echo(f"\r  {done} of {total} photos", err=True, nl=done == total)

    try:
        found = inspect_folder(folder, progress)
    except (ValueError, OSError) as error:
        fail(error, 2)
    typer.echo(f"{shown(str(folder))}: {found}")
    if found.problems:
        raise typer.Exit(1)


def pretrain(
    source: Annotated[
        str, typer.Argument(help="menagerie_source or tinyimagenet30.")
    ] = "menagerie_source",
    model: Annotated[str, typer.Option(help="The network, by name.")] = "small_resnet",
    size: Annotated[
        int, typer.Option(help="Height and width of the images in pixels.")
    ] = 64,
    out: Annotated[
        Path | None, typer.Option(help="Also copy the weights here, as .safetensors.")
    ] = None,
) -> None:
    """Train weights to borrow, unless they are in the cache.

    In Python `recipes.borrowed` uses them.
    """
    from safetensors.torch import save

    from cnnviz_utils.base.files import writable_folder, write_whole
    from cnnviz_utils.models.build import build_model
    from cnnviz_utils.training.recipes import source_weights

    started = time.time()
    if out is not None and out.suffix != ".safetensors":
        fail(f"--out must end in .safetensors, not {out.name!r}", 2)
    if out is not None:
        writable_folder(out.parent)  # before anything is trained
    try:
        weights = source_weights(
            source,
            lambda classes: build_model(model, classes, size=size),
            size,
            progress=lambda row: typer.echo(
                f"  epoch {row['epoch']}: loss {row['train_loss']:.3f}, "
                f"validation {row['valid_accuracy']:.1%}"
            ),
        )
    except (ValueError, FileNotFoundError) as error:
        fail(error, 2)
    if out is not None:
        write_whole(out, save(weights))
    numbers = sum(value.numel() for value in weights.values())
    where = f", also in {out}" if out else ""
    seconds = time.time() - started
    typer.echo(f"{model} on {source}: {numbers:,} numbers, {seconds:.0f} s{where}")
