"""The library's parts depend on each other in one direction, and none is too long to read in one sitting."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "cnnviz_utils"
FILES = sorted(PACKAGE.rglob("*.py"))
# module (or package) -> what of ours it may import
MAY = {
    "data": {"data", "paths", "files"}, "hooks": set(), "files": set(), "paths": set(), "networks": set(),
    "architectures": {"networks"}, "costs": {"hooks", "precision"},
    "models": {"architectures", "networks", "paths", "trained"}, "evaluation": {"data", "hooks"},
    "training": {"evaluation", "data"}, "lr_finder": {"training", "evaluation", "data"},
    "store": {"training", "files", "paths"}, "trained": {"training", "store", "data"},
    "viz": {"viz", "hooks"}, "scores": {"hooks", "viz", "scores"}, "plot": {"plot"},
    "precision": {"evaluation"}, "robust_training": {"training", "evaluation", "data", "store", "files", "paths", "viz"},
    "widgets": {"plot"}, "records": set(), "provenance": {"paths", "__init__"}, "lessons": {"paths"},
    "child": set(), "preload": set(),
    "sweep": {"sweep", "data", "models", "trained", "training", "evaluation", "lessons", "paths", "files", "provenance", "records"},
    "report": {"paths"}, "runs": {"lessons", "provenance", "records", "report", "child"},
    "course": {"lessons", "runs"},
}


def own_imports(path):
    package = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*package, "x")[:len(package) + 1 - node.level]
            yield (*base, *(node.module or "").split("."))[0] or node.names[0].name
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cnnviz_utils":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [a.name if (PACKAGE / f"{a.name}.py").exists() else "__init__"
                                                          for a in node.names]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_direction(path):
    module = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if module in ("cli", "__init__"):
        return
    assert set(own_imports(path)) <= MAY[module] | {module}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_short_enough_to_read(path):
    assert path.read_text().count("\n") <= 262


def test_only_plot_draws():
    users = [p for p in FILES if any(line.split()[1].split(".")[0] in ("matplotlib", "seaborn")
                                     for line in p.read_text().splitlines() if line.startswith(("import ", "from ")))]
    assert users and all(p.parent.name == "plot" for p in users)
