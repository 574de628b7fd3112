"""Where a training stands, kept in a file after each epoch, so that one that was
stopped goes on from there and ends with the same bits as one that was not."""

import hashlib
import io
import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from cnnviz_utils.base.files import archive_whole, write_whole
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.sets import ImageSet
from cnnviz_utils.training.config import TrainConfig
from cnnviz_utils.training.identity import state_bytes, what_it_computes
from cnnviz_utils.training.step import Stepper
from cnnviz_utils.training.team import Team


def identity(
    model: nn.Module,
    train: ImageSet,
    valid: ImageSet,
    config: TrainConfig,
    change: object,
    team: Team,
) -> str:
    """What a training must share with the one that left a checkpoint: images, network,
    first weights, settings, processes, torch."""
    stamp = hashlib.sha256(state_bytes(model))
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    settings = json.dumps(asdict(config), sort_keys=True)
    facts = (train.fingerprint, valid.fingerprint, repr(model), settings, learning)
    code = what_it_computes(model)
    stamp.update(repr((facts, code, change, team.size, torch.__version__)).encode())
    return stamp.hexdigest()[:16]


def keep(
    file: Path, name: str, step: Stepper, best: dict | None, **values: object
) -> None:
    """Write where a training stands: weights, optimiser, scaler, random generators and
    `values`. What stood there is replaced at once or not at all."""
    content = {
        "identity": name,
        "model": step.model.state_dict(),
        "best": best,
        "optimiser": step.optimiser.state_dict(),
        "scaler": step.scaler.state_dict(),
        "skipped": step.skipped,
        "random": torch.get_rng_state(),
        "random_gpu": torch.cuda.get_rng_state(step.device)
        if step.device.type == "cuda"
        else None,
        **values,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(file, buffer.getvalue())


def take_up(file: Path, name: str, step: Stepper) -> dict | None:
    """Put a training where the file left it; the values that were kept with it, or None
    if there is no file.

    Raises UsageError, naming the file, for one that is damaged or another training's.
    """
    if not file.exists():
        return None
    try:
        if not archive_whole(file):
            raise ValueError("not what was written")
        content = torch.load(file, map_location="cpu", weights_only=True)
        known = content["identity"]
    except Exception:  # readers raise all kinds of errors; the remedy is the same
        raise UsageError(
            f"{file} is no checkpoint that can be read: delete it to begin anew"
        ) from None
    if known != name:
        raise UsageError(
            f"{file} was left by another training (other images, network, first "
            "weights, settings or number of processes): name another file, or delete it"
        )
    step.model.load_state_dict(content["model"])
    step.optimiser.load_state_dict(content["optimiser"])
    step.scaler.load_state_dict(content["scaler"])
    step.skipped = content["skipped"]
    torch.set_rng_state(content["random"])
    if content["random_gpu"] is not None and step.device.type == "cuda":
        torch.cuda.set_rng_state(content["random_gpu"], step.device)
    return content
