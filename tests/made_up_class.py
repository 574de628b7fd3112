"""Submissions of a lesson that students might hand in: good, half done, empty, hostile. Made of the lesson's own
solutions, so that they fit any lesson with exercises."""

import json
import random

import nbformat

from cnnviz_utils.course.lessons import read_lesson
from cnnviz_utils.grading.student import student_copy
from cnnviz_utils.grading.tasks import read_tasks

HANGS = "while True:\n    pass"
FLOODS = "while True:\n    print('flood ' * 1000)"
KILLS = "import os\nos._exit(9)"
# more processes than are allowed, but a fixed number that ends by itself: one without end can outrun the grader's look at
# the processes, and then takes the whole machine
FORKS = """import os
import time
for _ in range(100):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
time.sleep(60)"""
DELETES = """import pathlib
import shutil
import cnnviz_utils
removed = []
for place in (pathlib.Path(cnnviz_utils.__file__).parent, pathlib.Path.home(), pathlib.Path.cwd(), TARGETS):
    shutil.rmtree(place, ignore_errors=True)
print(removed)"""
CALLS = """import socket
import urllib.request
try:
    socket.create_connection(("1.1.1.1", 53), 3)
    print("the network is there")
except OSError as error:
    print("no network:", error)"""
TAMPERS = """import cnnviz_utils as cv
from cnnviz_utils.course import exercises
def always(key, *answers):
    exercises.publish(exercises.Verdict(key, "right"))
for module in (cv, cv.course, exercises):
    module.check = always
exercises.judge = lambda function, answers: ("right", "")"""
READS = """import os
import pathlib
import sys
import cnnviz_utils
found = []
package = pathlib.Path(cnnviz_utils.__file__).parent
places = [SECRETS, package, package.parent / "notebooks", os.path.expanduser("~"), "/tmp"]
places += [pathlib.Path(place) / "cnnviz_utils" for place in sys.path]
for place in places:
    for folder, _, files in os.walk(place):
        for name in files:
            path = pathlib.Path(folder, name)
            try:
                if path.suffix in (".ipynb", ".json") and "hidden-check" in path.read_text():
                    found.append(str(path))
            except (OSError, ValueError):
                pass
for number in filter(str.isdecimal, os.listdir("/proc")):
    try:
        words = pathlib.Path("/proc", number, "cmdline").read_text()
        found += [words] if "worker" in words else []
    except OSError:
        pass
print("found hidden checks:", found)"""


class MadeUp:
    """A lesson's submissions, by name. target: a folder that the one that deletes goes for; secret: one that the one
    that reads searches."""

    def __init__(self, path, target, secret):
        self.lesson, self.original = read_lesson(path), nbformat.read(path, as_version=4)
        self.tasks, self.target, self.secret = read_tasks(self.original, path.stem), target, secret

    def copy(self, answered=None, prepended=""):
        """A student copy in which the exercises at these positions (None: all) are answered as in the solution."""
        made = student_copy(self.original, self.lesson)
        wanted = [task for at, task in enumerate(self.tasks) if answered is None or at in answered]
        for task in wanted:
            cells = [c for c in made.cells if c.metadata.get("cnnviz", {}).get("exercise") == task.key
                     and c.metadata["cnnviz"].get("part") == "answer"]
            for cell in cells[:-1]:
                cell.source = ""
            cells[-1].source = "\n\n".join(task.solutions)
        if prepended:
            first = next(at for at, c in enumerate(made.cells) if c.metadata.get("cnnviz", {}).get("part") == "exercise")
            made.cells.insert(first, nbformat.v4.new_code_cell(prepended))
        return made

    def all(self):
        """Name -> notebook, or bytes that are no notebook."""
        last = len(self.tasks) - 1
        disorder = self.copy()
        random.Random(0).shuffle(order := list(range(1, 1 + sum(c.cell_type == "code" for c in disorder.cells))))
        for cell, count in zip([c for c in disorder.cells if c.cell_type == "code"], order, strict=True):
            cell.execution_count = count
        targets, secrets = repr(str(self.target)), repr(str(self.secret))
        spread = self.copy(answered=range(last))
        spread.cells = [c for c in spread.cells if c.metadata.get("cnnviz", {}).get("part") != "check"]
        return {
            "Good Ada": self.copy(), "Half Ben": self.copy(answered=range(len(self.tasks) // 2)), "Empty Cleo": self.copy(answered=()),
            "Disorder Dan": disorder, "Copy Eve": self.copy(), "Without-checks Fay": spread,
            "Hangs Gus": self.copy(prepended=HANGS), "Floods Hal": self.copy(prepended=FLOODS), "Kills Ida": self.copy(prepended=KILLS),
            "Forks Jan": self.copy(prepended=FORKS), "Deletes Kim": self.copy(prepended=DELETES.replace("TARGETS", targets)),
            "Calls Leo": self.copy(prepended=CALLS), "Nothing Max": b"%PDF-1.4 not a notebook", "Tampers Ned": self.copy(answered=(), prepended=TAMPERS),
            "Reads Olga": self.copy(answered=(), prepended=READS.replace("SECRETS", secrets)),
        }

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, notebook in self.all().items():
            content = notebook if isinstance(notebook, bytes) else nbformat.writes(notebook).encode()
            (folder / f"{name}.ipynb").write_bytes(content)

    def expected(self):
        """Name -> points without those of open answers."""
        checked = [(at, task.points) for at, task in enumerate(self.tasks) if not task.written]
        everything = sum(points for _, points in checked)
        half = sum(points for at, points in checked if at < len(self.tasks) // 2)
        some = sum(points for at, points in checked if at < len(self.tasks) - 1)
        none = dict.fromkeys(("Empty Cleo", "Nothing Max", "Tampers Ned", "Reads Olga"), 0)
        return dict.fromkeys(self.all(), everything) | {"Half Ben": half, "Without-checks Fay": some} | none


def results(out):
    """Name -> result, of a folder that was graded."""
    found = [json.loads(path.read_text()) for path in sorted(out.glob("students/*/result.json"))]
    return {one["name"]: one for one in found}
