"""What asks a network many times: covers, scores of maps, images of a class. Each
beside its peers, and beside the network's passes alone."""

from collections.abc import Callable
from dataclasses import replace

import torch
from parts.question import network, question
from torch import Tensor, nn
from torch.nn import functional as F

from cnnviz_utils.scores import deletion
from cnnviz_utils.viz.ascent import PLAIN, Recipe, class_images
from cnnviz_utils.viz.fast import fast_copy
from cnnviz_utils.viz.occlusion import occlusion

Calls = dict[str, Callable[[], object]]
AT_A_TIME = 32  # covered images


def _passes(model: nn.Module, images: Tensor, count: int, batch: int) -> None:
    """So many images through the network, a batch at a time, and nothing else."""
    with torch.no_grad():
        for start in range(0, count, batch):
            model(images[: min(batch, count - start)])


def cover_methods(name: str, size: int, batch: int, device: torch.device) -> Calls:
    """Squares of a quarter of the side, steps of an eighth."""
    model, images, targets = question(name, size, batch, device)
    model.requires_grad_(False)
    side, stride = size // 4, size // 8
    covers = ((size - side) // stride + 1) ** 2
    many = torch.rand(AT_A_TIME, 3, size, size, device=device)
    options = {"side": side, "stride": stride, "softmax": False}
    fast = fast_copy(model, images)
    ask = lambda net, count: (
        lambda: occlusion(net, images, targets, batch=count, **options)
    )
    calls = {
        "ours": ask(model, AT_A_TIME),
        "ours, fast copy": ask(fast, AT_A_TIME),
        "ours, one cover at a time": ask(model, 1),
        "the passes alone": lambda: _passes(model, many, batch * covers, AT_A_TIME),
    }
    try:
        from captum.attr import Occlusion
    except ImportError:
        return calls
    peer = Occlusion(model)
    calls["Captum"] = lambda: peer.attribute(
        images,
        sliding_window_shapes=(3, side, side),
        strides=(3, stride, stride),
        target=targets,
        baselines=0.5,
        perturbations_per_eval=max(1, AT_A_TIME // batch),
    )
    return calls


def score_methods(name: str, size: int, batch: int, device: torch.device) -> Calls:
    """Deletion in 32 steps, the batch at once and image by image."""
    model, images, targets = question(name, size, batch, device)
    model.requires_grad_(False)
    maps, steps = torch.rand(batch, size, size, device=device), 32

    def one_by_one() -> None:
        for i in range(batch):
            one = slice(i, i + 1)
            deletion(model, images[one], maps[one], targets[one], steps)

    return {
        "ours": lambda: deletion(model, images, maps, targets, steps),
        "ours, image by image": one_by_one,
        "the passes alone": lambda: _passes(
            model, images, batch * (steps + 2), batch
        ),  # once more, to check the targets
    }


def ascent_methods(name: str, size: int, batch: int, device: torch.device) -> Calls:
    """Eight steps of an ascent to a logit: ours and lucent's, each with its priors."""
    model, steps = network(name, device).requires_grad_(False), 8
    fast = fast_copy(model, torch.rand(1, 3, size, size, device=device))
    targets, seeds = [1] * batch, list(range(batch))
    draw = lambda net, recipe: (
        lambda: class_images(net, targets, size, seeds, replace(recipe, steps=steps))
    )
    pixels = torch.rand(batch, 3, size, size, device=device).requires_grad_()

    def passes() -> None:
        for _ in range(steps):
            torch.autograd.grad(F.log_softmax(model(pixels), 1)[:, 1].sum(), pixels)

    calls = {
        "ours": draw(model, Recipe()),
        "ours, fast copy": draw(fast, Recipe()),
        "ours, no priors": draw(model, PLAIN),
        "the passes alone": passes,
    }
    try:
        from lucent.optvis import objectives, param, render
    except ImportError:
        return calls
    goal = objectives.channel("fc", 1)
    image = lambda: param.image(size, batch=batch)
    # it would enlarge smaller images to 224 px
    calls["lucent"] = lambda: render.render_vis(
        model,
        goal,
        image,
        thresholds=(steps,),
        fixed_image_size=size,
        show_image=False,
        progress=False,
    )
    return calls
