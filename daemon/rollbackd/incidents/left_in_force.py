"""Measures that a person left in force: shown as a metric until somebody takes them over.

They count until a person acknowledges them, or until reading the target says that they are gone.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

from rollbackd.clock import Clock
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.incidents.afterwards import Noted, acknowledge, ended_by_hand
from rollbackd.incidents.ledger import left_in_force
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, JournalRecord, Measure
from rollbackd.ports import LeverTable, StaleIncidentError, Store
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)

#: No trip is as young as this.
_NEVER: Final = 1 << 62
#: Reading one target may take this long.
_DEADLINE_SECONDS: Final = 2.0


class LeftMeasures:
    """Knows the ended incidents whose measures are still in force.

    `decided` hears of each record once it is in the journal.
    """

    def __init__(
        self,
        store: Store,
        levers: LeverTable,
        clock: Clock,
        telemetry: Telemetry,
        decided: Callable[[Incident, JournalRecord], None],
    ) -> None:
        self._store = store
        self._levers = levers
        self._clock = clock
        self._telemetry = telemetry
        self._decided = decided
        self._left: dict[str, Incident] = {}

    async def load(self) -> None:
        """After a start: find them in the store. Raises TemporaryError."""
        history = await self._store.history(acts_since_ms=0, trips_since_ms=_NEVER)
        for act in history.acts:
            if act.reason is not Reason.MEASURES_LEFT_IN_FORCE:
                continue
            incident = await self._store.incident(act.incident_id)
            if incident is not None:
                self.note(incident)

    def note(self, incident: Incident) -> None:
        """An incident has ended, or was looked at again."""
        if not incident.is_open and left_in_force(incident):
            self._left[incident.id] = incident
        else:
            self._left.pop(incident.id, None)
        self._show()

    async def acknowledge(self, incident_id: str, *, by: str) -> Incident:
        """A person takes them over. Raises KeyError, ValueError, TemporaryError."""
        incident = await self._store.incident(incident_id)
        if incident is None:
            raise KeyError(incident_id)
        return await self._keep(acknowledge(incident, by, self._clock.now()))

    async def look(self) -> None:
        """Read every target again. Raises TemporaryError when the store cannot be reached."""
        for incident_id in list(self._left):
            incident = await self._store.incident(incident_id)
            if incident is None:
                self._left.pop(incident_id)
                continue
            gone = [each for each in left_in_force(incident) if await self._is_gone(each)]
            if gone:
                incident = await self._keep(ended_by_hand(incident, gone, self._clock.now()))
            self.note(incident)

    async def _keep(self, noted: Noted) -> Incident:
        incident, record = noted
        try:
            await self._store.advance(incident, [record])
        except StaleIncidentError as error:
            raise TemporaryError(f"somebody else was faster: {error}", delay_ms=0) from None
        logger.warning(
            "measures that were left in force",
            extra={"incident": incident.id, "event": record.kind, "detail": record.detail},
        )
        self._decided(incident, record)
        self.note(incident)
        return incident

    async def _is_gone(self, measure: Measure) -> bool:
        """Whether it was read and is not there; what cannot be read may still be in force."""
        lever = self._levers.get(measure.change.target.lever)
        if lever is None:
            return False
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                return not await lever.verify(measure.change)
        except (PermanentError, TemporaryError, TimeoutError):
            return False

    def _show(self) -> None:
        gauge = self._telemetry.measures_left_in_force
        gauge.clear()
        count: Counter[str] = Counter()
        for incident in self._left.values():
            count[str(incident.scope)] += len(left_in_force(incident))
        for scope, measures in count.items():
            gauge.labels(scope).set(measures)
