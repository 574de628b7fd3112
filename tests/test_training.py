"""The loop against steps taken by hand; schedules against closed forms; the same seed, the same bits."""

import inspect
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import coloured_squares
from torch import nn

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.augment import Augment
from cnnviz_utils.models.build import build_model
from cnnviz_utils.models.freezing import freeze, unfreeze
from cnnviz_utils.models.networks import ResNet
from cnnviz_utils.training import store
from cnnviz_utils.training.adversary import Change
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.loop import fit
from cnnviz_utils.training.lr_finder import find_lr
from cnnviz_utils.training.optimiser import lr_factor, make_optimiser
from cnnviz_utils.training.step import Stepper
from cnnviz_utils.training.store import fit_or_load, run_key
from cnnviz_utils.training.team import Team

QUICK = TrainConfig(lr=0.02, epochs=3, batch_size=16, schedule="constant", seed=1)


def net(seed=0, dropout=0.0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                         nn.Dropout(dropout), nn.Linear(24, 3))


def weights(model):
    return torch.cat([value.double().flatten() for value in model.state_dict().values()])


def test_one_step_is_gradient_descent_with_momentum_and_decay(squares):
    config = TrainConfig(lr=0.1, momentum=0.9, weight_decay=0.01, epochs=2, batch_size=96, schedule="constant")
    model, by_hand = nn.Sequential(nn.Flatten(), nn.Linear(768, 3)), nn.Sequential(nn.Flatten(), nn.Linear(768, 3))
    by_hand.load_state_dict(model.state_dict())
    x, y = squares[:]
    history = fit(model, squares, squares, config, device="cpu")
    speed = [torch.zeros_like(p) for p in by_hand.parameters()]
    best, best_accuracy = None, -1.0
    for _ in range(2):
        grads = torch.autograd.grad(F.cross_entropy(by_hand(x), y), list(by_hand.parameters()))
        with torch.no_grad():
            for p, v, g in zip(by_hand.parameters(), speed, grads, strict=True):
                v.mul_(0.9).add_(g + 0.01 * p)
                p.sub_(0.1 * v)
            accuracy = float((by_hand(x).argmax(1) == y).double().mean())
        if accuracy > best_accuracy:
            best, best_accuracy = weights(by_hand), accuracy
    torch.testing.assert_close(weights(model), best, rtol=1e-4, atol=1e-6)
    assert max(row["valid_accuracy"] for row in history.rows) == pytest.approx(best_accuracy)


def test_epoch_loss_is_the_mean_over_images_not_the_last_batch():
    data = coloured_squares(40)
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 3))
    x, y = data[:]
    expected = F.cross_entropy(model(x), y).item()
    history = fit(model, data, data, replace(QUICK, lr=1e-12, epochs=1), device="cpu")  # batches of 16, 16, 8
    assert history.rows[0]["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_same_seed_same_bits_dropout_included(squares):
    runs = []
    for _ in range(2):
        model = net(dropout=0.5)
        torch.manual_seed(torch.seed() % 1000)  # whatever the global generator holds must not matter
        fit(model, squares, squares, QUICK, device="cpu")
        runs.append(weights(model))
    assert torch.equal(*runs)
    other = net(dropout=0.5)
    fit(other, squares, squares, replace(QUICK, seed=2), device="cpu")
    assert not torch.equal(weights(other), runs[0])


def test_training_leaves_the_global_generator_alone(squares):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    fit(net(dropout=0.5).train(), squares, squares, replace(QUICK, epochs=1), device="cpu")
    torch.manual_seed(5)
    assert torch.equal(before, torch.get_rng_state())


def test_learns_and_keeps_the_best_epoch(squares):
    model, valid = net(), coloured_squares(60, seed=9)
    history = fit(model, squares, valid, replace(QUICK, epochs=12, lr=0.1), device="cpu")
    accuracies = [row["valid_accuracy"] for row in history.rows]
    assert max(accuracies) > 0.8
    assert history.best_epoch == 1 + accuracies.index(max(accuracies))
    with torch.no_grad():
        now = float((model.eval()(valid[:][0]).argmax(1) == valid.labels).double().mean())
    assert now == pytest.approx(max(accuracies))


def test_a_loss_that_explodes_is_an_error_that_says_where(squares):
    with pytest.raises(FloatingPointError, match=r"epoch 1 .*learning rate 1e\+30"):
        fit(net(), squares, squares, replace(QUICK, lr=1e30), device="cpu")


def test_a_network_that_the_last_step_destroys_is_an_error_too(squares):
    once = replace(QUICK, lr=1e30, epochs=1, batch_size=len(squares))  # the loss of the only step is still finite
    with pytest.raises(FloatingPointError, match="output of the network became NaN or infinite in epoch 1"):
        fit(net(), squares, squares, once, device="cpu")


@pytest.mark.parametrize(("schedule", "closed_form"), [
    ("constant", lambda t, e: 1.0), ("step", lambda t, e: 0.5 ** (e // 3)),
    ("cosine", lambda t, e: 0.5 * (1 + math.cos(math.pi * t))),
])
def test_schedules_follow_their_closed_form(schedule, closed_form):
    config = TrainConfig(schedule=schedule, step_size=3, gamma=0.5, epochs=10)
    for step in range(0, 50, 7):
        assert lr_factor(config, step, 5) == pytest.approx(closed_form(step / 50, step // 5))


def test_one_cycle_rises_to_the_peak_at_a_quarter_and_falls_to_nearly_nothing():
    factors = [lr_factor(TrainConfig(epochs=10), step, 10) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 25) and factors[25] == pytest.approx(1.0) and factors[-1] < 0.01
    assert factors[:26] == sorted(factors[:26]) and factors[25:] == sorted(factors[25:], reverse=True)


def test_parts_learn_at_their_own_rates_and_frozen_ones_are_left_out():
    model = freeze(build_model("small_resnet", 3), "stem")
    optimiser = make_optimiser(model, TrainConfig(lr=0.1, lrs=(("stage1", 0.001), ("head", 1.0))))
    rate = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    found = {name.split(".")[0]: rate.get(id(p)) for name, p in model.named_parameters()}
    assert found == {"stem": None, "stage1": 0.001, "stage2": 0.1, "stage3": 0.1, "head": 1.0}


def test_a_misspelt_part_is_named():
    with pytest.raises(ValueError, match="'haed'"):
        make_optimiser(net(), TrainConfig(lrs=(("haed", 1e-3), ("0", 1e-3))))


def test_class_weights_and_balanced_sampling_help_the_rare_class():
    data = coloured_squares(120)
    rare = data.subset([i for i in range(120) if data.labels[i] != 2 or i < 12])
    recall = {}
    for name, extra in {"plain": {}, "weights": {"class_weights": "balanced"}, "sampling": {"balanced_sampling": True}}.items():
        model = net()
        fit(model, rare, rare, replace(QUICK, epochs=2, lr=0.05, **extra), device="cpu")
        with torch.no_grad():
            answers = model.eval()(data[:][0]).softmax(1)[data.labels == 2, 2]
        recall[name] = float(answers.mean())
    assert recall["weights"] > recall["plain"] and recall["sampling"] > recall["plain"]


@pytest.mark.parametrize(("field", "value"), [("lr", 0.0), ("optimiser", "sgdd"), ("momentum", 1.0), ("epochs", 0),
                                               ("schedule", "none"), ("amp", "half"), ("class_weights", "equal")])
def test_bad_settings_are_named(field, value):
    with pytest.raises(ValueError, match=field):
        TrainConfig(**{field: value})


def test_bfloat16_on_the_cpu_stays_close_to_float32(squares):
    losses = [fit(net(), squares, squares, replace(QUICK, amp=amp), device="cpu").frame().train_loss for amp in ("off", "bfloat16")]
    assert abs(losses[0] - losses[1]).max() < 0.05


def test_find_lr_leaves_the_model_alone_and_finds_a_rate_that_learns(squares):
    model = net()
    before = weights(model)
    curve = find_lr(model, squares, QUICK, device="cpu")
    assert torch.equal(weights(model), before)
    assert curve.lrs == sorted(curve.lrs) and len(curve.lrs) == len(curve.losses) > 20
    assert 1e-4 < curve.suggestion < 10
    history = fit(model, squares, squares, replace(QUICK, lr=min(curve.suggestion, 1.0)), device="cpu")
    assert history.rows[-1]["train_loss"] < math.log(3)


def test_find_lr_says_what_is_wrong(squares):
    with pytest.raises(ValueError, match="at least 2 steps"):
        find_lr(net(), squares, QUICK, steps=1)
    broken = net()
    broken[-1].bias.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="before the first step"):
        find_lr(broken, squares, QUICK, device="cpu")


# ---------------------------------------------------------------- the store

def test_a_run_is_made_once(squares, tmp_path, monkeypatch):
    first, second = net(), net()
    history = fit_or_load(first, squares, squares, QUICK, "cpu", tmp_path)
    monkeypatch.setattr(store, "fit", lambda *a, **k: pytest.fail("trained again"))
    again = fit_or_load(second, squares, squares, QUICK, "cpu", tmp_path)
    assert torch.equal(weights(first), weights(second)) and history.rows == again.rows


@pytest.mark.parametrize("file", ["weights.safetensors", "history.json"])
def test_a_damaged_entry_is_trained_again(squares, tmp_path, file):
    first, second = net(), net()
    fit_or_load(first, squares, squares, QUICK, "cpu", tmp_path)
    [path] = tmp_path.glob(f"*/{file}")
    path.write_bytes(b"not what it was")
    fit_or_load(second, squares, squares, QUICK, "cpu", tmp_path)
    assert torch.equal(weights(first), weights(second))


def test_the_key_changes_with_whatever_changes_the_result(squares):
    base = run_key(net(), squares, squares, QUICK)
    assert base == run_key(net(), squares, squares, QUICK)
    frozen = net()
    frozen[0].requires_grad_(False)
    others = [run_key(net(seed=1), squares, squares, QUICK), run_key(net(), squares, squares, replace(QUICK, lr=0.03)),
              run_key(net(), coloured_squares(seed=3), squares, QUICK), run_key(frozen, squares, squares, QUICK)]
    assert len({base, *others}) == 5


def test_the_key_changes_with_what_the_network_computes(squares):
    """Networks that print alike, with the same weights."""
    residual, plain = (ResNet([2], [8], 3, shortcut=shortcut) for shortcut in (True, False))
    plain.load_state_dict(residual.state_dict())
    assert repr(residual) == repr(plain)
    assert run_key(residual, squares, squares, QUICK) != run_key(plain, squares, squares, QUICK)

    class Typed(nn.Sequential):
        def forward(self, x):
            return super().forward(x.flip(-1))

    mirrored = Typed(*net())
    Typed.__name__ = "Sequential"
    assert repr(mirrored) == repr(net())
    assert run_key(mirrored, squares, squares, QUICK) != run_key(net(), squares, squares, QUICK)
    keys = set()
    for factor in (2, 3):  # as from a prompt, where there is no source to read
        typed = {"nn": nn}
        exec(f"class Typed(nn.Sequential):\n  def forward(self, x): return {factor} * super(Typed, self).forward(x)", typed)
        keys.add(run_key(typed["Typed"](*net()), squares, squares, QUICK))
    assert len(keys) == 2
    assert run_key(net().bfloat16(), squares, squares, QUICK) != run_key(net(), squares, squares, QUICK)


@pytest.mark.parametrize("training", [True, False])
def test_made_or_found_the_model_is_left_the_same(squares, tmp_path, training):
    for model in (net().train(training), net().train(training)):
        fit_or_load(model, squares, squares, QUICK, "cpu", tmp_path)
        assert model.training == training and all(p.grad is None for p in model.parameters())


def test_the_key_knows_frozen_statistics_from_frozen_parameters_alone(squares):
    build = lambda: build_model("small_resnet", 3, widths=(4, 8, 8))
    both, parameters = freeze(build(), "stem"), build()
    parameters.stem.requires_grad_(False)
    assert run_key(both, squares, squares, QUICK) != run_key(parameters, squares, squares, QUICK)


@pytest.mark.parametrize("kind", [lambda: nn.InstanceNorm2d(4, track_running_stats=True),
                                  lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 1))])
def test_the_key_knows_any_frozen_state(squares, kind):
    def build():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            body = nn.Sequential(nn.Conv2d(3, 4, 3), kind())
            return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

    parameters, frozen = build(), freeze(build(), "0")
    parameters[0].requires_grad_(False)
    keys = [run_key(model, squares, squares, QUICK) for model in (parameters, frozen, build())]
    keys.append(run_key(unfreeze(frozen, "0"), squares, squares, QUICK))
    assert keys[0] != keys[1] and keys[2] == keys[3] and len(set(keys)) == 3


def test_training_code_is_part_of_the_key(squares, monkeypatch):
    base = run_key(net(), squares, squares, QUICK)
    monkeypatch.setattr(store.inspect, "getsource", lambda module: "other code")
    assert run_key(net(), squares, squares, QUICK) != base


def test_all_that_runs_in_a_training_is_in_the_key(squares):
    """Seen by watching: functions that are neither stamped nor of those that only carry numbers about."""
    few, ran = squares.subset(range(24)), {}

    def watch(frame, event, _):
        if event == "call" and "cnnviz_utils" in frame.f_code.co_filename:
            ran[frame.f_code.co_qualname] = frame.f_code

    configs = [replace(QUICK, epochs=1, augment=Augment(flip=0.5, shift=0.1), balanced_sampling=True, batch_size=10, drop_last=True, lrs=(("0", 0.1),)),
               replace(QUICK, epochs=1, class_weights="balanced", label_smoothing=0.1, clip=1.0)]
    frozen = build_model("small_resnet", 3, widths=(4, 8, 8))
    fit(net(), few, few, replace(QUICK, epochs=1), "cpu")  # imports what it needs, unwatched
    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        for config, change in ((configs[0], None), (configs[1], Change(noise=0.1, eps=1.0))):
            fit(net(), few, few, config, "cpu", change=change)
        fit(freeze(frozen, "stem"), few, few, replace(configs[0], lrs=()), "cpu")
    finally:
        sys.setprofile(before)
    stamped = "".join([*store.training_code(), inspect.getsource(store.freezing)])  # the latter where something is frozen
    others = {code.co_filename.rpartition("cnnviz_utils/")[2] for code in ran.values()
              if "<" not in code.co_qualname.rpartition(".")[2] and inspect.getsource(code).strip() not in stamped}
    carry = {"training/config.py", "training/team.py", "training/evaluation.py", "training/answered.py", "models/build.py", "models/architectures.py", "models/networks.py",
             "models/efficientnet.py"}  # settings and networks are stamped themselves; a team of one does nothing, nor does a check
    assert {file for file in others if not file.startswith("base/")} <= carry and "Augment.__call__" in ran and "freeze" in ran


def test_torchs_version_frozen_code_and_the_number_of_processes_are_part_of_the_key(squares, monkeypatch):
    frozen = freeze(build_model("small_resnet", 3, widths=(4, 8, 8)), "stem")
    keys = lambda: [run_key(model, squares, squares, QUICK) for model in (net(), frozen)]
    base = keys()
    with monkeypatch.context() as other:
        other.setattr(torch, "__version__", "0.1")
        assert not set(base) & set(keys())
    with monkeypatch.context() as other:
        other.setattr(store, "current_team", lambda: Team(0, 2))  # the same batch_size, twice as many images a step
        assert not set(base) & set(keys())
    source = inspect.getsource
    monkeypatch.setattr(store.inspect, "getsource", lambda part: "other code" if part is store.freezing else source(part))
    assert keys()[0] == base[0] and keys()[1] != base[1]


# ---------------------------------------------------------------- refused before anything is trained

@pytest.mark.parametrize(("field", "value"), [
    ("clip", -1.0), ("clip", 0.0), ("gamma", -0.1), ("lr", math.nan), ("lr", math.inf), ("epochs", 2.5), ("epochs", True), ("seed", 2**70),
    ("seed", -1), ("batch_size", 0), ("lrs", (("0", -1.0),)), ("lrs", (("0", 1.0), ("0", 2.0))), ("augment", {"flip": "x"}), ("augment", {"flipp": 1}),
    ("weight_decay", math.nan), ("label_smoothing", 1.0), ("step_size", 0)])
def test_values_that_are_none_are_refused_by_name(field, value):
    with pytest.raises(UsageError, match=field):
        TrainConfig(**{field: value})


def test_settings_take_numpys_numbers_and_mappings():
    config = TrainConfig(lr=np.float64(1), epochs=np.int64(3), lrs={"head": 1}, augment={"flip": 0.5})
    assert config == TrainConfig(lr=1.0, epochs=3, lrs=(("head", 1.0),), augment=Augment(flip=0.5))
    assert type(config.lr) is float and type(config.epochs) is int
    assert "batch_size: images a step; a whole number from 1" in TrainConfig.__doc__


def test_what_cannot_be_trained_is_refused_in_a_sentence(squares):
    empty, larger = squares.subset([]), coloured_squares(12, size=24)
    broken = net()
    broken[0].weight.data.fill_(math.nan)
    for model, train, valid, device, message in (
            (net(), empty, squares, "cpu", "the train set has no images"), (net(), squares, empty, "cpu", "the valid set has no images"),
            (net(), squares, larger, "cpu", "load both at one size"), (broken, squares, squares, "cpu", "0.weight are not finite"),
            (net(), squares, squares, "tpu", "device must be a text such as auto, cpu"),
            (nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), squares, squares, "cpu", "build it with 3 classes")):
        with pytest.raises(UsageError, match=message):
            fit(model, train, valid, QUICK, device)


def test_changed_images_do_not_let_nan_through(squares):
    with pytest.raises(FloatingPointError, match="became NaN or infinite"):
        fit(net(), squares, squares, replace(QUICK, lr=1e30), "cpu", change=Change(noise=0.1))


@pytest.mark.parametrize("change", [None, Change(eps=0.5)])
def test_made_or_found_every_module_keeps_its_mode(squares, tmp_path, change):
    for _ in range(2):
        model = net().train()
        model[1].eval()
        fit_or_load(model, squares, squares, replace(QUICK, epochs=1), "cpu", tmp_path, change=change)
        assert model.training and not model[1].training and all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("change", [None, Change(noise=0.1)])
def test_one_cycle_falls_to_the_end_when_the_last_batch_is_left_out(squares, change, monkeypatch):
    rates, set_lr = [], Stepper.set_lr
    monkeypatch.setattr(Stepper, "set_lr", lambda self, factor: (rates.append(factor), set_lr(self, factor))[1])
    config = TrainConfig(lr=0.01, epochs=4, batch_size=36, drop_last=True)
    fit(net(), squares, squares, config, "cpu", change=change)  # 96 images: two full batches
    assert rates == [lr_factor(config, step, 2) for step in range(8)]
    peak = rates.index(max(rates))
    assert rates[peak:] == sorted(rates[peak:], reverse=True) and peak == 2


def test_the_same_pictures_under_other_labels_are_another_run(squares):
    other = replace(squares, labels=squares.labels.flip(0))
    renamed = replace(squares, classes=("x", "y", "z"))
    darker = replace(squares, images=squares.images // 2)
    keys = {run_key(net(), data, squares, QUICK) for data in (squares, other, renamed, darker, squares.subset(range(95)))}
    assert len(keys) == 5 and run_key(net(), squares.subset(range(96)), squares, QUICK) in keys
