"""How good is a map? Scores against exact masks, against the network's own answers, and
against baseline maps that do not depend on the network.

Maps are (N, H, W) at image size (`viz.cams.upsample_maps`), masks bool (N, H, W),
scores float (N,), one for each image. NaN means that there is nothing to score (no
mask, no positive attribution, a map with NaN in it); `mean_of` leaves it out of the
mean and counts it. Report a score beside its baselines and the mask's area.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "baselines": ["centre_blob", "random_maps", "sobel_edges"],
        "faithfulness": [
            "collages",
            "deletion",
            "grid_share",
            "insertion",
            "part_agreement",
            "part_drops",
            "part_energy",
            "pick_for_collages",
        ],
        "localisation": [
            "best_threshold",
            "energy_in_mask",
            "iou",
            "mean_of",
            "pixel_auroc",
            "pointing_game",
            "pxap",
            "relevance_rank",
        ],
        "pictures": ["high_frequency_share", "total_variation"],
        "sanity": [
            "cascading_randomisation",
            "mean_in_region",
            "shortcut_auroc",
            "spearman",
            "ssim",
        ],
    },
)
