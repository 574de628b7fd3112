"""What a figure is here: drawn without global state, finished as a PNG with its alt
text."""

import base64
import io
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's colours: told apart by colour-blind readers too.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#5B5B5B",
    "#A6761D",
)
DPI = 144
# 9 inches of a figure are as wide as a page's column of 830 pixels, so a font of 10
# is 9.6 points there; SMALLEST is 8 points
COLUMN, COLUMN_INCHES = 830, 9
SMALLEST = 8.4
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
}


@dataclass(frozen=True)
class Picture:
    """A finished figure: `png` holds its bytes, finer than it is shown, `alt` a
    sentence that describes it for readers who cannot see it. A figure of COLUMN_INCHES
    is shown as wide as a page's column."""

    png: bytes
    alt: str

    def _repr_mimebundle_(self, include=None, exclude=None):
        inches = Image.open(io.BytesIO(self.png)).width / DPI
        width = round(inches * COLUMN / COLUMN_INCHES)
        data = {
            "image/png": base64.b64encode(self.png).decode(),
            "text/plain": self.alt,
        }
        return data, {"image/png": {"alt": self.alt, "width": width}}

    def on_screen(self) -> tuple[dict, dict]:
        """What JupyterLab needs to show it, and no more: data and facts by kind."""
        return self._repr_mimebundle_()

    @property
    def array(self) -> np.ndarray:
        """The pixels, uint8 (height, width, 3)."""
        return np.asarray(Image.open(io.BytesIO(self.png)).convert("RGB"))


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options
) -> tuple[Figure, np.ndarray]:
    """A figure of width x height inches with a grid of axes, an array (rows,
    columns).

    A picture that leaves a part of its cell free stands at the top of it: the layout
    reckons with what stands above a cell, and would cut off a title otherwise.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat:
        axis.set_anchor("N")
    return figure, axes


def finish(figure: Figure, alt: str, palette: bool = False) -> Picture:
    """Draw the figure. The PNG holds no version or date, so the same numbers give the
    same bytes.

    `palette` keeps 256 colours, chosen for this figure: a third of the bytes where
    noisy pictures fill it.
    """
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    if palette:
        drawn, buffer = Image.open(buffer).convert("RGB"), io.BytesIO()
        drawn.quantize(256).save(buffer, "PNG", optimize=True)
    return Picture(buffer.getvalue(), " ".join(alt.split()))


def tile(
    pictures: list[Picture], captions: list[str], columns: int | None = None
) -> Picture:
    """Small multiples: finished figures side by side, each scaled to the same width
    with its caption above it."""
    columns = columns or min(len(pictures), 3 if len(pictures) != 4 else 2)
    rows = -(-len(pictures) // columns)
    width = 9 / columns
    arrays = [picture.array for picture in pictures]
    above = 0.25 if any(captions) else 0
    height = max(a.shape[0] / a.shape[1] for a in arrays) * width + above
    figure, axes = new_figure(9, rows * height, rows, columns)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, array, caption in zip(axes.flat, arrays, captions, strict=False):
        axis.imshow(array, interpolation="antialiased")
        axis.set_title(caption, fontsize=9, fontweight="normal", pad=3)
    return finish(
        figure,
        "; ".join(
            f"{c}: {p.alt}" if c else p.alt
            for c, p in zip(captions, pictures, strict=True)
        ),
    )
