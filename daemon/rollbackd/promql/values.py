"""Elements, label sets and the float arithmetic of Go, which never raises."""

import math
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from rollbackd.model.labels import METRIC_NAME, Labels

#: One element of an instant vector.
Element = tuple[Labels, float]


class Columns(NamedTuple):
    """The elements of an instant vector as two lists.

    An operator gives the same list of labels again as long as its elements have the same labels,
    and nobody changes a list: so what is made of the labels alone is made once.
    """

    labels: Sequence[Labels]
    values: Sequence[float]

    def elements(self) -> list[Element]:
        """The elements one by one."""
        return list(zip(self.labels, self.values, strict=True))


EMPTY: Final = Columns((), ())

#: https://github.com/prometheus/prometheus/blob/main/model/value/value.go
_STALE_BITS = 0x7FF0000000000002
STALE: float = struct.unpack("<d", struct.pack("<Q", _STALE_BITS))[0]
_pack = struct.Struct("<d").pack
_STALE_BYTES = struct.pack("<Q", _STALE_BITS)


def is_stale(value: float) -> bool:
    """Whether a value is the stale marker; any other NaN is data."""
    return value != value and _pack(value) == _STALE_BYTES  # noqa: PLR0124  # NaN


def label_value(labels: Labels, wanted: str) -> str:
    """The value of one label, or an empty string."""
    for name, value in labels:
        if name == wanted:
            return value
    return ""


def drop_name(labels: Labels) -> Labels:
    """The labels without `__name__`."""
    return tuple(pair for pair in labels if pair[0] != METRIC_NAME)


def keep(labels: Labels, names: frozenset[str]) -> Labels:
    """Only the named labels."""
    return tuple(pair for pair in labels if pair[0] in names)


def drop(labels: Labels, names: frozenset[str]) -> Labels:
    """All but the named labels."""
    return tuple(pair for pair in labels if pair[0] not in names)


def with_label(labels: Labels, name: str, value: str) -> Labels:
    """The labels with one set, or taken away when the value is empty."""
    rest = [pair for pair in labels if pair[0] != name]
    if value:
        rest.append((name, value))
        rest.sort()
    return tuple(rest)


def have_duplicates(vector: list[Element]) -> bool:
    """Whether two elements share a label set."""
    return len(vector) > 1 and len({labels for labels, _ in vector}) != len(vector)


def divide(left: float, right: float) -> float:
    """Division by IEEE 754: by zero gives an infinity or NaN."""
    try:
        return left / right
    except ZeroDivisionError:
        if left == 0 or left != left:  # noqa: PLR0124  # NaN
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1.0, right)


def modulo(left: float, right: float) -> float:
    """Go's math.Mod: the sign of the dividend."""
    try:
        return math.fmod(left, right)
    except ValueError:
        return math.nan


def power(base: float, exponent: float) -> float:
    """Go's math.Pow."""
    try:
        return math.pow(base, exponent)
    except ValueError:
        if base == 0:
            odd = exponent % 2 == 1
            return math.copysign(math.inf, base) if odd else math.inf
        return math.nan
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf


def exact_sum(values: Sequence[float]) -> float:
    """The correctly rounded sum; infinities and NaN go by IEEE 754.

    Prometheus uses Neumaier's compensated summation, whose result is the same but for rare ties.
    """
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return sum(values)


def quantile_of(q: float, values: list[float]) -> float:
    """The q-quantile by linear interpolation, as in promql/quantile.go.

    NaN sorts first. `q` outside 0..1 gives an infinity, no values give NaN.
    """
    if not values or q != q:  # noqa: PLR0124  # NaN
        return math.nan
    if q < 0:
        return -math.inf
    if q > 1:
        return math.inf
    ordered = sorted_with_nan_first(values)
    rank = q * (len(ordered) - 1)
    lower = math.floor(rank)
    weight = rank - lower
    upper = min(len(ordered) - 1, lower + 1)
    return ordered[lower] * (1 - weight) + ordered[upper] * weight


def sorted_with_nan_first(values: list[float]) -> list[float]:
    """Ascending; comparisons with NaN are false and would leave a plain sort in disorder."""
    total = sum(values)
    # NaN in the sum: there is one among the values, or infinities of both signs.
    if total != total:  # noqa: PLR0124
        numbers = sorted(v for v in values if v == v)  # noqa: PLR0124  # NaN
        return [math.nan] * (len(values) - len(numbers)) + numbers
    return sorted(values)
