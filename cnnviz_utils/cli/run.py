"""The command `cnnviz run`."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnviz_utils.cli.words import Address, EngineName, fail, pairs

if TYPE_CHECKING:  # what runs lessons takes seconds to import
    from cnnviz_utils.course.run import LessonFailed, Run
    from cnnviz_utils.course.together import Work
    from cnnviz_utils.engines import Engine

PARAMETER_HELP = "A parameter's name and value, e.g. -p seed 3; may be repeated."


def run(
    lesson: Annotated[
        list[str] | None, typer.Argument(help="Numbers or names; none: all of them.")
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="A file of profiles/, by default quick; may be repeated."),
    ] = None,
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
    engine: EngineName = "local",
    address: Address = None,
) -> None:
    """Run lessons and write their pages, metrics and an index."""
    works = _planned(
        lesson or [], [*dict.fromkeys(profile or ["quick"])], photos, parameter, out
    )
    works = [replace(work, timeout=timeout) for work in works]
    outs = [*dict.fromkeys(work.out for work in works)]
    _look_at(photos, outs)
    from cnnviz_utils.course.index import write_index
    from cnnviz_utils.course.together import Progress, run_lessons

    works, where = _shared_out(works, jobs, engine, address)
    started, progress = time.time(), Progress()
    try:
        with closing(run_lessons(works, where, progress)) as running:
            failed, broken = _told(running, progress)
    except KeyboardInterrupt:
        for folder in outs:
            write_index(folder)
        fail("interrupted; what was finished is kept", 130)
    finally:
        where.close()
    seconds = time.time() - started
    for folder in outs:
        names = [work.name for work in works if work.out == folder]
        ran = len(set(names) - set(failed))
        index = write_index(folder)
        typer.echo(f"{index}: {ran} of {len(names)} lessons ran, {seconds:.0f} s")
    if failed:
        fail(f"did not run to the end: {', '.join(sorted(failed))}", 3)
    if broken:
        fail(f"{broken} claims do not hold", 1)


def _planned(
    words: list[str],
    profiles: list[str],
    photos: Path | None,
    parameter: list[str] | None,
    out: Path | None,
) -> "list[Work]":
    """The chosen lessons under each profile: refused, before anything runs, where
    something is not there."""
    from cnnviz_utils.base.settings import UsageError
    from cnnviz_utils.cli.photos import check_photos, own_photos
    from cnnviz_utils.course.lessons import all_lessons, choose, plan
    from cnnviz_utils.course.together import Work

    several, works = len(profiles) > 1, []
    try:
        if photos is not None and several:
            raise UsageError("--photos takes one profile")
        lessons = all_lessons()
        chosen = choose(words, lessons)
        given = pairs(parameter)
        theirs = {} if photos is None else own_photos(photos, chosen)
        for profile in profiles:
            place = _place(out, "photos" if photos else profile, several)
            settings = plan(chosen, profile, given, lessons, theirs)
            works += [
                Work(one, settings[one.name], place, profile, several) for one in chosen
            ]
        for text in check_photos(work.parameters for work in works):
            typer.echo(text)
    except UsageError as error:
        fail(error, 2)
    return works


def _place(out: Path | None, kind: str, several: bool) -> Path:
    """Where the pages of a profile go: reports/ for quick, else reports/KIND; OUT, or
    OUT/KIND where there are several."""
    from cnnviz_utils.base.paths import CHECKOUT

    if out:
        return out / kind if several else out
    return (CHECKOUT or Path.cwd()) / "reports" / ("" if kind == "quick" else kind)


def _shared_out(
    works: "list[Work]", jobs: int | None, engine: str, address: str | None
) -> "tuple[list[Work], Engine]":
    """The work in the order in which it begins, with its threads, and the engine: as
    many at a time as the cores allow, on Ray one a core."""
    import torch

    from cnnviz_utils.base.settings import UsageError
    from cnnviz_utils.course.together import longest_first, memory_gb, share_out
    from cnnviz_utils.engines import Share, make_engine

    if engine != "local" and jobs:
        fail("-j is for the local engine: Ray runs as many as it has cores", 2)
    cores, gpu = torch.get_num_threads(), torch.cuda.is_available()
    jobs, threads = share_out(len(works), cores, memory_gb(), jobs, gpu)
    share = None if engine == "local" and not address else Share(cpus=1)
    try:
        where = make_engine(engine, address=address, share=share, jobs=jobs)
    except UsageError as error:
        fail(error, 2)
    if share:
        threads = 1
    if share or jobs > 1:
        works = longest_first(works)
    return [replace(work, threads=threads) for work in works], where


def _look_at(photos: Path | None, outs: list[Path]) -> None:
    """What is in a folder of one's own photos, for the index over the lessons."""
    from cnnviz_utils.base.settings import UsageError
    from cnnviz_utils.cli.photos import forget_photos, look_at_photos

    for out in outs:
        forget_photos(out)
    if photos is None:
        return
    try:
        typer.echo(look_at_photos(photos, outs[0]))
    except (UsageError, OSError) as error:
        fail(error, 2)


def _told(
    running: "Iterator[tuple[Work, Run | LessonFailed]]", progress
) -> tuple[list[str], int]:
    """Say of each lesson how it ended: (those that failed, claims of the quick profile
    that do not hold)."""
    from cnnviz_utils.course.pages import tally
    from cnnviz_utils.course.run import LessonFailed

    failed: list[str] = []
    broken = 0
    for work, done in running:
        if isinstance(done, LessonFailed):
            under = f" under profile {work.profile}:" if work.several else ""
            progress.say(f"  FAILED{under} {done}", error=True)
            failed.append(work.name)
            continue
        wrong = [claim for claim in done.claims if not claim["holds"]]
        progress.say(f"{work.name}: {tally(done.claims)}, {done.seconds:.0f} s")
        for claim in wrong:
            progress.say(f"  does not hold: {claim['claim']} ({claim['evidence']})")
        if work.profile == "quick":
            broken += len(wrong)
    return failed, broken
