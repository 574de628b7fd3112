"""Reports as they are compared, verified and listed: an executed notebook, a
metrics.json, or the folder of one run."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.course.exercises import VERDICT
from cnnviz_utils.course.fingerprint import INJECTED
from cnnviz_utils.course.lessons import parse_parameters
from cnnviz_utils.course.records import RECORD
from cnnviz_utils.course.repair import Notebook, read_notebook

METRICS = ".metrics.json"
MOST_BYTES = 50_000_000


@dataclass
class Report:
    """What a report says. numbers: its metrics, flat, by dotted name. notebook: None
    where only metrics.json is there."""

    path: Path
    lesson: str
    title: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    claims: list[dict] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    exercises: dict[str, Any] = field(default_factory=dict)
    notebook: Notebook | None = None


def read_report(path: Path) -> Report:
    """The report at a path: .metrics.json, .ipynb, or a folder that holds one of them.
    What lies beside it under the same name is read as well.

    Raises UsageError, one sentence that names the path.
    """
    if path.is_dir():
        found = sorted(path.glob(f"*{METRICS}")) or sorted(path.glob("*.ipynb"))
        if len(found) != 1:
            said = f"{path} holds {len(found)} reports: name one of its files"
            raise UsageError(said)
        path = found[0]
    if not path.exists():
        raise UsageError(f"{path} is not there")
    stem = path.name.removesuffix(METRICS).removesuffix(".ipynb")
    stem = stem.removesuffix(".html")
    facts, book = path.with_name(stem + METRICS), path.with_name(f"{stem}.ipynb")
    if path.suffix == ".ipynb":
        report = _of_notebook(path)
        return _with_facts(report, facts) if facts.is_file() else report
    if not facts.is_file():
        raise UsageError(f"{path} is no report: there is no {facts.name} beside it")
    report = _with_facts(Report(facts, stem), facts)
    if book.is_file():
        report.notebook = read_notebook(book)
    return report


def read_facts(path: Path) -> dict:
    """A metrics.json. Raises UsageError where it is none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path} is too large to be one of ours")
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is damaged: {str(error)[:200]}") from None
    parts = {"lesson": str, "parameters": dict, "metrics": dict, "claims": list}
    for name, kind in parts.items():
        if not isinstance(facts, dict) or not isinstance(facts.get(name), kind):
            raise UsageError(f"{path} is damaged: it has no {name}")
    return facts


def _with_facts(report: Report, path: Path) -> Report:
    facts = read_facts(path)
    provenance = facts.get("provenance")
    changed = facts.get("changed")
    exercises = facts.get("exercises")
    return Report(
        report.path,
        facts["lesson"],
        str(facts.get("title", "")),
        {str(name): value for name, value in facts["parameters"].items()},
        [str(name) for name in changed] if isinstance(changed, list) else [],
        flat(facts["metrics"]),
        good_claims(facts["claims"]),
        provenance if isinstance(provenance, dict) else {},
        exercises if isinstance(exercises, dict) else {},
        report.notebook,
    )


def _of_notebook(path: Path) -> Report:
    """What a notebook says by itself: parameters from its cells, the rest from its
    outputs."""
    book = read_notebook(path)
    report = Report(path, path.stem, notebook=book)
    for cell in book.cells:
        if {"parameters", INJECTED} & set(cell.tags) and cell.kind == "code":
            report.parameters |= assigned(cell.source)
        for output in cell.outputs:
            found = output.data.get(RECORD)
            if isinstance(found, dict):
                report.lesson = str(found.get("lesson", report.lesson))
                report.numbers = flat(found.get("metrics"))
                report.claims = good_claims(found.get("claims"))
            verdict = output.data.get(VERDICT)
            if isinstance(verdict, dict) and "solution" not in cell.tags:
                key = str(verdict.get("exercise"))
                report.exercises[key] = {"answer": str(verdict.get("state"))}
    return report


def assigned(source: str) -> dict[str, Any]:
    """The literals that a cell gives to names, with or without their types."""
    import ast

    try:
        typed = parse_parameters(source, "the notebook")
        return {name: one.value for name, one in typed.items()}
    except (UsageError, SyntaxError, ValueError):
        pass
    found = {}
    try:
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = ast.literal_eval(node.value)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    return found


def good_claims(found: object) -> list[dict]:
    """Claims that have the form of one."""
    kept = []
    for one in found if isinstance(found, list) else []:
        if isinstance(one, dict) and isinstance(one.get("claim"), str):
            evidence = str(one.get("evidence", ""))
            holds = one.get("holds") is True
            kept.append({"claim": one["claim"], "evidence": evidence, "holds": holds})
    return kept


def flat(metrics: object, name: str = "", deep: int = 8) -> dict[str, Any]:
    """Metrics as one level: {"accuracy.Base": 0.5, "losses.0": 1.2}. What is no
    number, text or truth value is left out."""
    if isinstance(metrics, dict) and deep:
        items = [(str(key), value) for key, value in metrics.items()]
    elif isinstance(metrics, list) and deep:
        items = [(str(at), value) for at, value in enumerate(metrics)]
    else:
        return {name: metrics} if isinstance(metrics, int | float | str) else {}
    found: dict[str, Any] = {}
    for key, value in items:
        found |= flat(value, f"{name}.{key}" if name else key, deep - 1)
    return found


def is_number(value: object) -> bool:
    """Whether a difference can be taken."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def read_executed(path: Path):
    """A notebook as nbformat gives it. Raises UsageError."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises whatever JSON and schemas do
        said = (str(error).splitlines() or [""])[0][:200]
        raise UsageError(f"{path} is not a notebook: {said}") from None
