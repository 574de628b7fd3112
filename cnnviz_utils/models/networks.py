"""Networks written out by hand. Layers have stable names, no operation is in place, no
module is used twice.

Every network takes images (N, 3, H, W) in [0, 1], normalises them in its first layer,
and gives logits (N, classes).
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """(x - mean) / std, by channel. Being a layer, no picture outside the network ever
    has to be un-normalised."""

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


def draw_as_he(model: nn.Module) -> None:
    """Weights of convolutions and linear layers from a normal distribution that keeps
    the signal's size through ReLU (He 2015); biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class SmallCNN(nn.Module):
    """The small network of the Tiny ImageNet assignment: two convolutions of 5x5 with pooling, two linear layers.
    At 64 px 2,704 numbers reach the first linear layer. `version` 2 has batch
    normalisation, wider linear layers and dropout."""

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
        bn = (lambda c: nn.Identity()) if version == 1 else nn.BatchNorm2d
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, first, 5, bias=bias), bn(first), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.conv2 = nn.Sequential(
            nn.Conv2d(first, 16, 5, bias=bias), bn(16), nn.ReLU(), nn.MaxPool2d(2)
        )
        numbers = 16 * (((size - 4) // 2 - 4) // 2) ** 2
        widths = (64,) if version == 1 else (512, 96)
        layers, before = [nn.Flatten()], numbers
        for i, width in enumerate(widths):
            layers += [
                nn.Linear(before, width),
                nn.ReLU(),
                *([nn.Dropout(dropout[i])] if version == 2 else []),
            ]
            before = width
        self.head = nn.Sequential(*layers, nn.Linear(before, classes))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.conv2(self.conv1(self.normalise(images))))


class SmallAlexNet(nn.Module):
    """AlexNet (Krizhevsky 2012) for small images, with torchvision's names: `features`,
    `classifier`.

    Weights are drawn as He (2015) does for ReLU: with PyTorch's smaller ones eight
    layers without batch normalisation need hundreds of steps before anything moves.
    `norm` puts batch normalisation before every ReLU; names stay.
    """

    def __init__(
        self, classes: int, width: int = 16, dropout: float = 0.2, norm: bool = False
    ):
        super().__init__()
        w = width
        relu = (
            (lambda kind, c: nn.Sequential(kind(c), nn.ReLU()))
            if norm
            else (lambda kind, c: nn.ReLU())
        )
        maps, numbers = partial(relu, nn.BatchNorm2d), partial(relu, nn.BatchNorm1d)
        self.normalise = Normalise()
        self.features = nn.Sequential(
            nn.Conv2d(3, w, 7, stride=2, padding=3),
            maps(w),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(w, 2 * w, 5, padding=2),
            maps(2 * w),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(2 * w, 3 * w, 3, padding=1),
            maps(3 * w),
            nn.Conv2d(3 * w, 2 * w, 3, padding=1),
            maps(2 * w),
            nn.Conv2d(2 * w, 2 * w, 3, padding=1),
            maps(2 * w),
            nn.MaxPool2d(3, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(3)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(18 * w, 256),
            numbers(256),
            nn.Dropout(dropout),
            nn.Linear(256, 256),
            numbers(256),
            nn.Linear(256, classes),
        )
        draw_as_he(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(
            self.avgpool(self.features(self.normalise(images))).flatten(1)
        )


class ResidualBlock(nn.Module):
    """y = ReLU(f(x) + x), f = conv, BN, ReLU, conv, BN (He 2016). Where shape changes,
    x passes a 1x1 convolution.

    `shortcut=False` gives the plain block of the same depth, for comparison.
    """

    def __init__(self, before: int, width: int, stride: int = 1, shortcut: bool = True):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.shortcut = shortcut
        self.downsample = None
        if shortcut and (stride != 1 or before != width):
            self.downsample = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        if self.shortcut:
            y = y + (x if self.downsample is None else self.downsample(x))
        return self.relu2(y)


class ResNet(nn.Module):
    """Stem, stages of residual blocks, average over positions, linear layer. Stages are
    named stage1, stage2, ...

    strides: by how much the first block of each stage shrinks the maps; 1, then 2 each
        by default.
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
        kernel, pool = (
            int(stem[0]),
            [nn.MaxPool2d(3, 2, 1)] if stem.endswith("pool") else [],
        )
        strides = strides or [1] + [2] * (len(blocks) - 1)
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], kernel, 2, kernel // 2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            *pool,
        )
        before, self.stages = widths[0], []
        for i, (count, width, stride) in enumerate(
            zip(blocks, widths, strides, strict=True), start=1
        ):
            chain = [
                ResidualBlock(
                    before if b == 0 else width,
                    width,
                    stride if b == 0 else 1,
                    shortcut,
                )
                for b in range(count)
            ]
            setattr(self, f"stage{i}", nn.Sequential(*chain))
            self.stages.append(f"stage{i}")
            before = width
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(before, classes)
        draw_as_he(self.stem)
        for name in self.stages:
            draw_as_he(getattr(self, name))

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(self.normalise(images))
        for name in self.stages:
            x = getattr(self, name)(x)
        return self.head(self.pool(x).flatten(1))
