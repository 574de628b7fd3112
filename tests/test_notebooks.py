"""The lessons' contract: stored outputs of one clean run, and the form that every lesson has."""

import re
import statistics
from pathlib import Path

import nbformat
import pytest

from cnnviz_utils.course.lessons import read_lesson
from cnnviz_utils.course.records import RECORD

LESSONS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("[0-9][0-9]_*.ipynb"))
pytestmark = pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)


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
    assert set(notebook.metadata) == {"kernelspec", "language_info"} and notebook.metadata.kernelspec.name == "python3"
    assert all(set(c.metadata) <= {"tags", "cnnviz"} for c in notebook.cells)
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


def test_cells_are_short(path):
    _, code = read(path)
    lengths = sorted(c.source.count("\n") + 1 for c in code if "record(" not in c.source and "import" not in c.source)
    assert statistics.median(lengths) <= 7 and lengths[-1] <= 25


def test_prose_between_code(path):
    notebook, _ = read(path)
    kinds = "".join("c" if c.cell_type == "code" else "m" for c in notebook.cells)
    assert "ccc" not in kinds
