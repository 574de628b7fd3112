"""Settings as a frozen dataclass whose fields are checked when it is made."""

import dataclasses
import typing
from typing import Annotated, Any

from pydantic.fields import FieldInfo

from cnnviz_utils.base.settings import fitting, wanted


class Checked:
    """A frozen dataclass of settings derives from this. A value of another type, or out
    of the range that its field declares (see `base.declared`), raises UsageError in one
    sentence that names it.

    Types are strict: True and 1.0 are no whole numbers, NaN and infinity no numbers;
    numpy's numbers become Python's. What the fields mean, as declared, is added to the
    documentation of the class.
    """

    WHAT = ""  # how its sentences begin, before the field's name

    def __init_subclass__(cls) -> None:
        lines = [
            f"    {name}: {meaning_of(kind)}{wanted(kind)}"
            for name, kind in kinds_of(cls).items()
        ]
        cls.__doc__ = f"{(cls.__doc__ or '').rstrip()}\n\n" + "\n".join(lines) + "\n"

    def __post_init__(self) -> None:
        for name, kind in kinds_of(type(self)).items():
            value = fitting(getattr(self, name), kind, self.WHAT + name)
            object.__setattr__(self, name, value)


def kinds_of(cls: type) -> dict[str, Any]:
    """Field -> its declared type, range and meaning."""
    return typing.get_type_hints(cls, include_extras=True)


def meaning_of(kind: Any) -> str:
    """What a declared type says it means, with a semicolon after it; "" where it does
    not say."""
    if typing.get_origin(kind) is Annotated:
        for extra in reversed(typing.get_args(kind)[1:]):  # the outermost
            if isinstance(extra, FieldInfo) and extra.description:
                return f"{extra.description}; "
    return next(filter(None, map(meaning_of, typing.get_args(kind))), "")


def defaults_of(cls: type) -> dict[str, Any]:
    """Field -> its default value."""
    return {field.name: field.default for field in dataclasses.fields(cls)}
