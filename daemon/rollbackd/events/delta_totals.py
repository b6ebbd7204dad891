"""Deltas added up to the totals that a counter shows."""

from collections.abc import Hashable, Sequence
from typing import Final, NamedTuple

from rollbackd.events.generations import Generations

_SERIES: Final = 100_000


class _Total(NamedTuple):
    time_ns: int
    values: tuple[float, ...]


class DeltaTotals:
    """The totals of the series of one sender stream, at most `2 * size`.

    What was forgotten begins at zero again, which a rate takes for a restart of the counter.
    """

    def __init__(self, size: int = _SERIES) -> None:
        self._totals = Generations[Hashable, _Total](size)

    def knows(self, key: Hashable) -> bool:
        """Whether there is a total to add to."""
        return self._totals.get(key) is not None

    def add(self, key: Hashable, time_ns: int, values: Sequence[float]) -> tuple[float, ...] | None:
        """The totals at this time; None for a delta that is older than the newest one.

        A delta of the same time is the same one, delivered again.
        """
        before = self._totals.get(key)
        if before is None:
            totals = tuple(values)
        elif time_ns <= before.time_ns:
            return before.values if time_ns == before.time_ns else None
        else:
            totals = tuple([a + b for a, b in zip(before.values, values, strict=True)])
        self._totals.put(key, _Total(time_ns, totals))
        return totals
