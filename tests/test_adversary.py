"""Training on changed images: what the change does, the same loop as `fit` without one, the loop by hand with one."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.sets import ImageSet
from cnnviz_utils.training.adversary import Change, adversarial_examples
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.loop import fit
from cnnviz_utils.training.optimiser import lr_factor
from cnnviz_utils.training.store import fit_or_load

CONFIG = TrainConfig(optimiser="adam", lr=0.02, momentum=0.9, weight_decay=0, epochs=4, batch_size=16, seed=3)


def lit(n, seed, size=8):
    """Two classes: the left or the right half a little lighter than the other."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (n,), generator=generator)
    images = 0.4 + 0.1 * torch.rand(n, 3, size, size, generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, :, 4 * label:4 * label + 4] += 0.1
    return ImageSet((images * 255).byte().numpy(), labels, ("left", "right"))


def network(seed=0, dropout=0.0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout),
                             nn.Linear(288, 2))


@pytest.fixture(scope="module")
def data():
    return lit(96, 0), lit(48, 1)


def test_noise_and_adversary_do_what_they_say(data):
    images, labels = data[0][:]
    generator = torch.Generator().manual_seed(0)
    assert Change()(network(), images, labels, generator) is images
    noisy = Change(noise=0.1)(network(), images, labels, generator)
    strengths = (noisy - images).flatten(1).std(1)  # even from 0 to 0.1
    assert float(strengths.min()) < 0.01 and 0.09 < float(strengths.max()) < 0.11
    assert float(strengths.mean()) == pytest.approx(0.05, rel=0.1)
    loud = Change(noise=3.0)(network(), images, labels, generator)
    assert float(loud.min()) == 0 and float(loud.max()) == 1
    model = network()
    attacked = Change(eps=0.7, steps=2)(model, images, labels, generator)
    assert torch.equal(attacked, adversarial_examples(model, images, labels, eps=0.7, steps=2))
    for wrong in ({"noise": -1.0}, {"eps": -1.0}, {"steps": 0}):
        with pytest.raises(ValueError, match="must"):
            Change(**wrong)


def test_a_change_that_changes_nothing_gives_the_same_rows_and_the_last_epochs_weights(data):
    ours, theirs = network(), network()
    rows = fit(ours, *data, CONFIG, "cpu", change=Change()).rows, fit(theirs, *data, CONFIG, "cpu").rows
    for column in ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "lr"):
        assert [row[column] for row in rows[0]] == [row[column] for row in rows[1]]
    last = network()
    fit(last, data[0], data[0].subset([0]), CONFIG, "cpu", change=Change())  # whatever validation says
    assert all(torch.equal(value, last.state_dict()[name]) for name, value in ours.state_dict().items())


def test_an_adversary_is_the_loop_written_out(data):
    """Attack the network as it is now, learn from what came out; Adam at the rates of one cycle."""
    one = CONFIG.__class__(**{**vars(CONFIG), "epochs": 1})
    ours, theirs = network(), network()
    fit(ours, *data, one, "cpu", change=Change(eps=0.5, steps=2))
    images, labels = data[0][:]
    order = torch.randperm(96, generator=torch.Generator().manual_seed(one.seed))
    optimiser = torch.optim.Adam(theirs.parameters(), betas=(one.momentum, 0.999))
    for step, chosen in enumerate(order.split(16)):
        optimiser.param_groups[0]["lr"] = one.lr * lr_factor(one, step, 6)
        attacked = adversarial_examples(theirs, images[chosen], labels[chosen], eps=0.5, steps=2)
        optimiser.zero_grad()
        F.cross_entropy(theirs.train()(attacked), labels[chosen]).backward()
        optimiser.step()
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("factor", "labels", "sentence"), [
    (255, [0, 1], "must lie in"), (1, [0, -1], "from 0 to 1"), (1, [0, 2], "from 0 to 1"),
    (1, [0.0, 1.7], "class numbers"), (1, [0], "2 images need"),
])
def test_what_is_no_image_or_no_label_is_refused(factor, labels, sentence):
    images = factor * torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(UsageError, match=sentence):
        adversarial_examples(network(), images, torch.tensor(labels))


def test_dropout_draws_by_the_seed_too(data):
    losses = []
    for _ in range(2):
        torch.rand(3)  # another state each time
        state = torch.random.get_rng_state()
        losses.append(fit(network(dropout=0.5), *data, CONFIG, "cpu", change=Change()).rows[-1]["train_loss"])
        assert torch.equal(torch.random.get_rng_state(), state)
    assert losses[0] == losses[1]


def test_the_same_seed_gives_the_same_bits_and_a_run_is_found_again(data, tmp_path, monkeypatch):
    change, state = Change(noise=0.05, eps=0.5), torch.random.get_rng_state()
    one, two = network(), network()
    load = lambda model, change=change: fit_or_load(model, *data, CONFIG, "cpu", tmp_path, change=change)
    first = load(one)
    fit(two, *data, CONFIG, "cpu", change=change)
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1
    monkeypatch.setattr("cnnviz_utils.training.store.fit", None)  # a second training would now fail
    three = network()
    assert load(three).rows == first.rows
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in three.state_dict().items())
    for model, other in ((network(), Change(eps=0.6)), (network(1), change), (network(), None)):
        with pytest.raises(TypeError):
            load(model, other)
