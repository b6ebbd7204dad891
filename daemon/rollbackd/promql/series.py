"""One series in memory: two flat arrays, 16 bytes a sample and at most a third of slack."""

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

from rollbackd.model.labels import Labels
from rollbackd.promql.values import drop_name, is_stale

#: How far back an instant selector looks for a sample.
LOOKBACK_MS = 300_000

_FOREVER = 1 << 62


class Readers:
    """The rules that read a series; series with the same readers share one object."""

    __slots__ = ("rules", "window_ms")

    def __init__(self, rules: frozenset[int], window_ms: int) -> None:
        self.rules = rules
        self.window_ms = window_ms


class Held:
    """Values that hold over an interval without a sample: a firing page, a pinned baseline.

    An interval is (from_ms, to_ms exclusive, value). An instant selector sees it anywhere inside;
    a window sees one sample at each end of what it overlaps.
    """

    __slots__ = ("intervals", "is_data", "seen_ms")

    def __init__(self, *, is_data: bool) -> None:
        self.intervals: list[tuple[int, int, float]] = []
        #: When the newest notice of it arrived.
        self.seen_ms = 0
        #: A baseline is no data: it makes no evaluation fresh.
        self.is_data = is_data

    def at(self, time_ms: int) -> float | None:
        """The value at a time, or None."""
        for start, end, value in reversed(self.intervals):
            if start <= time_ms < end:
                return value
        return None

    def within(self, start_ms: int, end_ms: int) -> list[tuple[int, float]]:
        """(time, value) pairs that stand for the intervals in a closed window."""
        points: list[tuple[int, float]] = []
        for start, end, value in self.intervals:
            first, last = max(start, start_ms), min(end - 1, end_ms)
            if first <= last:
                points.append((first, value))
                if last > first:
                    points.append((last, value))
        return points


class Window:
    """The samples of one series in one range; `times` in milliseconds, oldest first."""

    __slots__ = ("bare", "end_ms", "labels", "monotonic", "now_ms", "start_ms", "times", "values")

    def __init__(
        self,
        labels: Labels,
        bare: Labels,
        times: Sequence[int],
        values: Sequence[float],
        *,
        start_ms: int,
        end_ms: int,
        monotonic: bool = False,
    ) -> None:
        self.labels = labels
        #: The labels without the metric name.
        self.bare = bare
        self.times = times
        self.values = values
        self.start_ms = start_ms
        self.end_ms = end_ms
        #: The evaluation time; `end_ms` lies before it by the offset.
        self.now_ms = end_ms
        #: Known to have no drop inside, so that counters need no scan for resets.
        self.monotonic = monotonic


class Series:
    """The samples of one label set in order of time; equal times are all kept."""

    __slots__ = (
        "bare", "dropped_at",
        "edits", "has_stale", "held", "labels", "newest", "push_time", "push_value",
        "readers", "times", "trim_at", "values",
    )  # fmt: skip

    def __init__(self, labels: Labels, readers: Readers) -> None:
        self.labels = labels
        #: The labels without the metric name, as functions return them.
        self.bare = drop_name(labels)
        self.readers = readers
        self.times = array("q")
        self.values = array("d")
        self.push_time = self.times.append
        self.push_value = self.values.append
        self.newest = -_FOREVER
        #: Time of the newest sample that is not at or above the one before it.
        self.dropped_at = -_FOREVER
        self.has_stale = False
        #: Samples taken away or overwritten; with the length it tells whether anything changed.
        self.edits = 0
        self.trim_at = 64
        self.held: Held | None = None

    def insert(self, time_ms: int, value: float) -> None:
        """Sort in a sample that came late; it goes behind those with the same time."""
        index = bisect_right(self.times, time_ms)
        self.times.insert(index, time_ms)
        self.values.insert(index, value)
        # Conservative: windows are scanned for drops until the late region is gone.
        self.dropped_at = self.newest
        if value != value and is_stale(value):  # noqa: PLR0124  # NaN
            self.has_stale = True

    def trim(self, before_ms: int) -> None:
        """Forget what no window reaches; keeps the slack under a quarter."""
        gone = bisect_left(self.times, before_ms)
        if gone:
            del self.times[:gone]
            del self.values[:gone]
            self.edits += gone
        self.trim_at = max(64, len(self.times) * 5 // 4)

    def at(self, time_ms: int, since_ms: int | None) -> tuple[int, float] | None:
        """(time, value) of the newest sample within the lookback, or None when absent or stale."""
        if self.held is not None:
            value = self.held.at(time_ms)
            if value is not None:
                return time_ms, value
        times = self.times
        index = len(times) if time_ms >= self.newest else bisect_right(times, time_ms)
        if not index:
            return None
        found = times[index - 1]
        if found < time_ms - LOOKBACK_MS or (since_ms is not None and found < since_ms):
            return None
        value = self.values[index - 1]
        if self.has_stale and is_stale(value):
            return None
        return found, value

    def window(self, start_ms: int, end_ms: int) -> Window | None:
        """The samples in a range without stale markers, or None when there are none.

        Closed on both ends as in Prometheus 2; Prometheus 3 leaves out a sample exactly at the
        start.
        """
        times = self.times
        low = bisect_left(times, start_ms)
        high = len(times) if end_ms >= self.newest else bisect_right(times, end_ms, low)
        if self.held is not None:
            return self._window_with_held(low, high, start_ms, end_ms)
        if low >= high:
            return None
        kept_times: Sequence[int] = times[low:high]
        kept_values: Sequence[float] = self.values[low:high]
        if self.has_stale:
            pairs = [
                (t, v) for t, v in zip(kept_times, kept_values, strict=True) if not is_stale(v)
            ]
            if not pairs:
                return None
            kept_times = [t for t, _ in pairs]
            kept_values = [v for _, v in pairs]
        return Window(
            self.labels, self.bare, kept_times, kept_values, start_ms=start_ms, end_ms=end_ms,
            monotonic=self.dropped_at < kept_times[0],
        )  # fmt: skip

    def _window_with_held(self, low: int, high: int, start: int, end: int) -> Window | None:
        assert self.held is not None
        pairs = [
            (t, v)
            for t, v in zip(self.times[low:high], self.values[low:high], strict=True)
            if not is_stale(v)
        ]
        for point in self.held.within(start, end):
            insort(pairs, point)
        if not pairs:
            return None
        return Window(
            self.labels,
            self.bare,
            [t for t, _ in pairs],
            [v for _, v in pairs],
            start_ms=start,
            end_ms=end,
        )
