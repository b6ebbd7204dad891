"""One series in memory: two flat arrays, 16 bytes a sample and at most a third of slack."""

import math
from array import array
from bisect import bisect_left, bisect_right, insort
from itertools import chain

from rollbackd.model.labels import Labels
from rollbackd.promql.entries import Entry
from rollbackd.promql.extents import Extent
from rollbackd.promql.values import drop_name, is_stale
from rollbackd.promql.windows import Window

#: How far back an instant selector looks for a sample.
LOOKBACK_MS = 300_000

_FOREVER = 1 << 62
#: Late samples that are remembered one by one: these, and one in so many of all samples.
_LATE = 8
_LATE_SHARE = 64


class Readers:
    """The rules that read a series; series with the same readers share one object."""

    __slots__ = ("entries", "greatest", "least", "rules", "window_ms")

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        self.rules = frozenset(rule for entry in entries for rule in entry.rules)
        self.window_ms = max(LOOKBACK_MS, *(entry.window_ms for entry in entries))
        #: No value of one of the series lies outside.
        self.least, self.greatest = math.inf, -math.inf

    @property
    def extent(self) -> Extent:
        """What the values of all these series lie in."""
        return Extent(self.least, self.greatest)

    def widen(self, value: float) -> None:
        """One of the series has this value."""
        self.least, self.greatest = min(self.least, value), max(self.greatest, value)
        for entry in self.entries:
            entry.widen(value)


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


class Series:
    """The samples of one label set in order of time; equal times are all kept.

    Who keeps a position in it counts from the first sample that ever was, trimmed ones included.
    """

    __slots__ = (
        "bare", "cut", "dropped_at", "held", "labels", "late",
        "newest", "origin", "readers", "rewrites", "stale_at", "times", "trim_at", "values",
    )  # fmt: skip

    def __init__(self, labels: Labels, readers: Readers) -> None:
        self.labels = labels
        #: The labels without the metric name, as functions return them.
        self.bare = drop_name(labels)
        self.readers = readers
        self.times = array("q")
        self.values = array("d")
        #: Time of the newest sample; until there is one, of what windows do not reach any more.
        self.newest = -_FOREVER
        #: Time of the newest sample that is not at or above the one before it.
        self.dropped_at = -_FOREVER
        #: Time of the newest stale marker.
        self.stale_at = -_FOREVER
        #: How many samples were taken away at the front.
        self.cut = 0
        #: How often a sample came in elsewhere than at the end, or was overwritten.
        self.rewrites = 0
        #: (position, time, value) of the last few of these; cut short when it grows too long.
        self.late: list[tuple[int, int, float]] = []
        self.trim_at = 64
        self.held: Held | None = None
        #: Where its samples come from; None for what a rule makes.
        self.origin: str | None = None

    def append(self, time_ms: int, value: float) -> None:
        """Take a sample that is not older than the newest one."""
        values = self.values
        # `not >=` also catches NaN on either side.
        if not (values and value >= values[-1]):
            if values:
                self.dropped_at = time_ms
            if value < self.readers.least:
                self.readers.widen(value)
            if value != value and is_stale(value):  # noqa: PLR0124  # NaN
                self.note_stale(time_ms)
        # The first one is both, and so may be what follows NaN.
        if value > self.readers.greatest:
            self.readers.widen(value)
        self.times.append(time_ms)
        values.append(value)
        self.newest = time_ms

    def insert(self, time_ms: int, value: float) -> None:
        """Sort in a sample that came late; it goes behind those with the same time."""
        index = bisect_right(self.times, time_ms)
        self.times.insert(index, time_ms)
        self.values.insert(index, value)
        self.rewrites += 1
        if len(self.late) >= _LATE + len(self.times) // _LATE_SHARE:
            self.late.clear()
        self.late.append((self.cut + index, time_ms, value))
        self.readers.widen(value)
        # Conservative: windows are scanned for drops until the late region is gone.
        self.dropped_at = self.newest
        if value != value and is_stale(value):  # noqa: PLR0124  # NaN
            self.note_stale(time_ms)

    @property
    def is_fed(self) -> bool:
        """Whether there ever was a sample."""
        return bool(self.cut or self.times)

    @property
    def extent(self) -> Extent:
        """What the values lie in; what holds may be any."""
        if self.held is not None:
            return Extent(-math.inf, math.inf)
        # Not from the first value on, which may be NaN.
        values = self.values
        return Extent(min(chain((math.inf,), values)), max(chain((-math.inf,), values)))

    def note_stale(self, time_ms: int) -> None:
        """There is a stale marker at this time; nobody goes on from what was there before."""
        self.stale_at = max(self.stale_at, time_ms)
        self.rewrites += 1
        self.late.clear()

    def hold(self, *, is_data: bool) -> Held:
        """The intervals that hold without samples, from now on if there were none."""
        if self.held is None:
            self.take_hold(Held(is_data=is_data))
        assert self.held is not None
        return self.held

    def take_hold(self, held: Held) -> None:
        """Intervals whose values may be any."""
        self.held = held
        self.readers.widen(-math.inf)
        self.readers.widen(math.inf)
        self.rewrites += 1
        self.late.clear()

    def overwrite_last(self, value: float) -> None:
        """Replace the newest sample's value."""
        self.values[-1] = value
        self.readers.widen(value)
        self.rewrites += 1
        self.late.clear()

    def adopt(self, old: "Series") -> None:
        """Take the samples of a series that is spent."""
        self.times, self.values = old.times, old.values
        self.newest, self.dropped_at, self.stale_at = old.newest, old.dropped_at, old.stale_at
        self.cut, self.trim_at, self.held = old.cut, old.trim_at, old.held
        if old.readers.least <= old.readers.greatest:
            self.readers.widen(old.readers.least)
            self.readers.widen(old.readers.greatest)

    def trim(self, before_ms: int) -> None:
        """Forget what no window reaches; keeps the slack under a quarter."""
        gone = bisect_left(self.times, before_ms)
        if gone:
            del self.times[:gone]
            del self.values[:gone]
            self.cut += gone
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
        if found <= self.stale_at and is_stale(value):
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
        if self.held is None:
            if low >= high:
                return None
            if self.stale_at < times[low]:
                return Window(
                    self.labels, self.bare, times, self.values, low=low, high=high,
                    start_ms=start_ms, end_ms=end_ms, monotonic=self.dropped_at < times[low],
                )  # fmt: skip
        return self._sorted_out(low, high, start_ms, end_ms)

    def _sorted_out(self, low: int, high: int, start: int, end: int) -> Window | None:
        """The window without stale markers, and with what holds."""
        samples = zip(self.times[low:high], self.values[low:high], strict=True)
        pairs = [(t, v) for t, v in samples if not is_stale(v)]
        if self.held is not None:
            for point in self.held.within(start, end):
                insort(pairs, point)
        if not pairs:
            return None
        times, values = [t for t, _ in pairs], [v for _, v in pairs]
        return Window(
            self.labels, self.bare, times, values, low=0, high=len(pairs), start_ms=start,
            end_ms=end, monotonic=self.held is None and self.dropped_at < times[0],
        )  # fmt: skip
