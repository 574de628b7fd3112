"""The score that a map is about: a network's logits, and one class an image."""

import difflib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cnnviz_utils.base.device import moved
from cnnviz_utils.base.hooks import logits_of
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.viz.later import refuse, waits

# a class for all images or one an image, by number or by name; None: the predicted one
Targets = int | str | Sequence[int] | Sequence[str] | Tensor | None


def class_names(model: nn.Module) -> tuple[str, ...]:
    """The names of a network's classes, `model.classes`, or () where it has none."""
    names = getattr(model, "classes", None)
    if isinstance(names, list | tuple) and all(isinstance(n, str) for n in names):
        return tuple(names)
    return ()


def class_number(name: str, classes: Sequence[str]) -> int:
    """The number of a class, by its name; capitals make no difference where the name
    is clear without them.

    Raises: UsageError: no class has that name (the nearest are given), or two have it.
    """
    if not classes:
        raise UsageError(
            f"target {name!r} is a name, but the network does not say what its classes "
            "are called: give a number, or set model.classes to a tuple of names"
        )
    found = [i for i, known in enumerate(classes) if known == name] or [
        i for i, known in enumerate(classes) if known.lower() == name.lower()
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"{len(found)} classes are called {name!r}, numbers "
            f"{' and '.join(map(str, found))}: give the number"
        )
    raise UsageError(f"no class is called {name!r}{_near(name, classes)}")


def _near(name: str, classes: Sequence[str]) -> str:
    """The end of the sentence: the classes with nearly that name, or all of a few."""
    lower = {known.lower(): known for known in classes}
    close = difflib.get_close_matches(name.lower(), lower, 3, 0.6)
    inside = [k for k in lower if name.lower() in k.replace(",", " ").split()]
    near = [lower[k] for k in dict.fromkeys([*inside[:3], *close])][:4]
    hint = f", did you mean {' or '.join(map(repr, near))}?" if near else "."
    if len(classes) <= 30:
        return f"{hint} There are: {', '.join(classes)}"
    return f"{hint} There are {len(classes)} classes, in model.classes"


def _numbers(targets: object, classes: Sequence[str]) -> Tensor:
    """Targets as whole numbers, of whatever shape they came in."""
    if isinstance(targets, str):
        return torch.tensor(class_number(targets, classes))
    if isinstance(targets, list | tuple | np.ndarray) and len(targets):
        if any(isinstance(t, str) for t in targets):
            pairs = [
                class_number(t, classes) if isinstance(t, str) else t for t in targets
            ]
            return _numbers(pairs, classes)
        if any(isinstance(t, bool | np.bool_) for t in targets):
            raise UsageError("targets are class numbers, not true or false")
    try:
        chosen = torch.as_tensor(targets)
    except (RuntimeError, TypeError, ValueError):
        raise UsageError(f"targets are class numbers, not {targets!r}") from None
    if chosen.dtype == torch.bool or chosen.is_complex():
        kind = str(chosen.dtype).removeprefix("torch.")
        raise UsageError(f"targets are class numbers, not {kind}")
    if chosen.is_floating_point():
        # NaN is unequal to itself; beyond 2^53 there are no fractions left
        refuse(
            ((chosen != chosen.floor()) | ~(chosen.abs() < 2**53)).any(),
            lambda: UsageError(f"targets are class numbers, not {chosen.tolist()}"),
        )
    return chosen.long()


def choose_targets(
    logits: Tensor, targets: Targets = None, classes: Sequence[str] = ()
) -> Tensor:
    """A class an image, int64 (N,): one for all, one each, or (None) the one with the
    largest logit. classes: the names, where targets are names.

    Raises: ValueError: logits not (N, classes), as many targets as images needed, no
        such class, or targets that are no class numbers.
    """
    logits = logits_of(logits)
    n, count = logits.shape
    if targets is None:
        return logits.detach().argmax(1)
    chosen = _numbers(targets, classes)
    chosen = chosen.expand(n) if chosen.ndim == 0 else chosen
    if chosen.shape != (n,):
        raise ValueError(
            f"targets: one class, or one for each of the {n} images, not shape "
            f"{tuple(chosen.shape)}"
        )
    if n:
        low, high = chosen.aminmax()
        refuse(
            (low < 0) | (high >= count),
            lambda: ValueError(
                f"targets must be from 0 to {count - 1}, but there is {chosen.tolist()}"
            ),
        )
    # to be asked later, perhaps: wrong ones must not reach a kernel
    safe = chosen.clamp(0, max(0, count - 1)) if waits(chosen) else chosen
    return moved(safe, logits.device)


def answer(
    model: nn.Module, images: Tensor, targets: Targets = None
) -> tuple[Tensor, Tensor]:
    """Ask a network about images: its logits (N, classes), and the class of each image
    that is asked about, int64 (N,). Modes and gradients are the caller's."""
    logits = logits_of(model(images))
    return logits, choose_targets(logits, targets, class_names(model))


def picked(logits: Tensor, targets: Tensor) -> Tensor:
    """The targets' logits, (N,)."""
    return logits.gather(1, targets[:, None])[:, 0]
