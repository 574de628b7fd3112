"""The networks of torchvision that `build_model` builds, and whose weights `cnnviz get`
fetches."""

TORCHVISION = (
    "alexnet",
    "vgg11",
    "vgg11_bn",
    "vgg16",
    "googlenet",
    "resnet18",
    "resnet34",
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "densenet121",
)
