"""Ranges of series, summarized by functions; a window that moves on is not read again."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable

from rollbackd.promql.accumulators import Accumulator, Lost
from rollbackd.promql.following import Glance
from rollbackd.promql.series import Series

#: Samples that leave a window in one step are few: the search begins among so many.
_NEAR = 8
#: Instead of a number of rewrites: start anew.
_LOST = -1


class Track:
    """Which samples of a series an accumulator holds: positions from `low` up to `high`.

    What it cannot follow, such as stale markers inside the range, is left to `otherwise`.
    """

    __slots__ = (
        "_accumulator", "_first_ms", "_high", "_low", "_otherwise", "_reads", "_rewrites",
        "_start_ms",
    )  # fmt: skip

    def __init__(
        self, accumulator: Accumulator, otherwise: Callable[[Series, int, int], Glance | None]
    ) -> None:
        self._accumulator = accumulator
        self._reads = accumulator.reads_values
        self._otherwise = otherwise
        self._low = self._high = 0
        self._rewrites = _LOST
        self._start_ms = self._first_ms = 0

    def grow(self, series: Series, start_ms: int, end_ms: int) -> float | None:
        """The number when there is nothing but new samples: by far the most frequent case.

        None when it is another case; when it is not, the range's first sample is the same.
        """
        if series.rewrites != self._rewrites or start_ms > self._first_ms or end_ms < series.newest:
            return None
        values, cut = series.values, series.cut
        come = values[self._high - cut :] if self._reads else ()
        self._high = high = len(values) + cut
        try:
            return self._accumulator.move(come, (), high - self._low)
        except Lost:
            self._rewrites = _LOST
            return None

    def look(self, series: Series, start_ms: int, end_ms: int) -> Glance | None:
        """The number of a range, or None when it has no samples.

        The range may only move forward from one call to the next.
        """
        times, values, cut = series.times, series.values, series.cut
        if series.rewrites != self._rewrites:
            self._take_late(series)
        was_low, was_high = self._low - cut, self._high - cut
        follows = self._rewrites != _LOST and was_low >= 0
        high = len(times) if end_ms >= series.newest else bisect_right(times, end_ms)
        low = was_low if follows else 0
        if low < high and times[low] < start_ms:
            near = min(low + _NEAR, high)
            low = bisect_left(times, start_ms, low, near)
            if low == near:
                low = bisect_left(times, start_ms, near, high)
        self._rewrites = _LOST
        if low >= high or series.held is not None or series.stale_at >= times[low]:
            return self._otherwise(series, start_ms, end_ms)
        try:
            if follows and low <= was_high <= high:
                come, gone = (
                    (values[was_high:high], values[was_low:low]) if self._reads else ((), ())
                )
                try:
                    found = self._accumulator.move(come, gone, high - low)
                except Lost:
                    found = self._accumulator.restart(values[low:high])
            else:
                found = self._accumulator.restart(values[low:high])
        except Lost:
            return self._otherwise(series, start_ms, end_ms)
        self._low, self._high = low + cut, high + cut
        self._rewrites, self._start_ms, self._first_ms = series.rewrites, start_ms, times[low]
        return found, self._first_ms, times[high - 1]

    def _take_late(self, series: Series) -> None:
        """Take in what was sorted in below `high`; it is lost when that is not known."""
        missed = series.rewrites - self._rewrites
        known = self._rewrites != _LOST and missed <= len(series.late)
        self._rewrites = series.rewrites if known else _LOST
        if not known:
            return
        for position, time_ms, value in series.late[-missed:]:
            if position >= self._high:
                continue
            self._high += 1
            if time_ms < self._start_ms:
                self._low += 1
                continue
            try:
                self._accumulator.move((value,), (), self._high - self._low)
            except Lost:
                self._rewrites = _LOST
                return
