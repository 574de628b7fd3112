"""Published results beside those found here."""

from collections.abc import Sequence

from cnnviz_utils.plot.figure import COLOURS, Picture, finish, new_figure


def plot_published(
    names: Sequence[str],
    published: Sequence[float | None],
    here: Sequence[float | None],
    spread: Sequence[float | None],
    *,
    label: str = "accuracy",
    width: float = 9,
) -> Picture:
    """A line for each name: the published value as a ring, the one found here as a dot
    with a bar of `spread` to either side. None where a value is not known.

    Values lie in [0, 1]. The alt text lists all of them.
    """
    figure, axes = new_figure(width, 0.6 + 0.55 * len(names))
    axis = axes[0, 0]
    told = any(value is not None for value in published)
    words = []
    for y, (name, there, ours, bar) in enumerate(
        zip(names, published, here, spread, strict=True)
    ):
        axis.text(0.01, y - 0.28, name, va="center", fontsize=10.5)
        if there is not None:
            axis.plot(there, y + 0.14, "o", ms=10, mfc="none", mec=COLOURS[1], mew=1.6)
        if ours is not None:
            axis.errorbar(
                ours, y + 0.14, xerr=bar or 0, fmt="o", ms=6, color=COLOURS[0]
            )
        beside = f"published {_in_words(there)}, here " if told else ""
        words.append(f"{name}: {beside}{_in_words(ours)}")
    axis.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.6), yticks=[], xlabel=label)
    axis.xaxis.label.set_size(10.5)
    axis.tick_params(labelsize=10.5)
    axis.grid(False, axis="y")
    axis.spines["left"].set_visible(False)
    return finish(figure, f"{label} by row. {'; '.join(words)}.")


def _in_words(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
