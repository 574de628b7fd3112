"""Costs against published figures and plain arithmetic; receptive fields against the gradient."""

import pytest
import torch
from torch import nn
from torchvision import models

from cnnviz_utils.models.build import TORCHVISION, build_model
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
    assert speed["slim"] > 3 * speed["wide"] > 0


def reached(network: nn.Module, layer: str, size: int) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """The box of pixels with a gradient at the middle place of a layer, and that place. Weights are made positive, and
    maxima means, so that nothing that could arrive is lost."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.MaxPool2d):
            parent = network.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2],
                    nn.AvgPool2d(module.kernel_size, module.stride, module.padding, ceil_mode=module.ceil_mode))
        elif isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    kept = []
    network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output))
    images = torch.full((1, 3, size, size), 0.9, dtype=torch.double, requires_grad=True)
    network.double().eval()(images)
    place = (kept[0].shape[2] // 2, kept[0].shape[3] // 2)
    gradient, = torch.autograd.grad(kept[0][0, :, place[0], place[1]].sum(), images)
    rows, columns = (gradient[0].abs().amax((0, axis)).nonzero().flatten() for axis in (2, 1))
    return (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1), place


@pytest.mark.parametrize(("name", "layer", "size"), [
    ("small_alexnet", "features.6", 96), ("small_vgg", "features.9", 96), ("small_googlenet", "inception2", 128),
    ("small_mobilenet", "block4", 128), ("small_resnet", "stage2", 128), ("alexnet", "features.8", 224),
    ("vgg11", "features.11", 128), ("googlenet", "inception3b", 224), ("resnet18", "layer2", 160),
    ("mobilenet_v2", "features.6", 160)])
def test_receptive_fields_are_where_the_gradient_is(name, layer, size):
    network = build_model(name, 3, size=size)
    field = receptive_field(network, layer, (size, size))
    box, place = reached(network, layer, size)
    assert field.size[0] < size
    assert field.box(*place) == box


def test_two_3x3_reach_as_far_as_one_5x5_with_fewer_weights():
    two = nn.Sequential(nn.Conv2d(8, 8, 3, bias=False), nn.Conv2d(8, 8, 3, bias=False))
    one = nn.Sequential(nn.Conv2d(8, 8, 5, bias=False))
    assert receptive_field(two, "1", (9, 9), 8).size == receptive_field(one, "0", (9, 9), 8).size == (5, 5)
    assert count_costs(two, 9, 8).parameters / count_costs(one, 9, 8).parameters == 18 / 25
