"""Where events come from and where they go."""

from collections.abc import Sequence
from typing import Protocol

from rollbackd.model.events import Batch
from rollbackd.model.facts import AnyFact


class Sink(Protocol):
    """Where sources put what they decoded."""

    async def ingest(self, batch: Batch, *, source: str, origin: str = "") -> None:
        """Take a batch. State in it is durable on return. Raises TemporaryError when full.

        `source` names the kind of source in metrics, `origin` the part of it that can be lost on
        its own and read again, e.g. a partition.
        """
        ...

    async def forget(self, origin: str) -> None:
        """Drop the samples of an origin: somebody else has it now, or it is read again.

        Idempotent. What is durable stays, and so does a series that another origin feeds too.
        """
        ...

    async def bury(self, source: str, body: bytes, reason: str) -> None:
        """Take an input that could not be decoded."""
        ...


class FactSink(Protocol):
    """Takes single facts that are no samples: detectors, the ledger of receipts."""

    async def take(self, facts: Sequence[AnyFact], *, source: str, origin: str) -> None:
        """Take what one batch said. What must be durable is on return. Raises TemporaryError.

        The same fact may come again: sources deliver at least once.
        """
        ...

    async def forget(self, origin: str) -> None:
        """Drop what came from an origin, as Sink.forget. Idempotent."""
        ...


class Source(Protocol):
    """Something that yields batches until it is told to stop."""

    async def run(self) -> None:
        """Feed the sink until cancelled. Recovers by itself from whatever may pass."""
        ...

    def healthy(self) -> bool:
        """Whether it made progress lately."""
        ...
