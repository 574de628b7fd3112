"""Open in Colab, open in Binder: the links, and the cell that installs the course where
it is not.

`REPOSITORY` is the one setting. While it is empty there are no badges and no such cell;
after a change `cnnviz badges` writes them into the README and the lessons.
"""

import json
import re
from pathlib import Path
from urllib.parse import quote

from cnnviz_utils.base.files import write_whole

REPOSITORY = ""  # the course's address on GitHub, as "owner/name"
BRANCH = "main"
TAG = "install"
PLACE = re.compile(r"(<!-- badges -->\n)(.*?)(<!-- end of badges -->)", re.DOTALL)
COLAB_IMAGE = "https://colab.research.google.com/assets/colab-badge.svg"
BINDER_IMAGE = "https://mybinder.org/badge_logo.svg"
CELL = """\
# Installs the course where it is missing (Colab); elsewhere this does nothing.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("cnnviz_utils") is None:
    address = "git+https://github.com/{repository}@{branch}"
    command = [sys.executable, "-m", "pip", "install", "-q", address]
    subprocess.run(command, check=True)"""


def badges(notebook: str = "") -> list[tuple[str, str]]:
    """What to click and where it leads: this notebook, or the folder of all, on Colab
    and on Binder. Empty while the course has no address."""
    if not REPOSITORY:
        return []
    path = f"notebooks/{quote(notebook)}" if notebook else "notebooks"
    kind = "blob" if notebook else "tree"
    where = "https://colab.research.google.com/github"
    return [
        ("Open in Colab", f"{where}/{REPOSITORY}/{kind}/{BRANCH}/{path}"),
        (
            "Open in Binder",
            f"https://mybinder.org/v2/gh/{REPOSITORY}/{BRANCH}?labpath={path}",
        ),
    ]


def in_markdown(notebook: str = "") -> str:
    """The badges as pictures with links, one line; "" while there is no address."""
    images = (COLAB_IMAGE, BINDER_IMAGE)
    return " ".join(
        f"[![{title}]({image})]({address})"
        for (title, address), image in zip(badges(notebook), images, strict=False)
    )


def write_badges(readme: Path, notebooks: list[Path]) -> list[Path]:
    """Bring the README and the lessons in line with `REPOSITORY`; returns the files
    that changed.

    The README's badges stand between its two comments. A lesson gets a cell of badges
    and one that installs, both tagged "install", after its title; or loses them.
    """
    changed = []
    text = readme.read_text(encoding="utf-8")
    line = f"{in_markdown()}\n" if REPOSITORY else ""
    new = PLACE.sub(lambda found: found[1] + line + found[3], text)
    for path, old, content in (
        (readme, text, new),
        *((path, *_lesson(path)) for path in notebooks),
    ):
        if content != old:
            write_whole(path, content)
            changed.append(path)
    return changed


def _lesson(path: Path) -> tuple[str, str]:
    """A lesson's file as it is, and as it has to be."""
    text = path.read_text(encoding="utf-8")
    notebook = json.loads(text)
    cells = [
        cell
        for cell in notebook["cells"]
        if TAG not in cell["metadata"].get("tags", [])
    ]
    if REPOSITORY:
        source = CELL.format(repository=REPOSITORY, branch=BRANCH)
        code = {"execution_count": None, "outputs": []}
        cells[1:1] = [
            _cell("markdown", "open-in", in_markdown(path.name)),
            _cell("code", "install", source) | code,
        ]
    if cells == notebook["cells"]:
        return text, text
    notebook["cells"] = cells
    return text, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _cell(kind: str, id_: str, source: str) -> dict:
    return {
        "cell_type": kind,
        "id": id_,
        "metadata": {"tags": [TAG]},
        "source": source.splitlines(keepends=True),
    }
