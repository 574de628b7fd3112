"""What a network sees: class activation maps, gradients, deconvnets, responses, images
of classes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ascent": [
            "PLAIN",
            "Recipe",
            "ascend",
            "channel_score",
            "class_images",
            "class_score",
            "neuron_score",
        ],
        "cams": [
            "cam",
            "grad_cam",
            "grad_cam_plus_plus",
            "guided_grad_cam",
            "layer_cam",
            "normalise_maps",
            "upsample_maps",
        ],
        "decoder": ["Visualizer", "decode", "train_decoder"],
        "deconvolution": ["deconvnet", "descend", "unpool"],
        "fast": ["fast_copy"],
        "gradients": [
            "RULES",
            "channel_gradient",
            "input_gradient",
            "keep_strongest",
            "pixel_maps",
        ],
        "layers": ["LayerGradients", "last_spatial_layer", "layer_gradients"],
        "occlusion": ["occlusion"],
        "receptive": ["Field", "receptive_field"],
        "responses": ["Patches", "feature_maps", "filters", "strongest_patches"],
        "tape": ["Step", "record_steps"],
    },
)
