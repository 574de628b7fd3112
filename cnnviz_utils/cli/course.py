"""The commands about lessons: run, lessons, execute, html, copy, lab."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cnnviz_utils.cli.words import fail, pairs

PARAMETER_HELP = "A parameter's name and value, e.g. -p seed 3; may be repeated."


def run(
    lesson: Annotated[
        list[str] | None, typer.Argument(help="Numbers or names; none: all of them.")
    ] = None,
    profile: Annotated[str, typer.Option(help="A file of profiles/.")] = "quick",
    photos: Annotated[
        Path | None,
        typer.Option(help="Run on a folder of your own photos: class folders."),
    ] = None,
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
    chosen, settings = _planned(lesson or [], profile, photos, parameter)
    import torch

    from cnnviz_utils.base.paths import CHECKOUT
    from cnnviz_utils.course.index import write_index
    from cnnviz_utils.course.together import Progress, memory_gb, run_lessons, share_out

    kind = "photos" if photos else "" if profile == "quick" else profile
    out = out or (CHECKOUT or Path.cwd()) / "reports" / kind
    _look_at(photos, out)
    jobs, threads = share_out(
        len(chosen),
        torch.get_num_threads(),
        memory_gb(),
        jobs,
        torch.cuda.is_available(),
    )
    started, progress = time.time(), Progress()
    running = run_lessons(
        chosen, settings, out, profile, timeout, jobs, threads, progress
    )
    try:
        failed, broken = _told(running, progress)
    except KeyboardInterrupt:
        write_index(out)
        fail("interrupted; what was finished is kept", 130)
    index, ran = write_index(out), len(chosen) - len(failed)
    seconds = time.time() - started
    typer.echo(f"{index}: {ran} of {len(chosen)} lessons ran, {seconds:.0f} s")
    if failed:
        fail(f"did not run to the end: {', '.join(sorted(failed))}", 3)
    if broken and profile == "quick":
        fail(f"{broken} claims do not hold", 1)


def _planned(
    words: list[str], profile: str, photos: Path | None, parameter: list[str] | None
):
    """(the chosen lessons, their parameters): refused, before anything runs, where
    something is not there."""
    from cnnviz_utils.base.settings import UsageError
    from cnnviz_utils.cli.photos import check_photos, own_photos
    from cnnviz_utils.course.lessons import all_lessons, choose, plan

    try:
        lessons = all_lessons()
        chosen = choose(words, lessons)
        given = pairs(parameter)
        if photos is not None:
            given = own_photos(photos, chosen) | given
        settings = plan(chosen, profile, given, lessons)
        for text in check_photos(settings.values()):
            typer.echo(text)
    except UsageError as error:
        fail(error, 2)
    return chosen, settings


def _look_at(photos: Path | None, out: Path) -> None:
    """What is in a folder of one's own photos, for the index over the lessons."""
    from cnnviz_utils.base.settings import UsageError
    from cnnviz_utils.cli.photos import forget_photos, look_at_photos

    forget_photos(out)
    if photos is None:
        return
    try:
        typer.echo(look_at_photos(photos, out))
    except (UsageError, OSError) as error:
        fail(error, 2)


def _told(running: Iterator, progress) -> tuple[list[str], int]:
    """Say of each lesson how it ended: (names of those that failed, claims that do not
    hold)."""
    from cnnviz_utils.course.pages import tally
    from cnnviz_utils.course.run import LessonFailed

    failed: list[str] = []
    broken = 0
    for one, done in running:
        if isinstance(done, LessonFailed):
            progress.say(f"  FAILED {done}", error=True)
            failed.append(one.name)
            continue
        wrong = [claim for claim in done.claims if not claim["holds"]]
        progress.say(f"{one.name}: {tally(done.claims)}, {done.seconds:.0f} s")
        for claim in wrong:
            progress.say(f"  does not hold: {claim['claim']} ({claim['evidence']})")
        broken += len(wrong)
    return failed, broken


def lessons() -> None:
    """List the lessons and their parameters."""
    from cnnviz_utils.course.lessons import all_lessons

    for lesson in all_lessons().values():
        typer.echo(f"{lesson.name}\n  {lesson.title}")
        for p in lesson.parameters.values():
            typer.echo(f"    {p.name}: {p.kind} = {p.value!r}  {p.meaning}")


def execute(
    lesson: Annotated[
        list[str] | None, typer.Argument(help="Numbers or names; none: all of them.")
    ] = None,
) -> None:
    """For authors: run lessons in place and store their outputs.

    The lessons run with their own parameters; their metadata is cleaned.
    """
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


def to_html(
    files: Annotated[
        list[Path], typer.Argument(help="Executed notebooks, or folders of them.")
    ],
    limit: Annotated[
        float, typer.Option(min=0.1, help="Seconds that one notebook may take.")
    ] = 60,
) -> None:
    """Turn any notebook into a self-contained page in which nothing of it runs.

    Everything that could run is taken out. A folder gets an index as well.
    """
    from cnnviz_utils.course.convert import convert_files, convert_folder

    wrong = 0
    folders = [file for file in files if file.is_dir()]
    single = [file for file in files if not file.is_dir()]
    for pages in (
        convert_files(single, limit),
        *(convert_folder(folder, limit) for folder in folders),
    ):
        for page in pages:
            wrong += bool(page.problem)
            if page.problem:
                typer.echo(f"cnnviz: {page.problem}", err=True)
            else:
                typer.echo(page.path)
    if wrong:
        raise typer.Exit(2)


def copy(folder: Path) -> None:
    """Copy the lessons into a folder of your own."""
    from cnnviz_utils.base.files import writable_folder, write_whole
    from cnnviz_utils.base.paths import course_root

    writable_folder(folder)
    for source in sorted((course_root() / "notebooks").glob("[0-9]*.ipynb")):
        if (folder / source.name).exists():
            fail(
                f"{folder / source.name} is already there and stays as it is: "
                "choose another folder",
                2,
            )
        write_whole(folder / source.name, source.read_bytes())
    typer.echo(f"{folder}: jupyter lab {folder}")


def lab() -> None:
    """Open JupyterLab on the lessons."""
    import os

    from cnnviz_utils.base.allocator import with_kept_memory
    from cnnviz_utils.base.paths import CHECKOUT

    folder = CHECKOUT / "notebooks" if CHECKOUT else Path.cwd()
    if not list(folder.glob("[0-9]*.ipynb")):
        fail(f"there are no lessons in {folder}: `cnnviz copy DIR` puts them there", 2)
    contents = "--ServerApp.contents_manager_class=cnnviz_utils.course.contents.Lessons"
    command = [sys.executable, "-m", "jupyterlab", contents, str(folder)]
    os.execve(sys.executable, command, with_kept_memory(os.environ))
