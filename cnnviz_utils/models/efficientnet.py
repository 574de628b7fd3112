"""EfficientNet-Lite (Liu 2020, after Tan and Le 2019), written out by hand; it builds
on MobileNet.

MobileNet split the full convolution into a depthwise one (a kernel for each channel)
and a pointwise one (1x1, mixes channels). MobileNetV2 (Sandler 2018) turned the
residual block inside out: narrow maps are passed on, and inside a block they are
widened sixfold, so that the cheap depthwise convolution works on many channels.
EfficientNet stacks such blocks in seven stages; the Lite form leaves out
squeeze-and-excitation and takes ReLU6 (max(0, min(x, 6))), which small devices compute
in eight bits.

The original is TensorFlow's, which pads where the stride is 2 on the right and at the
bottom first: `SamePadding`. With other padding, or another epsilon in BatchNorm, the
published weights would give other numbers.
"""

import math
from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from cnnviz_utils.models.networks import Normalise, he_initialise, run_stages

# a stage a row: kernel, stride of its first block, how many times blocks widen inside,
# channels that come out, blocks
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
# times the channels, times the blocks, the images' side in training, dropout
SIZES = {
    "efficientnet_lite0": (1.0, 1.0, 224, 0.2),
    "efficientnet_lite1": (1.0, 1.1, 240, 0.2),
    "efficientnet_lite2": (1.1, 1.2, 260, 0.3),
}
# what the original subtracts from and divides pixels of 0..255 by, for images in [0, 1]
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
EPSILON = 1e-3


class SamePadding(nn.Module):
    """Zeros around maps (N, C, H, W), as few as make a convolution give ceil(H /
    stride) rows; an odd one goes to the bottom and to the right (TensorFlow's
    "SAME")."""

    def __init__(self, kernel: int, stride: int):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        missing = [
            max(
                0,
                (math.ceil(side / self.stride) - 1) * self.stride + self.kernel - side,
            )
            for side in x.shape[2:]
        ]
        top, left = missing[0] // 2, missing[1] // 2
        return F.pad(x, (left, missing[1] - left, top, missing[0] - top))

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    relu: bool = True,
) -> nn.Sequential:
    """Convolution, batch normalisation and (`relu`) ReLU6, by name: pad, conv, bn,
    relu.

    At stride 1 the padding is the same on all sides, and the convolution's own.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if stride > 1:
        layers["pad"] = SamePadding(kernel, stride)
    padding = 0 if stride > 1 else kernel // 2
    layers["conv"] = nn.Conv2d(
        in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False
    )
    layers["bn"] = nn.BatchNorm2d(out_channels, eps=EPSILON)
    if relu:
        layers["relu"] = nn.ReLU6()
    return nn.Sequential(layers)


class InvertedResidual(nn.Module):
    """Widen (1x1), look around (depthwise), narrow (1x1, no ReLU: it would lose what
    the few channels hold); plus the input where the shape is the same."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, times: int
    ):
        super().__init__()
        inside = in_channels * times
        self.expand = conv_bn(in_channels, inside) if times > 1 else nn.Identity()
        self.depthwise = conv_bn(inside, inside, kernel, stride, groups=inside)
        self.project = conv_bn(inside, out_channels, relu=False)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class EfficientNetLite(nn.Module):
    """Stem (stride 2), stages of inverted residual blocks named stage1 to stage7,
    `top` (1x1 convolution to 1280 channels), average over positions, dropout, linear
    layer `head`.

    widen, deepen: times the channels and the blocks of STAGES; the stem, the top, and
        the number of blocks of the first and the last stage stay.

    Images (N, 3, H, W) in [0, 1] -> logits (N, classes). Any size will do; the weights
    were learned at 224 px (lite0), 240 and 260. Two things of the original's training
    are left out: it drops whole blocks at random, and its BatchNorm statistics follow
    the batches ten times more slowly, over hundreds of thousands of steps.
    """

    def __init__(
        self,
        classes: int,
        widen: float = 1.0,
        deepen: float = 1.0,
        dropout: float = 0.2,
    ):
        super().__init__()
        self.normalise = Normalise(MEAN, STD)
        self.stem = conv_bn(3, 32, 3, 2)
        in_channels, ends = 32, (1, len(STAGES))
        for i, (kernel, stride, times, width, count) in enumerate(STAGES, start=1):
            width = divisible_by_8(width * widen)
            count = count if i in ends else math.ceil(count * deepen)
            blocks = [InvertedResidual(in_channels, width, kernel, stride, times)] + [
                InvertedResidual(width, width, kernel, 1, times)
                for _ in range(count - 1)
            ]
            setattr(self, f"stage{i}", nn.Sequential(*blocks))
            in_channels = width
        self.top = conv_bn(in_channels, 1280)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(1280, classes)
        names = [f"stage{i}" for i in range(1, len(STAGES) + 1)]
        ending = ["top", "pool", "flatten", "dropout", "head"]
        self.stages = ["normalise", "stem", *names, *ending]
        he_initialise(self)
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, images: Tensor) -> Tensor:
        return run_stages(self, images, self.stages)


def divisible_by_8(channels: float) -> int:
    """The nearest multiple of 8 that takes away no more than a tenth: 17.6 -> 16, 88 ->
    88, 123.2 -> 120, 26.4 -> 24."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def efficientnet_lite(name: str, classes: int, **options) -> EfficientNetLite:
    """One of SIZES by name."""
    widen, deepen, _, dropout = SIZES[name]
    settings = {"widen": widen, "deepen": deepen, "dropout": dropout} | options
    return EfficientNetLite(classes, **settings)


# the parts of a block and of the network: our name, the published file's
IN_BLOCK = {
    "expand.conv": "_expand_conv",
    "expand.bn": "_bn0",
    "depthwise.conv": "_depthwise_conv",
    "depthwise.bn": "_bn1",
    "project.conv": "_project_conv",
    "project.bn": "_bn2",
}
AROUND = {
    "stem.conv": "_conv_stem",
    "stem.bn": "_bn0",
    "top.conv": "_conv_head",
    "top.bn": "_bn1",
    "head": "_fc",
}


def published_names(model: EfficientNetLite) -> dict[str, str]:
    """Our name of every tensor -> its name in the published file, which counts the
    blocks through: "stage2.0.expand.conv.weight" -> "_blocks.1._expand_conv.weight"."""
    layers, number = dict(AROUND), 0
    for stage in (name for name in model.stages if name.startswith("stage")):
        for i in range(len(getattr(model, stage))):
            for ours, theirs in IN_BLOCK.items():
                layers[f"{stage}.{i}.{ours}"] = f"_blocks.{number}.{theirs}"
            number += 1
    return {
        name: f"{layers[layer]}.{kind}"
        for name in model.state_dict()
        for layer, _, kind in [name.rpartition(".")]
        if layer in layers
    }
