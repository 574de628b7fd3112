"""Which layer a picture is about: a name, a module, or the last one that still gives a
picture. Here is also how a network is looked at: its modes and its images."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from cnnviz_utils.base.hooks import evaluating, layer_name, tensors_in
from cnnviz_utils.viz.layouts import Size, fits, read_maps
from cnnviz_utils.viz.targets import logits_of

# by name, as the module itself, or None: `last_spatial_layer`
Layer = str | nn.Module | None
log = logging.getLogger("cnnviz")


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
    if not isinstance(images, Tensor):
        raise ValueError(
            "images must be a tensor of floats (N, channels, H, W), not a "
            f"{type(images).__name__}; photos: load_images(path, size)"
        )
    if images.ndim != 4 or not images.is_floating_point():
        kind = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
        raise ValueError(
            f"images must be floats of shape (N, channels, H, W), not {kind}; one "
            "image: image[None]"
        )
    return images.clone() if images.is_inference() else images


def find_layer(
    model: nn.Module,
    layer: Layer,
    images: Tensor,
    layout: str = "channels_first",
    grid: Size | None = None,
) -> str:
    """The name of a layer: its own, a module's, or (None) that of `last_spatial_layer`,
    which is told at the level INFO of the logger "cnnviz".

    Raises: KeyError: no such layer.
    """
    if layer is not None:
        return layer_name(model, layer)
    name = last_spatial_layer(model, images, layout=layout, grid=grid)
    log.info("layer=None: %s of %s", name, type(model).__name__)
    return name


def prefix_tokens(model: nn.Module) -> int | None:
    """How many tokens come before the patches, where the network says so (timm's)."""
    known = getattr(model, "num_prefix_tokens", None)
    return known if isinstance(known, int) else None


def last_spatial_layer(
    model: nn.Module,
    images: Tensor,
    *,
    layout: str = "channels_first",
    grid: Size | None = None,
) -> str:
    """The last layer that gives maps of more than one place for these images
    (N, 3, H, W); only the first image is looked at.

    With `layout="tokens"` the last one whose patches still count for the logits: behind
    the last attention the class token alone does, so that it is the norm before it. Of
    tokens a linear layer is never taken (it makes queries, keys and values).

    Raises: ValueError: there is none, or most of the network works on tokens that come
        after it.

    torch-cam chooses in this way too (Fernandez 2020).
    """
    image = check_images(images)[:1]
    kept: list[tuple[str, nn.Module, Tensor]] = []
    with evaluating(model), torch.inference_mode(False), ExitStack() as stack:
        for name, module in model.named_modules():

            def keep(module, _inputs, output, name=name):
                found = list(tensors_in(output).values())
                if len(found) == 1:
                    kept.append((name, module, found[0]))

            if name:
                stack.callback(module.register_forward_hook(keep).remove)
        stack.enter_context(torch.set_grad_enabled(layout == "tokens"))
        output = model(image)
        if layout == "tokens":
            kept = _that_count(kept, logits_of(output))
    names = [
        (name, module)
        for name, module, output in kept
        if _is_picture(output, image, layout, grid, prefix_tokens(model))
    ]
    rows = {t.shape[1] for _, _, t in kept if t.ndim == 3}
    if layout == "channels_first":
        # what attention makes of a row of tokens is no picture
        square = {n for n, _, t in kept if t.ndim == 4 and rows & set(t.shape[2:])}
        names = [(name, module) for name, module in names if name not in square]
    if not names:
        raise ValueError(
            f"no layer of {type(model).__name__} gives maps with layout={layout!r} for "
            f"images of {image.shape[-2]} x {image.shape[-1]} px: name a layer, or say "
            "layout='channels_last' or 'tokens'"
        )
    if layout == "channels_first":
        _refuse_transformers(model, kept, names[-1][0], image)
    return names[-1][0]


def _is_picture(
    output: Tensor, image: Tensor, layout: str, grid: Size | None, prefix: int | None
) -> bool:
    try:
        maps = read_maps(output, image, layout, "", grid, prefix)
    except ValueError:
        return False
    places = tuple(maps.shape[-2:])
    return places != (1, 1) and (
        grid is not None or fits(places, tuple(image.shape[-2:]))
    )


def _that_count(
    kept: list[tuple[str, nn.Module, Tensor]], logits: Tensor
) -> list[tuple[str, nn.Module, Tensor]]:
    """The layers of tokens as wide as the last one, whose last token has a gradient of
    the largest logit."""
    rows = [k for k in kept if k[2].ndim == 3 and k[2].requires_grad]
    rows = [k for k in rows if k[2].shape[2] == rows[-1][2].shape[2]]
    rows = [k for k in rows if not isinstance(k[1], nn.Linear)]
    if not rows or not logits.requires_grad:
        return []
    gradients = torch.autograd.grad(
        logits.max(), [tensor for _, _, tensor in rows], allow_unused=True
    )
    return [
        one
        for one, gradient in zip(rows, gradients, strict=True)
        if gradient is not None and gradient[:, -1].any()
    ]


def _refuse_transformers(
    model: nn.Module,
    kept: list[tuple[str, nn.Module, Tensor]],
    name: str,
    image: Tensor,
) -> None:
    """The last maps of a transformer are its patches, before anything is understood."""
    own = [k for k in kept if list(k[1].parameters(recurse=False))]
    last = max((i for i, k in enumerate(kept) if k[0] == name), default=0)
    behind = {id(k[1]) for k in kept[last + 1 :]}
    size = image.shape[-2:]
    for layout in ("tokens", "channels_last"):
        found = [
            k
            for k in own
            if id(k[1]) in behind and _is_picture(k[2], image, layout, None, None)
        ]
        if 2 * len(found) > len(own):
            raise ValueError(
                f"the last maps of {type(model).__name__} for images of {size[0]} x "
                f"{size[1]} px are those of {name!r}, but most of the network comes "
                f"after it: say layout={layout!r}, or name a layer"
            )
