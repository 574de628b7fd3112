"""What the library says about itself is true: every exported name is there, and README and docs name what exists."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import cnnviz_utils as cv

ROOT = Path(__file__).resolve().parent.parent
ROOMS = sorted(p.parent.name for p in (ROOT / "cnnviz_utils").glob("*/__init__.py") if p.parent.name not in ("cli", "sweep"))


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_that_a_room_exports_is_there_and_has_a_docstring(room):
    module = importlib.import_module(f"cnnviz_utils.{room}")
    assert module.__all__ and len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        found = getattr(module, name)
        assert not callable(found) or found.__doc__, f"{room}.{name} has no docstring"


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def names_used(code: str) -> list[str]:
    """What is looked up in `cv`, as dotted names: "grad_cam", "viz.upsample_maps"."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            if dotted.startswith("cv."):
                found.append(dotted.removeprefix("cv."))
    return found


def test_names_in_readmes_python_exist():
    [code] = blocks((ROOT / "README.md").read_text())
    assert len([line for line in code.splitlines() if line.strip()]) <= 6
    used = names_used(code)
    assert {"load_images", "build_model", "grad_cam"} <= set(used)
    for dotted in used:
        found = cv
        for part in dotted.split("."):
            assert part in found.__all__, f"README uses cv.{dotted}, which is not exported"
            found = getattr(found, part)


def test_the_front_door_is_what_the_docs_list():
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "library.md").read_text(), re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(set(listed)) == len(listed)
    assert set(listed) == set(cv.__all__) - set(ROOMS)


def test_links_in_the_readme_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


def test_sources_have_one_name_each():
    """The letters that once stood for them said nothing to a reader."""
    files = [*(ROOT / "cnnviz_utils").rglob("*.py"), *(ROOT / "sweeps").glob("*"), *(ROOT / "profiles").glob("*"),
             *(ROOT / "benchmarks").rglob("*.py"), ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert not [str(f) for f in files if re.search(r"\bS[0-4]\b", f.read_text())]


def test_every_test_that_the_table_of_faults_names_is_there():
    text = (ROOT / "docs" / "faults.md").read_text()
    there = {name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"^def test_(\w+)", file.read_text(), re.MULTILINE)}
    rows = [row.split("|") for row in text.splitlines() if row.startswith("| ") and "`" in row.rstrip("| ").rpartition("|")[2]]
    named = [name for row in rows for name in re.findall(r"`([a-z]\w+)`", row[-2])]
    assert len(rows) > 60 and len(named) > 100 and not set(named) - there


def test_minutes_in_the_readme_are_those_that_the_lessons_say():
    from cnnviz_utils.course.lessons import all_lessons

    said = dict(re.findall(r"(?m)^\| (\d\d) \|.*\| (\d*½?) \|$", (ROOT / "README.md").read_text()))
    halves = {lesson.name[:2]: round(2 * lesson.about.minutes) for lesson in all_lessons().values()}
    assert all(halves.values())
    assert said == {number: f"{n // 2 or ''}{'½' * (n % 2)}" for number, n in halves.items()}
