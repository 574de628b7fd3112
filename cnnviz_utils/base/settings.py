"""What a user asks for, by name and by value: the nearest name, a value of the right
type and in its range, a file of settings, parts of a network."""

import ast
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import annotated_types
import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

# 1 is no true, "1" no 1, and neither NaN nor infinity a number
STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
PLAIN = {"int": int, "float": float, "str": str, "bool": bool, "list": list}
PLAIN |= {"dict": dict, "tuple": tuple}
# in the words of a sentence
WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
WORDS |= {list: "a list", tuple: "a list", dict: "a mapping", types.NoneType: "nothing"}


class UsageError(ValueError):
    """Something asked for does not exist or has the wrong type. Raised before anything
    runs."""


def nearest(word: object, known: Iterable[object]) -> str:
    """The end of a sentence about an unknown name: the closest known one, if any is
    close, and all that there are.

    >>> "no set is called 'menagery'" + nearest("menagery", ["menagerie", "folder"])
    "no set is called 'menagery', did you mean 'menagerie'? There are: menagerie,
    folder"
    """
    names = [str(name) for name in known]
    close = difflib.get_close_matches(str(word), names, 1, 0.5)
    hint = f", did you mean {close[0]!r}?" if close else "."
    return f"{hint} There are: {', '.join(names) or 'none'}"


def check_name(what: str, word: object, known: Iterable[object]) -> None:
    """Raises UsageError ("no WHAT is called WORD, did you mean ...") unless the word is
    one of those known."""
    known = list(known)
    if word not in known:
        raise UsageError(f"no {what} is called {cut(word)}{nearest(word, known)}")


def many(count: int, thing: str) -> str:
    """A number of things in words: "1 photo", "2 photos"."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def cut(value: object, most: int = 80) -> str:
    """A value as it is written in a program, its end left out where that is long."""
    shown = repr(value)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def convert(value: object, kind: Any, what: str) -> Any:
    """A value, or its text from a command line, as `kind`: a type, perhaps with a range
    (see `base.declared`), or the name of one: "int", "float | None", "list[str]", ...

    A whole number becomes a float where a float is wanted, a tuple a list where a list
    is.

    Raises UsageError, whose sentence begins with `what`, if the value does not fit.
    """
    kind = _type_named(kind, what) if isinstance(kind, str) else kind
    readings = [value]
    if isinstance(value, str) and len(value) < 10_000:
        word = {"true": "True", "false": "False", "none": "None", "null": "None"}.get(
            value.lower(), value
        )
        # what is no literal stays a text
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            readings.append(ast.literal_eval(word))
    problem = unfit(what, kind, value)
    for reading in readings:
        try:
            return _adapter(kind).validate_python(_plain(reading))
        except ValidationError as error:
            problem = _own_words(error, what) or problem
    raise UsageError(problem)


def fitting(value: object, kind: Any, what: str) -> Any:
    """The same for a value that comes from a program: a text stays one."""
    try:
        return _adapter(kind).validate_python(_plain(value))
    except ValidationError as error:
        raise UsageError(_own_words(error, what) or unfit(what, kind, value)) from None


def fitting_sides(size: object, kind: Any) -> tuple[int, int]:
    """Height and width from one number for both, or from two."""
    both = [size, size] if isinstance(size, int | float | str | None) else size
    listed = list(both) if isinstance(both, Iterable) else both
    height, width = fitting(listed, kind, "size")
    return height, width


def _own_words(error: ValidationError, what: str) -> str:
    """What a UsageError inside says, for instance of settings within settings."""
    inside = [e.get("ctx", {}).get("error") for e in error.errors()]
    found = [str(e) for e in inside if isinstance(e, UsageError)]
    return f"{what}: {found[0]}" if found else ""


def unfit(what: str, kind: Any, value: object) -> str:
    """The sentence about a value that is not of the kind: what it must be, what it
    is."""
    hint = ""
    if isinstance(value, str):
        choices = [c for c in _choices(kind) if isinstance(c, str)]
        close = difflib.get_close_matches(value, choices, 1, 0.5)
        hint = f": did you mean {close[0]!r}?" if close else ""
    return f"{what} must be {wanted(kind)}, not {cut(value)}{hint}"


def wanted(kind: Any) -> str:
    """A type in words, with its range: "a whole number from 1 to 10", "a number above
    0, or nothing"."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        fields = [extra for extra in arguments[1:] if isinstance(extra, FieldInfo)]
        if titles := [field.title for field in fields if field.title]:
            return titles[-1]
        limits = " and ".join(filter(None, map(_range, fields)))
        examples = [e for field in fields for e in field.examples or ()]
        such = f"such as {', '.join(examples)}" if examples else ""
        return " ".join(filter(None, (wanted(arguments[0]), limits, such)))
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return ", or ".join(map(wanted, arguments))
    if origin in (list, tuple) and arguments:
        return f"a list, each entry of it {wanted(arguments[0])}"
    kind = origin or kind
    return WORDS.get(kind, f"a mapping of {getattr(kind, '__name__', kind)}'s settings")


def _range(field: FieldInfo) -> str:
    """The limits of a declared range in words; "" where there are none."""
    low = high = ""
    for limit in field.metadata:
        match limit:
            case annotated_types.Ge(ge=bound):
                low = f"of at least {bound:,}"
            case annotated_types.Gt(gt=bound):
                low = f"above {bound:,}"
            case annotated_types.Le(le=bound):
                high = f"at most {bound:,}"
            case annotated_types.Lt(lt=bound):
                high = f"below {bound:,}"
    if low.startswith("of at least") and high.startswith("at most"):
        return f"from {low.split()[-1]} to {high.split()[-1]}"
    return " and ".join(filter(None, (low, high)))


def _choices(kind: Any) -> list:
    """The texts that a type allows, or gives as examples."""
    if typing.get_origin(kind) is Literal:
        return list(typing.get_args(kind))
    found = []
    for part in typing.get_args(kind):
        field = isinstance(part, FieldInfo)
        found += (part.examples or []) if field else _choices(part)
    return found


def _type_named(name: str, what: str) -> Any:
    """The type that an annotation's text names; nothing but plain ones are known."""
    try:
        parts = {n.id for n in ast.walk(ast.parse(name)) if isinstance(n, ast.Name)}
        if parts <= set(PLAIN) and "(" not in name and "." not in name:
            return eval(name, {"__builtins__": {}}, PLAIN)
    except (SyntaxError, TypeError, ValueError):
        pass
    raise UsageError(f"{what} is declared as {name!r}, which is no plain type")


@lru_cache(maxsize=256)
def _adapter(kind: Any) -> TypeAdapter:
    return TypeAdapter(kind, config=STRICT)


def _plain(value: object) -> object:
    """numpy's and torch's single numbers as Python's; tuples as lists."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if type(value) is dict:
        return {key: _plain(entry) for key, entry in value.items()}
    return value


def refuse_unknown(given: Iterable, known: Iterable[str], where: str) -> None:
    """Raises UsageError, with the nearest name, for a key that is not known."""
    known = list(known)
    for key in given:
        if key not in known:
            raise UsageError(f"{where}: there is no {key!r}" + nearest(key, known))


class _Loader(yaml.SafeLoader):
    """YAML's plain values; a key that stands twice is an error."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key in keys:
        if not isinstance(key, str) or keys.count(key) > 1:
            problem = "stands twice" if isinstance(key, str) else "is no text"
            raise yaml.MarkedYAMLError(problem=f"{key!r} {problem}")
    return dict(yaml.SafeLoader.construct_mapping(loader, node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_mapping(path: Path) -> dict:
    """What a YAML file says: names and their values, {} for an empty one.

    Raises UsageError, naming the file and where it can the line, for what cannot be
    read, is no YAML, is no mapping, or has a key that is no text or stands twice.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except UnicodeDecodeError:
        raise UsageError(f"{path.name} is no text in UTF-8: save it as such") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f": see line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or ""
        raise UsageError(
            f"{path.name} is no YAML that can be used{line}"
            + (f" ({reason})" if reason else "")
        ) from None
    if content is not None and not isinstance(content, Mapping):
        raise UsageError(f"{path.name} must be a mapping of names to values")
    return dict(content or {})


def belongs(name: str, parts: Iterable[str]) -> bool:
    """Whether a parameter or layer is one of the parts or lies in one: "stage1.0.conv1"
    belongs to "stage1"."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)
