"""Networks that give dicts or tuples, compute in half precision or are registered twice: the same everywhere, and as
the plain network gives it."""

from dataclasses import replace

import pytest
import torch
import torchvision
from conftest import coloured_squares
from torch import nn

from cnnviz_utils import scores, viz
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.models.costs import count_costs
from cnnviz_utils.training.adversary import adversarial_examples
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.evaluation import embeddings, predict, predict_tta
from cnnviz_utils.training.loop import fit
from cnnviz_utils.training.lr_finder import find_lr

DATA = coloured_squares(12)
IMAGES, LABELS = DATA[:4]
HEAT = torch.rand(4, *IMAGES.shape[2:], generator=torch.Generator().manual_seed(1))
WITHOUT = IMAGES[:, None].repeat(1, 3, 1, 1, 1) / 2


def plain():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)
        ).eval()


class Dressed(nn.Module):
    """The same network under two names, its answer in another dress."""

    def __init__(self, net, dress):
        super().__init__()
        self.net = self.backbone = net
        self.dress = dress

    def forward(self, x):
        return self.dress(self.net(x), x)


DRESSES = {
    "a dict": lambda logits, x: {"loss": logits.sum(), "logits": logits, "x": x},
    "a dict of one": lambda logits, x: {"out": logits},
    "a tuple with maps": lambda logits, x: (logits, x),
    "a list": lambda logits, x: [x, logits],
    "a named tuple": lambda logits, x: torchvision.models.GoogLeNetOutputs(logits, None, None),
}
ASKS = {
    "predict": lambda net: predict(net, DATA, device="cpu")[0],
    "predict_tta": lambda net: predict_tta(net, DATA, [lambda x: x.flip(-1)], device="cpu")[0],
    "embeddings": lambda net: embeddings(net, DATA, relu_of(net), device="cpu"),
    "adversarial_examples": lambda net: adversarial_examples(net, IMAGES, LABELS, eps=1.0, steps=2),
    "deletion": lambda net: scores.deletion(net, IMAGES, HEAT, LABELS, steps=3),
    "insertion": lambda net: scores.insertion(net, IMAGES, HEAT, LABELS, steps=3),
    "part_drops": lambda net: scores.part_drops(net, IMAGES, WITHOUT, LABELS),
    "class_images": lambda net: viz.class_images(net, 1, 8, [0], replace(viz.PLAIN, steps=3)),
    "grad_cam": lambda net: viz.grad_cam(net, IMAGES, relu_of(net), 1),
    "input_gradient": lambda net: viz.input_gradient(net, IMAGES, 1),
    "deconvnet": lambda net: viz.deconvnet(net, IMAGES, relu_of(net), 1),
    "fast_copy": lambda net: viz.grad_cam(viz.fast_copy(net, IMAGES), IMAGES, names_of_relu(net)[0]),
    "costs": lambda net: torch.tensor(count_costs(net, 16).multiply_adds),
}


def relu_of(net):
    return next(m for m in net.modules() if isinstance(m, nn.ReLU))


def names_of_relu(net):
    return [name for name, m in net.named_modules(remove_duplicate=False) if isinstance(m, nn.ReLU)]


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("dress", DRESSES)
def test_however_the_logits_come(ask, dress):
    torch.testing.assert_close(ASKS[ask](Dressed(plain(), DRESSES[dress]).eval()), ASKS[ask](plain()))


@pytest.mark.parametrize("dress", DRESSES)
def test_training_is_the_same(dress):
    config = TrainConfig(lr=0.01, epochs=2, batch_size=4)
    bare, dressed = plain(), Dressed(plain(), DRESSES[dress])
    expected = fit(bare, DATA, DATA, config, "cpu")
    found = fit(dressed, DATA, DATA, config, "cpu")
    times = ("seconds",)
    assert [{k: v for k, v in row.items() if k not in times} for row in found.rows] == [
        {k: v for k, v in row.items() if k not in times} for row in expected.rows
    ]
    assert all(torch.equal(a, b) for a, b in zip(bare.state_dict().values(), dressed.net.state_dict().values(), strict=True))
    bare, dressed = plain(), Dressed(plain(), DRESSES[dress])
    assert str(find_lr(bare, DATA, config, steps=5, device="cpu")) == str(find_lr(dressed, DATA, config, steps=5, device="cpu"))


def test_auxiliary_heads_count_a_third_and_maps_do_not():
    config = TrainConfig(lr=0.01, epochs=1, batch_size=4)
    two = Dressed(plain(), lambda logits, x: (logits, logits))
    one = plain()
    both, alone = (fit(net, DATA, DATA, config, "cpu").rows[0]["train_loss"] for net in (Aux(two), one))
    assert both == pytest.approx(1.3 * alone, rel=0.05)


class Aux(nn.Module):
    """An auxiliary head in training only, as GoogLeNet has it."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        logits, again = self.net(x)
        return (logits, again) if self.training else logits


def test_logits_that_cannot_be_told_apart_are_refused_in_words():
    net = Dressed(plain(), lambda logits, x: (logits, torch.cat([logits, logits], 1))).eval()
    for ask in ("predict", "deletion", "part_drops", "adversarial_examples", "class_images", "grad_cam"):
        with pytest.raises(ValueError, match=r"must give logits \(N, classes\)"):
            ASKS[ask](net)
    with pytest.raises(ValueError, match=r"must give logits \(N, classes\)"):
        fit(net, DATA, DATA, TrainConfig(lr=0.01, epochs=1), "cpu")


@pytest.mark.parametrize("ask", [name for name in ASKS if name != "costs"])
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_another_type_take_the_same_images(ask, kind):
    found, expected = ASKS[ask](plain().to(kind)).float(), ASKS[ask](plain())
    near = {torch.float16: 0.02, torch.bfloat16: 0.15, torch.float64: 1e-3}[kind]
    assert found.isfinite().all()
    assert float((found - expected).abs().max()) <= near * float(expected.abs().max())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_training_in_another_type_is_refused_in_words(kind):
    with pytest.raises(UsageError, match=r"call model\.float\(\)"):
        fit(plain().to(kind), DATA, DATA, TrainConfig(lr=0.01, epochs=1), "cpu")
