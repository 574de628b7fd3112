"""What makes one network another: its numbers, and what it computes with them."""

import inspect
import marshal

from torch import nn

from cnnviz_utils.models.weights import raw_bytes


def state_bytes(model: nn.Module) -> bytes:
    """Everything in the network's state, with its names."""
    return b"".join(
        name.encode() + raw_bytes(value)
        for name, value in sorted(model.state_dict().items())
    )


def what_it_computes(model: nn.Module) -> list[str]:
    """What `repr` does not show of a network: its layers' plain attributes, and the
    source of the methods that are not torch's own."""
    found: list[str] = []
    kinds: dict[type, None] = {}
    for name, module in model.named_modules():
        plain = {
            k: v
            for k, v in vars(module).items()
            if k != "training"
            and isinstance(v, bool | int | float | str | tuple | None)
        }
        found.append(f"{name} {plain}")
        kinds |= dict.fromkeys(
            kind
            for kind in type(module).__mro__
            if not kind.__module__.startswith("torch.")
        )
    parts = [part for kind in kinds for part in vars(kind).values()]
    for function in parts:
        if not inspect.isfunction(function):
            continue
        try:
            found.append(inspect.getsource(function))
        except OSError:  # typed in at a prompt
            found.append(marshal.dumps(function.__code__).hex())
    return found
