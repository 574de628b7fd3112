"""Grading: whose work it is, what changed, marks, comments, copies, tables; and a class of good, half done and hostile
submissions that is graded with the command."""

import csv
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from importlib.util import cache_from_source
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from bs4 import BeautifulSoup
from made_up_class import MadeUp, results
from small_lesson import lesson, write_lesson
from typer.testing import CliRunner

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.cli import app
from cnnviz_utils.course.fingerprint import source_hash
from cnnviz_utils.course.lessons import read_lesson
from cnnviz_utils.course.repair import repaired
from cnnviz_utils.engines import Answer
from cnnviz_utils.grading import marks, sandbox, worker
from cnnviz_utils.grading.changes import changes, own_cells
from cnnviz_utils.grading.comments import Comment, apply, merged, read_comments, text_of
from cnnviz_utils.grading.compiled import keep_compiled
from cnnviz_utils.grading.copies import copies
from cnnviz_utils.grading.execute import Execution
from cnnviz_utils.grading.export import write_grades
from cnnviz_utils.grading.grade import Class, earlier, grade_all
from cnnviz_utils.grading.pages import distribution, mistakes
from cnnviz_utils.grading.student import of_another_version, student_copy
from cnnviz_utils.grading.submissions import find_submissions, unpack
from cnnviz_utils.grading.tasks import read_tasks


def touch(path, content=b"{}"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_names_of_files_folders_moodle_and_canvas(tmp_path):
    for name in ("Zoë Ünal.ipynb", "Ben/work.ipynb", "Ben/notes.pdf", "Ada L_4711_assignsubmission_file_/x.ipynb",
                 "Cy D_12_assignsubmission_file_y.ipynb", "doeeve_99_1234_hw.ipynb", "poefay_LATE_98_1235_hw-1.ipynb",
                 "..sneaky;rm.ipynb", ".hidden/x.ipynb", "README.md", "fool.pdf"):
        touch(tmp_path / name)
    found = {one.name: one for one in find_submissions(tmp_path)}
    assert set(found) == {"Zoë Ünal", "Ben", "Ada L", "Cy D", "doeeve", "poefay", "fool"}
    assert (found["Ada L"].number, found["Ada L"].lms) == ("4711", "moodle") and found["Cy D"].number == "12"
    assert (found["doeeve"].number, found["doeeve"].late) == ("99", False) and found["poefay"].late and found["poefay"].lms == "canvas"
    assert found["Ben"].path.name == "work.ipynb" and found["Ben"].others == ("notes.pdf",)
    assert all(re.fullmatch(r"[\w-]+", one.student) for one in found.values())
    with pytest.raises(UsageError, match="nothing that was handed in"):
        (tmp_path / "none").mkdir()
        find_submissions(tmp_path / "none")


def test_an_archive_is_unpacked_without_what_leads_out_of_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as pack:
        pack.writestr("Ada_1_assignsubmission_file_/x.ipynb", "{}")
        pack.writestr("../out.ipynb", "{}")
        pack.writestr("/abs.ipynb", "{}")
    found = find_submissions(unpack(tmp_path / "a.zip", tmp_path / "in"))
    assert [one.name for one in found] == ["Ada"] and not (tmp_path / "out.ipynb").exists()
    (tmp_path / "b.zip").write_text("no zip")
    with pytest.raises(UsageError, match="cannot be unpacked"):
        unpack(tmp_path / "b.zip", tmp_path)


@pytest.fixture
def handed_out(tmp_path):
    return student_copy(lesson(), read_lesson(write_lesson(tmp_path / "lessons")))


def part(notebook, key, name="answer"):
    return next(c for c in notebook.cells if c.metadata.get("cnnviz", {}).get("exercise") == key and c.metadata.cnnviz.get("part") == name)


def test_changes_are_found_by_exercise_and_in_the_text(handed_out):
    mine = nbformat.from_dict(json.loads(json.dumps(handed_out)))
    part(mine, "01.1").source = "share = 0.25  \n"
    part(mine, "01.2", "check").source = "print('right')"
    mine.cells = [c for c in mine.cells if c is not part(mine, "01.3", "check-definition")]
    mine.cells.insert(0, nbformat.v4.new_code_cell("my_own = 1"))
    mine.cells[1].source = mine.cells[1].source + "  \n\n"  # spaces do not count
    found = changes(repaired(handed_out), repaired(mine))
    assert sorted((c["what"], c["exercise"], c["part"]) for c in found) == [
        ("added", "", ""), ("changed", "01.1", "answer"), ("changed", "01.2", "check"), ("missing", "01.3", "check-definition")]
    answer = next(c for c in found if c["exercise"] == "01.1")
    assert answer["diff"] == ["-share = ...  # your code", "+share = 0.25"] and mine.cells[answer["cell"]].source.startswith("share")
    assert not changes(repaired(handed_out), repaired(handed_out))


def test_copies_need_length_and_are_not_what_everybody_writes():
    def student(name, *cells):
        own = [{"exercise": "1", "words": w, "size": size, "shown": shown} for w, size, shown in cells]
        return {"student": name, "name": name.upper(), "own": own}

    common = ("everybody", 200, "")
    group = [student("a", ("x", 100, "o"), common), student("b", ("x", 100, "o"), common), student("c", ("y", 30, ""), common),
             student("d", ("y", 30, ""), common), student("e", ("x1", 300, ""), ("z", 90, "")), student("f", ("z", 90, ""), ("w", 300, ""))]
    assert [(p["students"], p["cells"], p["outputs"], p["exercises"]) for p in copies(group)] == [(("a", "b"), 1, 1, ["1"])]


def test_a_clique_is_found_and_what_more_than_a_fifth_of_a_large_class_writes_is_not():
    def alike(many, of):
        own = lambda n: [{"exercise": "1", "words": "same" if n < many else f"own {n}", "size": 300, "shown": ""}]
        return copies([{"student": f"s{n}", "name": f"S{n}", "own": own(n)} for n in range(of)])

    assert [len(alike(*case)) for case in ((4, 20), (5, 20), (12, 60), (13, 60))] == [6, 0, 66, 0]


def test_what_copies_are_found_by_leaves_out_comments_and_spaces(handed_out):
    words = []
    for source in ("share = (numbers == 0).mean()  # mine", "share=(numbers==0).mean()  # theirs\n"):
        mine = nbformat.from_dict(json.loads(json.dumps(handed_out)))
        part(mine, "01.1").source = source
        changed = changes(repaired(handed_out), repaired(mine))
        words += [one["words"] for one in own_cells(repaired(mine), changed)]
    assert len(words) == 2 and len(set(words)) == 1


def verdict(state, message="", hidden=()):
    return {"state": state, "message": message, "hidden": list(hidden), "replaced": [], "ended": False}


def test_marks_need_the_check_and_every_hidden_one():
    first, second, *_, last = read_tasks(lesson())
    right = marks.mark(first, verdict("right", hidden=[("right", "")]), "")
    wrong = marks.mark(first, verdict("right", hidden=[("wrong", "no")]), "")
    lacking = marks.mark(first, verdict("right"), "")  # the hidden check did not come back
    assert [one["points"] for one in (right, wrong, lacking)] == [2, 0, 0] and "grader's: no" in wrong["message"]
    assert marks.mark(second, verdict("right"), "")["points"] == 1 and marks.mark(second, None, "", "it hung")["message"] == "it hung"
    assert [marks.mark(last, None, text)["points"] for text in ("", "*Your answer  here.*", "Because.")] == [0, 0, None]


def graded(name, **points):
    tasks = [{"key": key, "of": 4.0, "points": value, "state": "right" if value else "wrong", "message": "" if value else "off by 3",
              "kind": "computing", "level": "easy", "written": False} for key, value in points.items()]
    return {"student": name, "name": name, "number": "", "lms": "", "reason": "", "notes": [], "tasks": tasks}


def test_comments_survive_and_points_by_hand_win(tmp_path):
    page, sheet = tmp_path / "a.csv", tmp_path / "b.csv"
    page.write_text('student,exercise,points,comment\r\n"ada","e1","1.5","good; but ""short"""\r\n"ada","","","well\ndone"\r\n')
    sheet.write_text("student;exercise;points;comment\nada;e1;2,5;better\nben;e1;;see me\n")
    merged(tmp_path, [page])
    found = merged(tmp_path, [sheet])
    assert found[("ada", "e1")] == Comment(2.5, "better") and found[("ada", "")] == Comment(None, "well\ndone") and ("ben", "e1") in found
    assert merged(tmp_path, []) == found and read_comments(tmp_path / "comments.csv") == found and text_of(found).count("well") == 1
    ada = apply(graded("ada", e1=None, e2=4.0), found)
    assert (ada["points"], ada["waiting"], ada["comment"], ada["tasks"][0]["comment"]) == (6.5, 0, "well\ndone", "better")
    assert apply(graded("ben", e1=None), found)["waiting"] == 1
    with pytest.raises(UsageError, match="0 to 4"):
        apply(graded("ada", e1=0.0), {("ada", "e1"): Comment(5.0, "")})
    for text, words in (("a,b\n", "no column"), ("student,exercise,points,comment\nx,1,many,\n", "line 2")):
        page.write_text(text)
        with pytest.raises(UsageError, match=words):
            read_comments(page)


def test_tables_for_platforms_hold_no_formula_and_no_grade_that_may_change(tmp_path):
    ada, eve = graded("=cmd()", e1=4.0), graded("Eve", e1=None)
    ada |= {"number": "7", "lms": "moodle"}
    eve |= {"number": "8", "lms": "canvas"}
    write_grades(tmp_path, [apply(one, {}) for one in (ada, eve)], "01 · Is it?", 4)
    first, second = csv.DictReader((tmp_path / "grades.csv").read_text().splitlines())
    assert (first["Identifier"], first["Full name"], first["Grade"], first["Maximum Grade"]) == ("Participant 7", "'=cmd()", "4", "4")
    assert (second["Grade"], second["Answers to be read"], second["Points so far"]) == ("", "1", "0")
    rows = list(csv.reader((tmp_path / "grades-canvas.csv").read_text().splitlines()))
    assert rows[0][:2] == ["Student", "ID"] and rows[1][0].strip() == "Points Possible" and rows[3][:2] == ["Eve", "8"] and rows[3][-1] == ""


def test_distribution_and_common_mistakes():
    group = [graded("a", e1=0.0), graded("b", e1=0.0), graded("c", e1=4.0), graded("d", e1=2.0)]
    (row,) = distribution(group)
    assert dict(row["counts"]) == {"none": 2, "full": 1, "part": 1} and row["mean"] == 6 / 16
    (often,) = mistakes(group)
    assert often["message"] == "off by …" and [one["name"] for one in often["students"]] == ["a", "b"]


LOOK = """
import os, socket, sys
found = {"network": True, "written": [], "seen": [p for p in sys.argv[1:] if os.path.exists(p) and os.listdir(p)]}
try:
    socket.create_connection(("127.0.0.1", int(os.environ.get("PORT", "9"))), 2)
except OSError as error:
    found["network"] = str(error)
import cnnviz_utils
for place in (os.path.dirname(cnnviz_utils.__file__), "/", "/usr", os.environ["CNNVIZ_CACHE"], os.getcwd()):
    try:
        open(os.path.join(place, "mine"), "w").close()
        found["written"].append(place)
    except OSError:
        pass
import pty
pid, terminal = pty.fork()  # as IPython runs `!command`
if pid == 0:
    os.write(1, b"said")
    os._exit(0)
found["terminal"] = os.read(terminal, 9).decode()
os.waitpid(pid, 0)
found["processes"] = len([p for p in os.listdir("/proc") if p.isdecimal()])
import json
print(json.dumps(found))
"""


@pytest.mark.skipif(sandbox.method() == "none", reason="this system shuts nothing in")
def test_what_is_shut_in_sees_and_writes_its_own_only(tmp_path):
    place, secret = sandbox.Place(tmp_path), tmp_path / "secret"
    secret.mkdir()
    (secret / "x").touch()
    lessons = Path(__file__).resolve().parent.parent / "notebooks"
    words = sandbox.command(sandbox.method(), place, [sys.executable, "-c", LOOK, str(lessons), str(secret), str(Path.home() / ".ssh")], sandbox.Limits())
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["seen"] == [] and found["network"] is not True and found["processes"] < 5 and found["terminal"] == "said"
    assert found["written"] == [str(place["cache"]), str(place["work"])]


COUNT = """
import os, time
made = 0
try:
    for made in range(1300):
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
except OSError:
    pass
print(made, flush=True)
os._exit(0)
"""


@pytest.mark.skipif(sandbox.method() == "none", reason="this system shuts nothing in")
@pytest.mark.skipif(os.geteuid() == 0 and tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (6, 14),
                    reason="before Linux 6.14 nothing limits root's processes")
def test_the_system_itself_refuses_too_many_processes(tmp_path):
    """1,300 at most are tried, so that a limit that does not hold costs seconds, not the machine."""
    words = sandbox.command(sandbox.method(), sandbox.Place(tmp_path), [sys.executable, "-I", "-c", COUNT], sandbox.Limits())
    made = int(subprocess.run(words, capture_output=True, text=True, timeout=60).stdout)
    assert 64 < made < sandbox.MOST_TASKS


@pytest.fixture(scope="module")
def a_class(tmp_path_factory):
    """A class of the small lesson, graded twice with the command: the second time with comments and one more file."""
    if sandbox.method() == "none":
        pytest.skip("this system shuts nothing in, and some of the class delete files")
    if not os.environ.get("CNNVIZ_GRADE"):
        pytest.skip("limits of time, which a busy machine may miss: CNNVIZ_GRADE=1 grades a class of eleven")
    top = tmp_path_factory.mktemp("class")
    made = MadeUp(write_lesson(top / "lessons"), top / "target", top / "lessons")
    (top / "target").mkdir()
    (top / "target" / "keep").touch()
    everyone = made.all()
    chosen = ["Good Ada", "Half Ben", "Hangs Gus", "Floods Hal", "Kills Ida", "Forks Jan", "Deletes Kim", "Nothing Max", "Tampers Ned", "Reads Olga"]
    for name in chosen:
        content = everyone[name]
        touch(top / "handed in" / f"{name}.ipynb", content if isinstance(content, bytes) else nbformat.writes(content).encode())
    words = ["grade", str(top / "handed in"), "--out", str(top / "out"), "--source", str(top / "lessons"), "--cell", "20", "--output", "2", "-j", "2"]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 0, first.output
    before = {name: one["graded"] + str(one["seconds"]) for name, one in results(top / "out").items()}
    touch(top / "handed in" / "New Pia.ipynb", b"[]")
    (top / "said.csv").write_text("student,exercise,points,comment\nGood_Ada,01.4,3,nearly\nGood_Ada,,,well done\n")
    second = CliRunner().invoke(app, [*words, "--comments", str(top / "said.csv")])
    assert second.exit_code == 0, second.output
    return top, made, first.output, before


def test_each_costs_its_own_marks_with_the_reason_named(a_class):
    top, made, _, _ = a_class
    found, expected = results(top / "out"), made.expected()
    points = {name: sum(task["points"] or 0 for task in one["tasks"]) for name, one in found.items()}
    assert points == {name: expected.get(name, 0) for name in points} and len(points) == 11
    said = {name: one["reason"] + " ".join(p["what"] for p in one["problems"]) + " ".join(one["notes"]) for name, one in found.items()}
    for name, words in {"Hangs Gus": "longer than 20 s", "Floods Hal": "printed more than 2 MB", "Kills Ida": "ended its kernel",
                        "Forks Jan": "started more than 64 processes", "Nothing Max": "no notebook", "Tampers Ned": "in the place of",
                        "New Pia": "no notebook"}.items():
        assert words in said[name], (name, said[name])
    assert found["Good Ada"]["problems"] == found["Good Ada"]["errors"] == []
    if sandbox.method() != "none":
        assert (top / "target" / "keep").exists()
        assert "found hidden checks: []" in (top / "out" / "students" / "Reads_Olga" / "executed.ipynb").read_text()


def test_a_second_run_grades_what_is_new_and_keeps_comments(a_class):
    top, _, first, before = a_class
    after = {name: one["graded"] + str(one["seconds"]) for name, one in results(top / "out").items()}
    assert {name: after[name] for name in before} == before and "Notebooks run" in first
    page = BeautifulSoup((top / "out" / "students" / "Good_Ada" / "index.html").read_text(), "html.parser")
    assert "9 of 10 points" in page.select_one(".lead").get_text() and "well done" in page.get_text()
    rows = {row["Full name"]: row for row in csv.DictReader((top / "out" / "grades.csv").read_text().splitlines())}
    assert rows["Good Ada"]["Grade"] == "9" and "nearly" in rows["Good Ada"]["Feedback comments"] and rows["Hangs Gus"]["Grade"] == ""
    index = BeautifulSoup((top / "out" / "index.html").read_text(), "html.parser")
    assert len(index.select("table.names tbody tr")) == 11 and all((top / "out" / a["href"]).exists() for a in index.select("a[href$=html]"))


class Elsewhere:
    """An engine as Ray's is: what it does arrives as bytes; the second item's machine dies."""

    device = "cpu"

    def run(self, function, items, say=lambda number, text: None, stop=lambda: None):
        for number, item in enumerate(items):
            there, one = pickle.loads(pickle.dumps((function, item)))
            yield Answer(number, problem="its machine was lost") if number == 1 else Answer(number, there(one, print))


def test_a_person_is_told_of_cells_that_raised(handed_out):
    run = lambda many: Execution(None, errors=[{"cell": 1, "what": "NameError: name 'x'"}] * many)
    said = [marks.notes(repaired(handed_out), [], run(many))[1:] for many in range(3)]
    assert said == [[], ["1 cell raised an error."], ["2 cells raised an error."]]


def test_a_copy_of_another_version_of_the_lesson_is_known(handed_out):
    source = source_hash(lesson())
    assert not of_another_version(repaired(handed_out), source) and of_another_version(repaired(handed_out), "other")
    del handed_out.metadata["cnnviz_copy"]  # lost on the way: nothing is said
    assert not of_another_version(repaired(handed_out), "other")


def test_another_lessons_notebook_is_not_run(handed_out):
    other = nbformat.from_dict(json.loads(json.dumps(handed_out)))
    for cell in other.cells:
        cell.source = f"other {cell.source}"
        cell.metadata = nbformat.from_dict({"cnnviz": {"exercise": "05.1"}})
    assert "not this lesson" in worker._not_this_lesson(repaired(handed_out), repaired(other))
    mine = nbformat.from_dict(json.loads(json.dumps(handed_out)))
    part(mine, "01.1").source = "share = 0.25"
    assert not worker._not_this_lesson(repaired(handed_out), repaired(mine))


def test_an_engine_grades_and_what_it_loses_is_said(tmp_path):
    for name in ("Ada", "Ben"):
        touch(tmp_path / "in" / f"{name}.ipynb", b"[]")
    group = Class(read_lesson(write_lesson(tmp_path / "lessons")), tmp_path / "out", method="none")
    ada, ben = grade_all(group, find_submissions(tmp_path / "in"), Elsewhere())
    assert (ada["name"], ben["name"]) == ("Ada", "Ben") and "no notebook" in ada["reason"]
    assert "its machine was lost" in ben["reason"] and [task["points"] for task in ben["tasks"]] == [0, 0, 0, 0]
    assert earlier(group.folder("Ada"), ada["key"]) and not earlier(group.folder("Ben"), ada["key"])  # Ben is tried again


def test_what_a_lesson_of_ours_imports_is_compiled_once_and_nothing_else(tmp_path, monkeypatch):
    for folder in ("library", "elsewhere"):
        touch(tmp_path / folder / "part.py", b"x = 1")
    monkeypatch.syspath_prepend(tmp_path / "library")
    files = [str(tmp_path / name / "part.py") for name in ("library", "elsewhere")]
    kernel = SimpleNamespace(ask=lambda code, mime: SimpleNamespace(found=[*files, str(tmp_path / "library" / "fast.so")]))
    assert keep_compiled(kernel) == 1
    assert [Path(cache_from_source(file)).exists() for file in files] == [True, False]


def test_a_lesson_that_cannot_be_told_is_asked_for(tmp_path):
    touch(tmp_path / "in" / "x.ipynb")
    done = CliRunner().invoke(app, ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and "--lesson" in done.stderr and not os.path.exists(tmp_path / "out")


def test_a_student_is_told_before_handing_in(tmp_path, handed_out):
    part(handed_out, "01.1").source = "share = 0.5"
    part(handed_out, "01.2").source = "first = missing"
    handed_out.cells.remove(part(handed_out, "01.3", "check"))
    # a name of the lesson, taken for something else later: checks see what it was when they were asked
    handed_out.cells.append(nbformat.v4.new_code_cell("numbers = 'mine'"))
    nbformat.write(handed_out, tmp_path / "mine.ipynb")
    done = CliRunner().invoke(app, ["check", str(tmp_path / "mine.ipynb"), "--source", str(tmp_path / "lessons")])
    for words in ("✗ check of 01.3 is missing", "NameError: name 'missing'", "01.1 (2 points) ✗ Count zeros", "01.3 (3 points) ○", "01.4 (4 points) ○"):
        assert words in done.output, done.output
    assert done.exit_code == 1 and "SECRET" not in done.output
    (tmp_path / "x.ipynb").write_text('{"cells": []}')
    assert "which lesson" in CliRunner().invoke(app, ["check", str(tmp_path / "x.ipynb"), "--source", str(tmp_path / "lessons")]).stderr
