"""Weights from files that cannot run code, and into networks."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cnnviz_utils.base.files import archive_whole
from cnnviz_utils.base.paths import as_path
from cnnviz_utils.base.settings import UsageError

# what training scripts call the weights among other things that they save
NESTED = ("state_dict", "model_state_dict", "model")
# DenseNet's layers were once called "norm.1"; torchvision's files still say so
OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)$")


def raw_bytes(value: Tensor) -> bytes:
    """The numbers of a tensor as they lie in memory."""
    return (
        value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    )


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Weights by name from a .safetensors file, or a .pt or .pth of tensors only.

    Weights that lie one level down, as {"state_dict": ...}, are taken out.

    Raises FileNotFoundError where there is no file, UsageError, naming the file, for
    one that is empty or damaged, wants to run code, or holds no named tensors.
    """
    path = as_path(path, "weights")
    if not path.is_file():
        raise FileNotFoundError(
            f"there are no weights at {path}: give a .safetensors or .pt file, "
            "'imagenet', or nothing"
        )
    if path.stat().st_size == 0:
        raise UsageError(f"the weights file {path} is empty: fetch or save it again")
    if not archive_whole(path):
        raise UsageError(f"the weights file {path} is damaged: fetch or save it again")
    try:
        found = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, weights_only=True, map_location="cpu")
        )
    except pickle.UnpicklingError:
        raise UsageError(
            f"{path} is damaged, or holds more than weights (Python objects, which can "
            "run code) and is not opened: save model.state_dict() alone"
        ) from None
    # each library has its own errors for a file that is cut or no such file at all
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, SafetensorError):
        raise UsageError(
            f"{path} cannot be read as weights: it is damaged, or no .safetensors or "
            ".pt file"
        ) from None
    return named_tensors(found, str(path))


def named_tensors(found: object, where: str = "the weights") -> dict[str, Tensor]:
    """Tensors by name, taken out of whatever a training script saves with them.

    The prefix "module.", which `nn.DataParallel` puts before every name, is taken off.

    Raises UsageError, beginning with `where`, if there are no named tensors, or some
    are NaN or infinite.
    """
    if isinstance(found, Mapping):
        inside = [found[key] for key in NESTED if isinstance(found.get(key), Mapping)]
        if inside:
            return named_tensors(inside[0], where)
    if (
        not isinstance(found, Mapping)
        or not found
        or not all(isinstance(name, str) for name in found)
        or not all(isinstance(value, Tensor) for value in found.values())
    ):
        kind = "nothing" if found == {} else f"a {type(found).__name__}"
        raise UsageError(
            f"{where} should hold tensors by name (model.state_dict()), "
            f"but holds {kind}"
        )
    ill = [name for name, value in found.items() if not value.isfinite().all()]
    if ill:
        raise UsageError(
            f"{where} holds NaN or infinite numbers in {len(ill)} of {len(found)} "
            f"tensors, the first of them {ill[0]}: the training that made them failed"
        )
    prefix = "module." if all(name.startswith("module.") for name in found) else ""
    return {name.removeprefix(prefix): value for name, value in found.items()}


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Copy weights in; a last layer for other classes stays as it is. Returns the names
    left as they were.

    Counts of batches that BatchNorm has seen, which old files lack, and GoogLeNet's
    auxiliary heads may be missing. Old names of DenseNet's layers are understood.

    Raises UsageError naming layers that are missing or have another shape, the last
    layer excepted; or see `named_tensors`.
    """
    own = model.state_dict()
    weights = {
        name if name in own else OLD_DENSENET.sub(r"\1\2", name): value
        for name, value in named_tensors(weights).items()
    }
    head = list(dict(model.named_parameters()))[-1].rpartition(".")[0]
    fits = {k: v for k, v in weights.items() if k in own and v.shape == own[k].shape}
    left = [k for k in own if k not in fits]
    wrong = [
        k
        for k in left
        if not k.startswith(("normalise.", f"{head}."))
        and "aux" not in k
        and not (k.endswith(".num_batches_tracked") and k not in weights)
    ]
    if wrong:
        found = tuple(weights[wrong[0]].shape) if wrong[0] in weights else "nothing"
        raise UsageError(
            f"these weights are for another network: {wrong[0]} is "
            f"{tuple(own[wrong[0]].shape)} here, {found} there "
            f"({len(wrong)} layers differ)"
        )
    model.load_state_dict(fits, strict=False)
    return left
