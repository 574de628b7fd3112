"""Deconvnet and guided backpropagation of one batch, as each library's manual calls
them."""

from collections.abc import Callable

import torch
from parts.question import network, question
from torch import Tensor, nn

from cnnviz_utils.viz.fast import fast_copy
from cnnviz_utils.viz.gradients import input_gradient


def _captum(model: nn.Module, rule: str, images: Tensor, targets: Tensor) -> Callable:
    from captum.attr import Deconvolution, GuidedBackprop

    peer = {"deconvnet": Deconvolution, "guided": GuidedBackprop}[rule](model)
    return lambda: peer.attribute(images.clone().requires_grad_(), targets)


def _zennit(model: nn.Module, rule: str, images: Tensor, targets: Tensor) -> Callable:
    from zennit.composites import DeconvNet, GuidedBackprop

    composite = {"deconvnet": DeconvNet, "guided": GuidedBackprop}[rule]()
    start = torch.zeros(len(images), 1000, device=images.device)
    start = start.scatter(1, targets[:, None], 1)

    def call() -> Tensor:
        with composite.context(model) as changed:
            pixels = images.clone().requires_grad_()
            return torch.autograd.grad(changed(pixels), pixels, start)[0]

    return call


def pixel_methods(
    name: str, size: int, batch: int, rule: str, device: torch.device
) -> dict[str, Callable[[], object]]:
    """By method, what explains one batch of random images."""
    model, images, targets = question(name, size, batch, device)
    model.requires_grad_(False)
    fast = fast_copy(model, images)
    calls = {
        "ours": lambda: input_gradient(model, images, targets, rule),
        "ours, fast copy": lambda: input_gradient(fast, images, targets, rule),
        "saliency (the bound)": lambda: _saliency(model, images, targets),
    }
    # a network without in-place steps, which Captum cannot change
    plain = network(name, device)
    for module in plain.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    for title, make in (("Captum", _captum), ("zennit", _zennit)):
        try:
            calls[title] = make(plain, rule, images, targets)
        except ImportError:
            continue
    return calls


def _saliency(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    pixels = images.clone().requires_grad_()
    scores = model(pixels).gather(1, targets[:, None]).sum()
    return torch.autograd.grad(scores, pixels)[0]
