"""One pass over a training set: by `fit`, and the same steps on batches that lie on the
device already."""

from collections.abc import Callable

import numpy as np
import torch

from cnnviz_utils.data.augment import Augment
from cnnviz_utils.data.sets import ImageSet
from cnnviz_utils.models.build import build_model
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.loop import fit
from cnnviz_utils.training.step import Stepper

CLASSES = 101


def random_images(count: int, size: int) -> ImageSet:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    labels = torch.arange(count) % CLASSES
    return ImageSet(images, labels, tuple(map(str, range(CLASSES))))


def step_methods(
    name: str, size: int, batch: int, amp: str, device: torch.device, steps: int
) -> dict[str, Callable[[], object]]:
    """ "fit" with augmentation, one epoch; and the bound: the same number of steps on
    one batch of floats in place."""
    train, valid = random_images(batch * steps, size), random_images(batch, size)
    config = TrainConfig(
        optimiser="adamw", lr=1e-3, epochs=1, batch_size=batch, drop_last=True,
        augment=Augment(flip=0.5, shift=0.05), amp=amp,
    )  # fmt: skip
    model = build_model(name, CLASSES, size=size)
    model = model.to(device).to(memory_format=torch.channels_last).train()
    step = Stepper(model, config, device, classes=CLASSES)
    images, labels = train.on(device, slice(0, batch))

    def bound() -> None:
        for _ in range(steps):
            step(images, labels)
        with torch.no_grad():  # `fit` validates, too
            model.eval()
            model(images)
            model.train()

    other = build_model(name, CLASSES, size=size)
    return {
        "fit": lambda: fit(other, train, valid, config, device),
        "steps on data in place": bound,
    }
