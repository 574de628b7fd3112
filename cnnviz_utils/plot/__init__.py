"""Every figure of the course. Each function takes numbers, draws, and returns a
`Picture`: a PNG with its alt text.

The last expression of a cell shows itself: `show_images(x)`. In the middle of a cell,
`display(show_images(x))`. The only package that imports matplotlib and seaborn; it uses
no global state of theirs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bits": ["show_bits"],
        "bubbles": ["draw_box", "plot_bubbles"],
        "charts": [
            "plot_bars",
            "plot_confusion",
            "plot_curves",
            "plot_history",
            "plot_matrix",
        ],
        "comparison": ["plot_published"],
        "contours": ["contours"],
        "diagrams": [
            "Diagram",
            "draw_block",
            "draw_convolution",
            "draw_deconvnet",
            "draw_grad_cam",
            "draw_network",
            "draw_pooling",
            "draw_splits",
        ],
        "explanation": ["show_answers"],
        "figure": [
            "COLOURS",
            "Picture",
            "finish",
            "new_figure",
            "tile",
        ],
        "images": [
            "colour_map",
            "overlay",
            "show_heatmaps",
            "show_images",
            "to_rgb",
        ],
        "panels": ["plot_panels"],
        "patches": ["mosaic", "show_patches", "signed_pictures"],
        "places": ["Cells", "Drag", "Draw", "Photo"],
        "scatter": ["plot_scatter", "plot_scatter3d"],
        "tables": ["show_scores"],
        "widgets": ["explore"],
    },
)
