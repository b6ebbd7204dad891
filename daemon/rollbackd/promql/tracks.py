"""Ranges of series, summarized by functions; a window that moves on is not read again."""

from bisect import bisect_left, bisect_right

from rollbackd.promql.accumulators import Accumulator, Lost
from rollbackd.promql.following import Glance, Look
from rollbackd.promql.series import Series

_NOWHERE = -1


class Track:
    """Which samples of a series an accumulator holds: positions from `low` up to `high`.

    What it cannot follow, such as stale markers inside the range, is left to `otherwise`.
    """

    __slots__ = ("_accumulator", "_high", "_low", "_otherwise", "_rewrites", "_start_ms")

    def __init__(self, accumulator: Accumulator, otherwise: Look) -> None:
        self._accumulator = accumulator
        self._otherwise = otherwise
        self._low = self._high = _NOWHERE
        self._rewrites = 0
        self._start_ms = 0

    def look(self, series: Series, start_ms: int, end_ms: int) -> Glance | None:
        """The number of a range, or None when it has no samples.

        The range may only move forward from one call to the next.
        """
        times, cut = series.times, series.cut
        if series.rewrites != self._rewrites:
            self._take_late(series)
        was_low, was_high = self._low - cut, self._high - cut
        self._low = _NOWHERE
        high = len(times) if end_ms >= series.newest else bisect_right(times, end_ms)
        low = max(was_low, 0)
        if low < high and times[low] < start_ms:
            low = bisect_left(times, start_ms, low, high)
        if low >= high or series.held is not None or series.stale_at >= times[low]:
            return self._otherwise(series, start_ms, end_ms)
        try:
            if was_low < 0 or low > was_high:
                found = self._anew(series, low, high)
            else:
                found = self._onward(series, (was_low, was_high), low, high)
        except Lost:
            return self._otherwise(series, start_ms, end_ms)
        self._low, self._high = low + cut, high + cut
        self._rewrites, self._start_ms = series.rewrites, start_ms
        return found, times[low], times[high - 1]

    def _anew(self, series: Series, low: int, high: int) -> float:
        self._accumulator.restart(series.values[low:high])
        return self._accumulator.value(high - low)

    def _onward(self, series: Series, was: tuple[int, int], low: int, high: int) -> float:
        values = series.values
        try:
            self._accumulator.update(values[was[1] : high], values[was[0] : low])
            return self._accumulator.value(high - low)
        except Lost:
            return self._anew(series, low, high)

    def _take_late(self, series: Series) -> None:
        """Take in what was sorted in below `high`; forget all when that is not known."""
        missed = series.rewrites - self._rewrites
        if self._low == _NOWHERE or missed > len(series.late):
            self._low = _NOWHERE
            return
        for position, time_ms, value in series.late[-missed:]:
            if position >= self._high:
                continue
            self._high += 1
            if time_ms < self._start_ms:
                self._low += 1
                continue
            try:
                self._accumulator.update((value,), ())
            except Lost:
                self._low = _NOWHERE
                return
