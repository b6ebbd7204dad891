"""Functions of one number, total as in Go: what has no value is NaN or an infinity."""

import calendar
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from rollbackd.promql.values import divide

NumberFunction = Callable[[float], float]


def _or_nan(function: NumberFunction) -> NumberFunction:
    def total(value: float) -> float:
        try:
            return function(value)
        except ValueError:
            return math.nan
        except OverflowError:
            return math.inf

    return total


def _logarithm(function: NumberFunction) -> NumberFunction:
    def total(value: float) -> float:
        if value == 0:
            return -math.inf
        return function(value) if value > 0 else math.nan

    return total


def _rounded(function: Callable[[float], int]) -> NumberFunction:
    def total(value: float) -> float:
        return float(function(value)) if math.isfinite(value) else value

    return total


def _sign(value: float) -> float:
    if value > 0:
        return 1.0
    return -1.0 if value < 0 else value


def _sinh(value: float) -> float:
    try:
        return math.sinh(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def _atanh(value: float) -> float:
    if abs(value) == 1:
        return math.copysign(math.inf, value)
    return math.atanh(value) if abs(value) < 1 else math.nan


def round_to(value: float, nearest: float) -> float:
    """`value` to the nearest multiple; halves go up."""
    inverse = divide(1.0, nearest)
    scaled = value * inverse + 0.5
    return divide(math.floor(scaled) if math.isfinite(scaled) else scaled, inverse)


def at_least(value: float, low: float) -> float:
    """Go's math.Max: infinity beats NaN, NaN beats the rest."""
    if math.inf in (value, low):
        return math.inf
    return math.nan if value != value or low != low else max(value, low)  # noqa: PLR0124  # NaN


def at_most(value: float, high: float) -> float:
    """Go's math.Min: minus infinity beats NaN, NaN beats the rest."""
    if -math.inf in (value, high):
        return -math.inf
    return math.nan if value != value or high != high else min(value, high)  # noqa: PLR0124  # NaN


def clamp(value: float, low: float, high: float) -> float:
    """`value` held between two bounds."""
    return at_least(low, at_most(high, value))


NUMBER_FUNCTIONS: Final[dict[str, NumberFunction]] = {
    "abs": abs,
    "ceil": _rounded(math.ceil),
    "floor": _rounded(math.floor),
    "exp": _or_nan(math.exp),
    "ln": _logarithm(math.log),
    "log2": _logarithm(math.log2),
    "log10": _logarithm(math.log10),
    "sqrt": _or_nan(math.sqrt),
    "sgn": _sign,
    "acos": _or_nan(math.acos),
    "acosh": _or_nan(math.acosh),
    "asin": _or_nan(math.asin),
    "asinh": _or_nan(math.asinh),
    "atan": math.atan,
    "atanh": _atanh,
    "cos": _or_nan(math.cos),
    "cosh": _or_nan(math.cosh),
    "sin": _or_nan(math.sin),
    "sinh": _sinh,
    "tan": _or_nan(math.tan),
    "tanh": math.tanh,
    "deg": math.degrees,
    "rad": math.radians,
}


#: The Gregorian calendar repeats itself, weekdays included, every 400 years.
_CYCLE_SECONDS: Final = 146_097 * 86_400
_CYCLE_YEARS: Final = 400
_INT64_LIMIT: Final = 2.0**63


def _calendar(part: Callable[[datetime], int], *, is_year: bool = False) -> NumberFunction:
    def of_seconds(value: float) -> float:
        if not abs(value) < _INT64_LIMIT:
            # what Go makes of it depends on the processor
            return math.nan
        cycles, seconds = divmod(math.trunc(value), _CYCLE_SECONDS)
        found = part(datetime.fromtimestamp(seconds, tz=UTC))
        return float(found + cycles * _CYCLE_YEARS if is_year else found)

    return of_seconds


#: Parts of a UTC date, from seconds since the epoch.
DATE_FUNCTIONS: Final[dict[str, NumberFunction]] = {
    "minute": _calendar(lambda at: at.minute),
    "hour": _calendar(lambda at: at.hour),
    "day_of_week": _calendar(lambda at: at.isoweekday() % 7),
    "day_of_month": _calendar(lambda at: at.day),
    "day_of_year": _calendar(lambda at: at.timetuple().tm_yday),
    "days_in_month": _calendar(lambda at: calendar.monthrange(at.year, at.month)[1]),
    "month": _calendar(lambda at: at.month),
    "year": _calendar(lambda at: at.year, is_year=True),
}
