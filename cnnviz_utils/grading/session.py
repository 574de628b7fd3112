"""One class from submissions to grades: the lesson itself first, then everybody, then
the pages."""

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.course.lessons import Lesson, all_lessons, choose
from cnnviz_utils.course.together import memory_gb, share_out
from cnnviz_utils.engines import Engine
from cnnviz_utils.grading.comments import apply, merged
from cnnviz_utils.grading.export import GRADES, write_grades
from cnnviz_utils.grading.grade import Class, grade_all, reference
from cnnviz_utils.grading.pages import write_class
from cnnviz_utils.grading.sandbox import SAID
from cnnviz_utils.grading.submissions import find_submissions

SAYS = re.compile(rb'"lesson"\s*:\s*"([0-9]{2}_[a-z0-9_]{1,60})"')
MOST_BYTES = 50_000_000


def which_lesson(folder: Path, wanted: str, source: Path | None) -> Lesson:
    """The lesson that is asked for, or that most of the notebooks say they are.

    Raises UsageError if that is none.
    """
    lessons = all_lessons(source)
    if wanted:
        return choose([wanted], lessons)[0]
    votes: Counter[str] = Counter()
    for one in find_submissions(folder):
        if one.path.stat().st_size < MOST_BYTES:
            found = SAYS.findall(one.path.read_bytes())
            votes.update({name.decode() for name in found} & set(lessons))
        votes.update({name for name in lessons if name in one.path.name})
    if not votes:
        raise UsageError("no notebook says which lesson it is: name it with --lesson")
    return lessons[votes.most_common(1)[0][0]]


def grade_class(
    group: Class,
    folder: Path,
    comments: list[Path],
    jobs: int | None,
    say: Callable[[str], None],
    engine: Engine | None = None,
) -> list[dict]:
    """Grade a folder, write pages and tables into group.out; the results by student.
    engine: Ray's, with a core for each; by default as `grade_all` does."""
    found = find_submissions(folder)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    group.jobs, group.threads = share_out(len(found), cores, memory_gb(), jobs)
    said = merged(group.out, comments)
    at_a_time = f"{group.jobs} at a time"
    if engine:
        group.threads, at_a_time = 1, "as many at a time as Ray has cores"
    say(f"{group.lesson.name}: {len(found)} submissions, {at_a_time}")
    say(f"Notebooks run {SAID[group.method]}.")
    own = reference(group)
    wrong = [task["key"] for task in own["tasks"] if task["state"] == "wrong"]
    if own["reason"] or wrong or own["problems"]:
        why = own["reason"] or f"its own solutions fail: {', '.join(wrong)}"
        say(f"The lesson itself does not run here as it should: {why}")
    results = []
    for number, result in enumerate(grade_all(group, found, engine), start=1):
        results.append(apply(result, said))
        say(f"  {number}/{len(found)} {line(results[-1])}")
    results.sort(key=lambda one: one["name"].lower())
    write_grades(group.out, results, group.lesson.title, own["of"])
    index = write_class(group.out, group.lesson, results, own)
    waiting = sum(one["waiting"] for one in results)
    say(f"{index}: {waiting} answers to be read; {group.out / GRADES}")
    return results


def line(result: dict) -> str:
    """A submission's outcome in one line."""
    points = f"{result['points']:g} of {result['of']:g}"
    waiting = f", {result['waiting']} to be read" if result["waiting"] else ""
    why = result["reason"] or "; ".join(one["what"] for one in result["problems"])
    why = f": {why}" if why else ""
    return f"{result['name']}: {points}{waiting}, {result['seconds']:.0f} s{why}"
