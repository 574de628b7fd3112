"""Networks: written by hand or torchvision's, their weights, what is frozen, what they
cost."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "architectures": [
            "Inception",
            "SeparableBlock",
            "SmallGoogLeNet",
            "SmallMobileNet",
            "SmallVGG",
            "conv_bn_relu",
            "nearest_separable",
        ],
        "build": [
            "build_model",
            "count_parameters",
            "layer_names",
            "load_weights",
            "read_weights",
        ],
        "costs": [
            "Costs",
            "count_costs",
            "images_per_second",
            "layer_costs",
            "training_bytes",
        ],
        "freezing": ["freeze", "learning", "unfreeze"],
        "networks": [
            "Normalise",
            "ResNet",
            "ResidualBlock",
            "SmallAlexNet",
            "SmallCNN",
            "draw_as_he",
        ],
        "saved": ["load_model", "save_model"],
    },
)
