"""Small versions of famous networks, written out by hand: VGG, GoogLeNet, MobileNet
(AlexNet and ResNet: `networks.py`).

Layers have stable names, no operation is in place, no module is used twice. Every
network takes images (N, 3, H, W) in [0, 1] of 32 px and more, normalises them in its
first layer, and gives logits (N, classes).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cnnviz_utils.models.networks import Normalise, he_initialise, run_stages


def conv_bn_relu(
    in_channels: int,
    out_channels: int,
    kernel: int = 3,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """A convolution padded so that only its stride changes the maps' size, batch
    normalisation, ReLU.

    With groups = in_channels = out_channels it is depthwise: each output channel is
    computed from one input channel alone, by a kernel of its own.
    """
    return nn.Sequential(
        nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride,
            kernel // 2,
            groups=groups,
            bias=False,
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class SmallVGG(nn.Module):
    """VGG (Simonyan and Zisserman 2015): nothing but 3x3 convolutions, with 2x2 pooling
    between blocks of them.

    convs, widths: how many convolutions each block has, and how many channels. The
    parts have torchvision's names: `features`, `avgpool`, `classifier`. As in the paper
    there is no batch normalisation; `norm` adds it behind every convolution.
    """

    def __init__(
        self,
        classes: int,
        convs: Sequence[int] = (1, 1, 2, 2),
        widths: Sequence[int] = (8, 16, 32, 64),
        dropout: float = 0.2,
        norm: bool = False,
    ):
        super().__init__()
        self.normalise = Normalise()
        layers: list[nn.Module] = []
        in_channels = 3
        for count, width in zip(convs, widths, strict=True):
            for _ in range(count):
                layers += [
                    nn.Conv2d(in_channels, width, 3, padding=1),
                    *([nn.BatchNorm2d(width)] if norm else []),
                    nn.ReLU(),
                ]
                in_channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Sequential(
            nn.Linear(4 * in_channels, 128),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(128, classes),
        )
        self.stages = ["normalise", "features", "avgpool", "flatten", "classifier"]
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return run_stages(self, images, self.stages)


class Inception(nn.Module):
    """Four branches side by side whose maps are concatenated (Szegedy 2015): a 1x1
    convolution; a 3x3; a 5x5; max-pooling followed by a 1x1.

    widths: output channels of the four branches. reduce: to how many channels a 1x1
    convolution reduces the input of the 3x3 and of the 5x5 branch; None for no such
    reduction (the "naive" block of the paper's figure 2a).
    """

    def __init__(
        self, in_channels: int, widths: Sequence[int], reduce: Sequence[int] | None
    ):
        super().__init__()
        one, three, five, pooled = widths
        to_three, to_five = reduce or (in_channels, in_channels)

        def reduction(width: int) -> list[nn.Module]:
            return [conv_bn_relu(in_channels, width, 1)] if reduce else []

        self.way1 = conv_bn_relu(in_channels, one, 1)
        self.way3 = nn.Sequential(
            *reduction(to_three), conv_bn_relu(to_three, three, 3)
        )
        self.way5 = nn.Sequential(*reduction(to_five), conv_bn_relu(to_five, five, 5))
        self.way_pool = nn.Sequential(
            nn.MaxPool2d(3, 1, 1), conv_bn_relu(in_channels, pooled, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [self.way1(x), self.way3(x), self.way5(x), self.way_pool(x)], dim=1
        )


class AuxiliaryHead(nn.Module):
    """A second classifier on maps from the middle of the network, used only while
    training: its gradient reaches the early layers directly."""

    def __init__(self, in_channels: int, classes: int):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.reduce = conv_bn_relu(in_channels, 16, 1)
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.reduce(self.pool(x)).flatten(1))


class SmallGoogLeNet(nn.Module):
    """GoogLeNet (Szegedy 2015): a stem, three inception blocks, average over positions,
    one linear layer. Behind the first two blocks stand auxiliary heads.

    In training mode it returns (logits, logits of aux2, logits of aux1), as
    torchvision's does, in evaluation mode the logits alone. `auxiliary=False` leaves
    the two extra heads out; `reduce=False` the 1x1 reductions.
    """

    def __init__(
        self, classes: int, width: int = 8, auxiliary: bool = True, reduce: bool = True
    ):
        super().__init__()
        w = width
        self.normalise = Normalise()
        self.stem = nn.Sequential(conv_bn_relu(3, 2 * w, 3, 2), nn.MaxPool2d(3, 2, 1))

        def to(three: int, five: int) -> tuple[int, int] | None:
            return (three, five) if reduce else None

        self.inception1 = Inception(2 * w, (2 * w, 4 * w, w, w), to(2 * w, w // 2))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.inception2 = Inception(8 * w, (4 * w, 6 * w, 2 * w, 2 * w), to(3 * w, w))
        self.inception3 = Inception(14 * w, (4 * w, 8 * w, 2 * w, 2 * w), to(4 * w, w))
        self.aux1 = AuxiliaryHead(8 * w, classes) if auxiliary else None
        self.aux2 = AuxiliaryHead(14 * w, classes) if auxiliary else None
        self.average = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(16 * w, classes)
        for name, part in self.named_children():
            if name.startswith(("stem", "inception")):
                he_initialise(part)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        low = self.inception1(self.stem(self.normalise(images)))
        middle = self.inception2(self.pool(low))
        logits = self.head(self.average(self.inception3(middle)).flatten(1))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return logits, self.aux2(middle), self.aux1(low)
        return logits


class SeparableBlock(nn.Module):
    """A convolution in two steps (Howard 2017): `depthwise`, a 3x3 kernel for each
    channel by itself; `pointwise`, a 1x1 convolution that mixes the channels. BN and
    ReLU follow each."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.depthwise = conv_bn_relu(
            in_channels, in_channels, 3, stride, groups=in_channels
        )
        self.pointwise = conv_bn_relu(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class SmallMobileNet(nn.Module):
    """MobileNet (Howard 2017): a stem, then separable blocks named block1, block2, ...,
    average, one linear layer.

    widths, strides: output channels and stride of each block. `separable=False` puts
        full 3x3 convolutions in the place of the separable blocks, for comparison.
    """

    def __init__(
        self,
        classes: int,
        stem: int = 16,
        widths: Sequence[int] = (32, 64, 64, 128, 128),
        strides: Sequence[int] = (2, 1, 1, 2, 1),
        separable: bool = True,
    ):
        super().__init__()
        self.normalise = Normalise()
        self.stem = conv_bn_relu(3, stem, 3, 2)
        self.blocks = [f"block{i}" for i in range(1, len(widths) + 1)]
        in_channels = stem
        for name, width, stride in zip(self.blocks, widths, strides, strict=True):
            block = (
                SeparableBlock(in_channels, width, stride)
                if separable
                else conv_bn_relu(in_channels, width, 3, stride)
            )
            setattr(self, name, block)
            in_channels = width
        self.average = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(in_channels, classes)
        self.stages = ["normalise", "stem", *self.blocks, "average", "flatten", "head"]
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return run_stages(self, images, self.stages)


def nearest_separable(kernels: Tensor, copies: int = 1) -> tuple[Tensor, float]:
    """The closest that depthwise-separable convolutions come to full kernels (out, in,
    k, k).

    `copies` is how many depthwise kernels each input channel has (MobileNet: 1). With
    one, all outputs see a channel through the same k x k pattern, only scaled: the
    matrix (out, k*k) of each input channel has rank 1. The closest matrix of rank
    `copies` is given by the singular value decomposition (Eckart and Young 1936).

    Returns the kernels (out, in, k, k) and the relative error |kernels - closest| /
    |kernels|, 0 (nothing lost) to 1.
    """
    matrices = kernels.detach().double().flatten(2).transpose(0, 1)  # (in, out, k*k)
    u, s, v = torch.linalg.svd(matrices, full_matrices=False)
    closest = (u[..., :copies] * s[:, None, :copies]) @ v[:, :copies]
    error = (matrices - closest).norm() / matrices.norm()
    return closest.transpose(0, 1).reshape(kernels.shape).to(kernels.dtype), float(
        error
    )
