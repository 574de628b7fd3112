"""Many measures of the same things, each on its own scale."""

from collections.abc import Collection, Mapping

import pandas as pd

from cnnviz_utils.plot.figure import COLOURS, SMALLEST, Picture, finish, new_figure


def plot_panels(
    table: pd.DataFrame,
    *,
    spread: pd.DataFrame | None = None,
    beside: Collection[str] = (),
    notes: Mapping[str, str] | None = None,
    columns: int = 5,
    width: float = 9,
    alt: str | None = None,
) -> Picture:
    """A panel for each column of the table, a dot for each row, +- `spread`; rows share
    their order and names.

    beside: rows that are there for comparison, drawn as grey diamonds. notes: column ->
        a second line of its title.
    """
    rows = -(-len(table.columns) // columns)
    height = rows * (0.2 * len(table) + 0.62)
    figure, axes = new_figure(width, height, rows, columns, sharey=True)
    places = range(len(table))
    for axis in axes.flat[len(table.columns) :]:
        axis.set_axis_off()
    for axis, column in zip(axes.flat, table.columns, strict=False):
        for place, (name, value) in zip(places, table[column].items(), strict=True):
            grey = name in beside
            error = None if spread is None else spread.loc[name, column]
            axis.errorbar(
                value,
                place,
                xerr=error,
                fmt="D" if grey else "o",
                ms=4 if grey else 5.5,
                lw=1.4,
                color="0.55" if grey else COLOURS[0],
            )
        note = (notes or {}).get(column)
        axis.set_title(
            column + (f"\n{note}" if note else ""), fontsize=8.5, fontweight="normal"
        )
        axis.set_yticks(places, [str(name) for name in table.index], fontsize=8.5)
        axis.set_ylim(len(table) - 0.4, -0.6)
        axis.tick_params(axis="x", labelsize=SMALLEST)
        axis.tick_params(axis="y", length=0)
        axis.locator_params(axis="x", nbins=4)
    return finish(
        figure,
        alt
        or f"Panels of {', '.join(map(str, table.columns))} "
        f"for {', '.join(map(str, table.index))}",
    )
