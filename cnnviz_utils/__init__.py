"""cnnviz: how convolutional networks are trained, and what they see.

    import cnnviz_utils as cv

    model = cv.build_model("efficientnet_lite0", weights="imagenet")
    maps = cv.grad_cam(model, images)

The names below come from the rooms of the library, each imported when it is first used:
`data` (pictures and splits), `models` (networks), `training`, `viz` (maps and pictures
of networks), `scores` (how good is a map), `plot`, `course` (lessons and their
records). Each room exports more: `cv.training.find_lr`, `cv.viz.layer_gradients`, ...
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "base",
        "course",
        "data",
        "grading",
        "models",
        "plot",
        "scores",
        "training",
        "viz",
    ],
    submod_attrs={
        "course": [
            "Claim",
            "answer_prediction",
            "check",
            "check_hidden",
            "claim",
            "exercise",
            "predict_first",
            "record",
            "say",
        ],
        "data": ["load_data", "load_images"],
        "data.photos.bundled": ["photos"],
        "explanation": ["explain"],
        "models": ["build_model", "load_model", "save_model"],
        "plot": ["explore", "overlay", "show_images"],
        "training": ["TrainConfig", "borrowed", "fit", "predict"],
        "viz": [
            "cam",
            "class_images",
            "deconvnet",
            "feature_maps",
            "grad_cam",
            "grad_cam_plus_plus",
            "guided_grad_cam",
            "input_gradient",
            "last_spatial_layer",
            "layer_cam",
            "receptive_field",
        ],
    },
)
