"""Numbers of a window that follow its samples: sums and ranks, exact whatever comes and goes.

The order of the samples plays no part, so a late one is like any other. Where what is remembered
cannot give the number, `Lost` is raised, and the caller starts anew with all samples.
"""

import math
from array import array
from bisect import bisect_left, insort
from collections.abc import Sequence
from operator import neg
from typing import ClassVar, Protocol

from rollbackd.promql.values import sorted_with_nan_first

#: A sum this much smaller than what it came from has too few digits left.
_CANCELLED = 1e-12
#: Of the squares, the mean's own part may be this much.
_OFF_CENTRE = 0.5
#: A mean this many squared deviations from 0 makes the digits of Prometheus's own way differ.
_FAR_FROM_ZERO = 1e5
#: Values that are kept on either side of the wanted place, and more in a larger window.
_MARGIN = 8
#: They are cut back when there are this many times more.
_OVERGROWN = 8


class Lost(Exception):  # noqa: N818  # it is a verdict, and caught at once
    """What is remembered is not enough."""


class Accumulator(Protocol):
    """A number of the samples in a window."""

    #: Whether `move` looks at the values; else it may be given none.
    reads_values: ClassVar[bool]

    def restart(self, values: Sequence[float]) -> float:
        """The number of these samples and no others. Raises Lost when there is no following it."""
        ...

    def move(self, come: Sequence[float], gone: Sequence[float], count: int) -> float:
        """The number when some came and others went and `count` are there. Raises Lost."""
        ...


class Count:
    """How many there are; the window itself knows."""

    __slots__ = ()
    reads_values: ClassVar[bool] = False

    def restart(self, values: Sequence[float]) -> float:
        """The number of samples."""
        return float(len(values))

    def move(self, _come: Sequence[float], _gone: Sequence[float], count: int) -> float:
        """The number of samples."""
        return float(count)


class Sum:
    """The sum, as the unevaluated sum of two floats: about 106 bits."""

    __slots__ = ("_largest", "_rest", "_total")
    reads_values: ClassVar[bool] = True

    def restart(self, values: Sequence[float]) -> float:
        """Raises Lost when the sum is not finite."""
        self._total = self._rest = 0.0
        self._add(values)
        self._largest = abs(self._total)
        return self._total

    def move(self, come: Sequence[float], gone: Sequence[float], _count: int) -> float:
        """Raises Lost when the sum is not finite, or most of it cancelled out."""
        if len(come) == 1 and not gone:
            total, value = self._total, come[0]
            result = total + value
            if abs(total) >= abs(value):
                self._rest += (total - result) + value
            else:
                self._rest += (value - result) + total
            if result - result != 0.0:  # NaN or an infinity
                raise Lost
            self._total = result
        else:
            self._add([*come, *map(neg, gone)])
        result = self._total + self._rest
        size = abs(result)
        if size > self._largest:
            self._largest = size
        elif size < self._largest * _CANCELLED:
            raise Lost
        return result

    def _add(self, values: Sequence[float]) -> None:
        parts = (self._total, self._rest, *values)
        try:
            total = math.fsum(parts)
            if total - total != 0.0:  # NaN or an infinity
                raise Lost
            self._rest = math.fsum((*parts, -total))
        except (OverflowError, ValueError):
            raise Lost from None
        self._total = total


class Mean(Sum):
    """The sum over the number of samples."""

    __slots__ = ()

    def restart(self, values: Sequence[float]) -> float:
        """Raises Lost when the sum is not finite."""
        return super().restart(values) / len(values)

    def move(self, come: Sequence[float], gone: Sequence[float], count: int) -> float:
        """Raises Lost when the sum is not finite, or most of it cancelled out."""
        return super().move(come, gone, count) / count


class Variance:
    """The population variance, from distances to one of the values that was in the window."""

    __slots__ = ("_centre", "_distances", "_squares")
    reads_values: ClassVar[bool] = True

    def __init__(self) -> None:
        self._centre = 0.0
        self._distances = Sum()
        self._squares = Sum()

    def restart(self, values: Sequence[float]) -> float:
        """Raises Lost when there is a value that is not finite."""
        # Of equal values the variance is exactly 0, which a rounded mean would spoil.
        try:
            return self._centred(values[0], values)
        except Lost:
            return self._centred(Sum().restart(values) / len(values), values)

    def move(self, come: Sequence[float], gone: Sequence[float], count: int) -> float:
        """Raises Lost, also when the mean has moved away."""
        centre = self._centre
        came, went = [v - centre for v in come], [v - centre for v in gone]
        distance = self._distances.move(came, went, count)
        squares = self._squares.move([d * d for d in came], [d * d for d in went], count)
        return _variance(centre, distance, squares, count)

    def _centred(self, centre: float, values: Sequence[float]) -> float:
        self._centre = centre
        distances = [v - centre for v in values]
        distance = self._distances.restart(distances)
        squares = self._squares.restart([d * d for d in distances])
        return _variance(centre, distance, squares, len(values))


def _variance(centre: float, distance: float, squares: float, count: int) -> float:
    if squares == 0:
        return 0.0
    shift = distance / count
    of_the_mean = distance * shift
    variance = (squares - of_the_mean) / count
    if of_the_mean > squares * _OFF_CENTRE or (centre + shift) ** 2 > variance * _FAR_FROM_ZERO:
        raise Lost
    return variance


class Deviation(Variance):
    """The population standard deviation."""

    __slots__ = ()

    def restart(self, values: Sequence[float]) -> float:
        """Raises Lost when there is a value that is not finite."""
        return math.sqrt(super().restart(values))

    def move(self, come: Sequence[float], gone: Sequence[float], count: int) -> float:
        """Raises Lost, also when the mean has moved away."""
        return math.sqrt(super().move(come, gone, count))


class Ranked:
    """One place in the sorted order, e.g. the 95th percentile.

    Only the values around that place are kept sorted. Of the others it is enough to know how many
    lie below and above; when the place has moved out of what is kept, it is `Lost`.
    """

    __slots__ = ("_below", "_high", "_low", "_most", "_nans", "_near", "_q")
    reads_values: ClassVar[bool] = True

    def __init__(self, q: float) -> None:
        self._q = q
        self._most = 0

    def restart(self, values: Sequence[float]) -> float:
        """Sort all of them once. Raises Lost when there is no such place."""
        if not 0 <= self._q <= 1:
            raise Lost
        ordered = sorted_with_nan_first(list(values))
        nans = 0
        while nans < len(ordered) and ordered[nans] != ordered[nans]:  # NaN
            nans += 1
        self._nans, self._below = nans, 0
        self._near = array("d", ordered[nans:])
        self._low, self._high = -math.inf, math.inf
        self._cut_back(len(ordered))
        return self._value(len(ordered))

    def move(self, come: Sequence[float], gone: Sequence[float], count: int) -> float:
        """Raises Lost when the place, or one that goes, is not among what is kept."""
        low, high, near = self._low, self._high, self._near
        for value in come:
            if value < low:
                self._below += 1
            elif value <= high:
                insort(near, value)
            elif value != value:  # noqa: PLR0124  # NaN
                self._nans += 1
        for value in gone:
            if value < low:
                self._below -= 1
            elif value <= high:
                index = bisect_left(near, value)
                if index == len(near) or near[index] != value:
                    raise Lost
                del near[index]
            elif value != value:  # noqa: PLR0124  # NaN
                self._nans -= 1
        if len(near) > self._most:
            self._cut_back(count)
        return self._value(count)

    def _value(self, count: int) -> float:
        near = self._near
        rank = self._q * (count - 1)
        lower = int(rank)
        first = lower - self._nans - self._below
        last = first + 1 if lower < count - 1 else first
        if first < 0 or last >= len(near):
            raise Lost
        weight = rank - lower
        return near[first] * (1 - weight) + near[last] * weight

    def _cut_back(self, count: int) -> None:
        near, margin = self._near, _MARGIN + math.isqrt(count)
        self._most = _OVERGROWN * margin
        place = int(self._q * (count - 1)) - self._nans - self._below
        start, end = max(0, place - margin), max(0, place) + margin + 2
        if start >= len(near):
            return
        if end < len(near):
            self._high = near[end - 1]
        if start:
            self._below += start
            self._low = near[start]
        self._near = near[start:end]


class Least(Ranked):
    """The least of the numbers."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(0.0)

    def _value(self, _count: int) -> float:
        if not self._near:
            raise Lost
        return self._near[0]


class Greatest(Ranked):
    """The greatest of the numbers."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(1.0)

    def _value(self, _count: int) -> float:
        if not self._near:
            raise Lost
        return self._near[-1]
