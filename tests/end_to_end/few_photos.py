"""Lessons run in this process on folders of few photos, at settings as small as they go.

`python tests/end_to_end/few_photos.py FOLDER 2 3 -- 01 02` prints what fails, for every number of
classes and lesson, and leaves FOLDER/said_01_2.txt: what that lesson says.
"""

import html
import os
import re
import sys
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
# one value for a name, in whichever lesson it occurs
TINY = {
    "size": 32,
    "small_size": 32,
    "photo_size": 64,
    "epochs": 1,
    "long_epochs": 1,
    "rows_share": 0.05,
    "work": 2,
    "seeds": 1,
    "repeats": 1,
    "table_epochs": 1,
    "pool_epochs": 1,
    "searched": 60,
    "networks": 2,
    "short_epochs": 1,
    "scored": 8,
    "judge_epochs": 1,
    "noise_epochs": 1,
    "robust_epochs": 1,
    "steps": 3,
    "judged": 3,
    "tries": 1,
    "alex_epochs": 1,
    "device": "cpu",
}


def animals_as_photos(root: Path, classes: int, masks: bool = False) -> Path:
    """`classes` folders of 20 to 60 JPEG files of 80 x 60 pixels: drawn animals, each
    class with another number of them. masks: with PNG files of the outlines beside."""
    from cnnviz_utils.data.drawn.menagerie import SPECIES, draw_animal

    for c, kind in enumerate(SPECIES[:: max(1, len(SPECIES) // classes)][:classes]):
        for i in range(20 + 40 * c // max(1, classes - 1)):
            picture = draw_animal(kind, size=80, seed=zlib.crc32(f"{kind} {i}".encode()))
            file = root / kind / f"{i:03}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.image[10:70]).save(file, quality=90)
            if masks:
                outline = root / "masks" / kind / f"{i:03}.png"
                outline.parent.mkdir(parents=True, exist_ok=True)
                on = np.asarray(picture.parts)[10:70] > 0
                Image.fromarray(on.astype(np.uint8) * 255).save(outline)
    return root


@dataclass
class Outcome:
    """What became of a lesson: cells that raised, and what it recorded."""

    errors: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # what a reader reads, a cell each
    record: dict = field(default_factory=dict)
    seconds: float = 0.0
    slowest: list[tuple[float, str]] = field(default_factory=list)


@contextmanager
def small_menagerie():
    """Wherever a lesson draws the Menagerie besides, it draws few animals to learn
    from, and borrowed weights are learned in one epoch."""
    import cnnviz_utils as cv
    from cnnviz_utils.training.recipes import SOURCES

    load, source = cv.load_data, SOURCES["menagerie_source"]

    def load_few(name, **settings):
        few = {"train": 4, "valid": 2} if name == "menagerie" else {}
        return load(name, **few | settings)

    cv.load_data = load_few
    few = {"seed": 0, "train": 12, "valid": 1, "test": 1}
    SOURCES["menagerie_source"] = (few, source[1], (1, 1))
    try:
        yield
    finally:
        cv.load_data, SOURCES["menagerie_source"] = load, source


def fresh_shell():
    """An IPython shell without anything in it, which keeps no history on disk and
    leaves the interpreter's own `__main__` where it was."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    main, hook = sys.modules["__main__"], sys.excepthook
    shell = InteractiveShell.instance(
        config=Config({"HistoryManager": {"enabled": False}})
    )
    sys.modules["__main__"], sys.excepthook = main, hook
    shell.reset(new_session=True)
    return shell


def run_cells(lesson: Path, stop: bool = True, **values) -> Outcome:
    """Run a lesson's cells in one fresh namespace. `values` replace parameters; stop:
    at the first cell that raises."""
    import matplotlib
    import nbformat
    from IPython.utils.capture import capture_output

    from cnnviz_utils.course import records
    from cnnviz_utils.course.lessons import read_lesson

    matplotlib.use("agg")
    known = read_lesson(lesson).parameters
    given = {k: v for k, v in (TINY | values).items() if k in known}
    shell = fresh_shell()
    records._made.clear()
    outcome, begin = Outcome(), time.time()
    for number, cell in enumerate(nbformat.read(lesson, as_version=4).cells):
        if cell.cell_type != "code":
            continue
        source = cell.source
        if "parameters" in cell.metadata.get("tags", []):
            source += "".join(f"\n{name} = {value!r}" for name, value in given.items())
        cell_begin = time.time()
        with capture_output() as shown:
            done = shell.run_cell(source, store_history=False)
        outcome.slowest.append((round(time.time() - cell_begin, 1), f"cell {number}"))
        said = re.sub(r"Out\[\d*\]: .*?\n", "", shown.stdout + shown.stderr)
        data = [output.data for output in shown.outputs]
        if done.result is not None:
            data.append(shell.display_formatter.format(done.result)[0])
        outcome.said.append(f"-- cell {number}\n{said}" + "".join(map(read_out, data)))
        for output in shown.outputs:
            record = output.data.get(records.RECORD)
            if record:
                outcome.record = record
        wrong = done.error_before_exec or done.error_in_exec
        if not wrong and "Traceback (most" in shown.stdout + shown.stderr:
            wrong = RuntimeError(f"while it was shown: {(shown.stdout + shown.stderr)[-400:]}")
        if wrong:
            where = where_in(wrong)
            outcome.errors.append(f"cell {number}: {type(wrong).__name__}: {wrong} {where}")
            if stop:
                break
    outcome.seconds = time.time() - begin
    outcome.slowest.sort(reverse=True)
    return outcome


def read_out(data: dict) -> str:
    """The words of an output: its text, without a picture's type name."""
    text = data.get("text/markdown") or data.get("text/html") or data.get("text/plain", "")
    text = re.sub(r"<(style|script|svg).*?</\1>", "", text, flags=re.DOTALL)
    text = html.unescape(re.sub(r"<[^>]+>", " ", text))
    return re.sub(r"[ \t]*\n\s*", "\n", re.sub(r"[ \t]+", " ", text)) + "\n"


def where_in(wrong: BaseException) -> str:
    """The frames of an exception below IPython's, innermost last."""
    import traceback

    frames = traceback.extract_tb(wrong.__traceback__)
    own = [f for f in frames if "site-packages" not in f.filename]
    return " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.line}" for f in own[-3:])


def main(folder: Path, counts: list[int], numbers: list[str]) -> None:
    say = partial(print, flush=True)
    for classes in counts:
        root = folder / f"{classes}"
        if not root.is_dir():
            animals_as_photos(root, classes, masks=classes == 4)
        for number in numbers:
            [lesson] = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
            with small_menagerie():
                done = run_cells(lesson, stop=False, data="folder", root=str(root))
            said = folder / f"said_{number}_{classes}.txt"
            said.write_text("\n".join(done.said))
            claims = done.record.get("claims", [])
            broken = [c["claim"] for c in claims if not c["holds"]]
            say(f"{number} x {classes}: {len(done.errors)} errors, {len(claims)} claims, "
                f"{done.seconds:.0f} s; slowest {done.slowest[:4]}")
            for line in done.errors:
                say("   ", line[:700])
            for line in broken:
                say("    does not hold:", line)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    at = sys.argv.index("--")
    main(Path(sys.argv[1]), [int(n) for n in sys.argv[2:at]], sys.argv[at + 1 :])
