"""The commands about lessons: lessons, execute, html, copy, lab."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cnnviz_utils.cli.words import fail


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
    from cnnviz_utils.course.together import Progress, Work

    progress = Progress()
    try:
        for one in choose(lesson or [], all_lessons()):
            work = Work(one, {}, one.path.parent)
            progress(work, "")
            execute_in_place(one, progress=partial(progress, work))
            progress.end(work)
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
