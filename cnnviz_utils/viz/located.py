"""Which layer a picture is about: a name, a module, or the last one that still gives a
picture. Here is also how a network is looked at: its modes and its images."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from cnnviz_utils.base.hooks import (
    evaluating,
    every_module,
    in_its_type,
    layer_name,
    logits_of,
    tensors_in,
)
from cnnviz_utils.viz.later import deferring
from cnnviz_utils.viz.layouts import LAYOUTS, Size, fits, read_maps, sides

# by name, as the module itself, or None: `last_spatial_layer`
Layer = str | nn.Module | None
# a layer's name, the layer, what it gave
Output = tuple[str, nn.Module, Tensor]
log = logging.getLogger("cnnviz")
# the last layer that was found in a network, and for what
FOUND: WeakKeyDictionary[nn.Module, tuple[tuple, str]] = WeakKeyDictionary()


@contextmanager
def looking(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients inside, whatever the caller's contexts are; all
    as before afterwards.

    Inference mode is switched off, because its tensors can never have gradients.

    Raises: ValueError: the network's weights were made in inference mode.
    """
    with (
        deferring(),
        evaluating(model),
        torch.inference_mode(False),
        torch.no_grad(),
    ):
        try:
            yield
        except RuntimeError as error:
            if "Inference tensors cannot be saved" not in str(error):
                raise
            raise ValueError(
                f"the weights of {type(model).__name__} were made inside "
                "torch.inference_mode and can have no gradients: build or load it "
                "outside"
            ) from None


def check_images(images: Tensor, model: nn.Module) -> Tensor:
    """Images as (N, C, H, W) floats of the network's type, copied only if need be (they
    were made in inference mode). Raises ValueError otherwise."""
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
    images = images.clone() if images.is_inference() else images
    return in_its_type(model, images)


def way_of(model: nn.Module, images: Tensor) -> tuple:
    """What decides which steps images take through a network, but for its code: its
    modules, and the images' shape and type. For what need be found out only once."""
    own = tuple((id(m), type(m)) for m in every_module(model))
    return own, images.shape[1:], images.dtype


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
    if layout != "channels_first":  # which tokens count depends on the weights
        name = last_spatial_layer(model, images, layout=layout, grid=grid)
    else:
        # a forward pass; what it shows depends on the modules and the images' size
        key = (*way_of(model, images), grid)
        known = FOUND.get(model)
        if known is None or known[0] != key:
            name = last_spatial_layer(model, images, layout=layout, grid=grid)
            known = FOUND[model] = (key, name)
        name = known[1]
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
    image = check_images(images, model)[:1]
    kept: list[Output] = []
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
    prefix = prefix_tokens(model)
    pictures = [k for k in kept if _is_picture(k[2], image, layout, grid, prefix)]
    if layout == "channels_first":
        # what attention makes of a row of tokens is no picture
        rows = {tensor.shape[1] for _, _, tensor in kept if tensor.ndim == 3}
        pictures = [k for k in pictures if not rows & set(k[2].shape[2:])]
    if not pictures:
        others = [
            f"say layout={other!r}"
            for other in LAYOUTS
            if other != layout
            and any(_is_picture(k[2], image, other, None, None) for k in kept)
        ]
        raise ValueError(
            f"no layer of {type(model).__name__} gives maps with layout={layout!r} for "
            f"images of {image.shape[-2]} x {image.shape[-1]} px: "
            f"{', '.join(['name a layer', *others])}"
        )
    if layout == "channels_first":
        _refuse_transformers(model, kept, pictures[-1], image)
    return pictures[-1][0]


def _is_picture(
    output: Tensor, image: Tensor, layout: str, grid: Size | None, prefix: int | None
) -> bool:
    try:
        maps = read_maps(output, image, layout, "", grid, prefix)
    except ValueError:
        return False
    places = sides(maps)
    return places != (1, 1) and (grid is not None or fits(places, sides(image)))


def _that_count(kept: list[Output], logits: Tensor) -> list[Output]:
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
    found = [
        one
        for one, gradient in zip(rows, gradients, strict=True)
        if gradient is not None and gradient[:, -1].any()
    ]
    if not found:
        raise ValueError(
            "the logits do not depend on the tokens of any layer (is the last layer "
            "still all zeros?): name a layer"
        )
    return found


def _refuse_transformers(
    model: nn.Module, kept: list[Output], chosen: Output, image: Tensor
) -> None:
    """The last maps of a transformer are its patches, before anything is understood.
    Refused where maps with channels last come later, or tokens do and most layers work
    on them; a few are an attention's pooling at the end of a convolutional network."""
    own = [k for k in kept if list(k[1].parameters(recurse=False))]
    last = max(i for i, k in enumerate(kept) if k is chosen)
    behind = {id(k[2]) for k in kept[last + 1 :]}
    high, wide = image.shape[-2:]
    for layout in ("channels_last", "tokens"):
        found = [
            k
            for k in own
            if _is_picture(k[2], image, layout, None, None)
            and not _is_picture(k[2], image, "channels_first", None, None)
        ]
        later = any(id(k[2]) in behind for k in found)
        if later and (layout == "channels_last" or 2 * len(found) > len(own)):
            raise ValueError(
                f"the last maps of {type(model).__name__} for images of "
                f"{high} x {wide} px are those of {chosen[0]!r}, but most of what it "
                f"computes is laid out otherwise: say layout={layout!r}, or name a "
                "layer"
            )
