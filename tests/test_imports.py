"""The library's rooms depend on each other in one direction, and no file is too long to read in one sitting."""

import ast
import importlib
import inspect
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "cnnviz_utils"
FILES = sorted(PACKAGE.rglob("*.py"))
# room -> the rooms that it may import, besides its own; cli, explain and the front door may import anything
BELOW = {
    "base": set(),
    "data": {"base"},
    "models": {"base"},
    "training": {"base", "data", "models"},
    "viz": {"base"},
    "scores": {"base", "viz"},
    "plot": {"base"},
    "course": {"base", "engines"},
    "engines": {"base"},
    "grading": {"base", "course", "engines"},
    "sweep": {"base", "data", "models", "training", "course", "plot", "engines"},
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def own_imports(path: Path) -> set[str]:
    """The rooms that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cnnviz_utils":
            parts = node.module.split(".")
            names = [alias.name for alias in node.names] if len(parts) == 1 else [parts[1]]
            found |= {name for name in names if (PACKAGE / name).is_dir()}
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
    return found


def test_direction():
    wrong = {str(path): bad for path in FILES if room(path) in BELOW
             if (bad := own_imports(path) - BELOW[room(path)] - {room(path)})}
    assert not wrong


def test_no_circle():
    placed: set[str] = set()
    while len(placed) < len(BELOW):
        ready = {name for name, below in BELOW.items() if below <= placed} - placed
        assert ready, f"these import each other: {set(BELOW) - placed}"
        placed |= ready


def test_short_enough_to_read():
    lengths = {str(path.relative_to(PACKAGE)): path.read_text().count("\n") for path in FILES}
    assert not {name: lines for name, lines in lengths.items() if lines > 300}


def test_only_plot_draws():
    users = [p for p in FILES if any(line.split()[1].split(".")[0] in ("matplotlib", "seaborn")
                                     for line in p.read_text().splitlines() if line.startswith(("import ", "from ")))]
    assert users and all(room(p) == "plot" for p in users)


def test_what_the_benchmarks_take_from_the_package_is_there():
    """They run by hand only; one of them had called what had been gone for weeks."""
    missing = []
    for path in sorted((PACKAGE.parent / "benchmarks").rglob("*.py")):
        tree, modules = ast.parse(path.read_text()), {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cnnviz_utils"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    value = getattr(module, alias.name, None) or _submodule(f"{node.module}.{alias.name}")
                    modules[alias.asname or alias.name] = value
                    missing += [] if value else [f"{path.name}: {node.module}.{alias.name}"]
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.startswith("cnnviz_utils"):
                        modules[alias.asname or alias.name] = importlib.import_module(alias.name)
        asked = {(node.value.id, node.attr) for node in ast.walk(tree)
                 if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}
        missing += [f"{path.name}: {name}.{attribute}" for name, attribute in sorted(asked)
                    if inspect.ismodule(modules.get(name)) and not hasattr(modules[name], attribute)]
    assert not missing


def _submodule(name: str):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None
