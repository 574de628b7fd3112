"""The commands for a class: student."""

from pathlib import Path
from typing import Annotated

import typer

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.cli.words import Address, EngineName, fail

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


def grade(
    submissions: Annotated[
        Path, typer.Argument(help="A folder by student, or an LMS's .zip.")
    ],
    out: Annotated[Path, typer.Option(help="Where pages and grades go.")],
    lesson: Annotated[
        str, typer.Option(help="The lesson; by default what the notebooks say.")
    ] = "",
    source: Annotated[Path | None, SOURCE] = None,
    comments: Annotated[
        list[Path] | None,
        typer.Option(help="Comments and points that a page has saved; repeatable."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=1, help="At a time.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1, help="That one notebook may take.")
    ] = 900,
    cell: Annotated[float, typer.Option(min=1, help="Seconds for one cell.")] = 300,
    memory: Annotated[float, typer.Option(min=0.5, help="GB for one notebook.")] = 4,
    output: Annotated[float, typer.Option(min=0.1, help="MB that one prints.")] = 20,
    files: Annotated[float, typer.Option(min=0.1, help="MB of files.")] = 500,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Grade again what was graded before.")
    ] = False,
    engine: EngineName = "local",
    address: Address = None,
) -> None:
    """Grade a folder of notebooks: each run anew, shut in; pages and grades.csv."""
    import tempfile

    from cnnviz_utils.grading.grade import Class
    from cnnviz_utils.grading.sandbox import Limits
    from cnnviz_utils.grading.session import grade_class, which_lesson

    where = None
    try:
        where = _engine(engine, address)
        with tempfile.TemporaryDirectory(prefix="cnnviz-unpacked-") as folder:
            given = submissions
            if submissions.suffix == ".zip":
                from cnnviz_utils.grading.submissions import unpack

                given = unpack(submissions, Path(folder))
            group = Class(
                which_lesson(given, lesson, source),
                out,
                Limits(seconds, cell, memory, output, files),
                fresh=fresh,
                secret=(given, *([source] if source else [])),
            )
            grade_class(group, given, comments or [], jobs, typer.echo, where)
    except UsageError as error:
        fail(error, 2)
    except KeyboardInterrupt:
        fail("interrupted; what was graded is kept, the next run goes on from it", 130)
    finally:
        if where:
            where.close()


def _engine(name: str, address: str | None):
    """Ray with a core for each submission; None for the local one, which shares the
    cores out when it knows how many submissions there are."""
    from cnnviz_utils.engines import Share, make_engine

    if name == "local" and not address:
        return None
    share = Share(cpus=1, gpus=0)
    return make_engine(name, device="cpu", address=address, share=share)
