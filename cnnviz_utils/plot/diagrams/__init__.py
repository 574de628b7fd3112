"""Diagrams: how a thing works, drawn from the thing itself.

The numbers in a diagram are computed, the shapes at its arrows are those of a real
module, and what is grey does not learn.
"""

from cnnviz_utils.plot.diagrams.blocks import draw_block
from cnnviz_utils.plot.diagrams.canvas import Diagram
from cnnviz_utils.plot.diagrams.convolution import draw_convolution
from cnnviz_utils.plot.diagrams.network import draw_network
from cnnviz_utils.plot.diagrams.paths import draw_deconvnet, draw_grad_cam
from cnnviz_utils.plot.diagrams.pooling import draw_pooling
from cnnviz_utils.plot.diagrams.sets import draw_splits

__all__ = [
    "Diagram",
    "draw_block",
    "draw_convolution",
    "draw_deconvnet",
    "draw_grad_cam",
    "draw_network",
    "draw_pooling",
    "draw_splits",
]
