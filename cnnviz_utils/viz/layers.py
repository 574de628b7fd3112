"""What every picture of a network starts from: one layer's activations, and the
gradient of a score for them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor, nn

from cnnviz_utils.base.hooks import evaluating, get_layer

Targets = int | Sequence[int] | Tensor | None


@dataclass(frozen=True)
class LayerGradients:
    """One layer seen from one score an image. Everything float32, detached, not
    normalised.

    activations, gradients: (N, C, h, w), the layer's output A and d y_target / d A
    logits: (N, classes)
    targets: int64 (N,)
    """

    activations: Tensor
    gradients: Tensor
    logits: Tensor
    targets: Tensor


@contextmanager
def looking(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients inside, whatever the caller's contexts are; all
    as before afterwards.

    Inference mode is switched off, because its tensors can never have gradients.
    """
    with evaluating(model), torch.inference_mode(False), torch.no_grad():
        yield


def check_images(images: Tensor) -> Tensor:
    """Images as (N, C, H, W) floats, copied only if they were made in inference mode.
    Raises ValueError otherwise."""
    if images.ndim != 4 or not images.is_floating_point():
        kind = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
        raise ValueError(
            f"images must be floats of shape (N, channels, H, W), not {kind}; "
            "one image: image[None]"
        )
    return images.clone() if images.is_inference() else images


def choose_targets(logits: Tensor, targets: Targets = None) -> Tensor:
    """A class an image, int64 (N,): one for all, one each, or (None) the one with the
    largest logit.

    Raises: ValueError: logits not (N, classes), as many targets as images needed, or no
        such class.
    """
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        found = (
            tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        )
        raise ValueError(
            f"the network must give logits (N, classes), but it gives {found}"
        )
    n, classes = logits.shape
    if targets is None:
        return logits.detach().argmax(1)
    chosen = torch.as_tensor(targets, device=logits.device).long()
    chosen = chosen.expand(n) if chosen.ndim == 0 else chosen
    if chosen.shape != (n,):
        raise ValueError(
            f"targets: one class, or one for each of the {n} images, "
            f"not shape {tuple(chosen.shape)}"
        )
    if n and (int(chosen.min()) < 0 or int(chosen.max()) >= classes):
        raise ValueError(
            f"targets must be from 0 to {classes - 1}, but there is {chosen.tolist()}"
        )
    return chosen


def picked(logits: Tensor, targets: Tensor) -> Tensor:
    """The targets' logits, (N,)."""
    return logits.gather(1, targets[:, None])[:, 0]


def layer_gradients(
    model: nn.Module,
    images: Tensor,
    layer: str,
    targets: Targets = None,
    call: int = -1,
) -> LayerGradients:
    """Activations of a layer and the gradient of one logit an image for them. images
    (N, 3, H, W) in [0, 1].

    How: the whole network runs without gradients. At the layer a hook cuts its output
        off, makes it the one leaf,
    and only then switches gradients on: there is no graph below the layer, and a frozen
    backbone, `no_grad` or inference mode around the call make no difference. The
    network goes on with a copy, so an in-place operation behind the layer cannot
    rewrite what was kept.

    A module that runs several times in a forward pass (the ReLU of a ResNet's block)
    has several outputs. The last one counts, which is what leaves the block; `call=0`
    takes the first, and so on, each with the gradient of that output alone. (Captum and
    torch-cam take the last too.)

    Raises: KeyError: no such layer. ValueError: images, targets or call wrong, a layer
        that does not run or does not give maps (N, C, h, w), or
            one that the logits do not depend on.
    """
    if call < -1:
        raise ValueError(f"call must be -1 (the last) or a number from 0, not {call}")
    images, leaves, calls = check_images(images), {}, count()

    def cut(_module, _inputs, output):
        if not isinstance(output, Tensor) or output.ndim != 4:
            found = (
                tuple(output.shape)
                if isinstance(output, Tensor)
                else type(output).__name__
            )
            raise ValueError(
                f"layer {layer!r} gives {found}, not maps (N, C, h, w): "
                "take one before the pooling"
            )
        if call not in (-1, next(calls)):
            return None
        # the last call replaces those before it
        leaves[call] = output.detach().requires_grad_()
        torch.set_grad_enabled(True)
        return leaves[call].clone()

    with looking(model), ExitStack() as stack:
        stack.callback(get_layer(model, layer).register_forward_hook(cut).remove)
        logits = model(images)
        chosen = choose_targets(logits, targets)
        if call not in leaves:
            often = (
                "does not run" if next(calls) == 0 else f"runs, but has no call {call},"
            )
            raise ValueError(
                f"layer {layer!r} {often} in a forward pass of this network"
            )
        leaf = leaves[call]
        # 16-bit gradients of early layers are so small that they vanish: scaled up
        # here, and down again in float32
        scale = 1024.0 if leaf.dtype == torch.float16 else 1.0
        gradient = None
        if logits.requires_grad:
            gradient = torch.autograd.grad(
                scale * picked(logits, chosen).sum(), leaf, allow_unused=True
            )[0]
        if gradient is None:
            raise ValueError(f"the logits do not depend on layer {layer!r}")
    return LayerGradients(
        leaf.detach().float(), gradient.float() / scale, logits.detach().float(), chosen
    )
