"""What all detectors are like, and what they ask about the world."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from rollbackd.model.labels import Scope
from rollbackd.model.pins import Pins


class IndexExpected(NamedTuple):
    """An index that an arm may read; `documents` is how many it had when it was known good."""

    pins: Pins
    documents: int | None


class Expected(Protocol):
    """What is known to be so, or to be changing, beside the facts. Asked on the hot path."""

    def own_flip_until(self, scope: Scope) -> int:
        """Until when a flip of our own is still spreading (requirements K22); 0 when none is."""
        ...

    def users_move_until(self, scope: Scope) -> int:
        """Until when users change arms because somebody moved the traffic, or we did."""
        ...

    def index_of(self, scope: Scope, arm: str) -> Sequence[IndexExpected]:
        """Which indexes the retrievers of an arm may read; empty when nobody has said so."""
        ...


class NothingExpected:
    """Implements Expected where nothing is known."""

    def own_flip_until(self, scope: Scope) -> int:  # noqa: ARG002  # the port
        """See Expected."""
        return 0

    def users_move_until(self, scope: Scope) -> int:  # noqa: ARG002  # the port
        """See Expected."""
        return 0

    def index_of(self, scope: Scope, arm: str) -> Sequence[IndexExpected]:  # noqa: ARG002  # the port
        """See Expected."""
        return ()


class Detector(Protocol):
    """Compares single facts and writes series. Deterministic: the same facts, the same samples."""

    @property
    def name(self) -> str:
        """In metrics: `duplicate_effects`."""
        ...

    @property
    def evicted(self) -> int:
        """How much had to be forgotten to stay inside the bounds."""
        ...

    def forget(self, origin: str) -> None:
        """Drop what came from a partition. Idempotent."""
        ...


class Lateness:
    """How late a fact may come among newer ones of its scope. Shared by all detectors of a bank."""

    __slots__ = ("_limit_ms", "reading_again", "refused")

    def __init__(self, limit_ms: int) -> None:
        self._limit_ms = limit_ms
        #: Whether what comes now was told once before: a partition is read again.
        self.reading_again = False
        #: How often a detector refused a fact.
        self.refused = 0

    def refuses(self, at_ms: int, newest_ms: int, within_ms: int | None = None) -> bool:
        """Whether a fact is too old to be told, as the engine refuses late samples.

        `within_ms` is how far back the detector looks, where that is shorter.
        """
        limit_ms = self._limit_ms if within_ms is None else min(self._limit_ms, within_ms)
        late = at_ms < newest_ms - limit_ms
        self.refused += late
        return late

    def refuses_fault(self, at_ms: int, newest_ms: int) -> bool:
        """The same of what is a fault by itself, and none the less for being heard of late.

        It is told at the newest time, unless it is read again: it was told when it was new.
        """
        return self.reading_again and self.refuses(at_ms, newest_ms)
