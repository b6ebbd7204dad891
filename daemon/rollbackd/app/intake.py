"""Where decoded batches go: samples into the engine, state into the store."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from rollbackd.app.changes import Changes
from rollbackd.app.pinning.baselines import Baselines
from rollbackd.clock import Clock
from rollbackd.errors import TemporaryError
from rollbackd.events.alertmanager import inbox_key
from rollbackd.evidence.pins import PinsTable
from rollbackd.model.events import Alert, Batch
from rollbackd.notifications.standing import is_ours
from rollbackd.ports import DeadLetter, FactSink, InboxEntry, Store
from rollbackd.sources.kafka.partition import REFILL
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Engine

logger = logging.getLogger(__name__)

_BURIED_BYTES: Final = 64 << 10
_INBOX_BATCH: Final = 1_000


class Intake:
    """The sink of every source, and the pump that empties the inbox into the engine.

    An alert is durable before its sender hears 200; samples live in the engine's windows only,
    and Kafka is where they can be read again.
    """

    def __init__(
        self,
        *,
        engine: Callable[[], Engine],
        store: Store,
        pins: PinsTable,
        clock: Clock,
        telemetry: Telemetry,
        fact_sinks: Sequence[FactSink] = (),
        baselines: Baselines | None = None,
        changes: Changes | None = None,
    ) -> None:
        self._engine = engine
        self._store = store
        self.baselines = baselines or Baselines(engine, store)
        self.changes = changes or Changes()
        self._pins = pins
        self._clock = clock
        self._telemetry = telemetry
        self._fact_sinks = fact_sinks
        self._inbox_filled = True
        #: What this process has accepted and not yet handed to the engine, by key.
        self._accepted: dict[str, InboxEntry] = {}

    async def ingest(self, batch: Batch, *, source: str, origin: str = "") -> None:
        """Take a batch. Raises TemporaryError.

        Alerts, known good sets and the newest change of each kind are durable on return.
        """
        if batch.alerts:
            await self.accept_alerts(batch.alerts)
        # what is read again is in the store; without a `ts` it would be taken for a new set
        for known_good in batch.known_good if source != REFILL else ():
            await self._store.put_known_good(known_good)
            await self.baselines.look(known_good.scope)
        if batch.pins:
            self._pins.note_all(batch.pins)
        if batch.changes:
            if source != REFILL:
                await self._store.put_changes(batch.changes)
            self.changes.note(batch.changes)
        if batch.facts:
            for sink in self._fact_sinks:
                await sink.take(batch.facts, source=source, origin=origin)
        if batch.samples:
            self._take_samples(batch, source, origin)

    async def forget(self, origin: str) -> None:
        """Drop the windows of a partition that was lost, or that is about to be read again."""
        engine = self._engine()
        dropped = engine.drop_origin(origin)
        for sink in self._fact_sinks:
            await sink.forget(origin)
        self._telemetry.series.set(engine.series_count)
        about = {"origin": origin, "series": dropped}
        logger.info("dropped the windows of a partition", extra=about)

    async def accept_alerts(self, alerts: Sequence[Alert]) -> int:
        """Commit alerts to the inbox; returns how many were new. Raises TemporaryError.

        Our own, which an Alertmanager routes back to us, are dropped: what says that a rollback is
        under way must not lead to another one.
        """
        told, alerts = len(alerts), [alert for alert in alerts if not is_ours(alert.labels)]
        self._telemetry.own_alerts.inc(told - len(alerts))
        now_ms = self._clock.now()
        entries = [
            InboxEntry(key=inbox_key(alert), alert=alert, received_at_ms=now_ms) for alert in alerts
        ]
        new = await self._store.accept(entries)
        for entry in entries:
            # at the end, also when an alert turned back
            self._accepted.pop(entry.key, None)
            self._accepted[entry.key] = entry
        self._telemetry.inbox_duplicates.inc(len(entries) - new)
        self._inbox_filled = True
        return new

    async def bury(self, source: str, body: bytes, reason: str) -> None:
        """Keep an input that could not be used, with the reason."""
        self._telemetry.dead_letters.labels(source).inc()
        logger.warning("buried an input", extra={"source": source, "because": reason})
        await self._store.bury(
            DeadLetter(
                source=source, reason=reason, body=body[:_BURIED_BYTES], at_ms=self._clock.now()
            )
        )

    async def restore(self) -> None:
        """At start: baselines, changes and alerts that were firing. Raises TemporaryError."""
        await self.baselines.look_everywhere()
        await self.changes.look(self._store, self._clock.now())
        for entry in await self._store.firing_alerts():
            self._engine().set_alert(entry.alert, seen_at_ms=entry.received_at_ms)

    async def take_inbox(self) -> list[str]:
        """Hand accepted alerts to the engine; returns their keys, to be marked when acted on."""
        if not self._inbox_filled:
            return []
        # before looking: what is accepted meanwhile is looked for again
        self._inbox_filled = False
        entries = await self._store.unhandled(_INBOX_BATCH)
        unhandled = {entry.key for entry in entries}
        # One that a replica which is no longer the owner has marked as handled is still ours.
        ours = [entry for key, entry in self._accepted.items() if key not in unhandled]
        self._accepted = {}
        for entry in [*ours, *entries]:
            self._engine().set_alert(entry.alert, seen_at_ms=entry.received_at_ms)
        self._inbox_filled |= len(entries) == _INBOX_BATCH
        self._telemetry.inbox_unhandled.set(len(entries))
        return [entry.key for entry in entries]

    async def mark_handled(self, keys: Sequence[str]) -> None:
        """The engine has them, and what fired because of them is durable."""
        try:
            await self._store.mark_handled(keys)
        except TemporaryError:
            self._inbox_filled = True
            raise
        self._telemetry.inbox_unhandled.set(0)

    def look_again(self) -> None:
        """The inbox may hold more than was taken."""
        self._inbox_filled = True

    def _take_samples(self, batch: Batch, source: str, origin: str) -> None:
        now_ms = self._clock.now()
        result = self._engine().ingest(batch.samples, now_ms, origin)
        self._telemetry.samples_ingested.labels(source).inc(result.accepted)
        for reason, count in result.refused.items():
            self._telemetry.samples_refused.labels(reason).inc(count)
