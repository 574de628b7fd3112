"""The faster copy against the model itself; the decoder against its definition and its purpose."""

import threading
import warnings

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn.utils import prune  # noqa: F401
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cnnviz_utils.models.freezing import freeze
from cnnviz_utils.viz.cams import grad_cam
from cnnviz_utils.viz.decoder import Visualizer, decode, train_decoder
from cnnviz_utils.viz.deconvolution import deconvnet
from cnnviz_utils.viz.fast import fast_copy
from cnnviz_utils.viz.gradients import input_gradient
from cnnviz_utils.viz.responses import feature_maps


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def network(name):
    """With statistics and factors of BatchNorm that are not 0 and 1."""
    options = {"init_weights": False} if name.startswith(("googlenet", "vgg")) else {}  # torch's own take less time
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(torchvision.models, name)(weights=None, num_classes=10, **options)
        if name.startswith("vgg"):  # its classifier has 95 % of its numbers and no convolution
            model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 10)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
                module.weight.data.uniform_(0.5, 2)
                module.bias.data.normal_(0, 0.1)
    return model


@pytest.mark.parametrize(("name", "layer", "left"), [
    ("resnet18", "layer4", 0), ("vgg11_bn", "features", 0),
    ("googlenet", "inception5b", 2),  # its auxiliary heads do not run
    ("densenet121", "features.denseblock4", 62),  # its BatchNorms stand before their convolutions: most stay
])  # fmt: skip
def test_the_copy_gives_the_same_maps_and_the_model_stays(name, layer, left):
    model, images = network(name).double(), random(3, 3, 64, 64).double()  # rounding could move a maximum of pooling
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fast = fast_copy(model, images[:1])
    assert sum(isinstance(m, nn.BatchNorm2d) for m in fast.modules()) == left
    for ours, usual in [
        (grad_cam(fast, images, layer, relu=False), grad_cam(model, images, layer, relu=False)),
        (input_gradient(fast, images, rule="guided"), input_gradient(model, images, rule="guided")),
        (deconvnet(fast, images, layer), deconvnet(model, images, layer)),
    ]:
        torch.testing.assert_close(ours, usual, rtol=1e-3, atol=1e-4 * float(usual.abs().max()))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.training and all(p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks for m in [*model.modules(), *fast.modules()])


def test_the_copy_follows_its_weights_and_takes_any_batch():
    model, other, images = network("resnet18"), network("resnet18"), random(3, 3, 64, 64)
    other.fc.weight.data.mul_(2)
    for module in other.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data.mul_(1.1)
    fast, again = fast_copy(model.eval(), images[:1]), fast_copy(other.eval(), images[:1])
    with torch.no_grad():
        fast(images)
        fast.load_state_dict(again.state_dict())
        for batch in (images, images[:0], images[:2]):
            torch.testing.assert_close(fast(batch), again(batch))
        with pytest.raises(RuntimeError, match="to have 3 channels"):
            fast(random(1, 4, 64, 64))
    with torch.inference_mode():
        copied = fast_copy(model, images[:1])
        torch.testing.assert_close(copied(images), model(images), rtol=1e-4, atol=1e-4)
    assert grad_cam(copied, images, "layer4").shape == (3, 2, 2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_says_how_far_off_it_is(dtype):
    model, images = network("resnet18").eval(), random(2, 3, 64, 64)
    half, whole = fast_copy(model, images, dtype=dtype), fast_copy(model, images)
    with torch.no_grad():
        usual, ours = model(images), half(images)
    assert ours.dtype == torch.float32 and half.fc.weight.dtype == dtype
    assert half.error == pytest.approx(float((ours - usual).abs().max() / usual.abs().max()))
    assert whole.error < 1e-5 < half.error < (0.02 if dtype == torch.bfloat16 else 0.003)
    maps, expected = grad_cam(half, images, "layer4", 3), grad_cam(model, images, "layer4", 3)
    assert maps.dtype == torch.float32
    assert (maps - expected).abs().max() < 0.05 * expected.abs().max()


def test_half_precision_that_overflows_is_refused():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    model[0].weight.data.mul_(1e6)
    with pytest.raises(ValueError, match="use float32"):
        fast_copy(model, random(2, 3, 8, 8), dtype=torch.float16)


def test_one_place_and_one_channel_a_whole_batch():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 1, 8), nn.Flatten()).eval()
    images = random(8, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(fast_copy(model, images[:1])(images), model(images))


def test_only_what_belongs_together_is_folded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        between = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1),
                                nn.BatchNorm2d(4, track_running_stats=False), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2),
                                nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
        between[2].running_mean.normal_()
    images = random(4, 3, 8, 8)
    fast = fast_copy(between, images)
    assert [isinstance(fast[i], nn.BatchNorm2d) for i in (2, 4, 6)] == [True, True, False]
    with torch.no_grad():
        torch.testing.assert_close(fast(images), between(images))


@pytest.mark.parametrize(("side", "groups", "kernel", "last"), [
    (8, 1, 3, True), (3, 1, 3, True), (2, 1, 3, False), (2, 4, 3, True), (1, 1, 1, True),
])
def test_channels_last_where_maps_are_not_smaller_than_a_kernel(side, groups, kernel, last):
    """benchmarks/cams.py, 64 px: ResNet-18's last maps are 2x2, and the copy was slower than the network."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(side), nn.Conv2d(8, 8, kernel, 1, kernel // 2, groups=groups))
    order = lambda net: net[0].weight.is_contiguous(memory_format=torch.channels_last)
    images = random(2, 3, 16, 16)
    assert order(fast_copy(model.eval(), images)) is last
    assert order(fast_copy(model, images, dtype=torch.bfloat16))
    assert order(fast_copy(model, images, channels_last=True)) and not order(fast_copy(model, images, channels_last=False))


def test_folding_equals_pytorchs_own():
    model = nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5)).eval()
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2)
    fast = fast_copy(model, random(1, 3, 8, 8), channels_last=False)
    theirs = fuse_conv_bn_eval(model[0], model[1])
    torch.testing.assert_close(fast[0].weight, theirs.weight.detach())
    torch.testing.assert_close(fast[0].bias, theirs.bias.detach())


def settled(model):
    """With statistics and factors of every norm that are not 0 and 1, in double, evaluation mode."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_(0, 0.1)
    return model.double().eval()


def with_norm(convolution):
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old norms of weights announce their end
        torch.manual_seed(0)
        return settled(nn.Sequential(convolution(), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def pruned():
    convolution = nn.Conv2d(3, 4, 3)
    nn.utils.prune.l1_unstructured(convolution, "weight", 0.5)
    return convolution


@pytest.mark.parametrize("convolution", [
    lambda: nn.utils.spectral_norm(nn.Conv2d(3, 4, 3)), lambda: nn.utils.weight_norm(nn.Conv2d(3, 4, 3)), pruned,
    lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)),
    lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
    lambda: nn.utils.parametrizations.orthogonal(nn.Conv2d(3, 4, 3)),
])  # fmt: skip
def test_weights_that_are_made_anew_in_each_pass_stay_as_they_are(convolution):
    model, images = with_norm(convolution), random(2, 3, 9, 9).double()
    model(images)  # leaves a weight that is no leaf
    fast = fast_copy(model, images[:1])
    assert isinstance(fast[1], nn.BatchNorm2d)
    torch.testing.assert_close(fast(images), model(images).detach())


def test_a_subclass_may_do_more_and_stays():
    class NormAndReLU(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x).relu()

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = settled(nn.Sequential(nn.Conv2d(3, 4, 3), NormAndReLU(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)))
    images = random(2, 3, 9, 9).double()
    fast = fast_copy(model, images[:1])
    assert [type(module) for module in fast][1::2] == [NormAndReLU, nn.Identity]
    torch.testing.assert_close(fast(images), model(images).detach())


@pytest.mark.parametrize("name", ["resnetv2_50", "ghostnet_100", "regnetx_002", "dla34", "cspresnet50", "mobilenetv3_small_100"])
def test_networks_of_others_give_the_same(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = settled(timm.create_model(name, num_classes=5))
    images = random(2, 3, 64, 64).double()
    torch.testing.assert_close(fast_copy(model, images[:1])(images), model(images).detach(), rtol=1e-9, atol=1e-12)


def test_a_convolution_that_is_needed_unnormalised_too_stays():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.again, self.last = (
                nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4),
            )  # fmt: skip

        def forward(self, x):
            x = self.conv(x)
            return {"mean": (self.last(self.again(self.norm(x))) + x).mean((2, 3))}

    model, images = settled(Both()), random(2, 3, 8, 8).double()
    fast = fast_copy(model, images)
    assert type(fast.norm) is nn.BatchNorm2d and type(fast.last) is nn.Identity
    torch.testing.assert_close(fast(images)["mean"], model(images)["mean"].detach())


def test_a_network_that_looks_at_its_own_weights_is_refused():
    class Looking(nn.Sequential):
        def forward(self, x):
            return super().forward(x) * (1 if self[0].bias is None else 1.001)

    model = settled(Looking(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)))
    with pytest.raises(ValueError, match="of its largest output off: use fold=False"):
        fast_copy(model, random(1, 3, 8, 8).double())
    assert fast_copy(model, random(1, 3, 8, 8).double(), fold=False) is not None


def test_hooks_neither_fire_nor_come_along():
    model, images, fired = with_norm(lambda: nn.Conv2d(3, 4, 3)), random(1, 3, 9, 9).double(), []
    held = threading.Lock()  # cannot be copied
    model[0].register_forward_hook(lambda *_: fired.append(held))
    model[1].register_forward_pre_hook(lambda *_: fired.append(held))
    model.register_full_backward_hook(lambda *_: fired.append(held))
    model.register_forward_hook(lambda *_, **__: fired.append(held), with_kwargs=True, always_call=True)
    fast = fast_copy(model, images)
    fast(images)
    assert not fired and isinstance(fast[1], nn.Identity)
    model(images)
    assert len(fired) == 3


def test_a_frozen_network_is_folded_too():
    model, images = freeze(with_norm(lambda: nn.Conv2d(3, 4, 3)), ["0", "1"]), random(2, 3, 9, 9).double()
    fast = fast_copy(model, images)
    assert isinstance(fast[1], nn.Identity)
    torch.testing.assert_close(fast(images), model(images))


def test_where_the_steps_are_unknown_nothing_is_folded():
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    class Doubling(nn.Sequential):
        def forward(self, x):
            return Own.apply(super().forward(x))

    model, images = settled(Doubling(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))), random(1, 3, 8, 8).double()
    fast = fast_copy(model, images)
    assert isinstance(fast[1], nn.BatchNorm2d)
    torch.testing.assert_close(fast(images), model(images).detach())
    with pytest.raises(ValueError, match=r"autograd\.Function of its own"):
        deconvnet(nn.Sequential(model, nn.Identity()), images, "1")


def test_the_decoder_is_what_the_source_describes_and_its_seed_is_its_own():
    state = torch.random.get_rng_state()
    first, again, other = Visualizer(16, seed=1), Visualizer(16, seed=1), Visualizer(16, seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.up1.weight, again.up1.weight) and not torch.equal(first.up1.weight, other.up1.weight)
    assert first.up1.weight.shape == (16, 8, 3, 3) and first.up2.weight.shape == (8, 3, 3, 3)
    maps = random(2, 16, 5, 6)
    step = nn.functional.conv_transpose2d(maps, first.up1.weight, first.up1.bias, 2, 1).clamp(min=0)
    by_hand = 1 / (1 + (-nn.functional.conv_transpose2d(step, first.up2.weight, first.up2.bias, 2, 1)).exp())
    torch.testing.assert_close(first(maps), by_hand)
    assert first(maps).shape == (2, 3, 4 * 5 - 3, 4 * 6 - 3)


def test_a_trained_decoder_gives_images_back_and_an_untrained_one_does_not():
    """Images of one colour each behind a fixed convolution, new ones for the test."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1), nn.ReLU())
    images = random(96, 3, 1, 1).expand(-1, -1, 16, 16)
    maps = feature_maps(model, images, "1")
    trained, untrained = Visualizer(24), Visualizer(24)
    losses = train_decoder(trained, maps[:64], images[:64], steps=200, lr=0.02)
    assert torch.equal(losses, train_decoder(Visualizer(24), maps[:64], images[:64], steps=200, lr=0.02))
    errors = [float((decode(d, maps[64:], (16, 16)) - images[64:]).square().mean()) for d in (trained, untrained)]
    assert errors[0] < 0.15 * errors[1]
    assert errors[0] < 0.15 * float(images[64:].var(0).mean())  # and far better than one picture for all
