"""Maps of many networks against plain autograd: channels first, channels last, tokens; and networks that meddle."""

import copy
from dataclasses import replace

import pytest
import timm
import torch
import torchvision
from captum.attr import LayerGradCam
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchvision.models.convnext import CNBlockConfig

from cnnviz_utils import viz
from cnnviz_utils.base.hooks import get_layer
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.viz.layouts import find_grid

tv = torchvision.models
small = {"depth": 2, "embed_dim": 24}
# network, images' side, layout, the layer that None takes (None: as it comes)
NETWORKS = {
    **{name: (lambda name=name: timm.create_model(name, num_classes=7), 64, "channels_first", None) for name in (
        "test_resnet", "test_efficientnet", "test_efficientnet_gn", "test_convnext", "test_byobnet", "test_nfnet",
        "ghostnet_050", "mobilenetv3_small_050", "lcnet_050", "edgenext_xx_small", "regnetx_002", "tinynet_e")},
    **{name: (lambda name=name: getattr(tv, name)(weights=None, num_classes=7), 64, "channels_first", layer) for name, layer in (
        ("squeezenet1_1", "classifier.2"), ("shufflenet_v2_x0_5", "conv5"), ("mnasnet0_5", "layers"))},
    "torchvision's ConvNeXt": (lambda: tv.ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], num_classes=7),
                               64, "channels_first", "features"),
    "torchvision's MaxViT": (lambda: tv.MaxVit((64, 64), 8, 4, [8, 16], [1, 1], 8, 0.0, num_classes=7),
                             64, "channels_first", "blocks.1"),
    "torchvision's Swin": (lambda: tv.SwinTransformer([4, 4], 16, [2, 2], [2, 2], [4, 4], num_classes=7),
                           64, "channels_last", "norm"),
    "timm's Swin": (lambda: timm.create_model("swin_tiny_patch4_window7_224", num_classes=7, img_size=64, window_size=4,
                                              embed_dim=16, depths=(2, 2), num_heads=(2, 2)), 64, "channels_last", "norm"),
    "test_mambaout": (lambda: timm.create_model("test_mambaout", num_classes=7), 64, "channels_last", None),
    "torchvision's ViT": (lambda: tv.VisionTransformer(64, 16, 2, 2, 24, 48, num_classes=7),
                          64, "tokens", "encoder.layers.encoder_layer_1.ln_1"),
    "ViT": (lambda: timm.create_model("test_vit", num_classes=7, img_size=64), 64, "tokens", "blocks.5.norm1"),
    "registers and pooling": (lambda: timm.create_model("test_vit4", num_classes=7, img_size=64), 64, "tokens", "norm"),
    "DeiT": (lambda: timm.create_model("deit_tiny_distilled_patch16_224", num_classes=7, img_size=64, **small),
             64, "tokens", "blocks.1.norm1"),
    "BEiT": (lambda: timm.create_model("beit_base_patch16_224", num_classes=7, img_size=64, num_heads=2, **small),
             64, "tokens", "norm"),
    "CaiT": (lambda: timm.create_model("cait_xxs24_224", num_classes=7, img_size=64, num_heads=2, **small),
             64, "tokens", "blocks_token_only.1.norm1"),
}


def made(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make().eval()
        for module in model.modules():  # torchvision's ViT begins with a head of zeros
            if isinstance(module, nn.Linear) and not module.weight.any():
                nn.init.normal_(module.weight)
    return model


def photos(n=2, size=64):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def plain(model, images, layer, target):
    """The whole graph, and the layer's output in it: a copy, since an identity's output is its input, which may go
    other ways too, and what follows may work in place."""
    kept = []

    def keep(_module, _inputs, output):
        kept.append(output.clone())
        return kept[-1].clone()

    handle = get_layer(model, layer).register_forward_hook(keep)
    score = model(images)[:, target].sum()
    handle.remove()
    return kept[-1].detach(), torch.autograd.grad(score, kept[-1])[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_equal_plain_autograd(name):
    make, size, layout, expected = NETWORKS[name]
    model, images = made(make), photos(size=size)
    layer = viz.last_spatial_layer(model, images, layout=layout)
    assert expected in (None, layer)
    activations, gradients = plain(model, images, layer, 3)
    if layout == "channels_last":
        activations, gradients = activations.permute(0, 3, 1, 2), gradients.permute(0, 3, 1, 2)
    if layout == "tokens":
        side = int(activations.shape[1] ** 0.5)  # fewer than 2 * side + 1 tokens come before the patches
        cut = lambda t: t[:, -side * side:].transpose(1, 2).reshape(len(t), -1, side, side)
        activations, gradients = cut(activations), cut(gradients)
    by_hand = (gradients.mean((2, 3), keepdim=True) * activations).sum(1)
    assert by_hand.shape[1] > 1 and float(by_hand.abs().max()) > 0
    ours = viz.grad_cam(model, images, None, 3, relu=False, layout=layout)
    torch.testing.assert_close(ours, by_hand, rtol=1e-4, atol=1e-4 * float(by_hand.abs().max()))
    if layout == "channels_first":
        captum = LayerGradCam(model, get_layer(model, layer)).attribute(images, 3)[:, 0].detach()
        torch.testing.assert_close(ours, captum, rtol=1e-4, atol=1e-4 * float(by_hand.abs().max()))


@pytest.mark.parametrize(("name", "layer", "layout", "sentence"), [
    ("timm's Swin", "norm", "channels_first", "say layout='channels_last'"),
    ("timm's Swin", None, "channels_first", "say layout='channels_last'"),
    ("timm's Swin", "layers.0.blocks.1.attn", "tokens", "for 2 images of 64 x 64 px, not one map an image"),
    ("torchvision's Swin", "permute", "channels_last", "say layout='channels_first'"),
    ("torchvision's ConvNeXt", "features.1.0.block.2", "channels_first", "say layout='channels_last'"),
    ("ViT", "blocks.5.norm1", "channels_first", "say layout='tokens'"),
    ("ViT", None, "channels_first", "say layout='tokens'"),
    ("ViT", "patch_embed.proj", "tokens", "not tokens"),
    ("ViT", "blocks.5.norm1", "chanels_last", "did you mean 'channels_last'"),
    ("test_mambaout", None, "channels_first", "say layout='channels_last'"),
])
def test_what_is_no_picture_is_refused(name, layer, layout, sentence):
    with pytest.raises(ValueError, match=sentence):
        viz.grad_cam(made(NETWORKS[name][0]), photos(), layer, 3, layout=layout)


def test_where_a_pooled_head_is_linear_in_channels_last_it_is_cam():
    model, images = made(NETWORKS["timm's Swin"][0]), photos()
    maps = viz.cam(model, images, "norm", 3, layout="channels_last")
    torch.testing.assert_close(viz.grad_cam(model, images, "norm", 3, relu=False, layout="channels_last"), maps / 64)
    read = viz.feature_maps(model, images, "norm", layout="channels_last")
    assert torch.equal(read, viz.feature_maps(model, images, "norm").permute(0, 3, 1, 2))


@pytest.mark.parametrize(("tokens", "image", "prefix", "grid"), [
    (196, (224, 224), None, (14, 14)), (197, (224, 224), None, (14, 14)), (198, (224, 224), 2, (14, 14)),
    (201, (224, 224), None, (14, 14)), (33, (64, 128), None, (4, 8)), (1 + 6 * 4, (96, 64), None, (6, 4)),
    (120, (224, 224), None, None), (16, (64, 64), 1, None),
])
def test_the_grid_of_tokens(tokens, image, prefix, grid):
    assert find_grid(tokens, image, prefix) == grid


def test_a_grid_can_be_given():
    model, images = made(NETWORKS["ViT"][0]), photos()
    usual = viz.grad_cam(model, images, "blocks.5.norm1", 3, layout="tokens")
    assert torch.equal(viz.grad_cam(model, images, "blocks.5.norm1", 3, layout="tokens", grid=(4, 4)), usual)
    assert viz.grad_cam(model, images, "blocks.5.norm1", 3, layout="tokens", grid=(2, 8)).shape == (2, 2, 8)
    with pytest.raises(ValueError, match=r"give grid=\(h, w\)"):
        viz.grad_cam(model, images, "blocks.5.norm1", 3, layout="tokens", grid=(9, 9))
    with pytest.raises(UsageError, match="grid is for layout='tokens'"):
        viz.grad_cam(model, images, "patch_embed.proj", 3, grid=(4, 4))


class Meddling(nn.Module):
    """A network of two convolutions that does something unusual with gradients or memory."""

    def __init__(self, how):
        super().__init__()
        self.how, self.same = how, nn.Identity()
        self.first, self.second, self.third = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3)
        self.head = nn.Linear(6, 4)

    def body(self, x):
        return self.second(self.first(x).relu())

    def forward(self, x):
        if self.how == "frozen inside":
            with torch.no_grad():
                x = self.body(x)
        elif self.how == "frozen, with a way around":
            with torch.no_grad():
                x = self.body(x)
            y = x.sin()
            with torch.enable_grad():
                x = y + x.square()
        elif self.how == "inference inside":
            with torch.inference_mode():
                x = self.body(x)
        elif self.how == "a view from before":
            x = self.first(x).relu()
            view = x[:, :3]
            view += self.second(x)[:, 3:]
        elif self.how == "its own input, changed":
            x = self.body(x)
            y = self.same(x)
            x.mul_(2)
            x = y + 1
        else:
            x = self.body(x)
        if self.how.startswith("checkpointed"):
            x = checkpoint(lambda x: self.third(x.relu()), x, use_reentrant="re-entrant" in self.how)
        else:
            x = self.third(x.relu())
        return self.head(x.relu().mean((2, 3)))


def meddling(how):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Meddling(how).eval()


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("how", ["", "frozen inside", "frozen, with a way around", "a view from before", "checkpointed"])
def test_gradients_that_a_network_switches_itself(how, frozen):
    """The oracle: autograd by hand on what stands behind the layer."""
    model, images = meddling(how), photos(2, 16)
    for parameter in model.parameters():
        parameter.requires_grad_(not frozen)
    with torch.no_grad():
        before = model.first(images).relu()
        leaf = model.second(before)
    leaf.requires_grad_()
    x = leaf
    if how == "frozen, with a way around":
        x = leaf.sin() + leaf.square()
    if how == "a view from before":
        x = torch.cat([before[:, :3] + leaf[:, 3:], before[:, 3:]], 1)
    score = model.head(model.third(x.relu()).relu().mean((2, 3)))[:, 1].sum()
    expected = torch.autograd.grad(score, leaf)[0]
    found = viz.layer_gradients(model, images, "second", 1)
    torch.testing.assert_close(found.gradients, expected)
    assert torch.is_grad_enabled() and all(p.grad is None for p in model.parameters())


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # PyTorch's own, of the checkpoint
@pytest.mark.parametrize(("how", "layer", "sentence"), [
    ("checkpointed, re-entrant", "second", "use_reentrant=False"),
    ("checkpointed, re-entrant", "third", "re-entrant checkpoint"),
    ("inference inside", "second", "inference_mode inside"),
    ("its own input, changed", "same", "changes in place afterwards"),
])
def test_what_cannot_be_right_is_refused(how, layer, sentence):
    with pytest.raises(ValueError, match=sentence):
        viz.grad_cam(meddling(how), photos(2, 16), layer, 1)


def test_an_identity_that_nobody_changes_is_a_layer_like_any_other():
    model, images = meddling(""), photos(2, 16)
    model.second = nn.Sequential(model.second, nn.Identity())
    usual = viz.grad_cam(model, images, "second.0", 1)
    assert torch.equal(viz.grad_cam(model, images, "second.1", 1), usual)


@pytest.mark.parametrize("large", [1.0, 300.0, 20000.0])
def test_float16_gradients_that_are_large(large):
    """1024 times these gradients is beyond 65504, where float16 ends."""
    model, images = meddling(""), photos(2, 16)
    model.head.weight.data *= large
    usual = viz.layer_gradients(model, images, "third", 1)
    half = viz.layer_gradients(copy.deepcopy(model).half(), images.half(), "third", 1)
    assert half.gradients.isfinite().all()
    scale = float(usual.gradients.abs().max())
    torch.testing.assert_close(half.gradients, usual.gradients, rtol=0.02, atol=0.02 * scale)


def test_beyond_float16_is_a_sentence():
    model, images = meddling("").half(), photos(2, 16).half()
    model.head.weight.data[:] = 60000
    model.second.weight.data[:] = model.third.weight.data[:] = 1000
    with pytest.raises(ValueError, match="use float32 or bfloat16"):
        viz.layer_gradients(model, images, "first", 1)


@pytest.mark.parametrize("recipe", [viz.Recipe(steps=2), replace(viz.PLAIN, steps=2)])
def test_class_images_are_computed_where_the_network_is(recipe):
    """The device "meta" computes shapes only, and refuses to mix with the CPU as a GPU does."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    model.to("meta")
    images = viz.class_images(model, [0, 2], 16, [0, 1], recipe)
    assert images.device.type == "meta" and images.shape == (2, 3, 16, 16)
