"""A data set on its way to where the network learns, so that no step waits for it.

On a GPU: bytes that fit into its memory lie there from the start; others are read by a
thread, a few batches ahead. On a CPU there is nothing to move.
"""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cnnviz_utils.base.device import moved
from cnnviz_utils.data.augment import Augment
from cnnviz_utils.data.loaders import drawn
from cnnviz_utils.data.sets import ImageSet, Labelled
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.team import Team

ALONE = Team()
AHEAD = 4  # batches that are read before they are needed
MOST = 0.5  # of the GPU's free memory, for a data set's bytes


@dataclass(frozen=True)
class Resident:
    """A data set whose bytes lie on the device: images uint8 (N, 3, H, W), labels
    (N,)."""

    images: Tensor
    here: Tensor
    labels: Tensor  # on the CPU, as everywhere
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def on(self, device: str | torch.device, index) -> tuple[Tensor, Tensor]:
        """Images float32 (n, 3, H, W) in [0, 1] and labels (n,), gathered there."""
        if isinstance(index, Tensor):
            index = moved(index, self.images.device)
        return self.images[index].float().div_(255), self.here[index]


def near(data: Labelled, device: torch.device) -> Labelled:
    """The data set with its bytes on the GPU, if it is made of bytes and they fit into
    half of what is free there; else as it is."""
    if device.type != "cuda" or type(data) is not ImageSet:
        return data
    free, _ = torch.cuda.mem_get_info(device)
    if int(np.prod(data.images.shape)) > MOST * free:
        return data
    return resident(data, device)


def resident(data: ImageSet, device: torch.device, rows: int = 4096) -> Resident:
    """The data set's bytes on a device, moved some rows at a time: never twice in the
    CPU's memory."""
    count = len(data)
    images = torch.empty(data.images.shape, dtype=torch.uint8, device=device)
    for start in range(0, count, rows):
        piece = np.array(data.images[slice(start, start + rows)])
        images[start : start + rows].copy_(torch.from_numpy(piece))
    return Resident(images, data.labels.to(device), data.labels, data.classes)


def epoch(
    data: Labelled,
    config: TrainConfig,
    device: torch.device,
    generator: torch.Generator,
    augment: Augment | None = None,
    team: Team = ALONE,
    own: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor, float]]:
    """This process's share of an epoch's batches: images float32 (n, 3, H, W) in [0, 1]
    and labels (n,) on the device, and by what its gradient is multiplied so that the
    mean over the team is that of the whole batch.

    generator: draws the order, the same in the whole team; own: draws the
    augmentation, in a team another one in each process.
    """
    orders = drawn(
        data,
        config.batch_size * team.size,
        shuffle=True,
        balanced=config.balanced_sampling,
        drop_last=config.drop_last,
        generator=generator,
    )
    # an incomplete last batch of fewer images than processes has a share for some only
    whole = (chosen for chosen in orders if len(chosen) >= team.size)
    shares = ((team.part(c), share_of(c, data, config, team)) for c in whole)
    read = lambda pair: (*data.on(device, pair[0]), pair[1])
    ahead = device.type == "cuda" and not isinstance(data, Resident)
    for images, labels, share in (
        in_thread(shares, read) if ahead else map(read, shares)
    ):
        if augment:
            images = augment(images, own or generator)
        yield images, labels, share


def share_of(chosen: Tensor, data: Labelled, config: TrainConfig, team: Team) -> float:
    """This process's part of the loss's denominator, times the team's size: 1 where all
    have equally many images."""
    if team.size == 1:
        return 1.0
    labels = data.labels[chosen]
    weights = torch.ones(len(labels))
    if config.class_weights:
        counts = torch.bincount(data.labels, minlength=len(data.classes)).float()
        weights = 1 / counts[labels]
    return float(team.part(weights).sum() / weights.sum()) * team.size


def in_thread(items: Iterator, read) -> Iterator:
    """`map(read, items)`, a few items ahead in a thread of its own. Its errors are
    raised here; it ends with the loop that asks."""
    found: queue.Queue = queue.Queue(AHEAD)
    stop = threading.Event()

    def put(entry: tuple) -> bool:
        while not stop.is_set():
            try:
                found.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((read(item), None)):
                    return
            put((None, StopIteration()))
        except BaseException as error:  # whatever it is, it belongs to the caller
            put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            value, error = found.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield value
    finally:
        stop.set()
        thread.join()
