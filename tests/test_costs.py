"""Costs against published figures and plain arithmetic; receptive fields against the gradient."""

import pytest
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from cnnviz_utils.base.networks import TORCHVISION
from cnnviz_utils.models.build import build_model
from cnnviz_utils.models.costs import (
    count_costs,
    images_per_second,
    layer_costs,
    training_bytes,
)
from cnnviz_utils.viz.receptive import receptive_field


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_networks_have_their_published_costs(name):
    published = models.get_model_weights(name).IMAGENET1K_V1.meta
    with torch.device("meta"):
        network = build_model(name, 1000)
    table = layer_costs(network, 224)
    assert table.parameters.sum() == published["num_params"]
    assert round(table.multiply_adds.sum() / 1e9, 3) == pytest.approx(published["_ops"], abs=1e-9)


def test_by_arithmetic():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, groups=4, bias=False), nn.Flatten(),
                            nn.Linear(32, 5))
    table = layer_costs(network, 8)  # maps of 4 x 4, then 2 x 2
    assert table.multiply_adds.tolist() == [4 * 16 * 27, 8 * 4 * 9, 5 * 32]
    assert table.activations.tolist() == [64, 32, 5]
    assert table.parameters.tolist() == [3 * 9 * 4 + 4, 72, 165]
    assert table["shape"].tolist() == [(4, 4, 4), (8, 2, 2), (5,)]


def test_a_layer_that_runs_twice_is_stored_once_and_computed_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1, bias=False)

        def forward(self, x):
            return self.conv(self.conv(x))

    costs = count_costs(Twice(), 2)
    assert (costs.parameters, costs.multiply_adds, costs.activations) == (9, 2 * 36, 24)


class Several(nn.Module):
    """Products that belong to no layer, beside layers of all kinds."""

    def __init__(self):
        super().__init__()
        self.up, self.line, self.box = nn.ConvTranspose2d(3, 4, 3, 2), nn.Conv1d(4, 6, 3), nn.Conv3d(3, 2, 3)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.kernel = nn.Parameter(torch.ones(5, 3, 3, 3))

    def forward(self, x):
        tokens = self.line(self.up(x).flatten(2)).transpose(1, 2)
        tokens, _ = self.attention(tokens, tokens, tokens)
        box = self.box(torch.stack([x, x, x], 2))
        maps = nn.functional.conv2d(x, self.kernel)
        return tokens.mean(1), (tokens @ tokens.transpose(1, 2)).mean(), torch.einsum("nchw,ndhw->ncd", maps, maps), box.mean()


def flops(network, size):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, size, size, device="meta"))
    return counter.get_total_flops()


@pytest.mark.parametrize(("build", "size"), [
    (models.vit_b_16, 224), (models.swin_t, 224), (models.maxvit_t, 224), (models.convnext_tiny, 96), (models.efficientnet_b0, 96),
    (models.mobilenet_v3_small, 96), (models.shufflenet_v2_x0_5, 96), (lambda: models.inception_v3(init_weights=False), 96),
    (lambda: models.segmentation.fcn_resnet50(weights_backbone=None), 64), (lambda: models.video.r3d_18().stem, None), (Several, 12),
    *((lambda name=name: timm.create_model(name), size) for name, size in [
        ("vit_tiny_patch16_224", 224), ("mobilevit_xxs", 96), ("ghostnet_100", 96), ("coat_tiny", 224), ("halonet26t", 256), ("mixer_s32_224", 224),
    ]),
])  # fmt: skip
def test_costs_agree_with_pytorchs_counter(build, size):
    with torch.device("meta"):
        network = build()
    if size is None:
        network, size = nn.Sequential(nn.Unflatten(1, (3, 1)), *network), 16
    table = layer_costs(network, size)
    assert 2 * table.multiply_adds.sum() == flops(network, size) > 0
    assert table.parameters.sum() <= sum(p.numel() for p in network.parameters())
    assert not table["shape"].isna().any()


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "convnext_tiny", "efficientnet_b0", "mobilenet_v3_small"])
def test_all_parameters_are_counted_once(name):
    with torch.device("meta"):
        network = getattr(models, name)()
    published = models.get_model_weights(name).DEFAULT.meta
    assert count_costs(network, 224).parameters == published["num_params"]


def test_products_outside_layers_by_arithmetic():
    table = layer_costs(Several(), 12)
    # up: each of 12 x 12 x 3 numbers meets 4 x 3 x 3 weights; 625 places along a line
    assert table.multiply_adds["up"] == 144 * 3 * 36 and table.multiply_adds["line"] == 623 * 6 * 12
    assert table.multiply_adds["box"] == 100 * 2 * 81 and table.parameters["box"] == 2 * 81 + 2
    assert table.multiply_adds["attention"] == 623 * 6 * 18 + 2 * 623 * 623 * 6 + 623 * 36
    assert table.multiply_adds["Several"] == 100 * 5 * 27 + 623 * 623 * 6 + 25 * 100 and table.parameters["Several"] == 135


def test_a_tied_weight_is_stored_once():
    network = nn.Sequential(nn.Flatten(), nn.Linear(27, 27, bias=False), nn.Linear(27, 27, bias=False))
    network[2].weight = network[1].weight
    assert layer_costs(network, 3).parameters.tolist() == [729, 0]


def test_a_network_that_needs_values_is_run_with_them():
    class Asking(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.hidden = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), torch.ones(4, 1, 1)

        def forward(self, x):
            x = self.norm(self.conv(x)) * self.hidden
            return x if x.sum().item() > 1e9 else -x

    network = Asking()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    costs = count_costs(network, 9)
    assert (costs.parameters, costs.multiply_adds, costs.activations) == (116, 49 * 4 * 27, 49 * 4) and costs.training_bytes > 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items()) and network.training


def test_memory_of_training_by_arithmetic():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 5))
    image, relu, pooled = 3 * 64, 4 * 64, 4 * 16  # floats that convolution, ReLU and pooling, linear layer need again
    assert training_bytes(network, 8) == 4 * (image + relu + pooled) + 8 * pooled  # and pooling's places, int64
    normed = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
    assert training_bytes(normed, 8) == 4 * (image + relu) + 4 * 2 * 4 // 2  # BN: its input, a mean and a deviation


def test_memory_is_what_a_real_pass_keeps():
    network, images, kept = build_model("resnet18", 10).train(), torch.rand(2, 3, 64, 64), {}
    own = {p.untyped_storage().data_ptr() for p in [*network.parameters(), *network.buffers()]}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(images)
    real = sum(t.untyped_storage().nbytes() for address, t in kept.items() if address not in own) / 2
    assert output.shape == (2, 10) and training_bytes(network, 64) == pytest.approx(real, rel=0.01)


def test_counting_leaves_no_trace():
    network = build_model("small_googlenet", 5).train()
    network.stem.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    count_costs(network, 64)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert modes == [module.training for module in network.modules()]
    assert not any(module._forward_hooks for module in network.modules())


def test_what_runs_only_in_training_is_not_counted_as_parameters():
    with_heads, without = (build_model("small_googlenet", 5, auxiliary=a) for a in (True, False))
    a, b = count_costs(with_heads, 64), count_costs(without, 64)
    assert (a.parameters, a.multiply_adds) == (b.parameters, b.multiply_adds) and a.training_bytes > b.training_bytes


def test_speed_is_positive_and_ordered():
    wide = nn.Sequential(nn.Conv2d(3, 256, 7), nn.Conv2d(256, 64, 7))
    speed = images_per_second({"wide": wide, "slim": nn.Conv2d(3, 1, 1)}, 48, batch=2, repeats=3)
    assert speed["slim"] > speed["wide"] > 0


def test_two_3x3_reach_as_far_as_one_5x5_with_fewer_weights():
    two = nn.Sequential(nn.Conv2d(8, 8, 3, bias=False), nn.Conv2d(8, 8, 3, bias=False))
    one = nn.Sequential(nn.Conv2d(8, 8, 5, bias=False))
    assert receptive_field(two, "1", (9, 9), 8).size == receptive_field(one, "0", (9, 9), 8).size == (5, 5)
    assert count_costs(two, 9, 8).parameters / count_costs(one, 9, 8).parameters == 18 / 25
