"""Compare notebook outputs as a reader would: words exactly, numbers within a tolerance."""

import math
import re

NUMBER = re.compile(r"(?<![\w.#])[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?(?![\w])")
FLOAT = re.compile(r"(?<![\w.#])[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE][-+]?\d))(?:[eE][-+]?\d+)?(?![\w])")
# new in every run: the name that pandas gives a styled table, and where Python keeps it in memory
DRAWN_ANEW = re.compile(r"T_[0-9a-f]{5}| at 0x[0-9a-f]+")


def same_words(text: str, pattern: re.Pattern) -> str:
    """The text without its numbers and with single spaces."""
    return re.sub(r"\s+", " ", pattern.sub("#", DRAWN_ANEW.sub("", text))).strip()


def close(a, b, rtol: float = 1e-3, atol: float = 1e-6) -> bool:
    """Equal but for floating-point numbers, which may differ a little. Whole numbers must be equal."""
    if not (isinstance(a, str) and isinstance(b, str)):
        return a == b
    if same_words(a, FLOAT) != same_words(b, FLOAT):
        return False
    pairs = zip(FLOAT.findall(a), FLOAT.findall(b), strict=True)
    return all(math.isclose(float(x), float(y), rel_tol=rtol, abs_tol=atol) for x, y in pairs)


def same_shape(a, b) -> bool:
    """For outputs of trained networks: numbers differ between processors, so only the number of lines is compared.

    What such outputs claim is judged by the lesson's claims, which have room for it.
    """
    if not (isinstance(a, str) and isinstance(b, str)):
        return type(a) is type(b)
    return a.count("\n") == b.count("\n")
