"""Closing an incident for good: evidence checked, root cause filed, report written again."""

import logging
from collections.abc import Callable

from rollbackd.clock import Clock
from rollbackd.errors import TemporaryError
from rollbackd.evidence.report import FileReporter
from rollbackd.incidents.closing import file_root_cause
from rollbackd.model.incidents import Incident, JournalRecord, RootCause
from rollbackd.ports import StaleIncidentError, Store

logger = logging.getLogger(__name__)


class Closing:
    """Files root causes; `decided` hears of the record once it is in the journal."""

    def __init__(
        self,
        store: Store,
        reporter: FileReporter,
        clock: Clock,
        decided: Callable[[Incident, JournalRecord], None] = lambda _incident, _record: None,
    ) -> None:
        self._store = store
        self._reporter = reporter
        self._clock = clock
        self._decided = decided

    async def close(
        self, incident_id: str, *, cause: str, summary: str, owner: str, link: str, by: str
    ) -> Incident:
        """The incident with its root cause. Raises KeyError, ValueError, TemporaryError.

        Refused while a field is empty, or the evidence bundle is absent or not as it was written.
        """
        incident = await self._store.incident(incident_id)
        if incident is None:
            raise KeyError(incident_id)
        filed = RootCause(
            cause_class=cause,
            summary=summary,
            owner=owner,
            link=link,
            by=by,
            filed_at_ms=self._clock.now(),
        )
        after, record = file_root_cause(incident, filed)
        journal = await self._store.journal(incident_id)
        try:
            flaw = await self._reporter.flaw(incident, journal)
        except OSError as error:
            flaw = f"the evidence bundle cannot be read: {error.strerror}"
        if flaw:
            raise ValueError(f"not closed: {flaw}")
        try:
            await self._store.advance(after, [record])
        except StaleIncidentError as error:
            raise TemporaryError(f"somebody else was faster: {error}", delay_ms=0) from None
        self._decided(after, record)
        await self._renew(after)
        return after

    async def _renew(self, incident: Incident) -> None:
        journal = await self._store.journal(incident.id)
        try:
            await self._reporter.write(incident, journal)
        except OSError as error:
            # the root cause is filed; the report of before still stands
            logger.error(  # noqa: TRY400  # the disk's fault needs no traceback
                "the report was not written again",
                extra={"incident": incident.id, "because": str(error)},
            )
