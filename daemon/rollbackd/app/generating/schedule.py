"""Events that are due later than what caused them."""

import heapq
from itertools import count
from typing import Any

#: One event and the time at which it is sent, in milliseconds since the epoch.
Timed = tuple[int, dict[str, Any]]


class Schedule:
    """Events of one service in the order of time; what is due is taken out once a second."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, dict[str, Any]]] = []
        self._order = count()

    def add(self, at_ms: int, event: dict[str, Any]) -> None:
        """Send an event at a time."""
        heapq.heappush(self._heap, (at_ms, next(self._order), event))

    def due(self, before_ms: int) -> list[Timed]:
        """Take out everything that is due before a time; equal times in the order of `add`."""
        found: list[Timed] = []
        while self._heap and self._heap[0][0] < before_ms:
            at_ms, _, event = heapq.heappop(self._heap)
            found.append((at_ms, event))
        return found
