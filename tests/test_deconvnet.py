"""The deconvnet: each step is the adjoint of its forward step; the whole against hand-written networks and the rule."""

import copy
import warnings
from functools import cache

import pytest
import torch
import torchvision
from captum.attr import Deconvolution
from torch import nn
from torch.nn import functional as F
from zoo import RELU_NETWORKS, build, deep_layer

from cnnviz_utils.viz.deconvolution import deconvnet, descend, transposed_conv, unpool
from cnnviz_utils.viz.gradients import channel_gradient, input_gradient, keep_strongest
from cnnviz_utils.viz.responses import feature_maps
from cnnviz_utils.viz.tape import record_steps


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@cache
def network(name):
    """One for all tests: nothing here may change it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = {"init_weights": False} if name == "googlenet" else {}
        model = getattr(torchvision.models, name)(weights=None, num_classes=10, **options)
        for module in model.modules():  # statistics of BatchNorm that are not 0 and 1
            if isinstance(module, nn.BatchNorm2d):
                module.running_var.uniform_(0.5, 2)
                module.weight.data.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1)])
def test_unpooling_is_the_adjoint_of_pooling(kernel, stride, padding):
    """<Px, y> = <x, P'y>, P being linear once the switches are fixed; also where windows overlap."""
    x, other = random(2, 4, 15, 13).double(), random(2, 4, 15, 13, seed=1).double()
    pooled, switches = F.max_pool2d(x, kernel, stride, padding, return_indices=True)
    pool = lambda images: images.flatten(2).gather(2, switches.flatten(2)).view_as(pooled)
    assert torch.equal(pool(x), pooled)
    y = random(*pooled.shape, seed=2).double()
    up = unpool(y, switches, (15, 13))
    torch.testing.assert_close((pool(other) * y).sum(), (other * up).sum(), rtol=1e-12, atol=0)
    theirs = F.max_unpool2d(y, switches, kernel, stride, padding, output_size=(15, 13))
    overlaps = stride < kernel
    assert torch.equal(theirs, up) is not overlaps  # why MaxUnpool2d is not used


@pytest.mark.parametrize("settings", [
    {}, {"stride": 2}, {"stride": 2, "padding": 1}, {"stride": (1, 3), "padding": (2, 0), "dilation": 2}, {"groups": 2},
])  # fmt: skip
def test_the_transposed_convolution_is_the_adjoint_of_the_convolution(settings):
    weight = random(6, 4 // settings.get("groups", 1), 3, 3).double() - 0.5
    for size in [(15, 13), (16, 14)]:  # both give the same output size at stride 2
        x = random(2, 4, *size, seed=1).double()
        down = F.conv2d(x, weight, **settings)
        y = random(*down.shape, seed=2).double() - 0.5
        up = transposed_conv(y, weight, size, **settings)
        torch.testing.assert_close((down * y).sum(), (x * up).sum(), rtol=1e-10, atol=0)


class EveryStep(nn.Module):
    """Everything that `descend` can undo but the ReLU: there it must be the ordinary gradient."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 6, 3, 2, 1)
        self.two = nn.Conv2d(6, 6, 1)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout2d(0.5)
        self.head = nn.Linear(12 * 6, 7)

    def forward(self, x):
        x = (x - torch.full((1, 3, 1, 1), 0.4)) / torch.tensor([0.1, 0.2, 0.3])[:, None, None]
        x = F.max_pool2d(self.one(x), 3, 2)
        x = torch.cat([x, 2 * self.norm(self.two(x)) - x], 1)
        x = F.avg_pool2d(self.drop(x), 3, 2, 1)
        x += x * 0.5
        y = F.adaptive_avg_pool2d(x, (2, 3)) + x.mean((2, 3), keepdim=True)
        return self.head(y.flatten(1))


def test_without_relus_it_is_the_gradient():
    model, images = EveryStep().eval(), random(2, 3, 33, 29)
    y = random(2, 7, seed=1) - 0.5
    pixels = images.clone().requires_grad_()
    expected = torch.autograd.grad(model(pixels), pixels, y)[0]
    torch.testing.assert_close(descend(record_steps(model, images, "head"), y), expected, rtol=1e-4, atol=1e-6)


def test_shortcuts_with_a_relu_by_hand():
    """x -> conv a -> relu -> conv b -> + relu's input: the signal comes down both ways, and only then meets a ReLU."""

    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.relu = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.ReLU()
            self.top = nn.Conv2d(4, 4, 3)

        def forward(self, x):
            x = self.a(x)
            return self.top(self.relu(self.b(self.relu(x)) + x))

    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Branching().eval()
    images = random(2, 3, 12, 12)
    relu = lambda signal: signal.clamp(min=0)
    signal = keep_strongest(model(images).detach(), 2)
    signal = relu(F.conv_transpose2d(signal, model.top.weight))
    signal = signal + relu(F.conv_transpose2d(signal, model.b.weight))
    by_hand = F.conv_transpose2d(signal, model.a.weight)
    torch.testing.assert_close(deconvnet(model, images, "top", 2), by_hand, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(channel_gradient(model, images, "top", 2), by_hand, rtol=1e-5, atol=1e-7)


def hand_written(features, images, layer, channel):
    """AlexNet's or VGG's convolutions, forward with switches and down again, a loop over the modules; pooling undone
    plane by plane."""
    inputs, switches, x = [], [], images
    for module in features[: layer + 1]:
        inputs.append(x)
        if isinstance(module, nn.MaxPool2d):
            x, where = F.max_pool2d(x, module.kernel_size, module.stride, return_indices=True)
        else:
            x, where = module(x), None
        switches.append(where)
    signal = torch.zeros_like(x)
    for i in range(len(x)):
        place = divmod(int(x[i, channel].argmax()), x.shape[-1])
        signal[i, channel][place] = x[i, channel][place]
    for module, below, where in list(zip(features, inputs, switches, strict=False))[::-1]:
        if isinstance(module, nn.ReLU):
            signal = signal.clamp(min=0)
        elif isinstance(module, nn.MaxPool2d):
            up = torch.zeros_like(below).flatten(2)
            for i, c in (signal.flatten(2) != 0).any(2).nonzero().tolist():
                up[i, c].index_put_((where[i, c],), signal[i, c], accumulate=True)
            signal = up.view_as(below)
        else:
            signal = torch.nn.grad.conv2d_input(below.shape, module.weight, signal, module.stride, module.padding)
    return signal.detach()


@pytest.mark.parametrize(("name", "layer"), [("alexnet", 12), ("alexnet", 8), ("vgg11", 12), ("vgg11", 18)])
def test_equals_a_hand_written_network(name, layer):
    model, images = network(name), random(2, 3, 67, 71)
    channel = int(feature_maps(model, images, f"features.{layer}").sum((0, 2, 3)).argmax())  # one that is not silent
    by_hand = hand_written(copy.deepcopy(model.features).apply(not_in_place), images, layer, channel)
    assert float(by_hand.abs().max()) > 0
    ours = deconvnet(model, images, f"features.{layer}", channel)
    assert float((ours - by_hand).abs().max()) <= 1e-6 * float(by_hand.abs().max())


def up_and_down(layers, images, channel):
    """Lesson 08's walk: up with switches, down with transposed filters written out, nothing of the library's."""
    way, x = [], images
    for layer in layers:
        pool = isinstance(layer, nn.MaxPool2d)
        y, switches = F.max_pool2d(x, layer.kernel_size, layer.stride, return_indices=True) if pool else (layer(x), None)
        way.append((layer, x.shape, switches))
        x = y
    flat, signal = x.flatten(2), torch.zeros_like(x.flatten(2))
    for i, place in enumerate(flat[:, channel].argmax(1)):
        signal[i, channel, place] = flat[i, channel, place]
    signal = signal.view_as(x)
    for layer, shape, switches in reversed(way):
        if isinstance(layer, nn.MaxPool2d):
            signal = torch.zeros(shape).flatten(2).scatter_add(2, switches.flatten(2), signal.flatten(2)).view(shape)
        elif isinstance(layer, nn.ReLU):
            signal = signal.clamp(min=0)
        else:
            s, p, k = layer.stride[0], layer.padding[0], layer.kernel_size[0]
            rest = [side + 2 * p - (small - 1) * s - k for side, small in zip(shape[2:], signal.shape[2:], strict=True)]
            signal = F.conv_transpose2d(signal, layer.weight, None, s, p, rest)
    return signal


@pytest.mark.parametrize(("name", "layer"), [("alexnet", 12), ("alexnet", 5), ("vgg11", 12), ("vgg11", 18)])
def test_no_difference_at_all_to_the_walk_of_lesson_06(name, layer):
    model, images = network(name), random(2, 3, 67, 71)
    channel = int(feature_maps(model, images, f"features.{layer}").sum((0, 2, 3)).argmax())
    with torch.no_grad():
        by_hand = up_and_down(copy.deepcopy(model.features).apply(not_in_place)[: layer + 1], images, channel)
    assert by_hand.any() and torch.equal(deconvnet(model, images, f"features.{layer}", channel), by_hand)


@pytest.mark.parametrize("pooling", [True, False])
def test_only_the_switches_know_the_image(pooling):
    """The same signal sent down from different images: the same picture unless something was pooled."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.MaxPool2d(2) if pooling else nn.Identity(), nn.Conv2d(6, 5, 3)]
        model = nn.Sequential(*layers, nn.ReLU()).eval()
    recording = record_steps(model, random(4, 3, 24, 24), "4")
    signal = torch.zeros_like(recording.maps)
    signal[:, 2, 1, 1] = 1
    with torch.no_grad():
        pictures = descend(recording, signal)
    assert pictures.any() and torch.equal(pictures, pictures[:1].expand(4, -1, -1, -1)) is not pooling


def not_in_place(module):
    if isinstance(module, nn.ReLU):
        module.inplace = False


@pytest.mark.parametrize(("name", "layer"), [
    ("alexnet", "features.12"), ("alexnet", "classifier.4"), ("vgg11_bn", "features.14"), ("resnet18", "maxpool"),
    ("resnet18", "layer1"), ("resnet18", "layer3.0.bn2"), ("resnet18", "layer4.1.relu"), ("resnet18", "fc"),
    ("resnet50", "layer2"), ("densenet121", "features.denseblock2"), ("googlenet", "inception4a"),
])  # fmt: skip
def test_equals_the_rule_of_one_line(name, layer):
    """Explicit and without any gradient, against autograd with another backward rule for ReLU."""
    model, images = network(name), random(2, 3, 96, 96)
    explicit = deconvnet(model, images, layer)
    by_rule = channel_gradient(model, images, layer)
    largest = float(by_rule.abs().max())
    assert largest > 0
    torch.testing.assert_close(explicit, by_rule, rtol=1e-4, atol=1e-5 * largest)


def test_captum_agrees_where_nothing_branches_and_not_where_it_does():
    """Its hook on a ReLU changes what the other branch of the ReLU's input gets as well."""
    class Plain(nn.Sequential):
        pass

    class Branching(nn.Sequential):
        def forward(self, x):
            x = self[0](x)
            return (self[2](self[1](x)) + x).mean((2, 3))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)]
    heads = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    images, errors = random(2, 3, 16, 16), []
    for model in (Plain(*layers, *heads), Branching(*layers)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Captum announces its hooks
            theirs = Deconvolution(model).attribute(images, target=3).detach()
        ours = input_gradient(model, images, 3, rule="deconvnet")
        errors.append(float((ours - theirs).abs().max() / ours.abs().max()))
    one = torch.zeros(2, 8, 16, 16)
    one[:, 3] = 1 / 256
    down = lambda signal, conv: F.conv_transpose2d(signal, conv.weight, padding=1)
    by_hand = down(down(one, layers[2]).clamp(min=0) + one, layers[0])
    torch.testing.assert_close(ours, by_hand.detach(), rtol=1e-4, atol=1e-8)
    assert errors[0] < 1e-5 and errors[1] > 0.05


def test_a_silent_channel_is_a_zero_picture_and_channels_can_differ_by_image():
    model, images = copy.deepcopy(network("alexnet")), random(3, 3, 67, 67)
    model.features[3].bias.data[7] = -1e3
    assert not deconvnet(model, images, "features.4", 7).any()
    mixed = deconvnet(model, images, "features.4", [7, 1, 2])
    for i, channel in enumerate([7, 1, 2]):
        alone = deconvnet(model, images[i : i + 1], "features.4", channel)[0]
        torch.testing.assert_close(mixed[i], alone, rtol=1e-4, atol=1e-7)


def test_leaves_no_trace_and_says_what_it_cannot_do():
    model, images = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid(), nn.Conv2d(4, 2, 1)), random(1, 3, 9, 9)
    with pytest.raises(ValueError, match="cannot undo 'sigmoid'"):
        deconvnet(model, images, "2")
    with pytest.raises(ValueError, match="from 0 to 1"):
        deconvnet(model, images, "2", 2)
    with pytest.raises(KeyError, match="no layer"):
        deconvnet(model, images, "3")
    assert model.training and not any(m._forward_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())


class Way(nn.Module):
    """A convolution, and whatever comes then."""

    def __init__(self, then):
        super().__init__()
        self.conv, self.other, self.then, self.top = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1), then, nn.Identity()

    def forward(self, x):
        return self.top(self.then(self.conv(x), self.other))


@pytest.mark.parametrize("then", [
    lambda y, other: torch.div(y, 3.0, rounding_mode="floor"),
    lambda y, other: y * y.mean((2, 3), True), lambda y, other: 1 / (y + 9),
    lambda y, other: y * (y > 0), lambda y, other: torch.where(y > 0, y, 0.0), lambda y, other: y.softmax(1), lambda y, other: F.relu6(y),
    lambda y, other: F.conv2d(y, y[:, :, :3, :3].transpose(0, 1)[:, :1], groups=4), lambda y, other: y.clamp_min(0.1), lambda y, other: y @ y,
])  # fmt: skip
def test_what_cannot_be_undone_is_refused_and_not_left_out(then):
    with pytest.raises(ValueError, match="deconvnet cannot undo"):
        deconvnet(Way(then), random(1, 3, 9, 9), "top")


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4, track_running_stats=False), nn.InstanceNorm2d(4), nn.GroupNorm(2, 4)])
def test_norms_by_the_maps_own_statistics_are_refused(norm):
    with pytest.raises(ValueError, match="deconvnet cannot undo"):
        deconvnet(Way(lambda y, other: norm(y)), random(2, 3, 9, 9), "top")


def written(y, some, value):
    y = y * 1.0
    y[some] = value(y)
    return y


def added(y, some, value):
    y = y.clone()
    y[some] += value(y)
    return y


def into_zeros(y, other):
    x = torch.zeros(2, 6, 9, 9, dtype=y.dtype)
    x[:, 1:5] = y
    x[:, :2] -= 0.3 * x[:, 2:4]
    return x


LINEAR = {
    "by name": lambda y, other: torch.mul(y, other=3.0), "divided": lambda y, other: torch.div(y, other=3.0),
    "average": lambda y, other: F.avg_pool2d(y, 3, 2, 1), "uncounted": lambda y, other: F.avg_pool2d(y, 3, 2, 1, count_include_pad=False),
    "its own divisor": lambda y, other: F.avg_pool2d(y, 2, divisor_override=3), "ceil": lambda y, other: F.avg_pool2d(y, 3, 2, 1, True),
    "ceil, uncounted": lambda y, other: F.avg_pool2d(y, 4, 3, 1, True, False), "chunks": lambda y, other: y + torch.cat([other(y.chunk(2, 1)[0]), y.chunk(2, 1)[1]], 1),
    "alpha": lambda y, other: torch.add(y, y * 2, alpha=0.1), "less": lambda y, other: torch.sub(y, y[:, :1], alpha=0.3),
    "turned": lambda y, other: 1 - y, "written": lambda y, other: written(y, (slice(None), slice(2)), lambda y: y[:, 2:] * 3),
    "shifted": lambda y, other: added(y, (..., slice(1, None)), lambda y: y[..., :-1].clone()),
    "twice": lambda y, other: added(written(y, (slice(None), 0), lambda y: 0.0), (slice(None), 1), lambda y: y[:, 2]),
    "into zeros": into_zeros, "channel shuffle": lambda y, other: F.channel_shuffle(y, 2), "pixel shuffle": lambda y, other: F.pixel_shuffle(torch.cat([y, 2 * y], 1), 2),
    "nearest": lambda y, other: F.interpolate(y, scale_factor=2), "bilinear": lambda y, other: F.interpolate(y, (13, 7), mode="bilinear"),
    "bicubic": lambda y, other: F.interpolate(y, (4, 12), mode="bicubic", align_corners=True), "adaptive": lambda y, other: F.adaptive_avg_pool2d(y, (4, 5)),
    "adaptive maximum": lambda y, other: F.adaptive_max_pool2d(y, 4), "reflected": lambda y, other: other(F.pad(y[:, :2], (2, 1, 1, 0), "reflect")),
    "same": lambda y, other: F.conv2d(y, torch.ones(3, 4, 4, 2, dtype=y.dtype).cumsum(2), padding="same", dilation=2),
    "transposed": lambda y, other: F.conv_transpose2d(y, torch.ones(4, 3, 3, 2, dtype=y.dtype).cumsum(0), None, 2, 1, (1, 0), 2),
    "one axis": lambda y, other: F.conv1d(y.flatten(2), torch.ones(3, 4, 5, dtype=y.dtype).cumsum(1), stride=2)[..., None],
    "matrix": lambda y, other: torch.ones(7, 9, dtype=y.dtype).cumsum(0) @ y @ torch.ones(9, 5, dtype=y.dtype).cumsum(1),
    "einsum": lambda y, other: torch.einsum("nchw,ck->nkhw", y, torch.ones(4, 3, dtype=y.dtype).cumsum(0)),
    "rolled": lambda y, other: y.roll((2, 1), (2, 3)).flip(3).transpose(2, 3), "indexed": lambda y, other: y[:, [2, 2, 0]], "summed": lambda y, other: y.sum((0, 2), True) + y,
    "channels last": lambda y, other: F.adaptive_avg_pool2d(y.to(memory_format=torch.channels_last), 1), "unfolded": lambda y, other: F.unfold(y, 3, 2, 1, 2)[..., None],
    "mean of all": lambda y, other: y + y.mean(),
}  # fmt: skip


@pytest.mark.parametrize("then", LINEAR)
def test_what_is_linear_is_undone_by_its_transpose(then):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, images = Way(LINEAR[then]).double().eval(), random(2, 3, 9, 9).double()
    usual = channel_gradient(model, images, "top", 1, rule="saliency")  # no ReLU, so no rule
    assert usual.any()
    torch.testing.assert_close(deconvnet(model, images, "top", 1), usual)


QUICK = ["squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5", "regnet_x_400mf", "timm/resnet10t", "timm/regnetx_002", "timm/resnetblur18",
         "timm/repvgg_a0", "timm/dla46_c", "timm/hrnet_w18_small", "timm/selecsls42", "timm/xception41"]  # fmt: skip
SLOW = [name for name in RELU_NETWORKS if name not in QUICK]


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.zoo) for name in SLOW)])
def test_equals_the_rule_on_networks_of_others(name):
    model = build(name)
    images = random(1, 3, 96, 96, seed=3).double()
    layer = deep_layer(model, images)
    by_rule = channel_gradient(model, images, layer)
    try:
        explicit = deconvnet(model, images, layer)
    except ValueError as error:  # an activation that has no rule, a product: refused by name
        assert name not in QUICK and "cannot undo" in str(error)
        return
    largest = float(by_rule.abs().max())
    assert largest > 0
    torch.testing.assert_close(explicit, by_rule, rtol=1e-5, atol=1e-6 * largest)
