"""Train once: a run with the same data, network and settings is read from the cache
instead of being repeated."""

import copy
import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from cnnviz_utils.base import pictures
from cnnviz_utils.base.files import cached
from cnnviz_utils.base.paths import cache_root
from cnnviz_utils.data import augment
from cnnviz_utils.data.loaders import batches, class_weights, drawn
from cnnviz_utils.data.sets import ImageSet, Rows
from cnnviz_utils.models import freezing
from cnnviz_utils.training import (
    adversary,
    beginning,
    epochs,
    feed,
    loop,
    losses,
    optimiser,
    step,
    team,
)
from cnnviz_utils.training.adversary import Change
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.epochs import History
from cnnviz_utils.training.evaluation import predict
from cnnviz_utils.training.identity import state_bytes, what_it_computes
from cnnviz_utils.training.loop import fit
from cnnviz_utils.training.team import current_team

# other code gives other weights
TRAINING_CODE = (
    *(loop, epochs, step, losses, feed, optimiser, beginning, adversary),
    *(augment, pictures),
    *(batches, drawn, class_weights),
    *(predict, ImageSet, Rows),  # the best epoch is chosen by what is predicted
)


def training_code() -> list[str]:
    """The source of whatever makes a network's weights what they are."""
    return [inspect.getsource(part) for part in TRAINING_CODE]


def run_key(
    model: nn.Module,
    train: ImageSet,
    valid: ImageSet,
    config: TrainConfig,
    change: Change | None = None,
) -> str:
    """16 hex digits that change with the images, the network, what it computes and its
    first weights, what learns, which statistics are frozen, the settings, the training
    code, how many processes train together, and the version of torch."""
    stamp = hashlib.sha256()
    for text in (
        train.fingerprint,
        valid.fingerprint,
        repr(model),
        *what_it_computes(model),
        json.dumps(asdict(config), sort_keys=True),
        str(change),
        *training_code(),
        torch.__version__,
    ):
        stamp.update(text.encode())
    stamp.update(state_bytes(model))
    stamp.update(
        str([name for name, p in model.named_parameters() if p.requires_grad]).encode()
    )
    # see `freeze`
    if held := [
        name for name, module in model.named_modules() if "train" in vars(module)
    ]:
        # the same parameters learn, but these statistics stay
        stamp.update(str(held).encode())
        stamp.update(inspect.getsource(freezing).encode())
    if (size := current_team().size) > 1:
        # batches are those of each process: together they make another network
        stamp.update(f"{size} {inspect.getsource(team)}".encode())
    return stamp.hexdigest()[:16]


def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """Copies of everything in the model's state, on the CPU and contiguous in memory,
    as files need them."""
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }


def load_plain_weights(model: nn.Module, file: Path) -> None:
    """Load the weights of a .safetensors file into the model and put it into the memory
    format in which `fit` leaves a network (channels last), so that it computes the same
    bits as the network that was trained."""
    model.to(memory_format=torch.channels_last).load_state_dict(load_file(file))


def fit_or_load(
    model: nn.Module,
    train: ImageSet,
    valid: ImageSet,
    config: TrainConfig,
    device: str = "auto",
    cache: Path | None = None,
    progress: Callable[[dict], None] | None = None,
    change: Change | None = None,
) -> History:
    """`fit`, unless the same run was made before: then its weights and history are read
    (safetensors and JSON). Either way every module is in the mode in which it came, and
    nothing is left in `.grad`.

    A damaged entry is trained again. `cache` is a folder, by default "models" among the
    caches. Of several processes that train together (`torchrun`) the first one looks
    and writes; all must see the same folder.
    """
    team = current_team()
    modes = {module: module.training for module in model.modules()}
    first_weights = copy.deepcopy(model.state_dict())

    def train_and_save(folder: Path) -> None:
        team.told(True)
        # an entry that could not be read may have left others
        model.load_state_dict(first_weights)
        history = fit(model, train, valid, config, device, progress, change)
        # not save_file, whose errors are none of the system's
        (folder / "weights.safetensors").write_bytes(save(plain_weights(model)))
        (folder / "history.json").write_text(json.dumps(history.rows))

    def read(folder: Path) -> History:
        history = History(json.loads((folder / "history.json").read_text()))
        load_plain_weights(model, folder / "weights.safetensors")
        return history

    where = (cache or cache_root() / "models") / run_key(
        model, train, valid, config, change
    )
    if team.leads:
        history = cached(where, train_and_save, read)
        team.told(False)
    else:
        while team.told():
            model.load_state_dict(first_weights)
            fit(model, train, valid, config, device, progress, change)
        history = read(where)
    for module, mode in modes.items():
        module.training = mode
    model.zero_grad(set_to_none=True)
    return history
