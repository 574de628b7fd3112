"""The command `cnnviz`: `run` runs lessons, `course` holds the others about them,
`data` those about data and weights, `get` the one that downloads, `sweep` the
one that replays a table, `explain` the one that looks at photos, `badges` one for
authors, `grading` those for a class, `reports` those about finished reports.

Each command imports what it needs inside its function, so that --help and a misspelt
name answer at once.
"""

import signal
import sys

import typer

from cnnviz_utils.base import quick  # noqa: F401
from cnnviz_utils.base.allocator import keep_memory
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.cli import (
    badges,
    course,
    data,
    explain,
    get,
    grading,
    reports,
    run,
    sweep,
)
from cnnviz_utils.cli.words import one_value_each

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A course in notebooks: how convolutional networks are trained, "
    "and what they see.",
)
# in the order in which --help lists them
app.command()(run.run)
app.command()(course.lessons)
app.command()(data.data)
app.command()(get.get)
app.command()(data.pretrain)
app.command()(course.execute)
app.command()(badges.badges)
app.command(name="html")(course.to_html)
app.command()(course.copy)
app.command()(course.lab)
app.command()(sweep.sweep)
app.command()(explain.explain)
app.command()(grading.student)
app.command()(reports.check)
app.command()(grading.grade)
app.command()(reports.compare)
app.command()(reports.table)
app.command()(reports.verify)


def main() -> None:
    """Run the command that the program's arguments ask for."""
    # A request to end (as from `kill`, or a closed terminal) stops the lessons as
    # Ctrl-C does; under nohup the signal is already ignored, and stays so.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    keep_memory()
    try:
        app(args=one_value_each(sys.argv[1:]))
    except UsageError as error:  # such as a folder that cannot be written
        typer.echo(f"cnnviz: {error}", err=True)
        raise SystemExit(2) from None
