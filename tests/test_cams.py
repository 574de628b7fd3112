"""Class activation maps against plain autograd, Captum and torch-cam; what must not change them; what they leave."""

import copy
import warnings

import pytest
import torch
import torchcam.methods
import torchvision
from captum.attr import GuidedGradCam, LayerGradCam
from torch import nn
from torch.nn import functional as F
from torchvision.models.densenet import DenseNet
from torchvision.models.resnet import BasicBlock

from cnnviz_utils.base.hooks import get_layer
from cnnviz_utils.viz.cams import (
    cam,
    grad_cam,
    grad_cam_plus_plus,
    guided_grad_cam,
    layer_cam,
    normalise_maps,
    upsample_maps,
)

# every row of the table in the design's methods: network, layer, what stands behind it
CASES = [
    ("resnet18", "layer4"),
    ("resnet18", "layer3"),
    ("resnet18", "layer1"),
    ("resnet18", "layer4.1.relu"),  # used twice
    ("resnet18", "layer4.1.bn2"),  # += and an in-place ReLU follow
    ("resnet18", "layer4.1.bn1"),  # an in-place ReLU follows
    ("alexnet", "features.10"),  # the last convolution, an in-place ReLU follows
    ("vgg11", "features.18"),
    ("densenet121", "features"),  # F.relu(..., inplace=True) follows
]
METHODS = [grad_cam, grad_cam_plus_plus, layer_cam]
NETWORKS: dict[str, nn.Module] = {}


def network(name):
    """torchvision's, at random weights, made once; deep copies only where a test changes it."""
    if name not in NETWORKS:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            NETWORKS[name] = getattr(torchvision.models, name)(weights=None, num_classes=20).eval()
    return NETWORKS[name]


def photos(n=3, size=96, seed=0):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def small_network(inplace=True):
    """Convolutions, BatchNorm and dropout with running statistics that are not 0 and 1; pooled linear head."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=inplace), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3),
            nn.BatchNorm2d(12), nn.ReLU(inplace=inplace), nn.Dropout2d(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(12, 5),
        )
        net.train()(torch.rand(64, 3, 24, 24))
    return net.eval()


def out_of_place(model):
    """A copy without any in-place operation and without a module that is used twice in one pass."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, BasicBlock):
            module.last_relu = nn.ReLU()
            module.forward = block_forward.__get__(module)
        if isinstance(module, DenseNet):
            module.forward = dense_forward.__get__(module)
    return model


def block_forward(self, x):
    y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
    return self.last_relu(y + (x if self.downsample is None else self.downsample(x)))


def dense_forward(self, x):
    return self.classifier(F.relu(self.features(x)).mean((2, 3)))


def by_hand(model, images, layer, targets):
    """Activations and gradients of the slow kind: the whole graph, on a copy without in-place operations."""
    model, kept = out_of_place(model), []
    layer = layer.replace("layer4.1.relu", "layer4.1.last_relu")
    get_layer(model, layer).register_forward_hook(lambda m, i, output: kept.append(output))
    logits = model(images)
    score = sum(logits[i, t] for i, t in enumerate(targets.tolist()))
    (activations,) = kept
    return activations.detach(), torch.autograd.grad(score, activations)[0]


def from_definition(method, activations, gradients):
    """Loops over images and channels, straight from the papers."""
    maps = []
    for a, g in zip(activations, gradients, strict=True):
        total = torch.zeros_like(a[0])
        for k in range(len(a)):
            if method is grad_cam:
                weight = g[k].mean()
            elif method is layer_cam:
                weight = g[k].clamp(min=0)
            else:
                gk = g[k].double()
                below = 2 * gk**2 + a[k].double().sum() * gk**3
                alpha = torch.where(below != 0, gk**2 / below, 0).nan_to_num(0)
                weight = (alpha * gk.clamp(min=0)).sum().float()
            total += weight * a[k]
        maps.append(total.clamp(min=0))
    return torch.stack(maps)


@pytest.mark.parametrize(("name", "layer"), CASES)
def test_grad_cam_equals_plain_autograd_and_captum(name, layer):
    model, images, targets = network(name), photos(), torch.tensor([3, 0, 17])
    ours = grad_cam(model, images, layer, targets, relu=False)
    activations, gradients = by_hand(model, images, layer, targets)
    plain = (gradients.mean((2, 3), keepdim=True) * activations).sum(1)
    captum = LayerGradCam(model, get_layer(model, layer)).attribute(images, targets)[:, 0].detach()
    largest = float(plain.abs().max())
    assert largest > 0
    for other in (plain, captum):
        assert float((ours - other).abs().max()) < 1e-6
        assert float((ours - other).abs().max()) < 1e-4 * largest  # the maps of AlexNet are small themselves


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("name", "layer"), CASES[::2])
def test_each_method_equals_its_definition(method, name, layer):
    model, images, targets = network(name), photos(2), torch.tensor([3, 17])
    ours = method(model, images, layer, targets)
    slow = from_definition(method, *by_hand(model, images, layer, targets))
    torch.testing.assert_close(ours, slow, rtol=1e-4, atol=1e-4 * float(slow.max()))


@pytest.mark.parametrize(("method", "peer"), [(grad_cam, "GradCAM"), (layer_cam, "LayerCAM"), (cam, "CAM")])
def test_equals_torch_cam_where_that_is_right(method, peer):
    model, images = copy.deepcopy(network("resnet18")), photos(2)
    options = {"fc_layer": "fc"} if peer == "CAM" else {}
    with getattr(torchcam.methods, peer)(model, "layer4", **options) as extractor:
        scores = model(images)
        theirs = extractor([3, 17], scores, normalized=False)[0]
    ours = method(model, images, "layer4", [3, 17])
    torch.testing.assert_close(ours.clamp(min=0), theirs.detach().clamp(min=0), rtol=1e-5, atol=1e-6)


def test_plus_plus_weighs_like_pytorch_grad_cam():
    """torch-cam 0.5 is no oracle here: it divides a copy (`alpha[mask].div_`) and so leaves alpha at g^2. The other
    peer adds 1e-6 to a denominator of the order g^2: gradients are made large, so that it does not matter."""
    peer = pytest.importorskip("pytorch_grad_cam", reason="an oracle of the extra `peers`: pip install grad-cam")
    model, images, targets = small_network(), photos(2, 24), torch.tensor([1, 4])
    model[10].weight.data *= 1000
    activations, gradients = by_hand(model, images, "6", targets)
    rule = peer.GradCAMPlusPlus.get_cam_weights
    weights = torch.from_numpy(rule(None, None, None, None, activations.numpy(), gradients.numpy()))
    theirs = (weights[:, :, None, None] * activations).sum(1).clamp(min=0)
    torch.testing.assert_close(grad_cam_plus_plus(model, images, "6", targets), theirs, rtol=1e-3, atol=1e-6)


def test_grad_cam_is_cam_on_a_pooled_head_up_to_the_number_of_places():
    model, images = network("resnet18"), photos()
    class_map = cam(model, images, "layer4")
    torch.testing.assert_close(grad_cam(model, images, "layer4", relu=False), class_map / class_map[0].numel())
    # and CAM's own identity: its mean plus the bias is the logit
    logits = model(images).detach()
    best = logits.argmax(1)
    torch.testing.assert_close(class_map.mean((1, 2)) + model.fc.bias[best].detach(), logits.max(1).values)


def test_cam_of_averaged_class_maps_is_the_class_map():
    model = nn.Sequential(nn.Conv2d(3, 7, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = photos(2, 16)
    maps = model[0](images).detach()
    torch.testing.assert_close(cam(model, images, "0", [6, 2]), torch.stack([maps[0, 6], maps[1, 2]]))


@pytest.mark.parametrize(("name", "layer"), [("vgg11", "features.18"), ("resnet18", "layer3")])
def test_cam_refuses_other_heads(name, layer):
    with pytest.raises(ValueError, match="use grad_cam"):
        cam(network(name), photos(1), layer)


def test_guided_grad_cam_equals_captum():
    # Captum's guided backpropagation refuses modules used twice: AlexNet, with ReLUs that are not in-place
    model, images = out_of_place(network("alexnet")), photos(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Captum announces its hooks
        peer = GuidedGradCam(model, model.features[11])
        theirs = peer.attribute(images, [3, 17], interpolate_mode="bilinear").detach()
    ours = guided_grad_cam(model, images, "features.11", [3, 17])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def test_a_reused_module_gives_the_call_that_is_asked_for():
    """In a ResNet's block the ReLU runs inside the block and at its end. By hand: two modules in its place."""
    model, images, targets = network("resnet18"), photos(), torch.tensor([3, 0, 17])
    for call, layer in [(0, "layer4.1.relu"), (1, "layer4.1.last_relu"), (-1, "layer4.1.last_relu")]:
        split, kept = out_of_place(model), []
        get_layer(split, layer).register_forward_hook(lambda m, i, output, kept=kept: kept.append(output))
        score = split(images).gather(1, targets[:, None]).sum()
        gradient = torch.autograd.grad(score, kept[0])[0]
        slow = (gradient.mean((2, 3), keepdim=True) * kept[0].detach()).sum(1)
        ours = grad_cam(model, images, "layer4.1.relu", targets, relu=False, call=call)
        torch.testing.assert_close(ours, slow, rtol=1e-4, atol=1e-6)
    for wrong in (2, -2):
        with pytest.raises(ValueError, match="call"):
            grad_cam(model, images, "layer4.1.relu", call=wrong)


@pytest.mark.parametrize("method", [*METHODS, guided_grad_cam, cam])
def test_a_frozen_backbone_and_contexts_without_gradients_change_nothing(method):
    model, images = small_network(), photos(4, 24)
    usual = method(model, images, "6")
    with torch.no_grad():
        assert torch.equal(method(model, images, "6"), usual)
    with torch.inference_mode():
        assert torch.equal(method(model, images, "6"), usual)
        made_inside = images + 0
        assert torch.equal(method(model, made_inside, "6"), usual)
        assert torch.is_inference_mode_enabled()
    assert torch.equal(method(model, made_inside, "6"), usual)  # outside, an inference tensor still
    assert torch.is_grad_enabled()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert torch.equal(method(model, images, "6"), usual)


@pytest.mark.parametrize("method", [*METHODS, guided_grad_cam, cam])
def test_training_mode_is_put_aside_and_given_back(method):
    model, images = small_network(), photos(4, 24)
    usual = method(model, images, "6")
    model.train()
    model[1].eval()  # modes that differ by module come back one by one
    state = copy.deepcopy(model.state_dict())
    assert torch.equal(method(model, images, "6"), usual)
    assert [m.training for m in model] == [True, False] + [True] * 9
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("method", [*METHODS, guided_grad_cam, cam])
def test_an_image_by_itself_gives_the_same_map_as_in_a_batch(method):
    model, images = small_network(), photos(5, 24)
    together = method(model, images, "6", [0, 1, 2, 3, 4])
    for i in range(5):
        alone = method(model, images[i : i + 1], "6", i)[0]
        torch.testing.assert_close(together[i], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", [*METHODS, guided_grad_cam, cam])
def test_half_precision(method, dtype):
    model, images = small_network(), photos(4, 24)
    usual = method(model, images, "6", 1)
    half = method(copy.deepcopy(model).to(dtype), images.to(dtype), "6", 1)
    with torch.autocast("cpu", dtype=dtype):
        cast = method(model, images, "6", 1)
    rough = {torch.bfloat16: 0.06, torch.float16: 0.008}[dtype] * float(usual.abs().max())
    for maps in (half, cast):
        assert maps.dtype == torch.float32
        torch.testing.assert_close(maps.mean(0), usual.mean(0), rtol=0, atol=rough)


def test_small_gradients_do_not_vanish_in_half_precision():
    """A head of weights 1e-4 over 46 x 46 places: the gradients are below what float16 can hold."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    nn.init.constant_(model[4].weight, 1e-4)
    images = photos(2, 48)
    usual = grad_cam(model, images, "1", 0)
    half = grad_cam(copy.deepcopy(model).half(), images.half(), "1", 0)
    assert float(usual.max()) > 0
    torch.testing.assert_close(half, usual, rtol=0.05, atol=0.01 * float(usual.max()))


def test_autocast_around_the_call_leaves_the_training_step_its_gradients():
    model, images = small_network(), photos(2, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        grad_cam(model, images, "6")
        model(images).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("method", [*METHODS, guided_grad_cam, cam])
def test_leaves_nothing_behind_also_after_an_exception(method):
    model, images = small_network(), photos(2, 24)
    calls = [lambda: method(model, images, "6"), lambda: method(model, images, "6", 99)]
    for fails, call in enumerate(calls):
        if fails:
            with pytest.raises(ValueError, match="targets must be from 0 to 4"):
                call()
        else:
            call()
        assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in model.modules())
        assert not any("forward" in vars(m) for m in model.modules())
        assert all(p.grad is None and p.requires_grad for p in model.parameters())
        assert images.grad is None and not images.requires_grad
        assert torch.is_grad_enabled()


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("method", [*METHODS, guided_grad_cam, cam])
def test_a_network_that_fails_behind_the_layer_is_left_as_it_was(method, gradients):
    """The worst moment: the hook has run, gradients are switched on, the network is in evaluation mode."""

    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("no memory")

    model, images = small_network().train(), photos(2, 24)
    state = copy.deepcopy(model.state_dict())
    head, model[10] = model[10], Broken()
    with torch.set_grad_enabled(gradients):
        with pytest.raises(RuntimeError, match="no memory"):
            method(model, images, "6")
        assert torch.is_grad_enabled() == gradients
    assert all(module.training for module in model.modules())
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    model[10] = head
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_no_graph_is_built_below_the_layer():
    """What autograd keeps is counted: with the graph of the whole network it would be every layer's activations."""
    model, kept = network("resnet18"), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        grad_cam(model, photos(2), "layer4")
    assert len(kept) < 8
    assert all(shape.numel() <= model.fc.weight.numel() for shape in kept)


def test_bad_input_gets_a_sentence():
    model, images = network("resnet18"), photos(2)
    with pytest.raises(KeyError, match="no layer 'layer5'"):
        grad_cam(model, images, "layer5")
    with pytest.raises(ValueError, match=r"image\[None\]"):
        grad_cam(model, images[0], "layer4")
    with pytest.raises(ValueError, match="uint8"):
        grad_cam(model, (images * 255).byte(), "layer4")
    with pytest.raises(ValueError, match="before the pooling"):
        grad_cam(model, images, "fc")
    with pytest.raises(ValueError, match="2 images"):
        grad_cam(model, images, "layer4", [1, 2, 3])
    googlenet = torchvision.models.googlenet(weights=None, num_classes=5, init_weights=False)
    with pytest.raises(ValueError, match=r"'aux1\.conv' does not run"):
        grad_cam(googlenet, images, "aux1.conv")


def test_normalising_is_per_image_and_survives_degenerate_maps():
    maps = torch.stack([torch.zeros(2, 2), torch.full((2, 2), 7.0), torch.tensor([[0.0, 1], [2, 4]]) - 3])
    expected = torch.stack([torch.zeros(2, 2), torch.zeros(2, 2), torch.tensor([[0, 0.25], [0.5, 1]])])
    assert torch.equal(normalise_maps(maps), expected)
    assert normalise_maps(torch.full((1, 2, 2), torch.nan)).isnan().all()


def test_upsampling_is_bilinear_between_cell_centres():
    up = upsample_maps(torch.tensor([[[0.0, 4.0]]]), (1, 4))
    assert torch.equal(up, torch.tensor([[[0.0, 1.0, 3.0, 4.0]]]))
