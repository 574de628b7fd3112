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
        ],
        "costs": [
            "Costs",
            "count_costs",
            "images_per_second",
            "layer_costs",
            "training_bytes",
        ],
        "efficientnet": ["EfficientNetLite", "InvertedResidual", "SamePadding"],
        "freezing": ["freeze", "learning", "unfreeze"],
        "imagenet": ["imagenet_classes", "imagenet_weights"],
        "networks": [
            "Normalise",
            "ResNet",
            "ResidualBlock",
            "SmallAlexNet",
            "SmallCNN",
            "he_initialise",
        ],
        "saved": ["load_model", "save_model"],
        "weights": ["load_weights", "read_weights"],
    },
)
