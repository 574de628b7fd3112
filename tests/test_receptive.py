"""Receptive fields are where the gradient is: on single steps, and on networks of torchvision and timm."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from zoo import OTHERS, RELU_NETWORKS, build, deep_layer, size_of

from cnnviz_utils.models.build import build_model
from cnnviz_utils.viz.receptive import receptive_field

QUICK = ["squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5", "mobilenet_v3_small", "timm/resnet10t", "timm/regnetx_002", "timm/lcnet_035",
         "timm/ghostnet_100", "timm/convnextv2_atto", "timm/resnetblur18", "timm/repvgg_a0", "timm/hrnet_w18_small"]  # fmt: skip
SLOW = [name for name in RELU_NETWORKS + OTHERS if name not in QUICK]


class NothingIsLost(TorchFunctionMode):
    """Activations that are zero for some numbers let all through, and maxima are means."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "").strip("_")
        if name in ("relu", "relu6", "hardswish", "hardsigmoid", "hardtanh", "leaky_relu", "threshold", "clamp", "clamp_min"):
            return args[0] * 1.5 + 0.5
        if name in ("max_pool2d", "max_pool2d_with_indices", "boolean_dispatch"):
            x, kernel, *rest = args
            given = dict(zip(["stride", "padding", "dilation", "ceil_mode"], rest, strict=False)) | kwargs
            assert given.pop("dilation", 1) in (1, (1, 1))
            given.pop("return_indices", None)
            return F.avg_pool2d(x, kernel, **given)
        return function(*args, **kwargs)


def reached(model, images, layer, places):
    """The box of pixels with a gradient at each of these places, and the size of the map."""
    kept = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output))
    images = images.clone().requires_grad_()
    with NothingIsLost():
        model(images)
    handle.remove()
    maps = kept[-1]
    some = torch.rand(maps.shape[1], generator=torch.Generator().manual_seed(1), dtype=maps.dtype)
    boxes = []
    for y, x in places(maps.shape[-2], maps.shape[-1]):
        (gradient,) = torch.autograd.grad((maps[0, :, y, x] * some).sum(), images, retain_graph=True)
        rows, columns = (gradient[0].abs().amax((0, axis)).nonzero().flatten().tolist() for axis in (2, 1))
        if not rows:
            boxes.append([0, 0, 0, 0])
            continue
        boxes.append([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
    return boxes, maps.shape[-2:]


def check(model, size, layer, places):
    images = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    boxes, maps = reached(model, images, layer, places)
    field = receptive_field(model, layer, (size, size))
    ours = [field.seen[y, x].tolist() for y, x in places(*maps)]
    assert ours == boxes
    for y, x in places(*maps):
        top, left, bottom, right = field.box(y, x)
        a, b, c, d = field.seen[y, x].tolist()
        assert top <= a and left <= b and bottom >= c and right >= d and top >= 0 and bottom <= size
    return field


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.zoo) for name in SLOW)])
def test_networks_of_others(name):
    model = build(name)
    size = size_of(model, name)
    images = torch.rand(1, 3, size, size, dtype=torch.double)
    check(model, size, deep_layer(model, images), lambda h, w: [(h // 2, w // 2), (0, w - 1)])


@pytest.mark.parametrize(("name", "layer", "size"), [
    ("small_alexnet", "features.6", 96), ("small_vgg", "features.9", 96), ("small_googlenet", "inception2", 128),
    ("small_mobilenet", "block4", 128), ("small_resnet", "stage2", 128),
])  # fmt: skip
def test_our_own_networks(name, layer, size):
    model = build_model(name, 3, size=size).double().eval()
    field = check(model, size, layer, lambda h, w: [(h // 2, w // 2), (0, w - 1)])
    assert field.size[0] < size and list(field.box(5, 5)) == field.seen[5, 5].tolist()


class Then(nn.Module):
    """A convolution, something, and its output."""

    def __init__(self, something):
        super().__init__()
        self.conv, self.something, self.top = nn.Conv2d(3, 4, 3), something, nn.Identity()

    def forward(self, x):
        return self.top(self.something(self.conv(x)))


class SqueezeExcitation(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


class CoordConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(6, 4, 3)

    def forward(self, x):
        rows = torch.linspace(0, 1, x.shape[2], dtype=x.dtype)[:, None].expand(x.shape[2:])
        columns = torch.linspace(0, 1, x.shape[3], dtype=x.dtype).expand(x.shape[2:])
        return self.conv(torch.cat([x, torch.stack([rows, columns])[None]], 1))


def slices(x):
    x = x * 1.0
    x[:, :2] = x[:, 2:].roll(2, 3)
    x[..., 1:] += x[..., :-1].clone()
    return x


def attention(x):
    tokens = x.flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(tokens, tokens, tokens).transpose(1, 2).unflatten(2, x.shape[2:])


STEPS = {
    "transposed": nn.ConvTranspose2d(4, 4, 3), "transposed, stride": nn.ConvTranspose2d(4, 4, 3, 2, 1, 1),
    "transposed, dilated": nn.ConvTranspose2d(4, 4, 2, 3, 1, 0, 2, dilation=2), "roll": lambda x: x.roll((2, 1), (2, 3)),
    "softmax over a row": lambda x: x.softmax(3), "softmax over channels": lambda x: x.softmax(1),
    "layer norm over the map": lambda x: F.layer_norm(x, x.shape[1:]), "group norm": nn.GroupNorm(2, 4),
    "instance norm": nn.InstanceNorm2d(4), "own statistics": nn.BatchNorm2d(4, track_running_stats=False),
    "squeeze-excitation": SqueezeExcitation(), "slices": slices, "flip": lambda x: x.flip(3), "attention": attention,
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"), "bicubic": nn.Upsample(size=(9, 5), mode="bicubic"),
    "nearest": nn.Upsample(scale_factor=3), "shuffle": nn.PixelShuffle(2), "unshuffle": nn.PixelUnshuffle(2),
    "reflection": nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(4, 2, 3)), "same": nn.Conv2d(4, 2, 4, padding="same", dilation=2), "ceil": nn.MaxPool2d(3, 2, 1, ceil_mode=True), "adaptive": nn.AdaptiveAvgPool2d((5, 4)),
    "average": nn.AvgPool2d((3, 2), (1, 2), (1, 0)), "asymmetric": nn.Conv2d(4, 2, (1, 5), (2, 1), (0, 2), groups=2),
    "crop and pad": lambda x: F.conv2d(x[:, :, 2:, :-1], x.new_ones(1, 4, 3, 3), padding=2), "unfold": lambda x: x.unfold(2, 3, 2).unfold(3, 3, 2).flatten(4).sum(4),
    "im2col": lambda x: F.unfold(x, 3, padding=1).unflatten(2, x.shape[2:]), "matrix": lambda x: x @ x.new_ones(x.shape[3], 6),
    "windows": lambda x: x.unflatten(3, (2, -1)).softmax(4).flatten(3), "concatenated": lambda x: torch.cat([x, F.avg_pool2d(x, 3, 1, 1)], 1),
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_single_steps(step):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        something = STEPS[step]
        model = Then(something).double().eval()
    everywhere = lambda h, w: [(y, x) for y in range(h) for x in range(w)]
    check(model, 12, "top", everywhere)


def test_coordinates_beside_the_image_and_a_column_of_names():
    model = CoordConv().double().eval()
    model = nn.Sequential(nn.Conv2d(3, 4, 1), CoordConv()).double()
    field = check(model, 9, "1", lambda h, w: [(0, 0), (h - 1, 2)])
    assert field.size == (3, 3) and field.stride == (1, 1)


@pytest.mark.parametrize(("something", "size", "stride"), [
    (nn.ConvTranspose2d(4, 4, 3), (5, 5), (0, 0)), (SqueezeExcitation(), (12, 12), (0, 0)), (nn.GroupNorm(2, 4), (12, 12), (0, 0)),
    (nn.Conv2d(4, 4, 3, 2, 1), (5, 5), (2, 2)), (nn.Conv2d(4, 4, 9, padding=4), (11, 11), (1, 1)),
    (nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 9, padding=4)), (21, 21), (2, 2)),
])  # fmt: skip
def test_sizes_by_hand(something, size, stride):
    field = receptive_field(Then(something), "top", (12, 12))
    assert (field.size, field.stride) == (size, stride)


def test_a_map_of_one_place_still_has_its_size():
    """Padding sees what lies beyond the image: 3 + 2 * 2 + 2 * 4 + 2 * 4, although 4 pixels are all there are."""
    layers = [nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 1, 1)]
    small, large = (receptive_field(nn.Sequential(*layers), "3", (n, n)) for n in (4, 64))
    assert small.size == large.size == (23, 23) and small.seen.tolist() == [[[0, 0, 4, 4]]]


@pytest.mark.parametrize("end", [nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.Flatten(), nn.Linear(4 * 49, 2)), nn.Conv2d(4, 2, 7)])
def test_one_place_that_sees_all(end):
    field = receptive_field(nn.Sequential(nn.Conv2d(3, 4, 3), end), "1", (9, 9))
    assert (field.size, field.stride, field.start, field.box(0, 0)) == ((9, 9), (0, 0), (0, 0), (0, 0, 9, 9))


def test_layouts():
    class Last(nn.Sequential):
        def forward(self, x):
            return super().forward(x).permute(0, 2, 3, 1)

    model = nn.Sequential(Last(nn.Conv2d(3, 5, 3, 2, 1)), nn.LayerNorm(5), nn.Flatten(1, 2))
    for layer, layout in (("1", "channels_last"), ("2", "tokens")):
        field = receptive_field(model, layer, (16, 16), layout=layout)
        assert (field.size, field.stride, field.start) == ((3, 3), (2, 2), (-1, -1))
        assert field.seen[0, 0].tolist() == [0, 0, 2, 2]
    with pytest.raises(ValueError, match="channels_last"):
        receptive_field(model, "1", (16, 16))


@pytest.mark.parametrize(("something", "name"), [
    (lambda x: x.cumsum(2), "cumsum"), (lambda x: x.sort(2).values, "sort"), (lambda x: torch.fft.rfft(x).real, "_fft_r2c"),
    (lambda x: F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), align_corners=False), "grid_sampler_2d"), (lambda x: x.topk(2, 3).values, "topk"),
    (lambda x: x.flatten(2)[:, :, x.flatten(2).argmax(2)[0]][:, :, None], "argmax"),
    (lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), "masked"),
    (nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular"), None),
])  # fmt: skip
def test_what_is_unknown_is_refused_by_name(something, name):
    with pytest.raises(ValueError, match=f"no receptive field: .*{name}" if name else "'copy_'.*cannot be followed"):
        receptive_field(Then(something), "top", (9, 9))


def test_no_pixel_no_field():
    class Blind(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.conv(torch.ones_like(x))

    with pytest.raises(ValueError, match="'conv' does not depend on the pixels"):
        receptive_field(Blind(), "conv", (9, 9))
