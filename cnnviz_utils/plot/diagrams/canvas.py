"""The sheet that diagrams are drawn on: boxes, words and arrows in a few colours that
have a name, each with a counterpart for dark pages."""

import io
import re
from collections.abc import Sequence
from functools import cached_property

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon
from matplotlib.path import Path

from cnnviz_utils.plot.figure import COLUMN, COLUMN_INCHES, STYLE, Picture, finish

WIDTH = COLUMN  # units across a sheet: the pixels of a page's column
SMALLEST = 11  # units, a little more than 8 points on a page
# in light pages and in print, in dark pages
COLOURS = {
    "paper": ("#ffffff", "#14181d"),
    "ink": ("#1c2430", "#dde3ea"),
    "soft": ("#55606e", "#9dabba"),
    "line": ("#8b95a1", "#6d7986"),
    "grey": ("#d8dbdf", "#3c4249"),
    "blue": ("#0072b2", "#66b8f0"),
    "light blue": ("#d9ebf7", "#173750"),
    "orange": ("#c44f00", "#ff9d5c"),
    "light orange": ("#fce5d4", "#4a2a12"),
    "green": ("#00795a", "#52d1a8"),
    "light green": ("#d6f0e7", "#10382c"),
    "light yellow": ("#fff3cf", "#443a12"),
}
# what a part of a network is, and the colours that say so: inside, edge
LEARNS, FROZEN, NO_WEIGHTS = (
    ("light blue", "blue"),
    ("grey", "line"),
    ("paper", "line"),
)
PARTLY = ("light yellow", "line")


class Diagram(Picture):
    """A picture that is also a drawing: `svg` stays sharp at any size, and is dark
    where the reader's pages are dark. `words` are the texts in it. The pixels are drawn
    when they are asked for."""

    svg: str
    words: tuple[str, ...]
    _figure: Figure

    def __init__(self, figure: Figure, alt: str, svg: str, words: Sequence[str]):
        self.__dict__ |= {"_figure": figure, "alt": " ".join(alt.split())}
        self.__dict__ |= {"svg": svg, "words": tuple(words)}

    @cached_property
    def png(self) -> bytes:
        return finish(self._figure, self.alt, palette=True).png

    def _repr_mimebundle_(self, include=None, exclude=None):
        data, facts = super()._repr_mimebundle_()
        drawn, look = self.on_screen()
        return data | drawn, facts | look

    def on_screen(self) -> tuple[dict, dict]:
        look = {"alt": self.alt, "width": WIDTH, "ground": "own"}
        drawn = {"image/svg+xml": self.svg, "text/plain": self.alt}
        return drawn, {"image/svg+xml": look}


class Sheet:
    """A white sheet, WIDTH units wide; x to the right, y down from the top left."""

    def __init__(self, height: float):
        self.height = height
        inch = WIDTH / COLUMN_INCHES
        with mpl.rc_context(STYLE):
            self.figure = Figure(figsize=(COLUMN_INCHES, height / inch))
            FigureCanvasAgg(self.figure)
            self.axis = self.figure.add_axes((0, 0, 1, 1))
        self.axis.set(xlim=(0, WIDTH), ylim=(height, 0))
        self.axis.set_axis_off()
        self.point = 72 / inch  # points in a unit
        self.words: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = 13,
        colour: str = "ink",
        bold: bool = False,
        align: str = "center",
    ) -> None:
        """Words in the middle of (x, y), or with their left or right end there. Raises
        ValueError below the SMALLEST size that can be read."""
        if size < SMALLEST:
            raise ValueError(f"text of {size} units is too small: {words!r}")
        self.words.append(words)
        self.axis.text(
            x,
            y,
            words,
            fontsize=size * self.point,
            color=COLOURS[colour][0],
            weight="bold" if bold else "normal",
            ha=align,
            va="center",
            linespacing=1.15,
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        colours: tuple[str, str] = NO_WEIGHTS,
        radius: float = 5,
        thick: float = 1.2,
        dashed: bool = False,
    ) -> None:
        """A box by its top left corner; colours: inside, edge ("none" for none)."""
        inside, edge = (COLOURS[c][0] if c != "none" else c for c in colours)
        shape = FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle=f"round,pad=0,rounding_size={radius}"
            if radius
            else "square,pad=0",
            facecolor=inside,
            edgecolor=edge,
            lw=thick * self.point * 1.2,
            ls=(0, (3, 2)) if dashed else "-",
        )
        self.axis.add_patch(shape)

    def step(
        self,
        x: float,
        y: float,
        width: float,
        lines: Sequence[str],
        colours: tuple[str, str] = NO_WEIGHTS,
        bold: bool = False,
    ) -> float:
        """A box around (x, y) with words in it, a line each, the first bold on demand.
        Its height."""
        high = 16 * len(lines) + 14
        self.box(x - width / 2, y - high / 2, width, high, colours)
        for i, words in enumerate(lines):
            strong = bold and i == 0
            self.text(x, y - high / 2 + 15 + 16 * i, words, 12, bold=strong)
        return high

    def shape(
        self, corners: Sequence[tuple[float, float]], colours: tuple[str, str]
    ) -> None:
        """A filled polygon."""
        inside, edge = (COLOURS[c][0] for c in colours)
        self.axis.add_patch(Polygon(corners, facecolor=inside, edgecolor=edge, lw=1))

    def circle(
        self, x: float, y: float, radius: float, colours: tuple[str, str] = NO_WEIGHTS
    ) -> None:
        inside, edge = (COLOURS[c][0] for c in colours)
        self.axis.add_patch(
            Circle((x, y), radius, facecolor=inside, edgecolor=edge, lw=1.2)
        )

    def arrow(
        self,
        *corners: tuple[float, float],
        colour: str = "soft",
        dashed: bool = False,
        head: bool = True,
        thick: float = 1.4,
    ) -> None:
        """A line through the corners, with a head at its end."""
        path = Path(corners, [Path.MOVETO] + [Path.LINETO] * (len(corners) - 1))
        shape = FancyArrowPatch(
            path=path,
            arrowstyle="-|>,head_length=4.5,head_width=2.4" if head else "-",
            color=COLOURS[colour][0],
            lw=thick,
            ls=(0, (4, 2.5)) if dashed else "-",
            shrinkA=0,
            shrinkB=0,
            joinstyle="miter",
            mutation_scale=1,
        )
        self.axis.add_patch(shape)

    def done(self, alt: str) -> Diagram:
        """Finish the sheet. The same diagram gives the same bytes."""
        settings = {"svg.fonttype": "path", "svg.hashsalt": "cnnviz"}
        buffer = io.StringIO()
        with mpl.rc_context(STYLE | settings):
            self.figure.savefig(
                buffer, format="svg", metadata={"Date": None, "Creator": None}
            )
        svg = with_dark_side(buffer.getvalue(), self.height)
        return Diagram(self.figure, alt, svg, self.words)


def with_dark_side(svg: str, height: float) -> str:
    """A drawing in our colours as a piece for pages: of that many units, and dark where
    the reader prefers dark pages."""
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in COLOURS.values()
        for what in ("fill", "stroke")
    )
    style = f"<style>@media screen and (prefers-color-scheme:dark){{{rules}}}</style>"
    unwanted = r"<\?xml.*?\?>\s*|<!DOCTYPE[^>]*>\s*|<metadata>.*?</metadata>\s*"
    svg = re.sub(unwanted, "", svg, flags=re.DOTALL)
    svg = re.sub(r' width="[\d.]+pt"', f' width="{WIDTH}"', svg, count=1)
    svg = re.sub(r' height="[\d.]+pt"', f' height="{height:g}"', svg, count=1)
    return re.sub(r"<svg [^>]*>", lambda found: found[0] + style, svg, count=1)
