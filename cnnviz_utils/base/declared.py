"""Each setting once: its type, its range, what it means.

`TrainConfig`, `Augment` and `MenagerieConfig` are made of these; the command line,
profiles, tables of runs and the parameters of lessons are checked by them before
anything starts.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

DATA_SETS = (
    "menagerie",
    "menagerie_source",
    "caltech101",
    "caltech101_realms",
    "caltech256",
    "caltech256_realms",
    "tinyimagenet30",
    "tinyimagenet",
    "folder",
)
# of these, those that weights are borrowed from (`training.recipes`)
SOURCES = ("menagerie_source", "tinyimagenet30")
DRAWN_SIZES = (32, 224)

# data
DataSet: Any = Annotated[Literal[DATA_SETS], Field(description="which data set")]
Source: Any = Annotated[
    Literal[SOURCES], Field(description="where borrowed weights were learned")
]
Size = Annotated[
    int, Field(ge=8, le=1024, description="height and width of images in pixels")
]
Side = Annotated[int, Field(ge=1, le=100_000)]
Sides: Any = Annotated[
    list[Side], Field(min_length=2, max_length=2, description="height and width")
]
DrawnSize = Annotated[
    int,
    Field(
        ge=DRAWN_SIZES[0],
        le=DRAWN_SIZES[1],
        description="height and width of images in pixels",
    ),
]
Seed = Annotated[
    int, Field(ge=0, le=2**31 - 1, description="another seed draws everything anew")
]
Share = Annotated[float, Field(gt=0, lt=1, description="a share of the images")]
Part = Annotated[float, Field(gt=0, le=1, description="how much of the whole")]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000, description="how many")]
Broken = Annotated[
    Literal["refuse", "skip"], Field(description="what is done about unreadable files")
]

# training
Epochs = Annotated[
    int, Field(ge=1, le=100_000, description="how often every image is seen")
]
BatchSize = Annotated[int, Field(ge=1, le=1_000_000, description="images a step")]
Rate = Annotated[float, Field(gt=0, description="a learning rate")]
Device = Annotated[
    str,
    Field(
        pattern=r"^(auto|cpu|mps|cuda(:[0-9]+)?)$",
        examples=["auto", "cpu", "cuda", "cuda:1", "mps"],
        description="where it is computed; auto is the GPU if there is one",
    ),
]
Precision = Literal["off", "float16", "bfloat16"]

# Parameters of lessons, by name. A list holds several of them.
PARAMETERS: dict[str, Any] = {
    "data": DataSet,
    "broken": Broken,
    "source": Source,
    "near": Source,
    "far": Literal["coat", "background"],
    "size": Size,
    "side": Side,
    "seed": Seed,
    "epochs": Epochs,
    "lr": Rate,
    "batch_size": BatchSize,
    "device": Device,
    "rows_share": Part,
    "amp": Literal["auto", "off", "float16", "bfloat16"],
    **dict.fromkeys(
        (
            "few",
            "judged",
            "networks",
            "repeats",
            "images",
            "scored",
            "searched",
            "seeds",
            "steps",
            "tries",
            "work",
        ),
        Count,
    ),
}


def declared(name: str) -> Any | None:
    """What is declared for a lesson's parameter of that name; None where nothing is.
    All others that end in "_epochs" or "_size" are numbers of epochs and sizes of
    images."""
    kind = name if name in PARAMETERS else name.rpartition("_")[2]
    return PARAMETERS.get(kind) if kind in ("epochs", "size", name) else None
