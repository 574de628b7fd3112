"""Training on images that were changed on purpose: by noise, or by an adversary who may move every pixel a little.

A network that keeps its answer under such changes cannot lean on fine patterns that mean nothing to a person. What it
has learned is closer to what we see, and so are the pictures that it makes: see `viz.class_images`.

Madry et al. 2018, Towards deep learning models resistant to adversarial attacks; Santurkar et al. 2019, Image synthesis
with a single (robust) classifier.
"""

import hashlib
import inspect
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from cnnviz_utils.data.loaders import batches
from cnnviz_utils.training.evaluation import pick_device, predict
from cnnviz_utils.base.files import atomic_folder
from cnnviz_utils.base.paths import cache_root
from cnnviz_utils.training.store import load_plain_weights, plain_weights, run_key
from cnnviz_utils.training.loop import History, TrainConfig, lr_factor, make_optimiser, steps_per_epoch
from cnnviz_utils.training import adversary_examples as robust


@dataclass(frozen=True)
class Change:
    """What is done to a batch of training images before the network learns from it.

    noise: Gaussian noise on every number, with a standard deviation of its own for each image, from 0 to this; images
        lie in [0, 1]
    eps, steps: how far (L2, over the whole image) and in how many steps an adversary may move each image; 0 for none
    """

    noise: float = 0.0
    eps: float = 0.0
    steps: int = 1

    def __post_init__(self):
        if self.noise < 0 or self.eps < 0 or self.steps < 1:
            raise ValueError(f"noise and eps must not be negative, and steps must be at least 1, not {self}")

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """images (N, 3, H, W) in [0, 1], labels (N,) -> images (N, 3, H, W) in [0, 1]."""
        if self.noise:
            strength = self.noise * torch.rand(len(images), 1, 1, 1, generator=generator)
            noise = strength * torch.randn(images.shape, generator=generator)
            images = (images + noise.to(images.device)).clamp(0, 1)
        if self.eps:
            images = robust.adversarial_examples(model, images, labels, eps=self.eps, steps=self.steps)
        return images


def fit_changed(model: nn.Module, train, valid, config: TrainConfig, change: Change, device: str = "auto") -> History:
    """Train `model` in place on changed images; the weights of the last epoch stay, whatever validation says.

    Validation is on images as they are. `config`'s optimiser, rates, schedule, epochs, batch size, augmentation and
    seed count, the rest of it does not. The same seed on the same machine gives the same bits.
    """
    device = pick_device(device)
    model.to(device, memory_format=torch.channels_last).train()
    optimiser, history, step = make_optimiser(model, config), History(), 0
    generator, total = torch.Generator().manual_seed(config.seed), steps_per_epoch(len(train), config)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)  # dropout's, see `fit`
        for epoch in range(1, config.epochs + 1):
            started, loss_sum, right = time.perf_counter(), 0.0, 0
            for images, labels in batches(train, config.batch_size, shuffle=True, augment=config.augment,
                                          generator=generator, device=device):
                for group in optimiser.param_groups:
                    group["lr"] = group["peak"] * lr_factor(config, step, total)
                logits = model(change(model, images, labels, generator))
                loss = F.cross_entropy(logits, labels)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                step, loss_sum = step + 1, loss_sum + float(loss.detach()) * len(labels)
                right += int((logits.argmax(1) == labels).sum())
            valid_logits, valid_labels = predict(model, valid, device=device)
            history.rows.append({
                "epoch": epoch, "lr": optimiser.param_groups[0]["lr"], "train_loss": loss_sum / len(train),
                "train_accuracy": right / len(train), "valid_loss": float(F.cross_entropy(valid_logits, valid_labels)),
                "valid_accuracy": float((valid_logits.argmax(1) == valid_labels).double().mean()),
                "seconds": time.perf_counter() - started})
    return history


def fit_changed_or_load(model: nn.Module, train, valid, config: TrainConfig, change: Change, device: str = "auto",
                        cache: Path | None = None) -> History:
    """`fit_changed`, unless the same run, from the same first weights, was made before: then it is read."""
    text = "|".join([run_key(model, train, valid, config), json.dumps(asdict(change)), inspect.getsource(robust),
                     Path(__file__).read_text()])
    where = (cache or cache_root() / "models") / hashlib.sha256(text.encode()).hexdigest()[:16]

    def train_and_save(folder: Path) -> None:
        history = fit_changed(model, train, valid, config, change, device)
        save_file(plain_weights(model), folder / "weights.safetensors")
        (folder / "history.json").write_text(json.dumps(history.rows))

    folder = atomic_folder(where, train_and_save, ("weights.safetensors", "history.json"))
    load_plain_weights(model, folder / "weights.safetensors")
    return History(json.loads((folder / "history.json").read_text()))
