"""Audit of a split that is only lists of positions: no image is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.splits import share_problems

if TYPE_CHECKING:
    import pandas as pd

ALARM = 4  # standard deviations: chance goes so far in less than one of 10,000 splits


@dataclass(frozen=True)
class Overlap:
    """Positions that two draws have in common, and how many two independent draws of
    these sizes would have: mean and standard deviation (hypergeometric)."""

    shared: int
    expected: float
    deviation: float

    @property
    def surprise(self) -> float:
        """How far the overlap lies above its expectation, in standard deviations."""
        difference = self.shared - self.expected
        return difference / self.deviation if self.deviation else 0.0

    def __str__(self) -> str:
        return f"{self.expected:.0f} ± {self.deviation:.0f} positions in common"


def overlap_of_draws(first: ArrayLike, second: ArrayLike, total: int) -> Overlap:
    """Compare two draws without replacement with independent ones.

    first, second: the positions drawn. total: how many positions there are; at least
        one of the two was drawn from all of them.

    Raises UsageError for a position twice in a draw or outside 0..total - 1.
    """
    one, other = _checked(first, total), _checked(second, total)
    share = len(other) / max(total, 1)
    left = (total - len(one)) / max(total - 1, 1)
    variance = len(one) * share * (1 - share) * left
    shared = len(np.intersect1d(one, other))
    return Overlap(shared, len(one) * share, float(np.sqrt(variance)))


def audit_positions(
    labels: ArrayLike, parts: Mapping[str, ArrayLike], classes: Sequence[str]
) -> list[str]:
    """What is wrong with a split that is given as positions, one sentence a fault; an
    honest split gives none.

    labels: (N,) of the whole list. parts: name -> positions as they were drawn.
    classes: a name for each label.

    Found are positions in two parts; overlaps far above what independent draws have
    (two draws from one seed are not independent); class shares that chance does not
    explain; positions that are in no part. Raises UsageError as `overlap_of_draws`.
    """
    import pandas as pd

    labels = np.asarray(labels)
    checked = {name: _checked(part, len(labels)) for name, part in parts.items()}
    problems = []
    for (a, first), (b, second) in combinations(checked.items(), 2):
        overlap = overlap_of_draws(first, second, len(labels))
        if overlap.shared:
            problems.append(f"{overlap.shared} positions are in both {a} and {b}")
        if overlap.shared and overlap.surprise > ALARM:
            problems.append(
                f"{a} and {b} are related: independent draws would have {overlap}, "
                f"not {overlap.shared} (were both made from one seed?)"
            )
    counted = {k: _by_class(labels[part], classes) for k, part in checked.items()}
    whole = _by_class(labels, classes)
    problems += share_problems(pd.DataFrame(counted), whole)
    lost = len(labels) - len(np.unique(np.concatenate(list(checked.values()))))
    if lost:
        problems.append(f"{lost} of {len(labels)} positions are in no part")
    return problems


def _by_class(labels: np.ndarray, classes: Sequence[str]) -> pd.Series:
    import pandas as pd

    return pd.Series(np.bincount(labels, minlength=len(classes)), index=list(classes))


def _checked(draw: ArrayLike, total: int) -> np.ndarray:
    draw = np.asarray(draw, dtype=int)
    if len(np.unique(draw)) < len(draw):
        raise UsageError("a draw without replacement has every position at most once")
    outside = draw[(draw < 0) | (draw >= total)]
    if len(outside):
        raise UsageError(f"positions lie in 0..{total - 1}, and {outside[0]} does not")
    return draw
