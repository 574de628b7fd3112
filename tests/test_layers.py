"""Which layer, which class: no layer, a module, class names; one way for every function."""

import copy
import logging

import pytest
import torch
import torchcam.methods
import torchvision
from torch import nn

from cnnviz_utils import viz
from cnnviz_utils.base.hooks import get_layer, layer_name, logits_of
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.viz.targets import class_number


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
        ).eval()


def photos(n=2, size=16):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


# every function that asks for a layer, with what else it needs
ASKS = {
    "cam": lambda net, x, layer: viz.cam(net, x, layer),
    "grad_cam": lambda net, x, layer: viz.grad_cam(net, x, layer),
    "grad_cam_plus_plus": lambda net, x, layer: viz.grad_cam_plus_plus(net, x, layer),
    "layer_cam": lambda net, x, layer: viz.layer_cam(net, x, layer),
    "guided_grad_cam": lambda net, x, layer: viz.guided_grad_cam(net, x, layer),
    "feature_maps": lambda net, x, layer: viz.feature_maps(net, x, layer),
    "channel_gradient": lambda net, x, layer: viz.channel_gradient(net, x, layer, 1),
    "deconvnet": lambda net, x, layer: viz.deconvnet(net, x, layer, 1),
    "strongest_patches": lambda net, x, layer: viz.strongest_patches(net, x, layer, [1], top=1).crop(),
    "channel_score": lambda net, x, layer: viz.channel_score(net, layer, 1)(x),
    "neuron_score": lambda net, x, layer: viz.neuron_score(net, layer, 1)(x),
    "receptive_field": lambda net, x, layer: torch.tensor(viz.receptive_field(net, layer, (16, 16)).size),
}


@pytest.mark.parametrize("name", ASKS)
def test_no_layer_a_module_and_a_name_are_the_same(name):
    net, images, ask = network(), photos(), ASKS[name]
    named = ask(net, images, "4")
    assert torch.equal(ask(net, images, None), named)
    assert torch.equal(ask(net, images, net[4]), named)
    with pytest.raises(KeyError, match="another network"):
        ask(net, images, nn.ReLU())


NETWORKS = ["resnet18", "densenet121", "mobilenet_v2", "squeezenet1_1", "efficientnet_b0", "googlenet"]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_spatial_layer_is_torch_cams(name):
    options = {"init_weights": False} if name == "googlenet" else {}
    model = getattr(torchvision.models, name)(weights=None, num_classes=5, **options).eval()
    with torchcam.methods.GradCAM(copy.deepcopy(model), input_shape=(3, 96, 96)) as extractor:
        (theirs,) = extractor.target_names
    assert viz.last_spatial_layer(model, photos(1, 96)) == theirs
    assert not any(m._forward_hooks for m in model.modules())


def test_it_says_which_layer_it_took(caplog):
    with caplog.at_level(logging.INFO, "cnnviz"):
        viz.grad_cam(network(), photos())
    assert "layer=None: 4 of Sequential" in caplog.text


class Twice(nn.Module):
    """One network under two names; the first of them is what `named_modules` lists."""

    def __init__(self, net):
        super().__init__()
        self.body, self.backbone = net, net

    def forward(self, x):
        return self.backbone(x)


def test_a_module_under_two_names_answers_to_both():
    net, images = network(), photos()
    twice = Twice(net)
    assert get_layer(twice, "body.4") is get_layer(twice, "backbone.4") is net[4]
    assert layer_name(twice, net[4]) == "body.4"
    for name in ("body.4", "backbone.4"):
        assert torch.equal(viz.grad_cam(twice, images, name), viz.grad_cam(net, images, "4"))
        assert torch.equal(viz.deconvnet(twice, images, name, 1), viz.deconvnet(net, images, "4", 1))
    with pytest.raises(KeyError, match="did you mean 'backbone'"):
        get_layer(twice, "backbon")


def test_classes_by_name():
    net, images = network(), photos()
    with pytest.raises(UsageError, match=r"set model\.classes"):
        viz.grad_cam(net, images, targets="cat")
    net.classes = ("tabby cat", "tiger", "crane", "crane")
    usual = viz.grad_cam(net, images, "4", [1, 0])
    assert torch.equal(viz.grad_cam(net, images, "4", ["tiger", "Tabby Cat"]), usual)
    assert torch.equal(viz.grad_cam(net, images, "4", "tiger"), viz.grad_cam(net, images, "4", 1))
    assert torch.equal(viz.input_gradient(net, images, "tiger"), viz.input_gradient(net, images, 1))
    assert torch.equal(viz.cam(net, images, targets="tiger"), viz.cam(net, images, "4", 1))
    assert torch.equal(viz.class_score(net, "tiger")(images), viz.class_score(net, 1)(images))
    for wrong, sentence in [("tigre", "did you mean 'tiger'"), ("cat", "'tabby cat'"), ("crane", "numbers 2 and 3")]:
        with pytest.raises(UsageError, match=sentence):
            viz.grad_cam(net, images, "4", wrong)
    many = [f"class{i}" for i in range(500)]
    with pytest.raises(UsageError, match="There are 500 classes"):
        class_number("klass7", many)


@pytest.mark.parametrize("targets", [1.7, [0, 1.7], torch.tensor([0.5, 1]), True, [True, False], torch.tensor([True, False])])
def test_targets_that_are_no_class_numbers_are_refused(targets):
    with pytest.raises(UsageError, match="class numbers"):
        viz.grad_cam(network(), photos(), "4", targets)


def test_whole_numbers_of_other_types_are_class_numbers():
    net, images = network(), photos()
    usual = viz.grad_cam(net, images, "4", [1, 2])
    for targets in (torch.tensor([1.0, 2.0]), torch.tensor([1, 2], dtype=torch.uint8), (1, 2)):
        assert torch.equal(viz.grad_cam(net, images, "4", targets), usual)


def test_logits_are_found_in_what_networks_give():
    logits, maps = torch.rand(2, 4), torch.rand(2, 4, 3, 3)
    loss = torch.rand(())
    named = torchvision.models.GoogLeNetOutputs(logits, torch.rand(2, 4), torch.rand(2, 4))
    for output in (logits, {"loss": loss, "logits": logits}, (logits, maps), [maps, logits], {"out": logits}, named):
        assert logits_of(output) is logits
    for output in (maps, {"out": maps}, (logits, torch.rand(2, 9)), "text", None, {"logits": maps}):
        with pytest.raises(ValueError, match=r"must give logits \(N, classes\)"):
            logits_of(output)


class Dressed(nn.Module):
    """A network that gives what it knows in a dict, and whose layer gives a tuple."""

    class Layer(nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body = body

        def forward(self, x):
            return self.body(x), None

    def __init__(self, net):
        super().__init__()
        self.layer, self.head = self.Layer(net[:5]), net[5:]

    def forward(self, x):
        (maps, _) = self.layer(x)
        return {"maps": maps, "logits": self.head(maps)}


def test_dicts_and_tuples_everywhere():
    net, images = network(), photos()
    dressed = Dressed(net)
    for name in ("cam", "grad_cam", "grad_cam_plus_plus", "layer_cam", "guided_grad_cam", "feature_maps",
                 "channel_gradient", "deconvnet", "channel_score", "neuron_score", "strongest_patches"):
        assert torch.equal(ASKS[name](dressed, images, "layer"), ASKS[name](net, images, "4")), name
    assert torch.equal(viz.input_gradient(dressed, images, 1), viz.input_gradient(net, images, 1))
    assert torch.equal(viz.class_score(dressed, 1)(images), viz.class_score(net, 1)(images))


def test_segmentation_gets_a_sentence():
    model = torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)
    with pytest.raises(ValueError, match="mean over the places"):
        viz.grad_cam(model, photos(1, 32), "backbone.4")
