"""Filters, feature maps, strongest patches and receptive fields against slow searches and gradient probes."""

import copy

import pytest
import torch
import torchvision
from torch import nn

from cnnviz_utils.viz.receptive import receptive_field
from cnnviz_utils.viz.responses import feature_maps, filters, strongest_patches


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 5, 2, 1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(6, 4, 3, padding=1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(4, 2),
        )  # fmt: skip


def test_filters_are_the_weights_and_only_of_convolutions():
    model = network()
    assert torch.equal(filters(model, "4"), model[4].weight)
    filters(model, "4").zero_()
    assert model[4].weight.any()  # a copy
    with pytest.raises(ValueError, match="BatchNorm2d and has no filters"):
        filters(model, "1")


def test_feature_maps_are_what_the_layer_gave_before_the_next_one_overwrote_it():
    model, images = network(), random(3, 3, 31, 31)
    assert model.training
    step = copy.deepcopy(model).eval()
    torch.testing.assert_close(feature_maps(model, images, "1"), step[:2](images).detach())
    assert float(feature_maps(model, images, "1").min()) < 0  # an in-place ReLU follows
    assert model.training and int(model[1].num_batches_tracked) == 0


class Data:
    """Like an image set: slices and integers give (images, labels)."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], torch.zeros(1)


@pytest.mark.parametrize("wrap", [lambda images: images, Data])
def test_strongest_patches_equal_a_slow_search(wrap):
    model, images = network().eval(), random(11, 3, 31, 31)
    found = strongest_patches(model, wrap(images), "5", [2, 0], top=4, batch_size=3)
    maps = model[:6](images).detach()
    for row, channel in enumerate([2, 0]):
        slow = sorted(((float(maps[i, channel].max()), i) for i in range(11)), reverse=True)[:4]
        assert found.index[row].tolist() == [i for _, i in slow]
        for column, (value, i) in enumerate(slow):
            y, x = found.places[row, column].tolist()
            torch.testing.assert_close(found.values[row, column], maps[i, channel, y, x])
            assert float(maps[i, channel, y, x]) == value
            assert torch.equal(found.images[row, column], images[i])
            top, left, bottom, right = found.boxes[row, column].tolist()
            assert torch.equal(found.crop()[row, column], images[i, :, top:bottom, left:right])
    assert torch.equal(found.crop(found.images * 2), found.crop() * 2)


def test_what_lies_outside_the_patch_does_not_matter():
    """The activation stays when everything outside the box is painted over: the crop really is what the channel saw."""
    model, images = network().eval(), random(8, 3, 63, 63)
    found = strongest_patches(model, images, "5", [1, 3], top=3)
    for row, channel in enumerate([1, 3]):
        for column in range(3):
            top, left, bottom, right = found.boxes[row, column].tolist()
            assert bottom - top < 40
            painted = torch.zeros(1, 3, 63, 63)
            painted[0, :, top:bottom, left:right] = found.crop()[row, column]
            y, x = found.places[row, column].tolist()
            value = model[:6](painted)[0, channel, y, x]
            torch.testing.assert_close(value, found.values[row, column], rtol=1e-4, atol=1e-6)


def probe(model, layer, size):
    """The box of the pixels that have a gradient, when every weight is positive and pooling is averaging."""
    model = copy.deepcopy(model).eval()
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
            if isinstance(child, nn.ReLU6):  # positive weights would saturate it
                setattr(parent, name, nn.Identity())
    for parameter in model.parameters():
        parameter.data = parameter.data.abs() + 0.1 / parameter[0].numel()
    kept, pixels = [], random(1, 3, size, size).double().requires_grad_()
    dict(model.named_modules())[layer].register_forward_hook(lambda m, i, output: kept.append(output))
    model.double()(pixels)
    y, x = kept[-1].shape[-2] // 2, kept[-1].shape[-1] // 2
    seen = torch.autograd.grad(kept[-1][0, 0, y, x], pixels)[0][0].abs().sum(0).nonzero()
    return (y, x), (*seen.amin(0).tolist(), *(seen.amax(0) + 1).tolist())


@pytest.mark.parametrize(("name", "layer", "expected"), [
    ("alexnet", "features.5", 67), ("alexnet", "features.12", 195), ("vgg11", "features.10", 30),
    ("resnet18", "maxpool", 11), ("resnet18", "layer1", 43), ("resnet18", "layer2", 99), ("resnet18", "layer3.0", 147),
    ("mobilenet_v2", "features.4", 27),
])  # fmt: skip
def test_receptive_fields_equal_a_gradient_probe(name, layer, expected):
    """Sizes as published by Araujo et al. (2019) where they list the network; boxes as the gradient finds them."""
    model, size = getattr(torchvision.models, name)(weights=None, num_classes=2), 225
    field = receptive_field(model, layer, (size, size))
    assert field.size == (expected, expected)
    (y, x), box = probe(model, layer, size)
    assert field.box(y, x) == box


def test_behind_global_pooling_it_is_the_image_and_boxes_stay_inside():
    model = network().eval()
    # pooling leaves the last of 16 columns out, so that no place sees the last column of pixels
    assert receptive_field(model, "8", (31, 33)).box(0, 0) == (0, 0, 31, 32)
    assert receptive_field(model, "8", (31, 31)).box(0, 0) == (0, 0, 31, 31)
    field = receptive_field(model, "5", (31, 33))
    boxes = [field.box(y, x) for y in range(7) for x in range(7)]
    assert {(b - t, r - l) for t, l, b, r in boxes} == {field.size}
    assert all(t >= 0 and l >= 0 and b <= 31 and r <= 33 for t, l, b, r in boxes)


def test_bad_input_gets_a_sentence():
    model, images = network().eval(), random(3, 3, 31, 31)
    with pytest.raises(ValueError, match="at least as many images"):
        strongest_patches(model, images, "5", [0], top=4)
    with pytest.raises(ValueError, match="from 0 to 3"):
        strongest_patches(model, images, "5", [4], top=1)
    assert strongest_patches(model, images, "8", [1], top=2).places.sum() == 0  # a linear layer: one place


@pytest.mark.parametrize(("then", "size"), [
    (lambda y: y.sum((2, 3), keepdim=True), (9, 9)), (lambda y: y.amax((2, 3)), (9, 9)),
    (lambda y: sum(nn.Conv2d(2, 2, 3, padding="same")(half) for half in y.chunk(2, 1)), (5, 5)),
])
def test_receptive_fields_of_reductions_halves_and_same_padding(then, size):
    class Way(nn.Sequential):
        def forward(self, x):
            return self[1](then(self[0](x)))

    assert receptive_field(Way(nn.Conv2d(3, 4, 3, padding=1), nn.Identity()), "1", (9, 9)).size == size


def test_a_map_of_one_place_need_not_see_everything():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=8, padding=1), nn.ReLU(), nn.AvgPool2d(1))
    fields = [receptive_field(model, layer, (8, 8)) for layer in "012"]
    assert fields[0].size == (3, 3) and fields[0].start == (-1, -1) and fields[1] == fields[2] == fields[0]


def test_a_receptive_field_that_is_not_known_is_refused():
    class Way(nn.Sequential):
        def forward(self, x):
            return self[1](self[0](x).cumsum(2))

    with pytest.raises(ValueError, match="nothing is known of the step 'cumsum'"):
        receptive_field(Way(nn.Conv2d(3, 4, 3, padding=1), nn.Identity()), "1", (9, 9))
