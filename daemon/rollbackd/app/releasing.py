"""Taking away the trip that a closed incident left on a control: the rollout goes on from there.

A rollback's trip stays in force on purpose: whoever knows that the new version is good again takes
it away, and what applications see is the rollout's own intent.
"""

import logging
from collections.abc import Callable
from typing import Final

from rollbackd.clock import Clock
from rollbackd.errors import TemporaryError
from rollbackd.incidents.afterwards import released
from rollbackd.model.controls import Control, Kind, WriteResult
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op
from rollbackd.ports import Controls, ScopeBusyError, StaleIncidentError, Store

logger = logging.getLogger(__name__)

_MOST_OPEN: Final = 10_000


class Releasing:
    """Releases controls by compare-and-set, under an epoch of its own.

    `decided` hears of the record once it is in the journal.
    """

    def __init__(
        self,
        store: Store,
        controls: Controls,
        clock: Clock,
        decided: Callable[[Incident, JournalRecord], None] = lambda _incident, _record: None,
    ) -> None:
        self._decided = decided
        self._store = store
        self._controls = controls
        self._clock = clock

    async def release(self, scope: Scope, name: str, *, because: str, by: str) -> Control:
        """The control without its trip.

        Raises ValueError when there is no such trip or it must stay, ScopeBusyError while an
        incident is open on the scope, TemporaryError when the control changed meanwhile or cannot
        be reached.
        """
        if name == Kind.CACHE:
            # under an earlier generation readers would find what the bad version has cached
            raise ValueError(
                f"control `{name}` of {scope} only grows: applications stay in the namespace that"
                " the rollback moved to; there is nothing to release"
            )
        await self._refuse_while_open(scope)
        control = await self._controls.read(scope, name)
        if control.trip is None:
            raise ValueError(f"control `{name}` of {scope} carries no trip; nothing to release")
        epoch = await self._store.next_epoch(scope)
        # one that opened before the epoch was taken would be fenced off by what follows
        await self._refuse_while_open(scope)
        op = Op(
            op_id=f"release:{control.incident_id}:{name}:{control.version}",
            epoch=epoch,
            incident_id=control.incident_id,
        )
        write = await self._controls.set_trip(
            scope,
            name,
            None,
            expected_version=control.version,
            op=op,
            now_ms=self._clock.now(),
        )
        if write.result not in {WriteResult.APPLIED, WriteResult.REPLAYED}:
            raise TemporaryError(
                f"control `{name}` of {scope} changed meanwhile ({write.result}); look at it again",
                delay_ms=0,
            )
        logger.warning(
            "a control was released",
            extra={
                "scope": str(scope),
                "control": name,
                "incident": control.incident_id,
                "by": by,
                "because": because,
                "was": control.effective,
                "now": write.control.effective,
            },
        )
        await self._journal(control.incident_id, name, because=because, by=by)
        return write.control

    async def _refuse_while_open(self, scope: Scope) -> None:
        for incident in await self._store.incidents(open_only=True, limit=_MOST_OPEN):
            if incident.scope == scope:
                raise ScopeBusyError(incident.id)

    async def _journal(self, incident_id: str, name: str, *, because: str, by: str) -> None:
        """Note it with the incident that had laid the trip, where the store still has that."""
        incident = await self._store.incident(incident_id) if incident_id else None
        if incident is None or incident.is_open:
            return
        noted, record = released(incident, name, by=by, because=because, now_ms=self._clock.now())
        try:
            await self._store.advance(noted, [record])
        except StaleIncidentError as error:
            # the control is released and the log says so; the journal merely lacks a note
            logger.warning("the release was not journaled", extra={"because": str(error)})
        else:
            self._decided(noted, record)
