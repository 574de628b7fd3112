"""How good is a map? Against exact masks, against the network's own answers, and against maps that know nothing.

Maps are (N, H, W) at image size (`viz.cams.upsample_maps`), masks bool (N, H, W), scores float (N,), one an image.
NaN means that there is nothing to score (no mask, no positive attribution, a map with NaN in it); `mean_of` leaves it
out of the mean and counts it. Report a score beside its baselines and the mask's area, never by itself.
"""

from cnnviz_utils.scores.baselines import centre_blob, random_maps, sobel_edges
from cnnviz_utils.scores.faithfulness import (
    collages,
    deletion,
    grid_share,
    insertion,
    part_agreement,
    part_drops,
    part_energy,
    pick_for_collages,
)
from cnnviz_utils.scores.localisation import (
    best_threshold,
    energy_in_mask,
    iou,
    mean_of,
    pixel_auroc,
    pointing_game,
    pxap,
    relevance_rank,
)
from cnnviz_utils.scores.pictures import high_frequency_share, total_variation
from cnnviz_utils.scores.sanity import cascading_randomisation, mean_in_region, shortcut_auroc, spearman, ssim

__all__ = [
    "best_threshold", "cascading_randomisation", "centre_blob", "collages", "deletion", "energy_in_mask", "grid_share",
    "high_frequency_share", "insertion", "iou", "mean_in_region", "mean_of", "part_agreement", "part_drops",
    "part_energy", "pick_for_collages", "pixel_auroc", "pointing_game", "pxap", "random_maps", "relevance_rank",
    "shortcut_auroc", "sobel_edges", "spearman", "ssim", "total_variation",
]  # fmt: skip
