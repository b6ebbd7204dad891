"""Records that cannot be used: to the dead-letter topic, else to the sink's own keeping."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from rollbackd.clock import Clock
from rollbackd.connections.kafka import Producer, Sent, new_producer
from rollbackd.settings import KafkaSettings
from rollbackd.sources.kafka.driver import Record

_SEND_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 3.0
#: After a failure the topic is left alone for so long, and letters go to the sink at once.
_PAUSE_SECONDS: Final = 30.0


class Poison(NamedTuple):
    """A record and why it cannot be used."""

    tp: TopicPartition
    record: Record
    reason: str

    @property
    def origin(self) -> str:
        """`topic[partition]@offset`."""
        return f"{self.tp.topic}[{self.tp.partition}]@{self.record.offset}"


class DeadLetterTopic:
    """Produces to the dead-letter topic; never raises, for the caller has another place to go.

    The producer is thrown away after any failure: aiokafka's can die for good (aiokafka#1133).
    """

    def __init__(self, settings: KafkaSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._producer: Producer | None = None
        self._not_before = 0.0
        self._lock = asyncio.Lock()

    async def send(self, letters: Sequence[Poison]) -> Sequence[Poison]:
        """Produce the letters; returns those that did not get there."""
        topic = self._settings.dead_letter_topic
        if not topic or not letters or self._clock.monotonic() < self._not_before:
            return letters
        async with self._lock:
            try:
                async with asyncio.timeout(_SEND_SECONDS):
                    return await self._send(topic, letters)
            except (KafkaError, OSError):
                self._not_before = self._clock.monotonic() + _PAUSE_SECONDS
                await self._discard()
                return letters

    async def close(self) -> None:
        """Stop the producer. Idempotent."""
        async with self._lock:
            await self._discard()

    async def _send(self, topic: str, letters: Sequence[Poison]) -> Sequence[Poison]:
        if self._producer is None:
            self._producer = new_producer(self._settings)
            await self._producer.start()
        left: list[Poison] = []
        sent: list[Sent] = []
        for letter in letters:
            try:
                sent.append(
                    await self._producer.send(
                        topic,
                        letter.record.value,
                        key=letter.record.key,
                        headers=_headers(letter),
                    )
                )
            except MessageSizeTooLargeError:
                left.append(letter)
        await asyncio.gather(*sent)
        return left

    async def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await producer.stop()


def _headers(letter: Poison) -> list[tuple[str, bytes | None]]:
    record = letter.record
    return [
        *record.headers,
        ("rollbackd-source-topic", letter.tp.topic.encode()),
        ("rollbackd-source-partition", str(letter.tp.partition).encode()),
        ("rollbackd-source-offset", str(record.offset).encode()),
        ("rollbackd-reason", letter.reason.encode()),
    ]
