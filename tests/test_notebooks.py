"""The lessons' contract: stored outputs of one clean run, and the form that every lesson has."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from cnnviz_utils.course.lessons import read_lesson
from cnnviz_utils.course.records import RECORD

LESSONS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("[0-9][0-9]_*.ipynb"))
pytestmark = pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)


OF_AN_EXERCISE = {"check-definition", "answer", "check", "solution", "hidden-check", "predict"}


def read(path):
    notebook = nbformat.read(path, as_version=4)
    return notebook, [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def test_outputs_are_those_of_one_run_from_top_to_bottom(path):
    _, code = read(path)
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    assert sum(bool(c.outputs) for c in code) > len(code) / 3
    assert not [o for c in code for o in c.outputs if o.output_type == "error"]
    assert not [o for c in code for o in c.outputs if o.get("name") == "stderr"], "warnings or progress bars on stderr"


def test_metadata_is_clean(path):
    notebook, _ = read(path)
    assert set(notebook.metadata) == {"cnnviz", "kernelspec", "language_info"} and notebook.metadata.kernelspec.name == "python3"
    assert all(set(c.metadata) <= {"tags", "cnnviz", "jupyter"} for c in notebook.cells)
    assert all(c.metadata.get("jupyter", {"source_hidden": True}) == {"source_hidden": True} for c in notebook.cells)
    assert not re.search(r"/(home|root|work|tmp|Users)/\w", path.read_text()), "a path of the machine it ran on"


def test_every_figure_has_alt_text(path):
    _, code = read(path)
    figures = [o for c in code for o in c.outputs if "image/png" in o.get("data", {})]
    assert figures
    assert all(len(o.metadata.get("image/png", {}).get("alt", "")) > 10 for o in figures)


def test_form(path):
    notebook, code = read(path)
    assert notebook.cells[0].source.startswith(f"# {path.stem[:2]} · ") and "?" in notebook.cells[0].source.splitlines()[0]
    assert "You will see" in notebook.cells[0].source
    assert read_lesson(path).parameters
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    for heading in ("## What to be careful about", "## Summary", "## Exercises"):
        assert heading in text
    assert sum("solution" in c.metadata.get("tags", []) for c in code) >= 3
    assert len([o for c in code for o in c.outputs if RECORD in o.get("data", {})]) == 1


def test_lessons_have_their_own_kind_of_name(path):
    assert re.fullmatch(r"[0-9]{2}_[a-z0-9_]+", path.stem)


def test_sections_outside_the_core_say_that_they_are_optional(path):
    notebook, _ = read(path)
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    numbered = re.findall(r"^## (\d+) · (.*)$", text, re.MULTILINE)
    if numbered:
        assert [int(number) for number, words in numbered if "(optional)" not in words] == notebook.metadata.cnnviz.core


def test_every_mention_of_another_lesson_is_a_link_that_leads_somewhere(path):
    notebook, _ = read(path)
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert not re.findall(r"(?<!\[)\b[Ll]essons? \d\d\b.*", text)
    linked = re.findall(r"\[[Ll]esson (\d\d)\]\(([^)#]*)(?:#[^)]*)?\)", text)
    assert all(target.startswith(number) and (path.parent / target).is_file() for number, target in linked)


def test_lines_are_narrow(path):
    _, code = read(path)
    assert not [line for c in code for line in c.source.splitlines() if len(line) > 88]


def test_every_claim_is_shown_where_it_is_made(path):
    """As the last value of its cell, or by `display`; made and passed over it would stand in the summary only."""
    _, code = read(path)
    for cell in code:
        if "cv.claim(" in cell.source:
            body = ast.parse(cell.source).body
            passed_over = [node for node in ast.walk(ast.Module(body[:-1], [])) if isinstance(node, ast.Expr)]
            if not isinstance(body[-1], ast.Expr):
                passed_over += [node for node in ast.walk(body[-1]) if isinstance(node, ast.Expr)]
            assert not [ast.unparse(n) for n in passed_over if ast.unparse(n).startswith("cv.claim(")]


def test_few_imports(path):
    _, code = read(path)
    imports = [[line for line in c.source.splitlines() if line.startswith(("import ", "from "))] for c in code]
    assert max(map(len, imports)) <= 6


def several_ideas(source):
    """The lines of a cell that hold more than one idea, each with what makes it so."""
    tree, found = ast.parse(source), []
    statements = [n for n in ast.walk(tree) if isinstance(n, ast.stmt)]
    starts = [n.lineno for n in statements]
    found += [(line, "two statements") for line in set(starts) if starts.count(line) > 1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Lambda):
            found.append((node.lineno, "a lambda with a name"))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            parts = [part for part in node.value.elts if isinstance(part, ast.Call | ast.ListComp)]
            found += [(node.lineno, "two assignments")] if len(parts) > 1 else []
        if isinstance(node, COMPREHENSION):
            inner = [n for n in ast.walk(node) if isinstance(n, COMPREHENSION)]
            if len(inner) > 2:
                found.append((node.lineno, "comprehensions three deep"))
    return sorted(found)


COMPREHENSION = ast.ListComp | ast.DictComp | ast.SetComp | ast.GeneratorExp


def test_one_idea_a_line(path):
    _, code = read(path)
    assert not [(c.source.splitlines()[line - 1], why) for c in code for line, why in several_ideas(c.source)]


def test_prose_between_code(path):
    """At most three code cells in a row, where a claim belongs to the cell before it, and an exercise to its question."""
    notebook, _ = read(path)
    counted = [c for c in notebook.cells if "cv.claim(" not in c.source and not OF_AN_EXERCISE & set(c.metadata.get("tags", []))]
    assert "cccc" not in "".join(c.cell_type[0] for c in counted)
