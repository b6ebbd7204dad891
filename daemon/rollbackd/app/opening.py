"""Opening incidents: made durable first, then driven."""

import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from rollbackd.clock import Clock
from rollbackd.errors import PermanentError
from rollbackd.incidents.guardrails.situation import Objection
from rollbackd.incidents.opening import new_incident
from rollbackd.model.decisions import Reason
from rollbackd.model.facts import ChangeEvent
from rollbackd.model.incidents import Incident, JournalRecord, Unit
from rollbackd.model.labels import Scope
from rollbackd.model.policy import BranchPolicy
from rollbackd.model.triggers import Trigger
from rollbackd.ports import ScopeBusyError, Store
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)

#: Hears of an incident with its first record once they are stored.
OnOpened = Callable[[Incident, JournalRecord], None]


#: The changes of a scope in the last so many milliseconds, oldest first.
ChangesOf = Callable[[Scope, int], list[ChangeEvent]]


def no_changes(scope: Scope, within_ms: int) -> list[ChangeEvent]:  # noqa: ARG001  # knows of none
    """Where nothing tells of changes."""
    return []


class Openings:
    """Opens incidents on a store. `start` drives one that acts; `new_id` names one by its time."""

    def __init__(
        self,
        *,
        store: Store,
        start: Callable[[Incident], None],
        clock: Clock,
        telemetry: Telemetry,
        on_opened: OnOpened,
        new_id: Callable[[int], str] | None = None,
        changes_of: ChangesOf = no_changes,
    ) -> None:
        self._store = store
        self._start = start
        self._clock = clock
        self._telemetry = telemetry
        self._on_opened = on_opened
        self._changes_of = changes_of
        self._new_id = new_id or _new_id
        self._unanswered: dict[str, tuple[Incident, JournalRecord]] = {}

    async def open(
        self,
        scope: Scope,
        policy: BranchPolicy,
        *,
        trigger: Trigger | None = None,
        pulled_by: str = "",
        objection: Objection | None = None,
        reason: Reason | None = None,
        note: str = "",
        unit: Unit | None = None,
    ) -> Incident:
        """A new incident; with an objection it is only observed.

        A step of a unit is named after the unit, so that two who open it open one. Raises
        ScopeBusyError, TemporaryError; after the latter it is offered again, see `repeat`.
        """
        now_ms = self._clock.now()
        epoch = await self._store.next_epoch(scope) if objection is None else 0
        incident, record = new_incident(
            incident_id=self._new_id(now_ms) if unit is None else step_id(unit),
            scope=scope,
            policy=policy,
            epoch=epoch,
            now_ms=now_ms,
            trigger=trigger,
            pulled_by=pulled_by,
            objection=objection.reason if objection is not None else None,
            reason=reason,
            note=objection.because if objection is not None else note,
            unit=unit,
            changes=self._changes_of(scope, policy.changes_within_ms),
        )
        return await self._store_opening(incident, record)

    def new_unit(self, order: str, scopes: list[Scope]) -> Unit:
        """A unit at its first step; it has the name of its first incident."""
        return Unit(id=self._new_id(self._clock.now()), order=order, scopes=scopes, index=0)

    async def repeat(self, *, paused: bool = False) -> list[Incident]:
        """Offer again what the store has not answered for; those that are stored now.

        One that would act on what may be long over, or against a pause, is only looked for: its
        trigger, if it still fires, has to pass the guardrails anew. Raises TemporaryError.
        """
        stored = []
        for incident, record in list(self._unanswered.values()):
            try:
                if self._is_over(incident, paused=paused):
                    stored += await self._look_for(incident, record)
                else:
                    stored.append(await self._store_opening(incident, record))
            except ScopeBusyError as error:
                logger.info("the scope is busy", extra={"incident": error.incident_id})
            except PermanentError as error:
                # it had been stored, and another process has moved it on since
                logger.warning("an opening was given up", extra={"because": str(error)})
        return stored

    def _is_over(self, incident: Incident, *, paused: bool) -> bool:
        late = self._clock.now() - incident.opened_at_ms > incident.policy.max_event_age_ms
        return incident.is_open and (late or (paused and not incident.pulled_by))

    async def _look_for(self, incident: Incident, record: JournalRecord) -> list[Incident]:
        """Drive it if the store has it after all; should it get there later, it is an orphan."""
        known = await self._store.incident(incident.id)
        if known is not None:
            return [await self._store_opening(incident, record)]
        del self._unanswered[incident.id]
        logger.warning("an opening was given up", extra={"incident": incident.id})
        return []

    async def _store_opening(self, incident: Incident, record: JournalRecord) -> Incident:
        """Make an opening durable, then drive it.

        Without an answer of the store it may be there or not. It is kept, and the same incident is
        offered again before anything else is opened: the store takes a repetition as done. It is
        kept only then: an opening under way must not be offered by somebody else at the same time.
        """
        try:
            await self._store.open_incident(incident, record)
        except (ScopeBusyError, PermanentError):
            self._unanswered.pop(incident.id, None)
            raise
        except BaseException:
            self._unanswered[incident.id] = incident, record
            raise
        self._unanswered.pop(incident.id, None)
        objection = None if incident.is_open else incident.reason
        if objection is not None:
            self._telemetry.incidents.labels(incident.branch, incident.state).inc()
        logger.warning(
            "opened an incident" if objection is None else "would have acted",
            extra={
                "incident": incident.id,
                "scope": str(incident.scope),
                "branch": incident.branch,
                "reason": incident.reason,
                "detail": record.detail,
            },
        )
        self._on_opened(incident, record)
        if incident.is_open:
            self._start(incident)
        return incident


def step_id(unit: Unit) -> str:
    """The id of the incident of a step; that of the first is the unit's."""
    return unit.id if unit.index == 0 else f"{unit.id}.{unit.index + 1}"


def _new_id(now_ms: int) -> str:
    """`INC-20261122T031502-9f3a04c1`: sorts by time, safe in paths and keys."""
    stamp = datetime.fromtimestamp(now_ms / 1_000, UTC).strftime("%Y%m%dT%H%M%S")
    return f"INC-{stamp}-{secrets.token_hex(4)}"
