"""Train a network: one readable loop and what surrounds it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnviz_utils.data.augment import Augment
from cnnviz_utils.data.loaders import batches, class_weights
from cnnviz_utils.training.evaluation import pick_device, predict

SCHEDULES = ("constant", "step", "cosine", "one_cycle")
OPTIMISERS = ("sgd", "adam", "adamw")


@dataclass(frozen=True)
class TrainConfig:
    """How to train. A value out of range raises ValueError in one sentence.

    lr: the peak learning rate; lrs: (part's name, learning rate) pairs for parts that learn at another one
    step_size, gamma: for "step": every step_size epochs the learning rate is multiplied by gamma
    clip: the largest norm of the gradient, None for any
    class_weights: None or "balanced" (weights the loss by inverse class counts); balanced_sampling draws classes
        equally often instead
    amp: "off", "float16" (with gradient scaler, GPU only), "bfloat16"
    """

    optimiser: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    epochs: int = 10
    batch_size: int = 64
    schedule: str = "one_cycle"
    step_size: int = 10
    gamma: float = 0.1
    label_smoothing: float = 0.0
    clip: float | None = None
    class_weights: str | None = None
    balanced_sampling: bool = False
    drop_last: bool = False
    augment: Augment | None = None
    lrs: tuple[tuple[str, float], ...] = ()
    amp: str = "off"
    seed: int = 0

    def __post_init__(self):
        choices = {"optimiser": OPTIMISERS, "schedule": SCHEDULES, "amp": ("off", "float16", "bfloat16"),
                   "class_weights": (None, "balanced")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, not {getattr(self, name)!r}")
        for name in ("lr", "epochs", "batch_size", "step_size"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if not (0 <= self.momentum < 1 and 0 <= self.label_smoothing < 1 and self.weight_decay >= 0):
            raise ValueError("momentum and label_smoothing must lie in [0, 1), weight_decay must not be negative")


@dataclass
class History:
    """What happened, a dict an epoch: epoch, lr, train_loss, train_accuracy, valid_loss, valid_accuracy, seconds,
    skipped (steps that the gradient scaler left out)."""

    rows: list[dict] = field(default_factory=list)

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows)

    @property
    def best_epoch(self) -> int:
        """The epoch (from 1) with the highest validation accuracy, the first of equals."""
        return max(self.rows, key=lambda row: (row["valid_accuracy"], -row["epoch"]))["epoch"]


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict]:
    """Learning parameters in groups, each with its peak learning rate: the longest name in `lrs` that fits wins.

    Raises ValueError where nothing learns, or for a name in `lrs` that no parameter has.
    """
    rates, names = dict(config.lrs), [name for name, _ in model.named_parameters()]
    if unknown := [part for part in rates if not any(name == part or name.startswith(part + ".") for name in names)]:
        raise ValueError(f"lrs names {', '.join(map(repr, unknown))}, but this model has no such part")
    groups: dict[float, list] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            fitting = [part for part in rates if name == part or name.startswith(part + ".")]
            groups.setdefault(rates[max(fitting, key=len)] if fitting else config.lr, []).append(parameter)
    if not groups:
        raise ValueError("nothing in this model learns: every parameter is frozen")
    return [{"params": parameters, "lr": lr, "peak": lr} for lr, parameters in groups.items()]


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser over what learns, and only that."""
    groups = parameter_groups(model, config)
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum, weight_decay=config.weight_decay, fused=True)
    kind = torch.optim.Adam if config.optimiser == "adam" else torch.optim.AdamW
    return kind(groups, betas=(config.momentum, 0.999), weight_decay=config.weight_decay, fused=True)


def lr_factor(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """What the peak learning rate is multiplied by at a step (from 0) of training.

    "one_cycle" (Smith 2018): up from 1/25 over the first quarter, then down to 1/10,000, both along half a cosine.
    """
    total = config.epochs * steps_per_epoch
    if config.schedule == "step":
        return config.gamma ** (step // steps_per_epoch // config.step_size)
    if config.schedule == "cosine":
        return 0.5 + 0.5 * math.cos(math.pi * step / total)
    if config.schedule == "one_cycle":
        warm = max(1, round(0.25 * total))
        low, high, share = (1 / 25, 1.0, step / warm) if step < warm else (1.0, 1e-4, (step - warm) / max(1, total - warm))
        return high + (low - high) * (0.5 + 0.5 * math.cos(math.pi * share))
    return 1.0


def steps_per_epoch(images: int, config: TrainConfig) -> int:
    """Steps that an epoch takes; 0 images a step is refused by `batches`."""
    return max(1, images // config.batch_size if config.drop_last else -(-images // config.batch_size))


def autocast(device: torch.device, amp: str):
    """The context in which the forward pass computes: half precision where asked for, float32 otherwise."""
    dtype = {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(amp, torch.float32)
    return torch.autocast(device.type, dtype=dtype, enabled=amp != "off")


def loss_of(output, labels: Tensor, config: TrainConfig, weights: Tensor | None) -> Tensor:
    """Cross-entropy; of GoogLeNet's three outputs in training the two auxiliary ones count 0.3 (Szegedy 2015)."""
    loss = lambda logits: F.cross_entropy(logits, labels, weight=weights, label_smoothing=config.label_smoothing)
    if isinstance(output, tuple):
        return loss(output[0]) + 0.3 * sum(loss(extra) for extra in output[1:] if extra is not None)
    return loss(output)


def advance(optimiser: torch.optim.Optimizer, scaler: torch.amp.GradScaler, config: TrainConfig) -> int:
    """One step of the optimiser; 1 if the scaler left it out because a gradient had overflowed, else 0."""
    if config.clip is not None:
        scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], config.clip)
    before = scaler.get_scale()
    scaler.step(optimiser)
    scaler.update()
    return int(scaler.get_scale() < before)


def fit(model: nn.Module, train, valid, config: TrainConfig, device: str = "auto",
        progress: Callable[[dict], None] | None = None) -> History:
    """Train `model` in place; afterwards it has the weights of the epoch that was best on `valid`.

    The same seed on the same machine gives the same bits. `progress` is called with each epoch's row.

    Raises:
        FloatingPointError: the loss became NaN or infinite; the message names epoch, step and learning rate.
    """
    device = pick_device(device)
    model.to(device, memory_format=torch.channels_last)
    optimiser, history, best, step = make_optimiser(model, config), History(), None, 0
    generator = torch.Generator().manual_seed(config.seed)
    weights = class_weights(train.labels, len(train.classes)).to(device) if config.class_weights else None
    scaler = torch.amp.GradScaler(device.type, enabled=config.amp == "float16")
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)  # dropout draws from the global generator: fork it, seed it, give it back
        for epoch in range(1, config.epochs + 1):
            started = time.perf_counter()
            model.train()
            step_before, totals, skipped = step, torch.zeros(3, dtype=torch.float64, device=device), 0
            steps = steps_per_epoch(len(train), config)
            for images, labels in batches(train, config.batch_size, shuffle=True, augment=config.augment,
                                          balanced=config.balanced_sampling, drop_last=config.drop_last,
                                          generator=generator, device=device):
                for group in optimiser.param_groups:
                    group["lr"] = group["peak"] * lr_factor(config, step, steps)
                with autocast(device, config.amp):
                    output = model(images)
                    loss = loss_of(output, labels, config, weights)
                logits = output[0] if isinstance(output, tuple) else output
                optimiser.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()
                skipped += advance(optimiser, scaler, config)
                step += 1
                right = (logits.argmax(1) == labels).sum()
                totals += torch.stack([loss.detach().double() * len(labels), right.double(),
                                       torch.tensor(float(len(labels)), device=device, dtype=torch.float64)])
            train_loss, right, seen = totals.tolist()
            if not math.isfinite(train_loss):
                raise FloatingPointError(f"the loss became {train_loss} in epoch {epoch} (steps {step_before + 1} to "
                                         f"{step}, learning rate {optimiser.param_groups[0]['lr']:.3g}): "
                                         "a smaller learning rate or gradient clipping may help")
            valid_logits, valid_labels = predict(model, valid, device=device)
            if not valid_logits.isfinite().all():  # the last step can do that, and no loss of a later one tells
                raise FloatingPointError(f"the network gives NaN or infinity after epoch {epoch}: a smaller learning rate "
                                         "or gradient clipping may help")
            row = {"epoch": epoch, "lr": optimiser.param_groups[0]["lr"], "train_loss": train_loss / seen,
                   "train_accuracy": right / seen, "valid_loss": float(F.cross_entropy(valid_logits, valid_labels)),
                   "valid_accuracy": float((valid_logits.argmax(1) == valid_labels).double().mean()),
                   "seconds": time.perf_counter() - started, "skipped": skipped}
            history.rows.append(row)
            if history.best_epoch == epoch:
                best = {name: value.detach().clone() for name, value in model.state_dict().items()}
            if progress:
                progress(row)
    model.load_state_dict(best)
    return history
