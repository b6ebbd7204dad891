"""One assigned partition: its queue, and the worker that decodes, feeds and advances."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from aiokafka import TopicPartition

from rollbackd.clock import Clock
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.events.collecting import Collector
from rollbackd.events.decoders import Decoders
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.events.record import decode_records
from rollbackd.model.events import Batch
from rollbackd.ports import Sink
from rollbackd.settings import FormatSettings
from rollbackd.sources.kafka.dead_letters import DeadLetterTopic, Poison
from rollbackd.sources.kafka.driver import Record
from rollbackd.sources.kafka.start import Progress, Start
from rollbackd.telemetry import Telemetry

_log = logging.getLogger(__name__)

LIVE: Final = "kafka"
REFILL: Final = "kafka-refill"

#: Batches that wait for the worker: enough that it is not idle while the next poll runs.
_QUEUED_BATCHES: Final = 4
#: Attempts at a batch that ends in an unexpected error before its records are tried one by one.
_ATTEMPTS: Final = 3
_LONGEST_DELAY_MS: Final = 30_000
_LETTER_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where a worker's results go."""

    sink: Sink
    dead_letters: DeadLetterTopic
    telemetry: Telemetry
    clock: Clock
    #: By name; a reload changes what is in it.
    mappings: Mapping[str, FieldMapping] = field(default_factory=dict)
    formats: FormatSettings | None = None


def origin_of(tp: TopicPartition) -> str:
    """What the sink knows a partition by."""
    return f"{tp.topic}-{tp.partition}"


class Partition:
    """From its assignment to its revocation; the object itself is the generation token.

    Only the partition that the session holds at the moment is given records, and one that was told
    to stop begins no new batch.
    """

    def __init__(
        self,
        tp: TopicPartition,
        outlets: Outlets,
        progress: Progress,
        *,
        format: str,  # noqa: A002  # the name of the setting
        mapping: str = "",
        on_progress: Callable[[], None],
    ) -> None:
        self.tp = tp
        self.origin = origin_of(tp)
        self.progress = progress
        #: The sink was full: the batch in hand is offered to it again and again.
        self.held = False
        self._outlets = outlets
        self._format = format
        self._memory = Decoders(outlets.formats)
        self._mapping = mapping
        self._on_progress = on_progress
        self._queue: asyncio.Queue[Sequence[Record]] = asyncio.Queue(_QUEUED_BATCHES)
        self._live_from = 0
        self._next_offset = 0
        self._worker: asyncio.Task[None] | None = None
        self._busy = False
        self._stopping = asyncio.Event()

    @property
    def started(self) -> bool:
        """Whether it is known where to begin."""
        return self._worker is not None

    @property
    def has_room(self) -> bool:
        """Whether another batch can be offered."""
        return not self._queue.full()

    @property
    def refilled(self) -> bool:
        """Whether what comes next is live."""
        handled = self.progress.handled
        return self.started and handled is not None and handled >= self._live_from

    @property
    def to_commit(self) -> int | None:
        """The offset to commit when it differs from the broker's."""
        if self.progress.handled is None or not self.started:
            return None
        offset = max(self.progress.handled, self._live_from)
        return offset if offset != self.progress.committed else None

    def begin(self, start: Start) -> None:
        """Start the worker; the consumer has been told to read from `start.position`."""
        self._live_from = start.live_from
        self._next_offset = start.position
        if self.progress.handled != start.position:
            self.progress.failures = 0
        self.progress.handled = start.position
        self._worker = asyncio.create_task(self._work(), name=f"kafka {self.tp}")
        self._on_progress()

    def offer(self, records: Sequence[Record]) -> None:
        """Queue a batch; there must be room."""
        if records[0].offset < self._next_offset:
            # The log was cut or made anew: nothing in it is behind us.
            self._live_from = 0
        self._next_offset = records[-1].offset + 1
        self._queue.put_nowait(records)

    def check(self) -> None:
        """Raise what the worker has died of."""
        if self._worker is not None and self._worker.done() and not self._stopping.is_set():
            self._worker.result()

    async def stop(self, *, within_seconds: float) -> None:
        """Begin no new batch, and let the one in hand end. Idempotent; never raises.

        A batch that takes longer is cancelled: whether the sink has it is then unknown, and the
        next owner feeds it again.
        """
        self._stopping.set()
        if self._worker is not None:
            if self._busy:
                await asyncio.wait({self._worker}, timeout=within_seconds)
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    async def _work(self) -> None:
        while not self._stopping.is_set():
            self._busy = False
            records = await self._queue.get()
            self._busy = True
            for part, source in self._by_source(records):
                if not await self._handle(part, source):
                    return
                self.progress.handled = part[-1].offset + 1
                self.progress.failures = 0
                self._on_progress()

    def _by_source(self, records: Sequence[Record]) -> list[tuple[Sequence[Record], str]]:
        if records[0].offset >= self._live_from:
            return [(records, LIVE)]
        refill = [r for r in records if r.offset < self._live_from]
        live = records[len(refill) :]
        return [(refill, REFILL), (live, LIVE)] if live else [(refill, REFILL)]

    async def _handle(self, records: Sequence[Record], source: str) -> bool:
        """Feed the sink and bury what cannot be used; False when told to stop before the end."""
        telemetry = self._outlets.telemetry
        telemetry.events_received.labels(source).inc(len(records))
        batch, poison = self._decode(records, source)
        # Letters first: if we are told to stop in between, a letter comes twice and no sample does.
        # What was refused in the past is in the dead letters already.
        if source == LIVE and not await self._bury(poison):
            return False
        try:
            return await self._ingest(batch, source)
        except Exception as error:
            self.progress.failures += 1
            if self.progress.failures < _ATTEMPTS and not isinstance(error, PermanentError):
                raise
        lost = await self._one_by_one(records, source)
        return lost is not None and (source == REFILL or await self._bury(lost))

    def _decode(self, records: Sequence[Record], source: str) -> tuple[Batch, list[Poison]]:
        now_ms = self._outlets.clock.now()
        into = Collector()
        values = [value for record in records if (value := record.value) is not None]
        if len(values) < len(records):
            tombstones = len(records) - len(values)
            self._outlets.telemetry.samples_refused.labels("tombstone").inc(tombstones)
            records = [record for record in records if record.value is not None]
        if self._mapping:
            mapping = self._outlets.mappings[self._mapping]
            rejected = mapping.take_records(values, into, now_ms=now_ms)
        else:
            headers = {n: found for n, record in enumerate(records) if (found := record.headers)}
            rejected = decode_records(
                values,
                into,
                format=self._format,
                headers=headers,
                now_ms=now_ms,
                memory=self._memory,
            )
        poison = [Poison(self.tp, records[at], str(error)) for at, error in rejected]
        if source == LIVE:
            self._outlets.telemetry.truncated_alerts.inc(into.truncated)
            self._outlets.telemetry.decode_failures.labels(LIVE).inc(len(poison))
            for reason, count in into.refused.items():
                self._outlets.telemetry.samples_refused.labels(reason).inc(count)
            if into.samples:
                # The last one stands for the newest: a maximum over all costs more than it tells.
                _, newest_ms, _ = into.samples.rows[-1]
                self._outlets.telemetry.event_lag.labels(LIVE).set((now_ms - newest_ms) / 1_000)
        return into.batch(), poison

    async def _ingest(self, batch: Batch, source: str) -> bool:
        said = batch.samples or batch.alerts or batch.pins or batch.known_good
        if not (said or batch.facts or batch.changes):
            return True
        ingest = self._outlets.sink.ingest
        return await self._persist(partial(ingest, batch, source=source, origin=self.origin))

    async def _one_by_one(self, records: Sequence[Record], source: str) -> list[Poison] | None:
        """Find the records that the sink fails at; None when told to stop."""
        lost: list[Poison] = []
        # what they left in memory would make them duplicates of themselves
        self._memory = Decoders(self._outlets.formats)
        for record in records:
            batch, _ = self._decode([record], REFILL)
            try:
                if not await self._ingest(batch, source):
                    return None
            except Exception as error:  # noqa: BLE001  # whatever it is, it is this record's end
                lost.append(
                    Poison(self.tp, record, f"the engine failed: {type(error).__name__}: {error}")
                )
        return lost

    async def _bury(self, poison: list[Poison]) -> bool:
        """Each poison record to the dead-letter topic, or where that fails to the sink."""
        left = await self._outlets.dead_letters.send(poison)
        # The sink counts those that it keeps.
        self._outlets.telemetry.dead_letters.labels(LIVE).inc(len(poison) - len(left))
        for letter in left:
            body = (letter.record.value or b"")[:_LETTER_BYTES]
            reason = f"{letter.origin}: {letter.reason}"
            try:
                if not await self._persist(partial(self._outlets.sink.bury, LIVE, body, reason)):
                    return False
            except Exception:  # noqa: BLE001
                # Poison must not block the partition: what is left of it is this line.
                _log.exception("a dead letter could not be kept", extra={"reason": reason})
        return True

    async def _persist(self, act: Callable[[], Awaitable[None]]) -> bool:
        """Act until the sink takes it; False when told to stop while it is full."""
        while not self._stopping.is_set():
            try:
                await act()
            except TemporaryError as full:
                self.held = True
                delay = min(full.delay_ms, _LONGEST_DELAY_MS) / 1_000
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay)
            else:
                self.held = False
                return True
        self.held = False
        return False
