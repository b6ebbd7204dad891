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


def is_late(at_ms: int, newest_ms: int, lateness_ms: int) -> bool:
    """Whether a fact is too old to be told among newer ones, as the engine refuses late samples."""
    return at_ms < newest_ms - lateness_ms
