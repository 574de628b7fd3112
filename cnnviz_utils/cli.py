"""The command `cnnviz`. Imports inside the commands, so that --help and a misspelt name
answer at once."""

import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from cnnviz_utils.sweep.command import spread, sweep

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A course in notebooks: how convolutional networks are trained, and what they see.",
)
PARAMETER_HELP = "A parameter's name and value, e.g. -p seed 3; may be repeated."


def fail(message: object, code: int) -> None:
    """One sentence on stderr, and out."""
    typer.echo(f"cnnviz: {message}", err=True)
    raise typer.Exit(code)


@app.command()
def run(
    lesson: Annotated[
        list[str] | None, typer.Argument(help="Numbers or names; none: all of them.")
    ] = None,
    profile: Annotated[str, typer.Option(help="A file of profiles/.")] = "quick",
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME VALUE", help=PARAMETER_HELP),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where pages go; by default reports/, or reports/PROFILE."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "-j",
            "--jobs",
            min=1,
            help="Lessons at a time; by default as many as "
            "there are cores, at most 4, one for each 3 GB of memory; "
            "on a GPU one.",
        ),
    ] = None,
    timeout: Annotated[
        int, typer.Option(min=1, help="Seconds that one cell may take.")
    ] = 1800,
) -> None:
    """Run lessons and write their pages, metrics and an index."""
    from cnnviz_utils.base.paths import CHECKOUT
    from cnnviz_utils.base.settings import UsageError
    from cnnviz_utils.course.lessons import all_lessons, choose, plan

    try:
        lessons = all_lessons()
        chosen = choose(lesson or [], lessons)
        settings = plan(
            chosen, profile, dict(p.split("=", 1) for p in parameter or []), lessons
        )
    except UsageError as error:
        fail(error, 2)
    import torch

    from cnnviz_utils.course.report import write_index
    from cnnviz_utils.course.run import LessonFailed
    from cnnviz_utils.course.together import Progress, memory_gb, run_lessons, share_out

    out = out or (CHECKOUT or Path.cwd()) / "reports" / (
        "" if profile == "quick" else profile
    )
    jobs, threads = share_out(
        len(chosen),
        torch.get_num_threads(),
        memory_gb(),
        jobs,
        torch.cuda.is_available(),
    )
    started, failed, broken, progress = time.time(), [], 0, Progress()
    try:
        for one, done in run_lessons(
            chosen, settings, out, profile, timeout, jobs, threads, progress
        ):
            if isinstance(done, LessonFailed):
                progress.say(f"  FAILED {done}", error=True)
                failed.append(one.name)
                continue
            held = sum(claim["holds"] for claim in done.claims)
            progress.say(
                f"{one.name}: {held} of {len(done.claims)} claims hold, {done.seconds:.0f} s"
            )
            for claim in done.claims:
                if not claim["holds"]:
                    progress.say(
                        f"  does not hold: {claim['claim']} ({claim['evidence']})"
                    )
            broken += len(done.claims) - held
    except KeyboardInterrupt:
        write_index(out)
        fail("interrupted; what was finished is kept", 130)
    typer.echo(
        f"{write_index(out)}: {len(chosen) - len(failed)} of {len(chosen)} lessons ran, {time.time() - started:.0f} s"
    )
    if failed:
        fail(f"did not run to the end: {', '.join(sorted(failed))}", 3)
    if broken and profile == "quick":
        fail(f"{broken} claims do not hold", 1)


@app.command()
def lessons() -> None:
    """List the lessons and their parameters."""
    from cnnviz_utils.course.lessons import all_lessons

    for lesson in all_lessons().values():
        typer.echo(f"{lesson.name}\n  {lesson.title}")
        for p in lesson.parameters.values():
            typer.echo(f"    {p.name}: {p.kind} = {p.value!r}  {p.meaning}")


@app.command()
def data(
    name: Annotated[
        str | None, typer.Argument(help="One data set; none: all of them.")
    ] = None,
    verify: Annotated[bool, typer.Option(help="Count and read every file.")] = False,
    root: Annotated[
        Path | None,
        typer.Option(help="Where photos lie; by default CNNVIZ_DATA, or data/."),
    ] = None,
) -> None:
    """List the data sets: what is here, what is missing, where it belongs, how to get
    it."""
    from cnnviz_utils.data.photos import catalogue

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


@app.command()
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
    """Make weights to borrow, or find those made before: `recipes.borrowed` takes
    them."""
    from safetensors.torch import save_file

    from cnnviz_utils.models.build import build_model
    from cnnviz_utils.training.recipes import source_weights

    started = time.time()
    if out is not None and out.suffix != ".safetensors":
        fail(f"--out must end in .safetensors, not {out.name!r}", 2)
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
        out.parent.mkdir(parents=True, exist_ok=True)
        save_file(weights, out)
    numbers = sum(value.numel() for value in weights.values())
    typer.echo(
        f"{model} on {source}: {numbers:,} numbers, {time.time() - started:.0f} s{f', also in {out}' if out else ''}"
    )


@app.command()
def execute(
    lesson: Annotated[
        list[str] | None, typer.Argument(help="Numbers or names; none: all of them.")
    ] = None,
) -> None:
    """For authors: run lessons in place, with their own parameters, and store their
    outputs with clean metadata."""
    from cnnviz_utils.base.settings import UsageError
    from cnnviz_utils.course.lessons import all_lessons, choose
    from cnnviz_utils.course.run import LessonFailed, execute_in_place
    from cnnviz_utils.course.together import Progress

    progress = Progress()
    try:
        for one in choose(lesson or [], all_lessons()):
            progress.start(one)
            execute_in_place(one, progress=lambda text, one=one: progress(one, text))
            progress.end(one)
    except UsageError as error:
        fail(error, 2)
    except LessonFailed as error:
        fail(error, 3)


@app.command(name="html")
def to_html(
    files: Annotated[list[Path], typer.Argument(help="Executed notebooks.")],
) -> None:
    """Turn any notebook into a page that stands alone; scripts and everything else that
    could run are taken out."""
    import nbformat

    from cnnviz_utils.course.report import write_page

    for file in files:
        try:
            notebook = nbformat.read(file, as_version=4)
        except FileNotFoundError:
            fail(f"{file} is not there", 2)
        # nbformat has no common base for what can be wrong with a file
        except Exception as error:
            fail(f"{file} is not a notebook ({type(error).__name__})", 2)
        write_page(notebook, file.with_suffix(".html"))
        typer.echo(file.with_suffix(".html"))


@app.command()
def copy(folder: Path) -> None:
    """Copy the lessons into a folder of your own."""
    from cnnviz_utils.base.paths import course_root

    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted((course_root() / "notebooks").glob("[0-9]*.ipynb")):
        if (folder / source.name).exists():
            fail(
                f"{folder / source.name} is already there and stays as it is: choose another folder",
                2,
            )
        shutil.copy(source, folder)
    typer.echo(f"{folder}: jupyter lab {folder}")


@app.command()
def lab() -> None:
    """Open JupyterLab on the lessons."""
    import os

    from cnnviz_utils.base.paths import CHECKOUT

    folder = CHECKOUT / "notebooks" if CHECKOUT else Path.cwd()
    if not list(folder.glob("[0-9]*.ipynb")):
        fail(f"there are no lessons in {folder}: `cnnviz copy DIR` puts them there", 2)
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(folder)])


app.command()(sweep)


def main() -> None:
    """The entry point. Typer has no repeatable option with two values, so `-p NAME
    VALUE` becomes `-p NAME=VALUE`."""
    # asked to end otherwise: the same as Ctrl-C, which stops the lessons
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # nohup has it ignored
        if number and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    words, joined = spread(sys.argv[1:]), []
    while words:
        word = words.pop(0)
        joined.append(word)
        if word in ("-p", "--parameter"):
            if len(words) < 2 and not (words and "=" in words[0]):
                typer.echo(
                    "cnnviz: -p needs a parameter's name and a value, e.g. -p seed 3",
                    err=True,
                )
                raise SystemExit(2)
            name = words.pop(0)
            joined.append(name if "=" in name else f"{name}={words.pop(0)}")
    from cnnviz_utils.base.settings import UsageError

    try:
        app(args=joined)
    except UsageError as error:  # such as a folder that cannot be written
        typer.echo(f"cnnviz: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
