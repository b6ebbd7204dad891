"""The life of one consumer: join, poll, hand out, leave."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaConnectionError

from rollbackd.settings import KafkaSettings
from rollbackd.sources.kafka import driver
from rollbackd.sources.kafka.commits import Committer
from rollbackd.sources.kafka.connection import new_consumer, topic_names
from rollbackd.sources.kafka.driver import Consumer, Record
from rollbackd.sources.kafka.metadata import TopicMetadata
from rollbackd.sources.kafka.partition import Outlets, Partition, origin_of
from rollbackd.sources.kafka.start import Log, Progress, read_logs, starting_point
from rollbackd.sources.kafka.watchdog import Watchdog

_log = logging.getLogger(__name__)

_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 4.0
_DRAIN_SECONDS: Final = 3.0
#: A commit to a broker that has not answered lately.
_HOPELESS_SECONDS: Final = 0.5
_POLL_MS: Final = 200
#: While a partition that is not asked for may have room any moment.
_SHORT_POLL_MS: Final = 5
#: Asking for a partition that nobody has: a poll that takes nothing. aiokafka counts it as a poll,
#: and leaves what it has fetched for the partitions in its buffers (`pause` would discard it).
_NOBODY: Final = TopicPartition("", 0)


class Session(ConsumerRebalanceListener):
    """Runs one consumer until it fails; whatever is wrong with it, the next session is new.

    A poll in flight is never cancelled while the consumer lives: aiokafka would then no longer
    notice that a member is idle.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        outlets: Outlets,
        progress: dict[TopicPartition, Progress],
        *,
        refill_ms: int,
    ) -> None:
        self._settings = settings
        self._outlets = outlets
        self._progress = progress
        self._refill_ms = refill_ms
        self._formats = {topic.name: topic.format for topic in settings.topics}
        self._mappings = {topic.name: topic.mapping for topic in settings.topics}
        self._partitions: dict[TopicPartition, Partition] = {}
        self._planning: asyncio.Task[dict[TopicPartition, Log]] | None = None
        self._question: asyncio.Task[object] | None = None
        self._failure: Exception | None = None
        self._looked = 0.0
        self._assigned = False
        self._ending = False
        self.watchdog = Watchdog(settings, outlets.clock)
        #: Whether the brokers were reached.
        self.connected = False
        self.leaving: set[asyncio.Task[object]] = set()

    async def run(self) -> None:
        """Consume until cancelled. Raises KafkaError, StalledError or what a worker has died of."""
        consumer = self._consumer = new_consumer(self._settings)
        self._metadata = TopicMetadata(consumer, topic_names(self._settings), self._outlets.clock)
        committer = self._committer = Committer(consumer, self._partitions.values)
        committing: asyncio.Task[None] | None = None
        try:
            await self._start(consumer)
            committing = asyncio.create_task(committer.run(), name="kafka commits")
            while True:
                await self._take_plan()
                for tp, records in (await self._poll()).items():
                    partition = self._partitions.get(tp)
                    if partition is not None and partition.started and partition.has_room:
                        partition.offer(records)
                self._check(committing)
        finally:
            await self._end(consumer, committing)

    @property
    def caught_up(self) -> bool:
        """Whether the group was joined, and every partition of ours has been refilled."""
        return self._assigned and all(p.refilled for p in self._partitions.values())

    @property
    def backlog(self) -> int:
        """How many records of our partitions are at the broker and not yet in the engine."""
        return sum(filter(None, map(self._lag, list(self._partitions))))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Finish what is in hand and commit it, while the generation still is ours."""
        del revoked  # always all of them: aiokafka rebalances eagerly
        try:
            await self._release()
        except Exception as error:  # noqa: BLE001  # aiokafka would only log it
            self._failure = error

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Find out where to begin; records are refused until that is known."""
        if self._ending:
            return  # a rejoin that was under way when we began to leave
        assigned = list(assigned)
        try:
            await self._forget_lost(assigned)
        except Exception as error:  # noqa: BLE001  # aiokafka would only log it
            self._failure = error
            return
        self._assigned = True
        self._outlets.telemetry.kafka_rebalances.inc()
        self.watchdog.assigned()
        for tp in assigned:
            self._partitions[tp] = Partition(
                tp,
                self._outlets,
                self._progress.setdefault(tp, Progress()),
                format=self._formats.get(tp.topic, "auto"),
                mapping=self._mappings.get(tp.topic, ""),
                on_progress=self._committer.wake,
            )
        _log.info("partitions assigned", extra={"partitions": sorted(map(_name, self._partitions))})
        self._planning = asyncio.create_task(self._read_logs(), name="kafka offsets")

    async def _forget_lost(self, assigned: Sequence[TopicPartition]) -> None:
        """What does not come back from a rebalance is somebody else's.

        Not at the revocation: aiokafka revokes all of them each time, and those that come back go
        on where they were, with full windows.
        """
        for tp in self._progress.keys() - set(assigned):
            if not self._metadata.shows(tp.topic):
                continue  # whoever has assigned may not have seen it either: it is nobody's
            await self._outlets.sink.forget(origin_of(tp))
            del self._progress[tp]

    async def _start(self, consumer: Consumer) -> None:
        starting = asyncio.create_task(consumer.start(), name="kafka start")
        try:
            await asyncio.wait({starting}, timeout=_START_SECONDS)
            if not starting.done():
                raise KafkaConnectionError(f"no answer within {_START_SECONDS:.0f} s")
            starting.result()
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        self.connected = True
        consumer.subscribe(topic_names(self._settings), listener=self)
        self.watchdog.assigned()

    async def _read_logs(self) -> dict[TopicPartition, Log]:
        since = self._outlets.clock.now() - self._refill_ms if self._refill_ms else None
        return await read_logs(self._consumer, self._partitions, since_ms=since)

    async def _take_plan(self) -> None:
        """Seek between two polls only: one in flight could bring records from before the seek."""
        if self._planning is None or not self._planning.done():
            return
        planning, self._planning = self._planning, None
        if planning.cancelled():
            return
        for tp, log in planning.result().items():
            partition = self._partitions.get(tp)
            if partition is None:
                continue
            start = starting_point(
                log, partition.progress, offset_reset=self._settings.offset_reset
            )
            handled = partition.progress.handled
            if handled is not None and start.position < handled:
                # Somebody reset the offsets or the topic: what was fed comes again.
                await self._outlets.sink.forget(partition.origin)
                if self._partitions.get(tp) is not partition:
                    continue
            try:
                self._consumer.seek(tp, start.position)
            except IllegalStateError:
                continue  # revoked meanwhile
            partition.progress.committed = log.committed
            partition.begin(start)
            if log.committed is not None and start.live_from > log.end:
                _log.warning("offset is out of range", extra={"partition": _name(tp)})

    async def _poll(self) -> dict[TopicPartition, list[Record]]:
        started = [p for p in self._partitions.values() if p.started]
        asked = [p.tp for p in started if p.has_room]
        hurry = self._planning is not None or any(not p.has_room and not p.held for p in started)
        poll = asyncio.create_task(
            self._consumer.getmany(
                *(asked or (_NOBODY,)), timeout_ms=_SHORT_POLL_MS if hurry else _POLL_MS
            ),
            name="kafka poll",
        )
        try:
            while not poll.done():
                await asyncio.wait({poll}, timeout=self.watchdog.look_seconds)
                await self._look(asked)
        finally:
            if not poll.done():
                poll.cancel()
                await asyncio.gather(poll, return_exceptions=True)
        self.watchdog.polled()
        return poll.result()

    async def _look(self, asked: list[TopicPartition]) -> None:
        now = self._outlets.clock.monotonic()
        if now - self._looked < self.watchdog.look_seconds:
            return
        self._looked = now
        await self._ask()
        if self._assigned:
            self._metadata.look()
        await self.watchdog.look(self._consumer, asked)
        self._report()

    async def _ask(self) -> None:
        """Without partitions to fetch from, only a question tells whether a broker is there."""
        if self._question is not None and self._question.done():
            self._question = None
        if self._question is None and self.watchdog.question_due:
            self._question = asyncio.create_task(self._consumer.topics(), name="kafka question")
            self._question.add_done_callback(self._answer)

    def _answer(self, question: asyncio.Task[object]) -> None:
        # at once: at the next look the contact may have been given up
        if not question.cancelled() and question.exception() is None:
            self.watchdog.answered()

    def _report(self) -> None:
        telemetry = self._outlets.telemetry
        if self.watchdog.in_contact:
            telemetry.kafka_last_poll.set(self._outlets.clock.now() / 1_000)
        for tp in self._partitions:
            lag = self._lag(tp)
            if lag is not None:
                telemetry.kafka_lag.labels(tp.topic, tp.partition).set(lag)

    def _lag(self, tp: TopicPartition) -> int | None:
        """Records that were not handled; None where that is not known."""
        partition = self._partitions[tp]
        handled = partition.progress.handled
        if not partition.started or handled is None or tp not in self._consumer.assignment():
            return None
        end = self._consumer.highwater(tp)
        return None if end is None else max(0, end - handled)

    def _check(self, committing: asyncio.Task[None]) -> None:
        if self._failure is not None:
            raise self._failure
        if committing.done():
            committing.result()
        for partition in self._partitions.values():
            partition.check()

    async def _release(self) -> None:
        if self._planning is not None:
            self._planning.cancel()
            await asyncio.gather(self._planning, return_exceptions=True)
            self._planning = None
        partitions = list(self._partitions.values())
        await asyncio.gather(*(p.stop(within_seconds=_DRAIN_SECONDS) for p in partitions))
        within = _DRAIN_SECONDS if self.watchdog.in_contact else _HOPELESS_SECONDS
        if partitions and not await self._committer.settle(within_seconds=within):
            _log.warning("offsets were not committed; their records come again")
        for tp in self._partitions:
            self._outlets.telemetry.kafka_lag.remove(tp.topic, tp.partition)
        self._partitions.clear()

    async def _end(self, consumer: Consumer, committing: asyncio.Task[None] | None) -> None:
        self._ending = True
        await self._release()
        tasks = [t for t in (committing, self._question) if t is not None]
        leaving = asyncio.create_task(_leave(consumer, tasks), name="kafka leave")
        await asyncio.wait({leaving}, timeout=_STOP_SECONDS)
        if not leaving.done():
            # It waits for a broker that does not answer; the next consumer does not wait for it.
            self.leaving.add(leaving)


async def _leave(consumer: Consumer, tasks: Sequence[asyncio.Task[object]]) -> None:
    """Stop the consumer, and only then what waits for its answers."""
    try:
        await driver.stop(consumer)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _name(tp: TopicPartition) -> str:
    return f"{tp.topic}[{tp.partition}]"
