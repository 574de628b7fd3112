"""Tables of numbers that are read like figures."""

from collections.abc import Sequence

import pandas as pd
from pandas.io.formats.style import Styler


def show_scores(
    table: pd.DataFrame,
    spread: pd.DataFrame,
    rank: Sequence[str],
    low_is_good: Sequence[str] = (),
) -> Styler:
    """Mean and spread in each cell, the best of some rows in bold, column by column.

    table, spread: the same rows and columns. rank: the rows that compete (baselines and
    ceilings do not). low_is_good: columns where the smallest number is the best.
    """
    text = table.map("{:.2f}".format) + "\u00a0±\u00a0" + spread.map("{:.2f}".format)
    best = {
        column: values.idxmin() if column in low_is_good else values.idxmax()
        for column, values in table.loc[list(rank)].items()
    }

    def bold(column: pd.Series) -> list[str]:
        chosen = best[column.name]
        return ["font-weight: bold" if row == chosen else "" for row in column.index]

    return text.style.apply(bold)
