"""Notices a consumer that has silently stopped (aiokafka#1037, #1154, #625)."""

from collections.abc import Iterable
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError

from rollbackd.clock import Clock
from rollbackd.settings import KafkaSettings
from rollbackd.sources.kafka.driver import Consumer

_LONGEST_LOOK_SECONDS: Final = 1.0
#: A look that comes later than this was delayed by more than a poll.
_HELD_UP_SECONDS: Final = 1.0


class StalledError(Exception):
    """The consumer has made no progress for too long; only a new one helps."""


class Watchdog:
    """Looks for three things: polls return, the broker answers, and lag shrinks.

    aiokafka returns empty polls while no broker answers, so that a poll alone proves nothing: the
    proof is a fetch response, or for a member without partitions the answer to a question.
    """

    def __init__(self, settings: KafkaSettings, clock: Clock) -> None:
        self._clock = clock
        self._stall = settings.stall_ms / 1_000
        #: Seconds without an answer after which the source says that it is down.
        self.down_after: Final = self._stall / 3
        #: Seconds between two looks: so often that a broker which answers is never called down.
        self.look_seconds: Final = min(_LONGEST_LOOK_SECONDS, self.down_after / 6)
        # A poll waits for a rebalance, and that may wait for a dead member's session to end.
        self._longest_poll = self._stall + settings.session_timeout_ms / 1_000
        self._polled = self._contact = self._looked = clock.monotonic()
        self._responses: dict[TopicPartition, int | None] = {}
        self._positions: dict[TopicPartition, tuple[int, float]] = {}

    @property
    def in_contact(self) -> bool:
        """Whether the broker has answered lately."""
        return self._clock.monotonic() - self._contact < self.down_after

    @property
    def question_due(self) -> bool:
        """Whether no answer has come for so long that we should ask."""
        return self._clock.monotonic() - self._contact > self.down_after / 2

    def polled(self) -> None:
        """A poll has returned."""
        self._polled = self._clock.monotonic()

    def answered(self) -> None:
        """The broker has answered."""
        self._contact = self._clock.monotonic()

    def assigned(self) -> None:
        """The group has been joined: every partition has its full time again."""
        self._responses.clear()
        self._positions.clear()
        self.polled()
        self.answered()

    async def look(self, consumer: Consumer, asked: Iterable[TopicPartition]) -> None:
        """Take note of what the consumer did for the partitions that it is asked for.

        Raises StalledError.
        """
        now = self._clock.monotonic()
        if (late := now - self._looked - self.look_seconds) > _HELD_UP_SECONDS:
            # We were held up, not the broker: what it has answered meanwhile is yet to be read.
            self._contact = min(now, self._contact + late)
        self._looked = now
        if now - self._polled > self._longest_poll:
            raise StalledError("a poll has not returned")
        if now - self._polled > 1:
            return  # rejoining: nothing is fetched, and `position` would wait
        positions: dict[TopicPartition, tuple[int, float]] = {}
        for tp in asked:
            try:
                await self._look_at(consumer, tp, positions)
            except (IllegalStateError, AssertionError):
                continue  # revoked meanwhile
        self._positions = positions
        if now - self._contact > self._stall:
            raise StalledError("no broker answers")

    async def _look_at(
        self,
        consumer: Consumer,
        tp: TopicPartition,
        positions: dict[TopicPartition, tuple[int, float]],
    ) -> None:
        now = self._clock.monotonic()
        response = consumer.last_poll_timestamp(tp)
        if response is None:
            return  # nothing fetched yet; without any answer the contact ends
        if response != self._responses.get(tp):
            self._responses[tp] = response
            self._contact = now
        position = await consumer.position(tp)
        ends = [consumer.highwater(tp), consumer.last_stable_offset(tp)]
        end = min((e for e in ends if e is not None and e >= 0), default=position)
        before, since = self._positions.get(tp, (-1, now))
        positions[tp] = (position, since if position == before and end > position else now)
        if now - positions[tp][1] > self._stall:
            raise StalledError(f"{tp.topic}[{tp.partition}] stands at {position}, its end is {end}")
