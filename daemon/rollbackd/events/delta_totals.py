"""Deltas added up to the totals that a counter shows."""

from collections.abc import Hashable, Sequence
from typing import Final, NamedTuple

from rollbackd.events.generations import Generations

_SERIES: Final = 100_000


class Total(NamedTuple):
    """What the counters of a series show from this time on."""

    time_ns: int
    values: tuple[float, ...]


class DeltaTotals:
    """The totals of what came by one stream, of at most `2 * size` series.

    Several senders may add to one total; whose delta it is says only whether it came before. What
    was forgotten begins at zero again, which a rate takes for a restart of the counter.
    """

    def __init__(self, size: int = _SERIES) -> None:
        self._totals = Generations[Hashable, Total](size)
        self._times = Generations[Hashable, int](size)

    def knows(self, series: Hashable) -> bool:
        """Whether there is a total to add to."""
        return self._totals.get(series) is not None

    def add(
        self,
        series: Hashable,
        sender: Hashable,
        time_ns: int,
        values: Sequence[float],
        *,
        now_ns: int,
    ) -> Total | None:
        """The total with this delta; None for one older than the newest of the same sender.

        A delta of the same time and sender is the same one, delivered again. A total never goes
        back in time, nor ahead of now: a clock that is ahead would take the others with it.
        """
        total, newest_ns = self._totals.get(series), self._times.get(sender)
        if total is None:
            total = Total(min(time_ns, now_ns), tuple(values))
        elif newest_ns is not None and time_ns <= newest_ns:
            return total if time_ns == newest_ns else None
        else:
            added = tuple([a + b for a, b in zip(total.values, values, strict=True)])
            total = Total(max(total.time_ns, min(time_ns, now_ns)), added)
        self._totals.put(series, total)
        self._times.put(sender, time_ns)
        return total
