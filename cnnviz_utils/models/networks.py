"""Networks written out by hand. Layers have stable names, no operation is in place, no
module is used twice.

Every network takes images (N, 3, H, W) in [0, 1], normalises them in its first layer,
and gives logits (N, classes). `stages` names its parts in the order in which they run,
each on what the one before gives.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """(x - mean) / std, by channel. It is the network's first layer, so that pictures
    outside the network are always in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
    ):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


def he_initialise(model: nn.Module) -> None:
    """Draw the weights of convolutions and linear layers from a normal distribution
    whose width keeps the size of the signal the same from layer to layer through ReLU
    (He 2015); set biases to 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def run_stages(model: nn.Module, x: Tensor, stages: Sequence[str]) -> Tensor:
    """Parts of a network one after the other, by name. "flatten" is no part: maps (N,
    C, h, w) become numbers (N, C * h * w)."""
    for name in stages:
        x = x.flatten(1) if name == "flatten" else getattr(model, name)(x)
    return x


class SmallCNN(nn.Module):
    """The small network of the Tiny ImageNet assignment: two convolutions of 5x5, each
    followed by pooling, and two linear layers.

    At 64 px 2,704 numbers reach the first linear layer. `version` 2 has batch
    normalisation, wider linear layers and dropout.
    """

    def __init__(
        self,
        classes: int,
        size: int = 64,
        version: int = 1,
        dropout: Sequence[float] = (0.6, 0.2),
    ):
        super().__init__()
        self.normalise = Normalise()
        first, bias = (8, True) if version == 1 else (6, False)

        def norm(channels: int) -> nn.Module:
            return nn.Identity() if version == 1 else nn.BatchNorm2d(channels)

        self.conv1 = nn.Sequential(
            nn.Conv2d(3, first, 5, bias=bias), norm(first), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.conv2 = nn.Sequential(
            nn.Conv2d(first, 16, 5, bias=bias), norm(16), nn.ReLU(), nn.MaxPool2d(2)
        )
        features = 16 * (((size - 4) // 2 - 4) // 2) ** 2
        layers: list[nn.Module] = [nn.Flatten()]
        for i, width in enumerate((64,) if version == 1 else (512, 96)):
            layers += [nn.Linear(features, width), nn.ReLU()]
            if version == 2:
                layers.append(nn.Dropout(dropout[i]))
            features = width
        self.head = nn.Sequential(*layers, nn.Linear(features, classes))
        self.stages = ["normalise", "conv1", "conv2", "head"]

    def forward(self, images: Tensor) -> Tensor:
        return run_stages(self, images, self.stages)


class SmallAlexNet(nn.Module):
    """AlexNet (Krizhevsky 2012) for small images, with torchvision's names: `features`,
    `classifier`.

    Its weights start from He initialisation (2015): with PyTorch's smaller ones, eight
    layers without batch normalisation need hundreds of steps before the loss falls.
    `norm` puts batch normalisation before every ReLU; the layers keep their names.
    """

    def __init__(
        self, classes: int, width: int = 16, dropout: float = 0.2, norm: bool = False
    ):
        super().__init__()
        w = width

        def relu_maps(channels: int) -> nn.Module:
            if not norm:
                return nn.ReLU()
            return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())

        def relu_numbers(features: int) -> nn.Module:
            if not norm:
                return nn.ReLU()
            return nn.Sequential(nn.BatchNorm1d(features), nn.ReLU())

        self.normalise = Normalise()
        self.features = nn.Sequential(
            nn.Conv2d(3, w, 7, stride=2, padding=3),
            relu_maps(w),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(w, 2 * w, 5, padding=2),
            relu_maps(2 * w),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(2 * w, 3 * w, 3, padding=1),
            relu_maps(3 * w),
            nn.Conv2d(3 * w, 2 * w, 3, padding=1),
            relu_maps(2 * w),
            nn.Conv2d(2 * w, 2 * w, 3, padding=1),
            relu_maps(2 * w),
            nn.MaxPool2d(3, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(3)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(18 * w, 256),
            relu_numbers(256),
            nn.Dropout(dropout),
            nn.Linear(256, 256),
            relu_numbers(256),
            nn.Linear(256, classes),
        )
        self.stages = ["normalise", "features", "avgpool", "flatten", "classifier"]
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return run_stages(self, images, self.stages)


class ResidualBlock(nn.Module):
    """y = ReLU(f(x) + x), where f is conv, BN, ReLU, conv, BN (He 2016). Where f
    changes the shape, x goes through a 1x1 convolution and BN first.

    `shortcut=False` gives the plain block of the same depth, for comparison.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: bool = True,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        self.shortcut = shortcut
        self.downsample = None
        if shortcut and (stride != 1 or in_channels != out_channels):
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        if self.shortcut:
            y = y + (x if self.downsample is None else self.downsample(x))
        return self.relu2(y)


class ResNet(nn.Module):
    """A stem, stages of residual blocks, the average over positions, a linear layer.
    The stages are named stage1, stage2, ...

    blocks, widths: how many blocks each stage has, and how many channels.
    strides: by how much the first block of each stage shrinks the maps; by default 1
        for the first stage and 2 for every other one.
    stem: "3x3" (stride 2), "3x3+pool", or "7x7+pool" as in torchvision, each followed
    by BN and ReLU. ResNet([3, 4, 6, 3], [64, 128, 256, 512], n,
    stem="7x7+pool") is ResNet-34. `shortcut=False` gives plain blocks.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        widths: Sequence[int],
        classes: int,
        strides: Sequence[int] | None = None,
        stem: str = "3x3",
        shortcut: bool = True,
    ):
        super().__init__()
        if stem not in ("3x3", "3x3+pool", "7x7+pool"):
            raise ValueError(f'stem is "3x3", "3x3+pool" or "7x7+pool", not {stem!r}')
        self.normalise = Normalise()
        kernel = int(stem[0])
        pool = [nn.MaxPool2d(3, 2, 1)] if stem.endswith("pool") else []
        strides = strides or [1] + [2] * (len(blocks) - 1)
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], kernel, 2, kernel // 2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            *pool,
        )
        in_channels, names = widths[0], [f"stage{i + 1}" for i in range(len(blocks))]
        for name, count, width, stride in zip(
            names, blocks, widths, strides, strict=True
        ):
            chain = [
                ResidualBlock(
                    in_channels if b == 0 else width,
                    width,
                    stride if b == 0 else 1,
                    shortcut,
                )
                for b in range(count)
            ]
            setattr(self, name, nn.Sequential(*chain))
            in_channels = width
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(in_channels, classes)
        self.stages = ["normalise", "stem", *names, "pool", "flatten", "head"]
        for name in ("stem", *names):
            he_initialise(getattr(self, name))

    def forward(self, images: Tensor) -> Tensor:
        return run_stages(self, images, self.stages)
