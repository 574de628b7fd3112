"""The commands for a class: student."""

from pathlib import Path
from typing import Annotated

import typer

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.cli.words import fail

SOURCE = typer.Option(
    "--source",
    help="A folder of lessons with solutions; by default the course's own.",
)


def student(
    out: Annotated[Path, typer.Argument(help="A folder for the copies.")],
    lessons: Annotated[
        list[str] | None,
        typer.Option("--lessons", help="Numbers or names; by default all."),
    ] = None,
    source: Annotated[Path | None, SOURCE] = None,
    nbgrader: Annotated[
        bool, typer.Option(help="Make OUT a course folder of nbgrader.")
    ] = False,
) -> None:
    """Hand out: copies of the lessons without solutions and hidden checks."""
    from cnnviz_utils.course.lessons import all_lessons, choose
    from cnnviz_utils.grading.student import write_student_copies
    from cnnviz_utils.grading.tasks import rubric_words

    try:
        chosen = choose(lessons or [], all_lessons(source))
        if not chosen:
            raise UsageError(f"{source} holds no lessons (NN_name.ipynb)")
        for one in write_student_copies(chosen, out, nbgrader):
            typer.echo(f"{one.path}: {rubric_words(one.tasks)}")
    except UsageError as error:
        fail(error, 2)
