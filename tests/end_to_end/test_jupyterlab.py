"""Lessons and explorers in a real JupyterLab, in a real browser. With CNNVIZ_LAB=1 every lesson, otherwise
one small notebook that holds each kind of control."""

import json
import os
import shutil

import nbformat
import pytest
from lab import Opened, jupyterlab

from cnnviz_utils.course.lessons import all_lessons

pytestmark = pytest.mark.lab
LESSONS = {name: lesson.path for name, lesson in all_lessons().items()}
TRIED = sorted(LESSONS) if os.environ.get("CNNVIZ_LAB") else []
# each kind of control, on a function whose answer can be worked out
SMALL = """
import torch
import cnnviz_utils as cv
from cnnviz_utils.plot import Cells, Drag, Draw, show_answers, show_images

grey = torch.full((3, 32, 32), 0.5)
said = []
"""
EXPLORERS = [
    "def mean(picture):\n    said.append(picture)\n    return show_images(picture, [f'{picture.mean():.4f}'])\n\ncv.explore(mean, picture=Draw(grey))",
    "def square(place):\n    said.append(place)\n    return show_images(grey[None], [str(place)])\n\ncv.explore(square, place=Drag(grey))",
    "def cell(place):\n    said.append(place)\n    return show_images(grey[None], [str(place)])\n\ncv.explore(cell, place=Cells([[1, 2], [3, 4]], ['a', 'b'], ['c', 'd']))",
    "def bright(level=(0, 9)):\n    return show_images(grey[None] * level / 9, [str(level)])\n\ncv.explore(bright, level=(1, 9))",
]
LAST = "print([tuple(s) if isinstance(s, tuple) else (tuple(s.shape), round(float(s.mean()), 3)) for s in said])"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder, work = tmp_path_factory.mktemp("lessons"), tmp_path_factory.mktemp("lab")
    for name in TRIED:
        shutil.copy(LESSONS[name], folder)
    cells = [nbformat.v4.new_code_cell(source) for source in [SMALL, *EXPLORERS, LAST]]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    (folder / "small.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata=metadata)))
    with jupyterlab(folder, work, OMP_NUM_THREADS="1") as address:
        yield folder, address


def test_what_is_drawn_dragged_and_clicked_arrives(lab, browser):
    folder, address = lab
    seen = Opened(browser, address, "small.ipynb", 120)
    seen.run_all()
    assert not seen.failures() and seen.explorers() == len(EXPLORERS)
    for number in range(len(EXPLORERS)):
        changed, seconds = seen.move(number)
        assert changed, EXPLORERS[number]
        print(f"explorer {number}: {seconds:.2f} s")
    pad = seen.page.locator("canvas.cnnviz-pad").nth(1)
    pad.evaluate("pad => pad.scrollIntoView({block: 'center'})")
    seen.page.wait_for_timeout(500)
    box = pad.bounding_box()
    seen.page.mouse.move(box["x"] + 20, box["y"] + 20)
    seen.page.mouse.down()
    seen.page.mouse.move(box["x"] + 2, box["y"] + 2)
    seen.page.mouse.up()
    seen.page.wait_for_timeout(1500)
    seen.page.locator(".jp-CodeCell").last.locator(".cm-content").click()
    seen.page.keyboard.press("Shift+Enter")
    seen.page.wait_for_timeout(1500)
    text = seen.page.locator(".jp-CodeCell").nth(len(EXPLORERS) + 1).inner_text()
    # grey is .5; a brown stroke makes it darker; a quarter of 32 pixels is 8: first in the middle, last in the corner
    assert "((1, 3, 32, 32), 0.5" in text and "((1, 3, 32, 32), 0.4" in text
    assert "(12, 12, 8)" in text and "(0, 0, 8)" in text and "(0, 0)" in text and "(0, 1)" in text
    assert not seen.errors and not seen.outside
    seen.close()


@pytest.mark.parametrize("name", TRIED)
def test_a_lesson_opens_unchanged_runs_and_its_explorers_answer(lab, browser, name):
    folder, address = lab
    seen = Opened(browser, address, f"{name}.ipynb", 1500)
    assert not seen.changed(), "just opened, and already different from its file"
    seen.run_all()
    assert not seen.failures()
    wanted = sum("cv.explore(" in cell["source"] if isinstance(cell["source"], str) else "cv.explore(" in "".join(cell["source"])
                 for cell in json.loads(LESSONS[name].read_text())["cells"] if cell["cell_type"] == "code")
    assert seen.explorers() == wanted
    for number in range(wanted):
        changed, seconds = seen.move(number)
        print(f"{name}, explorer {number}: {seconds:.2f} s")
        assert changed, f"explorer {number} does not answer"
    assert not seen.errors and not seen.outside
    seen.close()
