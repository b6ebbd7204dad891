"""What waits to be scored: bounded in number and bytes, the oldest goes first."""

from collections import deque
from typing import NamedTuple

from rollbackd.model.facts import Scorable


class Waiting(NamedTuple):
    """One event, the partition that it came from, and since when it waits."""

    fact: Scorable
    origin: str
    since_ms: int


class ScoringQueue:
    """First in, first out. Pure: time is an argument."""

    def __init__(self, *, most: int, most_bytes: int, batch: int, wait_ms: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._batch = batch
        self._wait_ms = wait_ms
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, waiting: Waiting) -> int:
        """Let one wait; returns how many were dropped for it."""
        self._waiting.append(waiting)
        self._bytes += waiting.fact.size
        dropped = 0
        while len(self._waiting) > self._most or self._bytes > self._most_bytes:
            self._pop()
            dropped += 1
        return dropped

    def due_in_ms(self, now_ms: int) -> int:
        """How long to wait for more: until a batch is full, or its oldest has waited enough."""
        if not self._waiting or len(self._waiting) >= self._batch:
            return 0
        # A wall clock that was set back must not make anybody wait longer.
        return min(max(self._waiting[0].since_ms + self._wait_ms - now_ms, 0), self._wait_ms)

    def take(self) -> list[Waiting]:
        """The oldest, as many as go together."""
        return [self._pop() for _ in range(min(self._batch, len(self._waiting)))]

    def forget(self, origin: str) -> None:
        """Drop what came from a partition."""
        kept = [waiting for waiting in self._waiting if waiting.origin != origin]
        self._waiting = deque(kept)
        self._bytes = sum(waiting.fact.size for waiting in kept)

    def _pop(self) -> Waiting:
        waiting = self._waiting.popleft()
        self._bytes -= waiting.fact.size
        return waiting
