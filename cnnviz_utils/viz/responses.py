"""Filters, feature maps, and the patches of the images that a channel responds to most
strongly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cnnviz_utils.base.declared import BatchSize
from cnnviz_utils.base.hooks import capture, get_layer, layer_name
from cnnviz_utils.base.settings import UsageError, fitting
from cnnviz_utils.viz.layers import Layer, check_images, find_layer, layer_maps, looking
from cnnviz_utils.viz.layouts import Size, read_maps
from cnnviz_utils.viz.receptive import receptive_field


class LabelledImages(Protocol):
    """Whatever has a length and gives (images, labels), as the course's sets do."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]: ...


def filters(model: nn.Module, layer: str | nn.Module) -> Tensor:
    """A convolution's weights, (C_out, C_in, k, k): a copy, signed. With C_in = 3 each
    is a small picture; in later layers it is C_in grey ones. Raises ValueError where
    the layer is no convolution."""
    module = get_layer(model, layer)
    if not isinstance(module, nn.Conv2d):
        raise ValueError(
            f"layer {layer_name(model, layer)!r} is a {type(module).__name__} and has "
            "no filters: name a Conv2d"
        )
    return module.weight.detach().clone().float()


def feature_maps(
    model: nn.Module,
    images: Tensor,
    layer: Layer = None,
    *,
    layout: str | None = None,
    grid: Size | None = None,
) -> Tensor:
    """A layer's output for images (N, 3, H, W) in [0, 1], float32, in evaluation mode:
    as the layer gives it, (N, C, h, w) for a convolution and (N, C) for a linear one.

    layer: a name, a module, or None for `last_spatial_layer`. With a layout
    ("channels_first", "channels_last" for (N, h, w, C), "tokens" for (N, T, C)) the
    output is read as maps (N, C, h, w), and refused where it can't be.

    Raises: KeyError, ValueError: no such layer, one that does not run, or no maps.
    """
    with looking(model):
        if layout is not None or layer is None:
            layout = layout or "channels_first"
            return layer_maps(model, images, layer, layout, grid)[1].float()
        images = check_images(images, model)
        name = find_layer(model, layer, images)
        with capture(model, [name]) as maps:
            model(images)
    if name not in maps:
        raise ValueError(
            f"layer {name!r} does not run in a forward pass of this network"
        )
    return maps[name].float()


@dataclass(frozen=True, eq=False)
class Patches:
    """The strongest activations of some channels over a set of images, strongest first.

    index: int64 (channels, top), positions in the data
    values: (channels, top), the activations
    places: int64 (channels, top, 2), row and column in the layer's map
    boxes: int64 (channels, top, 4), top, left, bottom, right in pixels: the receptive
        field, moved inside the image
    images: (channels, top, 3, H, W), the whole images
    """

    index: Tensor
    values: Tensor
    places: Tensor
    boxes: Tensor
    images: Tensor

    def crop(self, pictures: Tensor | None = None) -> Tensor:
        """The boxes cut out of the images, or of pictures of their shape (their
        deconvnet projections): (channels, top, 3, height, width)."""
        pictures = self.images if pictures is None else pictures
        rows = [
            [p[:, t:b, l:r] for p, (t, l, b, r) in zip(row, boxes, strict=True)]
            for row, boxes in zip(pictures, self.boxes.tolist(), strict=True)
        ]
        return torch.stack([torch.stack(row) for row in rows])


def strongest_patches(
    model: nn.Module,
    data: Tensor | LabelledImages,
    layer: Layer,
    channels: Sequence[int],
    top: int = 9,
    batch_size: int = 64,
) -> Patches:
    """Where in a data set each channel is most active: one activation an image, the
    `top` images of each channel.

    data: images (N, 3, H, W) in [0, 1], or anything with a length whose slices are
        (images, labels). layer: a name, a module, or None for `last_spatial_layer`.

    Raises:
        KeyError, ValueError: no such layer or channel; fewer images than `top`.

    Zeiler and Fergus 2014, figure 2.
    """
    channels, count = fitting(list(channels), list[int], "channels"), len(data)
    fitting(batch_size, BatchSize, "batch_size")
    if not channels:
        raise UsageError("channels: the numbers of those to look at, and there is none")
    if not 1 <= fitting(top, int, "top") <= count:
        raise ValueError(
            f"top={top} needs at least as many images, but there are {count}"
            if top > count
            else f"top is how many patches a channel, at least 1, not {top}"
        )
    values, places = [], []
    name = find_layer(model, layer, _image(data, 0)[None])
    for images in _batches(data, batch_size):
        maps = feature_maps(model, images, name)
        if maps.ndim == 4:
            # refuses what is no picture
            read_maps(maps, images, "channels_first", name)
        if not all(0 <= c < maps.shape[1] for c in channels):
            raise ValueError(
                f"channels of layer {name!r} go from 0 to {maps.shape[1] - 1}, not "
                f"{channels}"
            )
        # a linear layer: maps of one place
        maps = maps if maps.ndim == 4 else maps.flatten(1)[:, :, None, None]
        best = maps[:, channels].flatten(2).max(2)
        values.append(best.values)
        places.append(
            torch.stack(
                [best.indices // maps.shape[-1], best.indices % maps.shape[-1]], 2
            )
        )
    values, index = torch.cat(values).T.topk(top)
    places = (
        torch.cat(places).transpose(0, 1).gather(1, index[:, :, None].expand(-1, -1, 2))
    )
    chosen = torch.stack([_image(data, i) for i in index.flatten().tolist()]).unflatten(
        0, index.shape
    )
    field = receptive_field(model, name, chosen.shape[-2:])
    boxes = torch.tensor([[field.box(y, x) for y, x in row] for row in places.tolist()])
    return Patches(index, values, places, boxes, chosen)


def _batches(data: Tensor | LabelledImages, batch_size: int) -> Iterator[Tensor]:
    for start in range(0, len(data), batch_size):
        part = data[start : start + batch_size]
        yield part if isinstance(part, Tensor) else part[0]


def _image(data: Tensor | LabelledImages, index: int) -> Tensor:
    item = data[index]
    return item if isinstance(item, Tensor) else item[0]
