"""How to train, as settings that are checked when they are made."""

from dataclasses import dataclass

from cnnviz_utils.data.augment import Augment

SCHEDULES = ("constant", "step", "cosine", "one_cycle")
OPTIMISERS = ("sgd", "adam", "adamw")


@dataclass(frozen=True)
class TrainConfig:
    """How to train. A value out of range raises ValueError in one sentence.

    lr: the peak learning rate.
    lrs: (part's name, learning rate) pairs, for parts that learn at another rate.
    momentum: of SGD; for Adam and AdamW it is beta 1.
    step_size, gamma: for the schedule "step": every step_size epochs the learning rate
        is multiplied by gamma.
    clip: the largest norm of the gradient; None does not limit it.
    class_weights: None, or "balanced" to weight the loss by inverse class counts.
    balanced_sampling: draw images so that all classes are equally frequent.
    drop_last: leave out the last batch of an epoch where it is not full.
    amp: "off", "float16" (with gradient scaler, GPU only), "bfloat16"
    """

    optimiser: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    epochs: int = 10
    batch_size: int = 64
    schedule: str = "one_cycle"
    step_size: int = 10
    gamma: float = 0.1
    label_smoothing: float = 0.0
    clip: float | None = None
    class_weights: str | None = None
    balanced_sampling: bool = False
    drop_last: bool = False
    augment: Augment | None = None
    lrs: tuple[tuple[str, float], ...] = ()
    amp: str = "off"
    seed: int = 0

    def __post_init__(self):
        choices = {
            "optimiser": OPTIMISERS,
            "schedule": SCHEDULES,
            "amp": ("off", "float16", "bfloat16"),
            "class_weights": (None, "balanced"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be one of {allowed}, not {getattr(self, name)!r}"
                )
        for name in ("lr", "epochs", "batch_size", "step_size"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if not (
            0 <= self.momentum < 1
            and 0 <= self.label_smoothing < 1
            and self.weight_decay >= 0
        ):
            raise ValueError(
                "momentum and label_smoothing must lie in [0, 1), "
                "weight_decay must not be negative"
            )
