"""Pictures that a network would call a class: an objective, a way to write down an
image, and transforms between.

A gradient ascends the objective. Left alone it finds noise, because a network answers
to patterns that no image contains. Each prior takes some of that away: writing the
image as waves with natural strengths and colours, moving, turning and scaling it a
little before each look, smoothness. The strongest prior is a robust network
(`training.adversary`).

Olah, Mordvintsev and Schubert 2017, Feature visualization; Simonyan et al. 2014;
Mahendran and Vedaldi 2015 (total variation); Engstrom et al. 2019 and Santurkar et al.
2019 (robust networks).
"""

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from cnnviz_utils.base.declared import Seed
from cnnviz_utils.base.hooks import capture, evaluating, in_its_type
from cnnviz_utils.base.pictures import blur, total_variation
from cnnviz_utils.base.ranges import check_floats, check_range
from cnnviz_utils.base.settings import UsageError, fitting
from cnnviz_utils.viz.layers import Layer, Targets, answer, find_layer, picked
from cnnviz_utils.viz.layouts import read_maps
from cnnviz_utils.viz.planes import (
    NATURAL_COLOURS,
    to_rgb,
    wave_strengths,
    waves_to_planes,
)
from cnnviz_utils.viz.recipe import PLAIN, Recipe
from cnnviz_utils.viz.transforms import moved

__all__ = [
    "PLAIN",
    "Objective",
    "Recipe",
    "ascend",
    "channel_score",
    "class_images",
    "class_score",
    "neuron_score",
    "to_numbers",
]

# images (N, 3, H, W) in [0, 1] -> one number for each image (N,), to be made large
Objective = Callable[[Tensor], Tensor]
Side = Annotated[int, Field(ge=2, le=4096, description="in pixels")]
Seeds = list[Seed]
HALF = (torch.float16, torch.bfloat16)


def class_score(
    model: nn.Module, targets: Targets, *, softmax: bool = True
) -> Objective:
    """The log-probability of a class (one for all images, or one for each), or its
    logit (`softmax=False`). A logit also grows with features that other classes share;
    a log-probability only with what sets the class apart, and it cannot exceed 0.

    Objectives are functions and can be added: `lambda images: one(images) +
        another(images)`.
    """

    def score(images: Tensor) -> Tensor:
        with evaluating(model):
            logits, chosen = answer(model, in_its_type(model, images), targets)
        # in float32: of log-probabilities near 0, float16 loses all
        logits = logits.float() if logits.dtype in HALF else logits
        return picked(logits.log_softmax(1) if softmax else logits, chosen)

    return score


def channel_score(
    model: nn.Module, layer: Layer, channels: int | Sequence[int]
) -> Objective:
    """The mean of a layer's channel: one channel for all images, or one for each."""
    return lambda images: _channel(model, images, layer, channels).flatten(1).mean(1)


def neuron_score(
    model: nn.Module,
    layer: Layer,
    channels: int | Sequence[int],
    place: tuple[int, int] | None = None,
) -> Objective:
    """A layer's channel at one place (row, column), by default in the middle: one
    channel for all images, or one for each."""

    def score(images: Tensor) -> Tensor:
        maps = _channel(model, images, layer, channels)
        y, x = (maps.shape[1] // 2, maps.shape[2] // 2) if place is None else place
        return maps[:, y, x]

    return score


def _channel(
    model: nn.Module, images: Tensor, layer: Layer, channels: int | Sequence[int]
) -> Tensor:
    images = in_its_type(model, images)
    name = find_layer(model, layer, images)
    with evaluating(model), capture(model, [name]) as outputs:
        model(images)
    if name not in outputs or outputs[name].ndim not in (2, 4):
        raise ValueError(
            f"layer {name!r} gives no channels (N, C) or maps (N, C, h, w) "
            "in a forward pass of this network"
        )
    maps = outputs[name]
    # a linear layer: one place
    maps = maps[:, :, None, None] if maps.ndim == 2 else maps
    if maps.shape[2:] != (1, 1):
        maps = read_maps(maps, images, "channels_first", name)
    n, count = maps.shape[:2]
    chosen = torch.as_tensor(channels)
    chosen = chosen.expand(n) if chosen.ndim == 0 else chosen
    if chosen.shape != (n,):
        raise ValueError(
            f"channels: one, or one for each of the {n} images, not shape "
            f"{tuple(chosen.shape)}"
        )
    if n and not 0 <= int(chosen.min()) <= int(chosen.max()) < count:
        raise ValueError(
            f"channels of layer {name!r} go from 0 to {count - 1}, but there is "
            f"{chosen.tolist()}"
        )
    return maps[torch.arange(n), chosen]


def class_images(
    model: nn.Module,
    targets: Targets,
    size: int,
    seeds: Sequence[int],
    recipe: Recipe | None = None,
    start: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """One image for each seed, of one class or of one class each: (len(seeds), 3, size,
    size) in [0, 1], on the network's device."""
    weights = next(model.parameters(), None)
    device = None if weights is None else weights.device
    return ascend(class_score(model, targets), size, seeds, recipe, start, device)


def ascend(
    objective: Objective,
    size: int,
    seeds: Sequence[int],
    recipe: Recipe | None = None,
    start: Tensor | None = None,
    device: str | torch.device | None = None,
) -> Tensor:
    """Images that make the objective large, one for each seed, (len(seeds), 3, size,
    size) in [0, 1].

    start: images (len(seeds), 3, size, size) in [0, 1] to begin with; by default faint
        noise around mid-grey.
    device: where to compute; by default where `start` is, or the CPU. Random numbers
        are drawn on the CPU, so that a seed means the same everywhere.

    Each image has its own generator for its start and its transforms, and Adam treats
    every number by itself, so an image does not depend on the others in the batch.

    Raises ValueError for a size or seeds that are none, a start of another shape, or an
    objective that does not give one number for each image.
    """
    recipe = recipe or Recipe()
    fitting(size, Side, "size")
    seeds = fitting(list(seeds), Seeds, "seeds")
    if not seeds:
        raise UsageError("seeds: one for each image, and there is none")
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    image = IMAGE[recipe.parametrisation]
    if start is None:
        numbers = torch.stack(
            [START[recipe.parametrisation](size, generator) for generator in generators]
        )
    elif start.shape == (len(seeds), 3, size, size):
        check_floats(start)
        check_range(start, "start: images")
        numbers = to_numbers(start.detach(), recipe)
    else:
        raise ValueError(
            f"start must be {len(seeds)} images of {size} x {size} px, "
            f"not {tuple(start.shape)}"
        )
    if device is None:
        device = numbers.device
    numbers = numbers.to(device)
    draws = torch.stack(
        [
            2 * torch.rand(recipe.steps, 5, generator=generator) - 1
            for generator in generators
        ]
    ).to(device)
    with torch.inference_mode(False), torch.enable_grad():
        numbers = numbers.clone().requires_grad_()
        optimiser = torch.optim.Adam([numbers], lr=recipe.lr)
        for step in range(recipe.steps):
            images = to_rgb(image(numbers, size), recipe.colours)
            gain = objective(_transformed(images, draws[:, step], recipe))
            if gain.shape != (len(seeds),):
                raise ValueError(
                    "the objective must give one number an image, "
                    f"not {tuple(gain.shape)}"
                )
            loss = (
                recipe.tv * total_variation(images)
                + recipe.l2 * (images - 0.5).square().mean((1, 2, 3))
                - gain
            ).sum()
            # the network's `.grad` are left alone
            (numbers.grad,) = torch.autograd.grad(loss, numbers)
            optimiser.step()
        return to_rgb(image(numbers, size), recipe.colours).detach()


def _transformed(images: Tensor, draws: Tensor, recipe: Recipe) -> Tensor:
    images = moved(images, draws, recipe.shift, recipe.scale, recipe.rotate)
    return blur(images, recipe.blur * draws[:, 4].abs()) if recipe.blur else images


START = {
    "pixels": lambda size, generator: (
        0.01 * torch.randn(3, size, size, generator=generator)
    ),
    "fourier": lambda size, generator: (
        0.01 * torch.randn(3, size, size // 2 + 1, 2, generator=generator)
    ),
}
IMAGE = {"pixels": lambda numbers, size: numbers, "fourier": waves_to_planes}


def to_numbers(images: Tensor, recipe: Recipe) -> Tensor:
    """The way back: the numbers that a recipe writes images (N, 3, H, H) in [0, 1]
    with. Black and white, which the logistic function only tends to, become the grey
    half a step of 255 away."""
    planes = images.clamp(1 / 510, 1 - 1 / 510).logit()
    if recipe.colours:
        mix = torch.tensor(NATURAL_COLOURS, dtype=planes.dtype, device=planes.device)
        planes = torch.einsum(
            "rc,nchw->nrhw", (mix / mix.norm(dim=0).max()).inverse(), planes
        )
    if recipe.parametrisation == "pixels":
        return planes
    strengths = wave_strengths(images.shape[-1]).to(planes.device)
    return torch.view_as_real(4 * torch.fft.rfft2(planes, norm="ortho") / strengths)
