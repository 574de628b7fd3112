"""What a lesson says of itself, besides the question that is its title: what a reader
can do afterwards, how long it takes, and what it builds on."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from cnnviz_utils.base.checked import Checked
from cnnviz_utils.base.settings import UsageError, refuse_unknown

Hours = Annotated[float, Field(ge=0, le=20, description="a person's, with exercises")]
Minutes = Annotated[float, Field(ge=0, le=600, description="of one core")]


@dataclass(frozen=True)
class About(Checked):
    """A lesson's `"cnnviz"` in the notebook's metadata.

    outcomes: what a reader can do afterwards, each a phrase that follows "you can".
    needs: numbers of lessons to do first, as "02". core: numbers of the sections that a
    short course keeps; the others are optional. minutes: how long one core takes, on
    the built-in data, when the whole course runs from an empty cache.
    """

    WHAT = "the notebook's metadata: "

    outcomes: list[str] = field(default_factory=list)
    hours: Hours = 0.0
    needs: list[str] = field(default_factory=list)
    core: list[int] = field(default_factory=list)
    minutes: Minutes = 0.0


def about(metadata: dict, where: str) -> About:
    """What a notebook's metadata say of the lesson; all empty if they say nothing.

    Raises UsageError, naming `where`, for a field that is unknown or of another type.
    """
    found = metadata.get("cnnviz", {})
    try:
        refuse_unknown(found, About.__dataclass_fields__, "the notebook's metadata")
        return About(**found)
    except (UsageError, TypeError) as error:
        raise UsageError(f"{where}: {error}") from None


def in_words(hours: float) -> str:
    """Hours to the quarter: "1½ hours", "¾ hour"."""
    whole, quarters = divmod(round(hours * 4), 4)
    part = ("", "¼", "½", "¾")[quarters]
    return f"{whole or ''}{part} hour{'s' if hours > 1 else ''}"
