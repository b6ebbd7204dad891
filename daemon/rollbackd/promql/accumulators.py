"""Numbers of a window that follow its samples: sums and ranks, exact whatever comes and goes.

The order of the samples plays no part, so a late one is like any other. Where what is remembered
cannot give the number, `Lost` is raised, and the caller starts anew with all samples.
"""

import math
from array import array
from bisect import bisect_left, insort
from collections.abc import Sequence
from operator import neg
from typing import Protocol

from rollbackd.promql.values import sorted_with_nan_first

#: A sum this much smaller than what it came from has too few digits left.
_CANCELLED = 1e-12
#: Of the squares, the mean's own part may be this much.
_OFF_CENTRE = 0.5
#: Values that are kept on either side of the wanted place, and more in a larger window.
_MARGIN = 8
#: They are cut back when there are this many times more.
_OVERGROWN = 8


class Lost(Exception):  # noqa: N818  # it is a verdict, and caught at once
    """What is remembered is not enough."""


class Accumulator(Protocol):
    """A number of the samples in a window."""

    def restart(self, values: Sequence[float]) -> None:
        """Take these samples and no others. Raises Lost when that cannot be followed."""
        ...

    def update(self, come: Sequence[float], gone: Sequence[float]) -> None:
        """Take some in and others out. Raises Lost."""
        ...

    def value(self, count: int) -> float:
        """The number for all `count` samples. Raises Lost."""
        ...


class Count:
    """How many there are; the window itself knows."""

    __slots__ = ()

    def restart(self, values: Sequence[float]) -> None:
        """Nothing to remember."""

    def update(self, come: Sequence[float], gone: Sequence[float]) -> None:
        """Nothing to remember."""

    def value(self, count: int) -> float:
        """The number of samples."""
        return float(count)


class Sum:
    """The sum, as the unevaluated sum of two floats: about 106 bits."""

    __slots__ = ("_largest", "_rest", "_total")

    def restart(self, values: Sequence[float]) -> None:
        """Raises Lost when the sum is not finite."""
        self._total = self._rest = 0.0
        self._add(values)
        self._largest = abs(self._total)

    def update(self, come: Sequence[float], gone: Sequence[float]) -> None:
        """Raises Lost when the sum is not finite, or most of it cancelled out."""
        self._add([*come, *map(neg, gone)] if gone else come)
        size = abs(self._total)
        if size > self._largest:
            self._largest = size
        elif size < self._largest * _CANCELLED:
            raise Lost

    def value(self, _count: int, /) -> float:
        """The sum, correctly rounded."""
        return self._total

    def _add(self, values: Sequence[float]) -> None:
        before, rest = self._total, self._rest
        try:
            total = math.fsum((before, rest, *values))
            self._rest = math.fsum((before, rest, *values, -total))
        except (OverflowError, ValueError):
            raise Lost from None
        if total - total != 0.0:  # NaN or an infinity
            raise Lost
        self._total = total


class Mean(Sum):
    """The sum over the number of samples."""

    __slots__ = ()

    def value(self, count: int, /) -> float:
        """The mean."""
        return self._total / count


class Variance:
    """The population variance, from distances to one of the values that was in the window."""

    __slots__ = ("_centre", "_distances", "_squares")

    def __init__(self) -> None:
        self._centre = 0.0
        self._distances = Sum()
        self._squares = Sum()

    def restart(self, values: Sequence[float]) -> None:
        """Raises Lost when there is a value that is not finite."""
        # Of equal values the variance is exactly 0, which a rounded mean would spoil.
        self._centre_on(values[0], values)
        if self._is_off_centre(len(values)):
            self._centre_on(math.fsum(values) / len(values), values)

    def update(self, come: Sequence[float], gone: Sequence[float]) -> None:
        """Raises Lost."""
        centre = self._centre
        came, went = [v - centre for v in come], [v - centre for v in gone]
        self._distances.update(came, went)
        self._squares.update([d * d for d in came], [d * d for d in went])

    def value(self, count: int) -> float:
        """Raises Lost when the mean has moved away."""
        if self._is_off_centre(count):
            raise Lost
        total = self._distances.value(count)
        return max(0.0, self._squares.value(count) - total * total / count) / count

    def _centre_on(self, centre: float, values: Sequence[float]) -> None:
        self._centre = centre
        distances = [v - centre for v in values]
        self._distances.restart(distances)
        self._squares.restart([d * d for d in distances])

    def _is_off_centre(self, count: int) -> bool:
        total = self._distances.value(count)
        return total * total / count > self._squares.value(count) * _OFF_CENTRE


class Deviation(Variance):
    """The population standard deviation."""

    __slots__ = ()

    def value(self, count: int) -> float:
        """The root of the variance."""
        return math.sqrt(super().value(count))


class Ranked:
    """One place in the sorted order, e.g. the 95th percentile.

    Only the values around that place are kept sorted. Of the others it is enough to know how many
    lie below and above; when the place has moved out of what is kept, it is `Lost`.
    """

    __slots__ = ("_below", "_high", "_low", "_most", "_nans", "_near", "_q")

    def __init__(self, q: float) -> None:
        self._q = q
        self._most = 0

    def restart(self, values: Sequence[float]) -> None:
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

    def update(self, come: Sequence[float], gone: Sequence[float]) -> None:
        """Raises Lost when one that goes cannot be told from its equals outside."""
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

    def value(self, count: int) -> float:
        """Raises Lost when the place is not among what is kept."""
        near = self._near
        rank = self._q * (count - 1)
        lower = math.floor(rank)
        first = lower - self._nans - self._below
        last = first + 1 if lower < count - 1 else first
        if first < 0 or last >= len(near):
            raise Lost
        if len(near) > self._most:
            self._cut_back(count)
        weight = rank - lower
        return near[first] * (1 - weight) + near[last] * weight

    def _cut_back(self, count: int) -> None:
        near, margin = self._near, _MARGIN + math.isqrt(count)
        self._most = _OVERGROWN * margin
        place = max(0, math.floor(self._q * (count - 1)) - self._nans - self._below)
        start, end = max(0, place - margin), place + margin + 2
        kept = near[start:end]
        if start and kept:
            self._below += start
            self._low = kept[0]
        if end < len(near):
            self._high = kept[-1]
        self._near = kept


class Least(Ranked):
    """The least of the numbers."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(0.0)

    def value(self, count: int) -> float:
        """Raises Lost when all that were kept have gone."""
        if self._below or not self._near:
            raise Lost
        least = self._near[0]
        if len(self._near) > self._most:
            self._cut_back(count)
        return least


class Greatest(Ranked):
    """The greatest of the numbers."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(1.0)

    def value(self, count: int) -> float:
        """Raises Lost when all that were kept have gone."""
        if not self._near:
            raise Lost
        greatest = self._near[-1]
        if len(self._near) > self._most:
            self._cut_back(count)
        return greatest
