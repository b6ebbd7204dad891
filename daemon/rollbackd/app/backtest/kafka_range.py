"""A stretch of a Kafka topic, partition by partition, without a group: nothing is committed."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from rollbackd.app.backtest.decoding import RecordShape
from rollbackd.app.backtest.recording import (
    ANY_SHAPE,
    Entry,
    Faults,
    Recorded,
    Stamper,
    UnreadableError,
)
from rollbackd.settings import KafkaSettings
from rollbackd.sources.kafka import driver
from rollbackd.sources.kafka.connection import new_reader

_POLL_MS: Final = 1_000
#: A broker that has said nothing for this long is given up.
_SILENCE_SECONDS: Final = 30.0
#: How often we look whether the metadata of the topic has come.
_METADATA_SECONDS: Final = 0.05


class KafkaRange:
    """The records of a topic from one time until before another, by their Kafka timestamps.

    Open it, and read `partitions` like files. One consumer serves them all.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        *,
        from_ms: int,
        to_ms: int,
        faults: Faults,
        shape: RecordShape = ANY_SHAPE,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._from_ms = from_ms
        self._to_ms = to_ms
        self._faults = faults
        self._shape = shape
        self._consumer: driver.Consumer | None = None

    async def partitions(self) -> list[Recorded]:
        """Connect, and find where each partition begins and ends. Raises UnreadableError."""
        try:
            async with asyncio.timeout(_SILENCE_SECONDS):
                self._consumer = consumer = new_reader(self._settings)
                await consumer.start()
                return await self._found(consumer)
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            why = str(error) or "no answer"
            servers = ",".join(self._settings.bootstrap_servers)
            raise UnreadableError(
                f"cannot read topic `{self._topic}` at {servers}: {why}"
            ) from None

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await driver.stop(consumer)

    async def _found(self, consumer: driver.Consumer) -> list[Recorded]:
        if self._topic not in await consumer.topics():
            raise UnreadableError(f"there is no topic `{self._topic}`")
        # only once it is there: asking a broker for the metadata of a topic can create it
        consumer.subscribe([self._topic], listener=None)
        while not consumer.assignment():  # noqa: ASYNC110  # without a group nobody tells
            await asyncio.sleep(_METADATA_SECONDS)
        tps = sorted(consumer.assignment())
        ends = await consumer.end_offsets(tps)
        begins = await consumer.offsets_for_times(dict.fromkeys(tps, self._from_ms))
        afters = await consumer.offsets_for_times(dict.fromkeys(tps, self._to_ms))
        found: list[Recorded] = []
        for tp in tps:
            begin, after = begins.get(tp), afters.get(tp)
            end = ends[tp] if after is None else min(after.offset, ends[tp])
            if begin is not None and begin.offset < end:
                consumer.seek(tp, begin.offset)
                stamper = Stamper(time.time_ns() // 1_000_000, self._shape)
                span = range(begin.offset, end)
                found.append(_Partition(consumer, tp, span, self._faults, stamper))
        return found


class _Partition:
    """Implements Recorded; opened and closed with its range."""

    def __init__(
        self,
        consumer: driver.Consumer,
        tp: TopicPartition,
        offsets: range,
        faults: Faults,
        stamper: Stamper,
    ) -> None:
        self.name = f"{tp.topic}[{tp.partition}]"
        self.done = 0
        self.total = len(offsets)
        self._consumer = consumer
        self._tp = tp
        self._begin = offsets.start
        self._end = offsets.stop
        self._faults = faults
        self._stamper = stamper

    async def open(self) -> None:
        """See Recorded."""

    async def close(self) -> None:
        """See Recorded."""

    async def chunk(self) -> Sequence[Entry]:
        """See Recorded."""
        try:
            async with asyncio.timeout(_SILENCE_SECONDS) as patience:
                while (position := await self._consumer.position(self._tp)) < self._end:
                    self.done = position - self._begin
                    polled = await self._consumer.getmany(self._tp, timeout_ms=_POLL_MS)
                    records = polled.get(self._tp, [])
                    if entries := self._entries(records):
                        return entries
                    if records:
                        patience.reschedule(asyncio.get_running_loop().time() + _SILENCE_SECONDS)
        except (KafkaError, TimeoutError) as error:
            why = str(error) or "no answer"
            raise UnreadableError(f"cannot read {self.name}: {why}") from None
        self.done = self.total
        return []

    def _entries(self, records: Sequence[driver.Record]) -> list[Entry]:
        entries: list[Entry] = []
        for record in records:
            if record.offset >= self._end or record.value is None:
                continue
            entry = self._stamper.take(
                record.value,
                f"{self.name}@{record.offset}",
                self._faults,
                headers=record.headers,
                recorded_ms=record.timestamp,
            )
            if entry is not None:
                entries.append(entry)
        return entries
