"""The command `badges`, for authors."""

import typer


def badges() -> None:
    """For authors: bring README and lessons in line with the course's address.

    The address is REPOSITORY in cnnviz_utils/course/badges.py; while it is empty there
    are no badges.
    """
    from cnnviz_utils.base.paths import CHECKOUT
    from cnnviz_utils.cli.words import fail
    from cnnviz_utils.course.badges import write_badges
    from cnnviz_utils.course.lessons import all_lessons

    if CHECKOUT is None:
        fail("badges are written in a checkout of the course, and here is none", 2)
    lessons = [lesson.path for lesson in all_lessons().values()]
    changed = write_badges(CHECKOUT / "README.md", lessons)
    for path in changed:
        typer.echo(path)
    if not changed:
        typer.echo("nothing to change")
