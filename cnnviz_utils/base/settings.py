"""What a user asks for, by name and by value: the nearest name, a value of the right
type, parts of a network."""

import ast
import difflib
from collections.abc import Iterable


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
        raise UsageError(f"no {what} is called {word!r}{nearest(word, known)}")


def convert(value: object, kind: str, what: str) -> object:
    """A value, or its text from a command line, as `kind`: "int", "float | None",
    "list[str]", ...

    A whole number becomes a float where a float is wanted, a tuple a list where a list
    is.

    Raises UsageError, whose sentence begins with `what`, if the value does not fit.
    """
    kinds = [part.strip() for part in kind.split("|")]
    problem = UsageError(f"{what} is {kind}, not {value!r}")
    if isinstance(value, str) and "str" not in kinds:
        word = {"true": "True", "false": "False", "none": "None"}.get(
            value.lower(), value
        )
        try:
            value = ast.literal_eval(word)
        except (ValueError, SyntaxError):
            raise problem from None
    bare = [part.split("[")[0] for part in kinds]
    actual = "None" if value is None else type(value).__name__
    if actual in bare:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and "float" in bare:
        return float(value)
    if isinstance(value, tuple) and "list" in bare:
        return list(value)
    raise problem


def belongs(name: str, parts: Iterable[str]) -> bool:
    """Whether a parameter or layer is one of the parts or lies in one: "stage1.0.conv1"
    belongs to "stage1"."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)
