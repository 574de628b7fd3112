"""The command that downloads: get. No other command ever does."""

import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from cnnviz_utils.cli.words import fail


def get(
    name: Annotated[
        list[str] | None,
        typer.Argument(help="Data sets, or networks for their weights; none: a list."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask first.")] = False,
    root: Annotated[
        Path | None,
        typer.Option(help="Where it goes; by default CNNVIZ_DATA, or data/."),
    ] = None,
) -> None:
    """Download data sets (caltech101, caltech256, tinyimagenet) and torchvision's
    ImageNet weights (resnet50, ...). Says what and where first, and asks."""
    from cnnviz_utils.base.networks import TORCHVISION
    from cnnviz_utils.base.settings import UsageError
    from cnnviz_utils.data.photos.fetch import SETS, fetch, source

    try:
        chosen = [source(word) for word in dict.fromkeys(name or [])]
    except UsageError as error:
        fail(error, 2)
    if not chosen:
        for one in SETS:
            typer.echo(f"{one.name}: {one.what}, {one.size / 1e6:,.0f} MB")
        typer.echo(f"torchvision's ImageNet weights: {', '.join(TORCHVISION)}")
        return
    missing = [one for one in chosen if not one.present(root)]
    for one in chosen:
        if one not in missing:
            typer.echo(f"{one.name}: already here, {one.file(root).parent}")
            continue
        file = one.file(root)
        typer.echo(f"{one.name}: {one.what}")
        typer.echo(f"  {one.size / 1e6:,.0f} MB from {one.url}")
        typer.echo(f"  to {file.parent / one.place if one.folders else file}")
    if not missing:
        return
    if not yes and not typer.confirm("Download?", default=False):
        fail("nothing was downloaded", 1)
    for one in missing:
        try:
            fetch(one, root, _Bar(one.name))
        except KeyboardInterrupt:
            fail(
                "interrupted; what has come is kept, the next try goes on from it", 130
            )
        except OSError as error:
            fail(error, 3)
        typer.echo(f"{one.name}: here and checked. {one.after}".rstrip())


class _Bar:
    """A progress bar where somebody watches, a line for each tenth elsewhere."""

    def __init__(self, name: str):
        self.name, self.started, self.tenth = name, time.time(), 0
        self.first: int | None = None  # bytes that were here before
        self.watched, self.drawn = sys.stderr.isatty(), 0.0

    def __call__(self, done: int, total: int) -> None:
        first = self.first = done if self.first is None else self.first
        share = min(1.0, done / total)
        speed = (done - first) / 1e6 / max(1e-3, time.time() - self.started)
        text = f"{self.name} {share:4.0%} of {total / 1e6:,.0f} MB, {speed:.1f} MB/s"
        if self.watched:
            if done < total and time.time() < self.drawn + 0.1:
                return
            self.drawn = time.time()
            wide = max(10, shutil.get_terminal_size().columns - len(text) - 5)
            bar = "#" * round(share * wide)
            typer.echo(f"\r{text} [{bar:{wide}}]", err=True, nl=done >= total)
        elif int(share * 10) > self.tenth:
            self.tenth = int(share * 10)
            typer.echo(text, err=True)
