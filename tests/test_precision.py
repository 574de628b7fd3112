"""Half precision against float32, against numpy's and struct's bits, against torch's profiler."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnviz_utils.base.device import shortest_seconds
from cnnviz_utils.models.build import build_model
from cnnviz_utils.models.networks import ResNet
from cnnviz_utils.training import precision
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.loop import fit
from cnnviz_utils.training.precision import (
    bfloat16_instructions,
    has_fast_bfloat16,
    kept_bytes,
    peak_bytes,
    pick_amp,
)

HALF = ("bfloat16", "float16")


def small(classes=3, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ResNet((1, 1), (8, 16), classes)


def gradients(net, images, labels, amp):
    with torch.autocast("cpu", precision.DTYPES[amp], enabled=amp != "off"):
        logits = net(images)
        loss = F.cross_entropy(logits, labels)
    grads = torch.autograd.grad(loss, list(net.parameters()))
    return logits.float(), torch.cat([g.flatten() for g in grads])


@pytest.mark.parametrize(("amp", "tolerance"), [("bfloat16", 0.1), ("float16", 0.015)])
def test_a_forward_and_backward_pass_is_float32s_within_the_step_of_the_format(squares, amp, tolerance):
    images, labels = squares[:32]
    (full, g), (half, h) = (gradients(small(), images, labels, kind) for kind in ("off", amp))
    assert (full - half).norm() / full.norm() < tolerance
    assert (g - h).norm() / g.norm() < 2 * tolerance
    assert not torch.equal(full, half) and h.dtype == torch.float32  # the weights' gradients are float32


@pytest.mark.parametrize("amp", HALF)
def test_training_in_half_precision_ends_where_float32_ends(squares, amp):
    settings = TrainConfig(lr=0.02, epochs=6, batch_size=16, schedule="constant", seed=1)
    ends = [fit(small(), squares, squares, replace(settings, amp=kind), device="cpu").frame().iloc[-1] for kind in ("off", amp)]
    assert abs(ends[0].train_loss - ends[1].train_loss) < 0.1
    assert abs(ends[0].train_accuracy - ends[1].train_accuracy) < 0.1


def test_auto_is_what_is_fast_here_and_the_rest_stays_as_it_is(monkeypatch):
    assert [pick_amp(amp, "cpu") for amp in ("off", "float16", "bfloat16")] == ["off", "float16", "bfloat16"]
    for fast, choice in ((True, "bfloat16"), (False, "off")):
        monkeypatch.setattr(precision, "has_fast_bfloat16", lambda device, fast=fast: fast)
        assert pick_amp("auto", "cpu") == choice
    with pytest.raises(ValueError, match="bfloat16, not 'half'"):
        pick_amp("half", "cpu")


@pytest.mark.parametrize(("found", "machine", "slowdown", "expected"), [
    (("avx512_bf16",), "x86_64", 9, True), ((), "x86_64", 0.1, False), (("bf16",), "arm64", 0.5, True),
    (("bf16",), "arm64", 20, False), (None, "arm64", 20, False), (None, "x86_64", 0.5, True)])
def test_instructions_decide_on_x86_and_a_measurement_elsewhere(monkeypatch, found, machine, slowdown, expected):
    monkeypatch.setattr(precision, "bfloat16_instructions", lambda: found)
    monkeypatch.setattr(precision, "bfloat16_slowdown", lambda: slowdown)
    monkeypatch.setattr(precision.platform, "machine", lambda: machine)
    assert has_fast_bfloat16("cpu") is expected


def test_the_system_knows_the_same_instructions_as_torch(monkeypatch):
    if not os.path.exists("/proc/cpuinfo"):
        pytest.skip("this system has no /proc/cpuinfo")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    by_torch = bfloat16_instructions()
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert bfloat16_instructions() == by_torch


@pytest.mark.parametrize(("limit", "allowed"), [("AVX2", False), ("AVX512_CORE_BF16", True), ("ALL", True)])
def test_instructions_that_onednn_may_not_use_do_not_count(monkeypatch, limit, allowed):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "ALL")
    here = bfloat16_instructions()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert bfloat16_instructions() == (here if allowed else ())


def test_without_the_instructions_auto_is_float32_and_bfloat16_is_slow():
    code = "from cnnviz_utils.training.precision import *; print(pick_amp('auto', 'cpu'), bfloat16_slowdown())"
    out = subprocess.run([sys.executable, "-c", code], env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"},
                         capture_output=True, text=True, check=True).stdout.split()
    assert out[0] == "off"
    if torch.backends.cpu.get_cpu_capability() != "DEFAULT":
        assert float(out[1]) > 1


def test_kept_bytes_of_a_network_counted_by_hand():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 8, 5))
    images = torch.rand(2, 3, 8, 8)
    kept = kept_bytes(net, images)
    # the convolution keeps the images (not counted); ReLU keeps its output, which is the linear layer's input as well
    assert kept == {"activations": 2 * 4 * 8 * 8 * 4, "weight_copies": 0}
    half = kept_bytes(net, images, "bfloat16")
    # now the images are kept as a copy of two bytes a number; so are the weights
    assert half == {"activations": 2 * 4 * 8 * 8 * 2 + images.numel() * 2, "weight_copies": 2 * (4 * 27 + 5 * 256)}


def test_kept_activations_grow_with_the_batch_and_copies_do_not():
    net = small().train()
    one, two = (kept_bytes(net, torch.rand(n, 3, 32, 32), "bfloat16") for n in (8, 16))
    assert one["weight_copies"] == two["weight_copies"] == 2 * sum(p.numel() for p in net.parameters() if p.ndim > 1)
    assert two["activations"] == pytest.approx(2 * one["activations"], rel=0.01)


def test_peak_is_what_the_profiler_saw():
    net, images, labels = build_model("resnet18", 5).train(), torch.rand(4, 3, 64, 64), torch.arange(4)
    step = lambda: torch.autograd.grad(F.cross_entropy(net(images), labels), list(net.parameters()))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    now = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    assert peak_bytes(step) == pytest.approx(peak, rel=0.1)
    assert peak_bytes(step) == peak_bytes(step)


def test_peak_of_known_tensors_and_nothing_for_what_was_there_before():
    before = torch.zeros(1000)
    assert peak_bytes(lambda: before.view(10, 100).t()) == 0
    assert peak_bytes(lambda: [torch.ones(256), (torch.ones(512) + 1).sum()]) == 4 * (256 + 512 + 512)


def test_what_takes_long_is_timed_only_once():
    calls = {"long": 0, "short": 0}

    def call(name, seconds):
        calls[name] += 1
        time.sleep(seconds)

    shortest_seconds({"long": lambda: call("long", 0.03), "short": lambda: call("short", 0)}, 3, enough=0.02)
    assert calls["long"] == 2 and calls["short"] >= 2  # the first is to warm up


def test_shortest_seconds_orders_what_sleeps_longer():
    times = shortest_seconds({"long": lambda: time.sleep(0.03), "short": lambda: time.sleep(0.002)}, 3)
    assert list(times) == ["long", "short"] and times["long"] > times["short"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
@pytest.mark.parametrize("amp", HALF)
def test_on_a_gpu(amp):
    net, images = small().cuda().train(), torch.rand(64, 3, 64, 64, device="cuda")
    labels = torch.arange(64, device="cuda") % 3
    assert pick_amp("auto", "cuda") in HALF
    def step(kind):
        with torch.autocast("cuda", precision.DTYPES[kind], enabled=kind != "off"):
            loss = F.cross_entropy(net(images), labels)
        return torch.autograd.grad(loss, list(net.parameters()))
    step("off"), step(amp)
    assert peak_bytes(lambda: step(amp), "cuda") < peak_bytes(lambda: step("off"), "cuda")
