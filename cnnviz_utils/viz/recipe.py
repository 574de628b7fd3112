"""The settings of an ascent to a picture: see `ascent`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from cnnviz_utils.base.checked import Checked
from cnnviz_utils.base.declared import Rate


@dataclass(frozen=True)
class Recipe(Checked):
    """How to ascend. Every prior can be switched off by itself; `PLAIN` has none.
    A value out of range raises UsageError, in one sentence.
    """

    WHAT = "recipe: "

    parametrisation: Annotated[
        Literal["fourier", "pixels"],
        Field(description="waves whose strength falls as 1 / frequency, or pixels"),
    ] = "fourier"
    colours: Annotated[
        bool,
        Field(description="search in natural, decorrelated colours, not in RGB"),
    ] = True
    steps: Annotated[int, Field(ge=0, le=1_000_000, description="of Adam")] = 200
    lr: Annotated[Rate, Field(description="of Adam")] = 0.05
    shift: Annotated[
        float, Field(ge=0, lt=1, description="before each look, by this share at most")
    ] = 0.14
    scale: Annotated[
        float, Field(ge=0, lt=1, description="this share larger or smaller")
    ] = 0.10
    rotate: Annotated[float, Field(ge=0, le=180, description="so many degrees")] = 10.0
    blur: Annotated[
        float, Field(ge=0, le=100, description="a sigma of so many pixels at most")
    ] = 0.0
    tv: Annotated[
        float,
        Field(
            ge=0,
            description="weight of the total variation (mean absolute difference of "
            "neighbours, down plus across), to be kept small",
        ),
    ] = 1.0
    l2: Annotated[
        float,
        Field(
            ge=0,
            description="weight of the mean squared distance from mid-grey, to be "
            "kept small",
        ),
    ] = 0.0


PLAIN = Recipe("pixels", colours=False, shift=0.0, scale=0.0, rotate=0.0, tv=0.0)
