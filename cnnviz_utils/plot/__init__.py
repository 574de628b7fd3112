"""Every figure of the course. Each function takes numbers, draws, and returns a `Picture`: a PNG with its alt text.

The last expression of a cell shows itself: `show_images(x)`. In the middle of a cell, `display(show_images(x))`.
The only package that imports matplotlib and seaborn; it uses no global state of theirs.
"""

from cnnviz_utils.plot.bubbles import draw_box, plot_bubbles
from cnnviz_utils.plot.charts import (
    plot_bars,
    plot_confusion,
    plot_curves,
    plot_history,
    plot_matrix,
    plot_scatter,
    plot_scatter3d,
)
from cnnviz_utils.plot.figure import COLOURS, Picture, finish, new_figure, tile
from cnnviz_utils.plot.images import colour_map, overlay, show_heatmaps, show_images, to_rgb
from cnnviz_utils.plot.panels import plot_panels
from cnnviz_utils.plot.patches import mosaic, show_patches, signed_pictures

__all__ = [
    "COLOURS", "Picture", "colour_map", "draw_box", "finish", "mosaic", "new_figure", "overlay", "plot_bars",
    "plot_bubbles", "plot_confusion", "plot_curves", "plot_history", "plot_matrix", "plot_panels", "plot_scatter",
    "plot_scatter3d", "show_heatmaps", "show_images", "show_patches", "signed_pictures", "tile", "to_rgb",
]
