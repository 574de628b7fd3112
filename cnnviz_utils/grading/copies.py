"""Cells that two students have in common. That is a question, not a verdict: they may
have learned from the same person, or from the same book."""

from collections import Counter
from itertools import combinations

from cnnviz_utils.grading.changes import SMALL

FEW = 3  # students may share a cell before it counts as what everybody writes,
SHARE = 1 / 5  # or this part of the class, if that is more


def copies(results: list[dict]) -> list[dict]:
    """Pairs of students who share at least half of what one of them wrote, cells of
    fewer than SMALL characters and cells that much of the class has left out. Each
    pair: {"students", "names", "cells", "exercises", "outputs": shared outputs,
    "share"}."""
    most = max(FEW, len(results) * SHARE)
    owners: Counter[str] = Counter()
    cells = []
    for result in results:
        mine = {o["words"]: o for o in result["own"] if o["size"] >= SMALL}
        cells.append(mine)
        owners.update(mine.keys())
    found = []
    for (a, mine), (b, theirs) in combinations(zip(results, cells, strict=True), 2):
        shared = [w for w in mine if w in theirs and owners[w] <= most]
        size = sum(mine[word]["size"] for word in shared)
        whole = min(_size(mine, owners, most), _size(theirs, owners, most))
        if not shared or size < whole / 2:
            continue
        outputs = {o["shown"] for o in a["own"]} & {o["shown"] for o in b["own"]}
        exercises = {mine[word]["exercise"] for word in shared}
        found.append(
            {
                "students": (a["student"], b["student"]),
                "names": (a["name"], b["name"]),
                "cells": len(shared),
                "exercises": sorted(filter(None, exercises)),
                "outputs": len(outputs - {""}),
                "share": size / whole,
            }
        )
    return sorted(found, key=lambda pair: -pair["share"])


def _size(cells: dict[str, dict], owners: Counter[str], most: float) -> int:
    return sum(o["size"] for word, o in cells.items() if owners[word] <= most)
