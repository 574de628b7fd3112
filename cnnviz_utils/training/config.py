"""How to train, as settings that are checked when they are made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from cnnviz_utils.base.checked import Checked
from cnnviz_utils.base.declared import BatchSize, Epochs, Precision, Rate, Seed
from cnnviz_utils.base.settings import UsageError, refuse_unknown
from cnnviz_utils.data.augment import Augment

Fraction = Annotated[float, Field(ge=0, lt=1)]


def _augment(value: Any) -> Any:
    """A mapping, as a file of settings has it, as an Augment."""
    if isinstance(value, Mapping):
        refuse_unknown(value, Augment.__dataclass_fields__, "its settings")
        return Augment(**value)
    return value


def _pairs(value: Any) -> Any:
    """A mapping, or a list of lists, as a tuple of pairs."""
    if not isinstance(value, Mapping | list | tuple | None):
        return value
    pairs = list(value.items() if isinstance(value, Mapping) else value or ())
    if all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        names = [name for name, _ in pairs]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"{twice[0]!r} stands there twice")
    return tuple(tuple(pair) if isinstance(pair, list) else pair for pair in pairs)


@dataclass(frozen=True)
class TrainConfig(Checked):
    """How to train. A value out of range raises UsageError, a ValueError, in one
    sentence."""

    optimiser: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Annotated[Rate, Field(description="the peak learning rate")] = 0.1
    momentum: Annotated[Fraction, Field(description="Adam's first beta, too")] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    epochs: Epochs = 10
    batch_size: BatchSize = 64  # of each process
    schedule: Literal["constant", "step", "cosine", "one_cycle"] = "one_cycle"
    step_size: Annotated[
        Epochs,
        Field(description='for "step": epochs after which the rate is multiplied'),
    ] = 10
    gamma: Annotated[float, Field(gt=0, description='by this, for "step"')] = 0.1
    label_smoothing: Fraction = 0.0
    clip: (
        Annotated[float, Field(gt=0, description="the largest norm of the gradient")]
        | None
    ) = None
    class_weights: Annotated[
        Literal["balanced"] | None,
        Field(description="weights the loss by inverse class counts"),
    ] = None
    balanced_sampling: Annotated[
        bool, Field(description="draws the classes equally often")
    ] = False
    drop_last: Annotated[
        bool, Field(description="leaves out an epoch's last batch if it is not full")
    ] = False
    augment: Annotated[Augment | None, BeforeValidator(_augment)] = None
    lrs: Annotated[
        tuple[tuple[str, Annotated[float, Field(ge=0)]], ...],
        BeforeValidator(_pairs),
        Field(
            title="parts' names with a rate of at least 0 each",
            description="parts of the network that learn at another peak rate",
        ),
    ] = ()
    sync_batch_norm: Annotated[
        bool,
        Field(
            description="where several processes train together (`torchrun`), batch "
            "normalisation is over the images of all; otherwise each process has its "
            "own"
        ),
    ] = False
    amp: Annotated[
        Precision, Field(description="float16 with gradient scaler, GPU only")
    ] = "off"
    views: Annotated[
        int,
        Field(
            ge=0,
            description="where the beginning of the network is frozen, its maps are "
            "kept: with augmentation, of this many versions of each image, which come "
            "up in turn; 0 keeps nothing",
        ),
    ] = 4
    seed: Seed = 0
