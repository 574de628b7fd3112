"""Every lesson with two classes of few photos, and with three, four, five and twelve.

In the usual run the cheapest lessons, at settings as small as they go. All of them, half an
hour of one core: CNNVIZ_FEW_PHOTOS=1 pytest tests/end_to_end/test_few_photos.py
"""

import os
import re

import pytest
from few_photos import ROOT, animals_as_photos, run_cells, small_menagerie

LESSONS = {path.stem[:2]: path for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
USUAL = {("00", 2), ("13", 2), ("01", 3), ("02", 2)}
EVERY = {(lesson, classes) for lesson in LESSONS for classes in (2, 3, 4, 5, 12)}
CASES = EVERY if os.environ.get("CNNVIZ_FEW_PHOTOS") else USUAL


@pytest.fixture(scope="session")
def shelves(tmp_path_factory):
    """Number of classes -> a folder of that many, 20 to 60 JPEG files each; of the four
    classes the outlines are known."""
    root = tmp_path_factory.mktemp("few")

    def shelf(classes):
        if not (root / f"{classes}").is_dir():
            animals_as_photos(root / f"{classes}", classes, masks=classes == 4)
        return root / f"{classes}"

    return shelf


@pytest.mark.slow
@pytest.mark.parametrize("lesson, classes", sorted(CASES))
def test_a_lesson_runs_and_what_it_claims_holds(lesson, classes, shelves):
    folder = str(shelves(classes))
    with small_menagerie():
        done = run_cells(LESSONS[lesson], data="folder", root=folder)
    assert not done.errors
    assert done.record
    five = "first five|" if classes <= 5 else ""
    silly = re.findall(five + r"27 species|\bnan ?%|[-−]0\.0+\b|\{'.*", "\n".join(done.said))
    assert not silly
    assert not [claim for claim in done.record["claims"] if not claim["holds"]]
