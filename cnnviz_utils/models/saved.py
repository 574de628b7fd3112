"""A network in one file: its weights, and what is needed to build it again."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from cnnviz_utils.base.files import write_whole
from cnnviz_utils.base.paths import as_path
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.models.build import build_model
from cnnviz_utils.models.weights import raw_bytes, read_weights

KEY = "cnnviz"
ENDINGS = (".safetensors", ".pt")


def save_model(model: nn.Module, path: str | Path, *, size: int | None = None) -> Path:
    """Write a network that `build_model` made: its weights, its name and options, the
    names of its classes (`model.classes`) and the side of its images in pixels (`size`,
    by default the one that it was built for). `load_model` reads it.

    path: ends in .safetensors, or in .pt; neither can hold code.

    Raises: UsageError: another ending, a network that `build_model` did not make, or
        one whose options can't be written as JSON. StorageError: no room, or no
        permission; what was there before stays.
    """
    path = _checked(path)
    built = getattr(model, "built", None)
    if not built:
        raise UsageError(
            f"{type(model).__name__} was not made by build_model, so a file could not "
            "say how to make it again: save model.state_dict() with safetensors"
        )
    about = dict(built)
    about["size"] = size or about["size"]
    about["classes"] = list(getattr(model, "classes", None) or ())
    weights = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    about["sum"] = _sum(weights)
    try:
        text = json.dumps(about)
    except TypeError as error:
        raise UsageError(f"{about['network']} can't be saved: {error}") from None
    if path.suffix == ".pt":
        stream = io.BytesIO()
        # under a name that `read_weights` knows
        torch.save({KEY: text, "model": weights}, stream)
        write_whole(path, stream.getvalue())
    else:
        # tied weights are one tensor under two names; safetensors wants two
        apart = {k: v.clone() for k, v in weights.items()}
        write_whole(path, save(apart, {KEY: text}))
    return path


def load_model(path: str | Path) -> nn.Module:
    """The network of a file that `save_model` wrote, on the CPU, in evaluation mode;
    `model.classes` are the names of its classes, if it has any.

    Raises: FileNotFoundError: no such file. UsageError: it is damaged, or holds weights
        without saying of which network.
    """
    path = _checked(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no network at {path}")
    weights = read_weights(path)
    if path.suffix == ".pt":
        text = torch.load(path, weights_only=True, map_location="cpu").get(KEY)
    else:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(KEY)
    if not isinstance(text, str):
        raise UsageError(
            f"{path} holds weights, but not of which network: build_model(NAME, "
            "weights=PATH) takes them; save_model writes files that say it"
        )
    try:
        about = json.loads(text)
        # what was saved before there were sums has none
        if "sum" in about and about["sum"] != _sum(weights):
            raise ValueError("the weights are not those that were saved")
        model = build_model(
            about["network"],
            about["num_classes"],
            size=about["size"],
            classes=about["classes"] or None,
            **about["options"],
        )
        model.load_state_dict(weights)
    # whatever is written there
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        raise UsageError(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    return model.eval()


def _sum(weights: Mapping[str, Tensor]) -> str:
    """A checksum of all weights with their names."""
    stamp = hashlib.sha256()
    for name, value in sorted(weights.items()):
        stamp.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        stamp.update(raw_bytes(value))
    return stamp.hexdigest()


def _checked(path: str | Path) -> Path:
    path = as_path(path, "path")
    if path.suffix not in ENDINGS:
        raise UsageError(
            f"a network's file ends in {' or '.join(ENDINGS)}, not {path.name!r}"
        )
    return path
