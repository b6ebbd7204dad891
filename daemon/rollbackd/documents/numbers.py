"""Numbers as text, with as many digits as a comparison needs. Pure."""

import math
from collections.abc import Callable
from typing import Final

#: Significant digits that give back every float (IEEE 754, binary64).
_ALL: Final = 17
_DIGITS: Final = 4
_DIGITS_OF_BOUND: Final = 6


def exact(number: float) -> str:
    """The shortest text that gives back the number, and at most six digits where these do."""
    return _shortest(number, _DIGITS_OF_BOUND, lambda text: float(text) == number)


def told_apart(value: float, bound: float, *, digits: int = _DIGITS) -> str:
    """A value beside a bound that is shown by `exact`: 0.15041 beside 0.15 is `0.1504`.

    With `digits` significant digits, or as many more as it takes to be on the same side of the
    bound as the value is.
    """
    side = _order(value, bound)
    return _shortest(value, digits, lambda text: _order(float(text), bound) == side)


def side_by_side(left: float, right: float, *, digits: int = _DIGITS) -> tuple[str, str]:
    """Two values that are compared: equal texts only where they are equal."""
    order = _order(left, right)
    for width in range(digits, _ALL):
        texts = f"{left:.{width}g}", f"{right:.{width}g}"
        if _order(*map(float, texts)) == order:
            return texts
    return f"{left:.{_ALL}g}", f"{right:.{_ALL}g}"


def _shortest(number: float, digits: int, suffices: Callable[[str], bool]) -> str:
    if math.isfinite(number):
        for width in range(digits, _ALL):
            text = f"{number:.{width}g}"
            if suffices(text):
                return text
    return f"{number:.{_ALL}g}"


def _order(left: float, right: float) -> int:
    return (left > right) - (left < right)
