"""Pictures of numbers: bars, curves, matrices."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

from cnnviz_utils.plot.figure import COLOURS, SMALLEST, Picture, finish, new_figure


def plot_bars(
    table: pd.DataFrame,
    *,
    ylabel: str,
    alt: str | None = None,
    width: float = 9,
    height: float = 2.8,
    horizontal: bool = False,
    spread: pd.DataFrame | None = None,
    percent: bool = False,
) -> Picture:
    """A group of bars for each row of the table, a colour for each column; `spread`
    draws +- that much."""
    figure, axes = new_figure(width, height)
    axis = axes[0, 0]
    bars = axis.barh if horizontal else axis.bar
    thick = 0.8 / len(table.columns)
    for i, column in enumerate(table.columns):
        places = np.arange(len(table)) + (i - (len(table.columns) - 1) / 2) * thick
        errors = (
            {("xerr" if horizontal else "yerr"): spread[column]}
            if spread is not None
            else {}
        )
        bars(
            places,
            table[column],
            thick,
            label=str(column),
            color=COLOURS[i % len(COLOURS)],
            error_kw={"lw": 1, "ecolor": "0.25"},
            **errors,
        )
    names = [str(name) for name in table.index]
    if horizontal:
        axis.set(yticks=range(len(table)), yticklabels=names, xlabel=ylabel)
        axis.invert_yaxis()
        axis.grid(False, axis="y")
    else:
        crowded = len(names) > 8 or max(map(len, names)) > 90 / len(names)
        axis.set_xticks(
            range(len(table)),
            names,
            rotation=90 if len(names) > 14 else 35 if crowded else 0,
            ha="center" if len(names) > 14 or not crowded else "right",
            fontsize=SMALLEST if crowded else 10,
        )
        axis.set_ylabel(ylabel)
        axis.grid(False, axis="x")
    if percent:
        (axis.xaxis if horizontal else axis.yaxis).set_major_formatter(
            PercentFormatter(1, decimals=0)
        )
    if len(table.columns) > 1:
        axis.legend(
            ncols=len(table.columns), loc="lower center", bbox_to_anchor=(0.5, 1.0)
        )
    by = ", ".join(map(str, table.columns))
    return finish(
        figure, alt or f"Bars of {ylabel} for {', '.join(names[:30])}; by {by}"
    )


def plot_curves(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    spread: Mapping[str, Sequence[float]] | None = None,
    logx: bool = False,
    logy: bool = False,
    marks: Mapping[str, float] | None = None,
    percent: bool = False,
    points: bool = False,
    xticks: Sequence[float] | None = None,
    width: float = 9,
    height: float = 3.6,
    alt: str | None = None,
) -> Picture:
    """Lines name -> (x, y); `spread` shades y +- spread; `marks` name -> x draws
    labelled vertical lines, in colours that no line has; `xticks` are the places of the
    x axis that get a number, all others none."""
    figure, axes = new_figure(width, height)
    draw_curves(axes[0, 0], curves, spread=spread, points=points)
    axis = axes[0, 0]
    axis.set(
        xlabel=xlabel,
        ylabel=ylabel,
        xscale="log" if logx else "linear",
        yscale="log" if logy else "linear",
    )
    if xticks is not None:
        axis.set_xticks(list(xticks), [f"{x:g}" for x in xticks])
        axis.xaxis.set_minor_locator(NullLocator())
    # epochs, blocks: no half ones
    elif not logx and all((np.asarray(x) % 1 == 0).all() for x, _ in curves.values()):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if percent:
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for i, (name, x) in enumerate((marks or {}).items()):
        colour, style = line_look(len(curves) + i)
        style = "--" if style == "-" else ":"
        axis.axvline(x, color=colour, ls=style, lw=1.4, label=name)
    if len(curves) > 1 or marks:
        axis.legend()
    return finish(
        figure, alt or f"Lines of {ylabel} against {xlabel}: {', '.join(curves)}"
    )


def line_look(number: int) -> tuple[str, str]:
    """Colour and style of a line by its number; no two are alike up to 24."""
    times, place = divmod(number, len(COLOURS))
    return COLOURS[place], ("-", "--", ":")[times % 3]


def draw_curves(
    axis: Axes, curves: Mapping, *, spread: Mapping | None = None, points: bool = False
) -> None:
    """Lines name -> (x, y) into an axis, with shaded spread. Two points at the same
    height are a level to compare with: dashed, without dots."""
    for i, (name, (x, y)) in enumerate(curves.items()):
        colour, style = line_look(i)
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        level = len(x) == 2 and y[0] == y[1]
        axis.plot(
            x,
            y,
            label=name,
            color=colour,
            lw=1.8,
            ls="--" if level else style,
            marker="o" if (points or len(x) < 3) and not level else None,
            ms=4,
        )
        if spread and name in spread:
            band = np.asarray(spread[name], dtype=float)
            axis.fill_between(x, y - band, y + band, color=colour, alpha=0.18, lw=0)


def plot_history(
    runs: Mapping[str, pd.DataFrame], *, width: float = 9, height: float | None = None
) -> Picture:
    """Training curves side by side: a panel of losses and one of accuracies for each
    run, on common scales. Losses that explode leave the panel at its top, so that the
    others can be read.

    Each frame has the columns epoch, train_loss, valid_loss, train_accuracy,
    valid_accuracy (shares in [0, 1]).
    """
    figure, axes = new_figure(
        width, height or 4.2, 2, len(runs), sharex="col", sharey="row"
    )
    for column, (name, frame) in enumerate(runs.items()):
        for row, measure in enumerate(("loss", "accuracy")):
            curves = {
                part: (frame["epoch"], frame[f"{part}_{measure}"])
                for part in ("train", "valid")
            }
            draw_curves(axes[row, column], curves)
        axes[0, column].set_title(name, fontsize=10)
        axes[1, column].set_xlabel("epoch")
        axes[1, column].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes[0, 0].set_ylabel("loss")
    columns = [frame[["train_loss", "valid_loss"]] for frame in runs.values()]
    losses = np.concatenate([column.to_numpy(float).ravel() for column in columns])
    losses = losses[np.isfinite(losses)]
    if losses.size and losses.max() > 20 * (usual := float(np.median(losses))):
        axes[0, 0].set_ylim(0, 4 * usual)
        axes[0, 0].set_ylabel(f"loss (up to {losses.max():.0e})")
    axes[1, 0].set_ylabel("accuracy")
    axes[1, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[0, -1].legend(labels=["train", "validation"])
    return finish(
        figure, f"Loss and accuracy by epoch on train and validation: {'; '.join(runs)}"
    )


def plot_matrix(
    table: pd.DataFrame,
    *,
    label: str,
    fmt: str = ".2f",
    width: float = 6,
    height: float = 5,
    xlabel: str = "",
    ylabel: str = "",
    alt: str | None = None,
    annotate: bool | None = None,
    cmap: str = "Blues",
    limits: tuple[float, float] | None = None,
) -> Picture:
    """A table as colours, with its numbers written in where there is room."""
    import seaborn as sns

    figure, axes = new_figure(width, height)
    small = max(table.shape) <= 12 if annotate is None else annotate
    low, high = limits or (None, None)
    sns.heatmap(
        table,
        ax=axes[0, 0],
        annot=small,
        fmt=fmt,
        cmap=cmap,
        cbar_kws={"label": label},
        linewidths=0.4,
        linecolor="white",
        square=False,
        xticklabels=True,
        yticklabels=True,
        vmin=low,
        vmax=high,
        annot_kws={"fontsize": 9},
    )
    axis = axes[0, 0]
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.tick_params(length=0, labelsize=SMALLEST if max(table.shape) > 12 else 9)
    axis.grid(False)
    rows = ylabel or ", ".join(map(str, table.index))
    columns = xlabel or ", ".join(map(str, table.columns))
    return finish(
        figure, alt or f"Matrix of {label}: {rows} in rows; {columns} in columns"
    )


def plot_confusion(
    table: pd.DataFrame,
    *,
    percent: bool = True,
    width: float | None = None,
    alt: str | None = None,
) -> Picture:
    """A confusion matrix: true class in rows, predicted in columns; in percent of the
    row, or counts."""
    side = width or float(np.clip(0.27 * len(table) + 1.6, 3.6, 8.4))
    label = "percent of the true class" if percent else "images"
    return plot_matrix(
        table,
        label=label,
        fmt=".0f",
        width=side + 0.6,
        height=side,
        xlabel="predicted",
        ylabel="true",
        limits=(0, 100) if percent else None,
        alt=alt or f"Confusion matrix of {len(table)} classes in {label}",
    )
