"""What we use of aiokafka's consumer, with types: the library has none."""
# ruff: noqa: D102  # the methods are aiokafka's, and so is their documentation

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

#: Where aiokafka 0.14 keeps the tasks of a consumer.
_BACKGROUND: Final = {
    "_coordinator": ("_coordination_task", "_heartbeat_task", "_commit_refresh_task"),
    "_fetcher": ("_fetch_task",),
}

_log = logging.getLogger(__name__)


class Record(Protocol):
    """One record; a tombstone has no value."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp: int


class OffsetAndTimestamp(Protocol):
    """The first record at or after a time."""

    offset: int
    timestamp: int


class Consumer(Protocol):
    """A member of a consumer group. Every call may raise KafkaError."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def subscribe(
        self, topics: Sequence[str], *, listener: ConsumerRebalanceListener | None
    ) -> None: ...
    def assignment(self) -> frozenset[TopicPartition]: ...
    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int
    ) -> dict[TopicPartition, list[Record]]: ...
    def seek(self, partition: TopicPartition, offset: int) -> None: ...
    async def position(self, partition: TopicPartition) -> int: ...
    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None: ...
    async def committed(self, partition: TopicPartition) -> int | None: ...
    def highwater(self, partition: TopicPartition) -> int | None: ...
    def last_stable_offset(self, partition: TopicPartition) -> int | None: ...
    def last_poll_timestamp(self, partition: TopicPartition) -> int | None: ...
    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]: ...
    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]: ...
    async def offsets_for_times(
        self, timestamps: dict[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]: ...
    async def topics(self) -> set[str]: ...
    def partitions_for_topic(self, topic: str) -> set[int] | None: ...


def consumer(**options: Any) -> Consumer:
    """A new consumer."""
    return cast("Consumer", cast("Any", _Consumer)(**options))


class _Consumer(AIOKafkaConsumer):
    """Hands records out as they were parsed.

    aiokafka makes a `ConsumerRecord` of each, with the topic, the partition and sizes in it: half
    of what fetching costs. What it has fetched and not yet handed out is told to leave that.
    Should another version keep it elsewhere, the records are whole ones and all else is the same.
    """

    async def getmany(self, *partitions: TopicPartition, **options: Any) -> Any:
        for fetched in getattr(self._fetcher, "_records", {}).values():
            unpacked = getattr(fetched, "_partition_records", None)
            if unpacked is not None:
                unpacked._consumer_record = _as_parsed  # noqa: SLF001
        return await super().getmany(*partitions, **options)


def _as_parsed(_tp: TopicPartition, record: Record) -> Record:
    return record


def refresh_metadata(consumer: Consumer) -> None:
    """Have the metadata asked for now, in the background; without effect on another aiokafka."""
    refresh = getattr(getattr(consumer, "_client", None), "force_metadata_update", None)
    if refresh is not None:
        refresh()


async def stop(stopped: Consumer) -> None:
    """Stop a consumer; it never raises, and its connections are closed.

    aiokafka's own `stop` is cut short by a CancelledError of its own making when a fetch waits
    between two attempts (`Fetcher.close`), and leaves the client running.
    """
    try:
        await stopped.stop()
    except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001
        _log.debug("aiokafka did not stop cleanly", extra={"why": repr(error)})
        await _cut_off(stopped)


async def _cut_off(consumer: Any) -> None:
    """End a consumer's background tasks, which would connect again, and then its connections."""
    tasks: list[asyncio.Task[object]] = []
    for owner, names in _BACKGROUND.items():
        part = getattr(consumer, owner, None)
        tasks += [task for name in names if (task := getattr(part, name, None)) is not None]
    tasks += getattr(getattr(consumer, "_fetcher", None), "_pending_tasks", ())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await consumer._client.close()  # noqa: SLF001
