"""Training: one loop, its settings, what came of it, and recipes that several lessons
share."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "adversary": ["Change", "adversarial_examples"],
        "config": ["TrainConfig"],
        "evaluation": [
            "calibration",
            "classification_table",
            "confident_mistakes",
            "confusion",
            "embeddings",
            "predict",
            "predict_tta",
            "predictions_csv",
            "top_k",
        ],
        "epochs": ["History"],
        "features": ["answers", "logistic_head", "pooled_features"],
        "loop": ["fit"],
        "lr_finder": ["LrCurve", "find_lr"],
        "optimiser": ["lr_factor", "make_optimiser", "parameter_groups"],
        "precision": [
            "bfloat16_instructions",
            "bfloat16_slowdown",
            "has_fast_bfloat16",
            "kept_bytes",
            "peak_bytes",
            "pick_amp",
        ],
        "recipes": [
            "GENTLE",
            "SOURCES",
            "borrowed",
            "recipe",
            "recipe_for",
            "source_weights",
            "train",
        ],
        "store": ["fit_or_load", "plain_weights"],
    },
)
