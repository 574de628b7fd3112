"""The command about photos: explain."""

from pathlib import Path
from typing import Annotated

import typer

from cnnviz_utils.cli.words import fail


def explain(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or a folder of them.")],
    model: Annotated[
        str,
        typer.Option(help="A network with ImageNet's weights, or a saved network."),
    ] = "efficientnet_lite0",
    target: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="What the map is about, by name or number; by default each photo's "
            "best class.",
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help="grad_cam, grad_cam_plus_plus, layer_cam or cam.")
    ] = "grad_cam",
    layer: Annotated[
        str | None,
        typer.Option(help="By default the last one that still gives a picture."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path(
        "explained.png"
    ),
) -> None:
    """Show what a network sees in photos, and where."""
    if out.suffix != ".png":
        fail(f"--out must end in .png, not {out.name!r}", 2)
    from cnnviz_utils.base.files import write_whole
    from cnnviz_utils.explanation import explain as picture_of

    wanted = int(target) if target is not None and target.isdecimal() else target
    files = photos[0] if len(photos) == 1 else photos
    try:
        picture = picture_of(files, model, wanted, method, layer)
    except KeyError as error:
        # whose text is its message in quotes
        fail(error.args[0], 2)
    except OSError as error:
        where = f"{error.filename}: {error.strerror}" if error.filename else error
        fail(where, 2)
    except ValueError as error:
        fail(error, 2)
    write_whole(out, picture.png)
    typer.echo(f"{picture.alt}\n{out}")
