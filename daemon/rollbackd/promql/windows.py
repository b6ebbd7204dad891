"""The samples of one series in one range."""

from collections.abc import Sequence

from rollbackd.model.labels import Labels


class Window:
    """Samples, oldest first, times in milliseconds; at least one.

    It looks at the series' own memory: `times` and `values` are copied out when they are asked
    for, and a window does not outlive the evaluation.
    """

    __slots__ = (
        "_high", "_low", "_times", "_values",
        "bare", "end_ms", "labels", "monotonic", "start_ms",
    )  # fmt: skip

    def __init__(
        self,
        labels: Labels,
        bare: Labels,
        times: Sequence[int],
        values: Sequence[float],
        *,
        low: int,
        high: int,
        start_ms: int,
        end_ms: int,
        monotonic: bool = False,
    ) -> None:
        self.labels = labels
        #: The labels without the metric name.
        self.bare = bare
        self.start_ms = start_ms
        self.end_ms = end_ms
        #: Known to have no drop inside, so that counters need no scan for resets.
        self.monotonic = monotonic
        self._times = times
        self._values = values
        self._low = low
        self._high = high

    def __len__(self) -> int:
        return self._high - self._low

    @property
    def times(self) -> Sequence[int]:
        """All times."""
        return self._times[self._low : self._high]

    @property
    def values(self) -> Sequence[float]:
        """All values."""
        return self._values[self._low : self._high]

    def thinned(self, most: int) -> list[tuple[int, float]]:
        """At most so many samples, oldest first: the newest, and evenly spaced ones before it."""
        step = -(-len(self) // most)
        places = range(self._high - 1, self._low - 1, -step)
        return [(self._times[place], self._values[place]) for place in reversed(places)]

    @property
    def first_ms(self) -> int:
        """The time of the oldest sample."""
        return self._times[self._low]

    @property
    def last_ms(self) -> int:
        """The time of the newest sample."""
        return self._times[self._high - 1]

    @property
    def first(self) -> float:
        """The oldest value."""
        return self._values[self._low]

    @property
    def last(self) -> float:
        """The newest value."""
        return self._values[self._high - 1]

    @property
    def last_two(self) -> tuple[tuple[int, float], tuple[int, float]]:
        """(time, value) of the newest sample but one, and of the newest; there have to be two."""
        before, last = self._high - 2, self._high - 1
        return (
            (self._times[before], self._values[before]),
            (self._times[last], self._values[last]),
        )
