"""What every method is asked: a network of torchvision with random weights, random
images, and a class for each."""

import torch
import torchvision
from torch import Tensor, nn


def network(name: str, device: torch.device) -> nn.Module:
    """The same weights each time, ready to answer."""
    torch.manual_seed(0)
    return getattr(torchvision.models, name)(weights=None).eval().to(device)


def question(
    name: str, size: int, batch: int, device: torch.device
) -> tuple[nn.Module, Tensor, Tensor]:
    """The network, images (batch, 3, size, size) in [0, 1], classes (batch,)."""
    model = network(name, device)
    images = torch.rand(batch, 3, size, size, device=device)
    return model, images, torch.randint(1000, (batch,), device=device)
