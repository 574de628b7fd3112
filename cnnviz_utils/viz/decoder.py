"""The ResNet-and-deconvnet project's visualiser: two transposed convolutions that turn
a layer's maps into a picture, untrained and trained.

Untrained, its picture is the random decoder's, not the network's: any maps give much
the same. Trained to give back the image, it shows what the layer still knows about the
image, seen through the decoder's own idea of images. What it never shows is which
pixels made the layer respond: that is the deconvnet's question.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Visualizer(nn.Module):
    """maps (N, C, h, w) -> pictures (N, 3, 4h - 3, 4w - 3) in [0, 1].

    Two transposed convolutions C -> C/2 -> 3, kernel 3, stride 2, padding 1, a ReLU
    between them, a sigmoid at the end. `seed` fixes the weights it starts from.
    """

    def __init__(self, channels: int, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.up1 = nn.ConvTranspose2d(
                channels, max(1, channels // 2), 3, stride=2, padding=1
            )
            self.relu = nn.ReLU()
            self.up2 = nn.ConvTranspose2d(
                max(1, channels // 2), 3, 3, stride=2, padding=1
            )

    def forward(self, maps: Tensor) -> Tensor:
        return torch.sigmoid(self.up2(self.relu(self.up1(maps))))


def train_decoder(
    decoder: nn.Module,
    maps: Tensor,
    images: Tensor,
    *,
    steps: int = 300,
    batch_size: int = 32,
    lr: float = 3e-3,
    seed: int = 0,
) -> Tensor:  # fmt: skip
    """Teach a decoder to give back the images from a layer's maps, by mean squared
    error with Adam. In place.

    maps (N, C, h, w) of `feature_maps`, images (N, 3, H, W) in [0, 1] -> the losses,
    (steps,). The images are averaged down (or enlarged) to the size of the decoder's
    pictures. `seed` draws the batches.
    """
    maps = maps.detach()
    goal = F.interpolate(
        images, size=decoder(maps[:1]).shape[-2:], mode="bilinear", antialias=True
    ).clamp(0, 1)
    optimiser, generator = (
        torch.optim.Adam(decoder.parameters(), lr),
        torch.Generator().manual_seed(seed),
    )
    losses = []
    for _ in range(steps):
        some = torch.randint(
            len(maps), (min(batch_size, len(maps)),), generator=generator
        )
        loss = F.mse_loss(decoder(maps[some]), goal[some])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    return torch.stack(losses)


@torch.no_grad()
def decode(decoder: nn.Module, maps: Tensor, size: tuple[int, int]) -> Tensor:
    """The decoder's pictures at image size, (N, 3, H, W) in [0, 1]."""
    return F.interpolate(decoder(maps), size=size, mode="bilinear", align_corners=False)
