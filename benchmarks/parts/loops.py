"""Training on a folder of photos, as each library's manual does it. Each function is
called in a process of its own and tells seconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATE = 1e-3


@dataclass(frozen=True)
class Task:
    """What is to be trained: a folder with a folder for each class, the side of the
    images, and so on."""

    folder: str
    size: int
    epochs: int
    batch: int
    threads: int
    network: str
    images: int


def network(task: Task, classes: int) -> nn.Module:
    from cnnviz_utils.models.build import build_model

    torch.manual_seed(0)
    return build_model(task.network, classes, size=task.size)


def told(started: float, ends: list[float]) -> dict:
    """Seconds from the start to the end, and of each epoch."""
    begins = [started, *ends[:-1]]
    return {
        "total": ends[-1] - started,
        "epochs": [end - begin for begin, end in zip(begins, ends, strict=True)],
    }


def ours(task: Task) -> dict:
    from cnnviz_utils.data.photos.collections import folder
    from cnnviz_utils.training.config import TrainConfig
    from cnnviz_utils.training.loop import fit

    started, ends = time.perf_counter(), []
    splits = folder(Path(task.folder), task.size, seed=0, valid=0.05, test=0.05)
    # as many steps an epoch as the others: some images come up twice
    train = splits.train.subset(np.resize(np.arange(len(splits.train)), task.images))
    config = TrainConfig(
        optimiser="adamw", lr=RATE, weight_decay=0.01, schedule="constant",
        epochs=task.epochs, batch_size=task.batch,
    )  # fmt: skip
    model = network(task, len(splits.classes))
    tell = lambda row: ends.append(time.perf_counter())
    fit(model, train, splits.valid, config, progress=tell)
    return told(started, ends)


def _steps(
    model: nn.Module, batches: Callable[[], object], epochs: int, started: float
) -> dict:
    """The loop of PyTorch's own tutorial, with the fused optimiser."""
    optimiser = torch.optim.AdamW(model.parameters(), RATE, fused=True)
    ends = []
    model.train()
    for _ in range(epochs):
        for images, labels in batches():
            loss = F.cross_entropy(model(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        ends.append(time.perf_counter())
    return told(started, ends)


def _folder(task: Task, scaled: bool = True):
    from torchvision import datasets, transforms

    steps = [
        transforms.Resize(round(task.size * 256 / 224)),
        transforms.CenterCrop(task.size),
        transforms.ToTensor(),
    ]
    return datasets.ImageFolder(task.folder, transforms.Compose(steps))


def _loader(task: Task):
    return torch.utils.data.DataLoader(
        _folder(task), task.batch, shuffle=True, num_workers=task.threads,
        persistent_workers=True,
    )  # fmt: skip


def image_folder(task: Task) -> dict:
    started = time.perf_counter()
    loader = _loader(task)
    model = network(task, len(loader.dataset.classes))
    return _steps(model, lambda: loader, task.epochs, started)


def bound(task: Task) -> dict:
    """The same steps on floats that are in memory already."""
    images = torch.rand(task.images, 3, task.size, task.size)
    labels = torch.arange(task.images) % 10
    model = network(task, 10).to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)
    pairs = list(zip(images.split(task.batch), labels.split(task.batch), strict=True))
    return _steps(model, lambda: pairs, task.epochs, time.perf_counter())


def with_fastai(task: Task) -> dict:
    import fastai.callback.progress  # noqa: F401  (adds Learner.no_bar)
    from fastai.callback.core import Callback
    from fastai.learner import Learner
    from fastai.vision.augment import Resize
    from fastai.vision.data import ImageDataLoaders

    started, ends = time.perf_counter(), []
    loaders = ImageDataLoaders.from_folder(
        task.folder, valid_pct=0.01, seed=0, item_tfms=Resize(task.size),
        bs=task.batch, num_workers=task.threads, device=torch.device("cpu"),
    )  # fmt: skip

    class Clock(Callback):
        def after_epoch(self):
            ends.append(time.perf_counter())

    learner = Learner(
        loaders, network(task, loaders.c), loss_func=F.cross_entropy, cbs=Clock()
    )
    with learner.no_bar(), learner.no_logging():
        learner.fit(task.epochs, RATE)
    return told(started, ends)


def lightning(task: Task) -> dict:
    import logging

    from lightning.pytorch import LightningModule, Trainer

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    started, ends = time.perf_counter(), []
    loader = _loader(task)

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network(task, len(loader.dataset.classes))

        def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), RATE, fused=True)

        def on_train_epoch_end(self) -> None:
            ends.append(time.perf_counter())

    Trainer(
        max_epochs=task.epochs, accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(Module(), loader)  # fmt: skip
    return told(started, ends)


def memory(text: str) -> dict:
    """Our memory in MB while a set of made-up images, a memory map, is trained on: what
    is the process's own (private), and all that counts as its (resident)."""
    import tempfile

    from cnnviz_utils.data.sets import ImageSet
    from cnnviz_utils.training.config import TrainConfig
    from cnnviz_utils.training.loop import fit

    count, size = map(int, text.split(","))
    with tempfile.TemporaryDirectory() as folder:
        images = np.lib.format.open_memmap(
            Path(folder) / "images.npy", "w+", np.uint8, (count, 3, size, size)
        )
        rng = np.random.default_rng(0)
        for start in range(0, count, 1000):
            piece = images[start : start + 1000]
            piece[:] = rng.integers(0, 256, piece.shape, dtype=np.uint8)
        images.flush()
        images = np.load(Path(folder) / "images.npy", mmap_mode="r")
        data = ImageSet(images, torch.arange(count) % 10, tuple("abcdefghij"))
        config = TrainConfig(epochs=1, batch_size=64, lr=1e-3)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(8, 10),
        )  # fmt: skip
        fit(model, data.subset(range(64)), data.subset(range(64)), config, "cpu")
        before = _private()
        fit(model, data, data.subset(range(256)), config, "cpu")
        return {
            "private_growth_mb": _private() - before,
            "data_mb": images.nbytes / 1e6,
        }


def _private() -> float:
    """Anonymous memory of this process in MB (Linux): without mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(x for x in lines if x.startswith("RssAnon")).split()[1]) / 1e3


LOOPS: dict[str, Callable] = {
    "ours": ours,
    "ImageFolder": image_folder,
    "fastai": with_fastai,
    "Lightning": lightning,
    "bound": bound,
    "memory": memory,
}
