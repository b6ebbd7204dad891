"""Writes down at the broker how far each partition has come."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from aiokafka.errors import CommitFailedError, IllegalStateError

from rollbackd.sources.kafka.driver import Consumer
from rollbackd.sources.kafka.partition import Partition

#: Between two rounds, so that a fast partition does not commit after each batch.
_INTERVAL_SECONDS: Final = 0.05


class Committer:
    """Commits `{partition: last handled + 1}`, one partition at a time (aiokafka#929, #933).

    Beside the poll loop, for a commit waits for a lost coordinator without end.
    """

    def __init__(self, consumer: Consumer, current: Callable[[], Iterable[Partition]]) -> None:
        self._consumer = consumer
        self._current = current
        self._due = asyncio.Event()
        self._settled = asyncio.Event()

    def wake(self) -> None:
        """Something was handled."""
        self._due.set()

    async def run(self) -> None:
        """Commit whenever woken, until cancelled. Raises KafkaError.

        Cancel it after the consumer has stopped: a request that is cancelled while it is under way
        ends as an exception that nobody retrieves.
        """
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                await self._commit()
                if not self._due.is_set():
                    self._settled.set()
                await asyncio.sleep(_INTERVAL_SECONDS)
        finally:
            self._settled.set()

    async def settle(self, *, within_seconds: float) -> bool:
        """Wait until what was handled up to now is committed; whether it was in time."""
        self._settled.clear()
        self._due.set()
        try:
            await asyncio.wait_for(self._settled.wait(), within_seconds)
        except TimeoutError:
            return False
        return True

    async def _commit(self) -> None:
        """Commit every partition that is ahead of the broker."""
        for partition in list(self._current()):
            offset = partition.to_commit
            # Others may have been revoked while the one before was committed.
            if offset is None or partition not in self._current():
                continue
            try:
                await self._consumer.commit({partition.tp: offset})
            except (CommitFailedError, IllegalStateError):
                # Somebody else has the partition, or will have: the group is rejoined, and what
                # was not committed is decided when the partition is assigned again.
                continue
            partition.progress.committed = offset
