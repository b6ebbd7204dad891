"""The sink of single facts that compares them: what detectors say goes into the engine."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rollbackd.app.changes import Changes
from rollbackd.app.expectations import Expectations
from rollbackd.clock import Clock
from rollbackd.model.events import KnownGood
from rollbackd.model.facts import AnyFact
from rollbackd.model.incidents import Incident
from rollbackd.model.labels import Scope
from rollbackd.promql.routes import Refusal
from rollbackd.settings import Settings
from rollbackd.sources.kafka.partition import REFILL
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.detectors import DetectorBank
from rollbackd.triggers.engine import Engine

_SOURCE: Final = "detectors"
#: Facts that are compared before others get a turn.
_TURN: Final = 500
#: How often what was forgotten is told.
_TELL_MS: Final = 1_000


class Detecting:
    """Implements `ports.FactSink`. Live, in backtests and in scenarios it is the same object.

    Samples carry the origin of their facts, so that they go with a partition that is lost. What
    detectors know is in memory, and comes back with the windows after a restart.
    """

    def __init__(
        self,
        *,
        engine: Callable[[], Engine],
        settings: Settings,
        in_force: Callable[[Scope], KnownGood | None],
        changes: Changes,
        incidents: Callable[[], Iterable[Incident]],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._telemetry = telemetry
        self._expectations = Expectations(
            in_force=in_force,
            changes=changes,
            incidents=incidents,
            propagation_ms=settings.detectors.flip_propagation_ms,
        )
        self._bank = DetectorBank(
            settings.detectors, self._expectations, lateness_ms=settings.engine.lateness_ms
        )
        self._told: dict[str, int] = {}
        self._tell_at_ms = 0

    async def take(self, facts: Sequence[AnyFact], *, source: str, origin: str) -> None:
        """See FactSink. Never raises, so that it may stand behind sinks that do."""
        self._expectations.look(self._clock.now())
        for first in range(0, len(facts), _TURN):
            if first:
                # A body may hold 50,000 facts; rollbacks do not wait for all of them.
                await asyncio.sleep(0)
            self._compare(facts[first : first + _TURN], origin, again=source == REFILL)

    async def forget(self, origin: str) -> None:
        """See FactSink."""
        self._bank.forget(origin)

    def _compare(self, facts: Sequence[AnyFact], origin: str, *, again: bool) -> None:
        now_ms = self._clock.now()
        late = self._bank.late
        samples = self._bank.take(facts, now_ms=now_ms, origin=origin, again=again)
        if self._bank.late > late:
            self._telemetry.samples_refused.labels(Refusal.TOO_LATE).inc(self._bank.late - late)
        if samples:
            result = self._engine().ingest(samples, now_ms, origin)
            self._telemetry.samples_ingested.labels(_SOURCE).inc(result.accepted)
            for reason, count in result.refused.items():
                self._telemetry.samples_refused.labels(reason).inc(count)
        if now_ms >= self._tell_at_ms:
            self._tell_at_ms = now_ms + _TELL_MS
            self._tell_evicted()

    def _tell_evicted(self) -> None:
        for detector, count in self._bank.evicted().items():
            before = self._told.get(detector, 0)
            if count > before:
                self._telemetry.detector_evictions.labels(detector).inc(count - before)
                self._told[detector] = count
