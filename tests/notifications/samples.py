"""Incidents that go from state to state in a real store, and what others hear of them."""

from typing import Any, Final

from msgspec.structs import replace

from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import (
    Incident,
    JournalRecord,
    Measure,
    MeasureStatus,
    State,
)
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Change, Observation, Target
from rollbackd.model.policy import BranchPolicy
from rollbackd.ports import Notifier, Store

NOW: Final = 1_790_000_000_000
MINUTE: Final = 60_000
SCOPE: Final = Scope("rag", "eu-1")
SECRET: Final = "hunter2-is-not-to-be-seen"


def incident_in(state: State = State.DETECTED, *, id_: str = "INC-1", **changes: Any) -> Incident:
    """An incident of the sample scope."""
    fields: dict[str, Any] = {
        "id": id_,
        "scope": SCOPE,
        "branch": "quality_regression",
        "state": state,
        "reason": Reason.TRIGGER_FIRED,
        "version": 1,
        "epoch": 7,
        "policy": BranchPolicy(branch="quality_regression", priority=2),
        "opened_at_ms": NOW - MINUTE,
        "entered_at_ms": NOW - MINUTE,
    }
    return Incident(**{**fields, **changes})


def record_of(incident: Incident, before: State | None = None, **changes: Any) -> JournalRecord:
    """The record of the step that led to this version."""
    fields: dict[str, Any] = {
        "incident_id": incident.id,
        "sequence": incident.version,
        "at_ms": incident.entered_at_ms,
        "kind": "Continued" if before else "Opened",
        "from_state": before,
        "to_state": incident.state,
        "reason": incident.reason,
        "detail": {"rule": "QualityDrift", "value": 0.5},
    }
    return JournalRecord(**{**fields, **changes})


def frozen(deadline_ms: int) -> Measure:
    """A freeze in force."""
    change = Change(
        target=Target(lever="write_block", scope=SCOPE, name="writes"),
        before=Observation(value={"blocked": False}, version=1, undo={"trip": None}),
        after={"blocked": True},
    )
    return Measure(
        op_id="INC-1:1", change=change, deadline_ms=deadline_ms, status=MeasureStatus.TAKEN
    )


class Story:
    """One incident in a store; whoever listens hears of each step after it is stored."""

    def __init__(self, store: Store, *listeners: Notifier) -> None:
        self.store = store
        self.listeners = listeners
        self.incident = incident_in()

    async def open(self, *, id_: str = "INC-1", scope: Scope = SCOPE, now_ms: int = NOW) -> None:
        self.incident = incident_in(id_=id_, scope=scope, opened_at_ms=now_ms, entered_at_ms=now_ms)
        record = record_of(self.incident)
        await self.store.open_incident(self.incident, record)
        self._tell(record)

    async def go(
        self, *states: State, detail: dict[str, object] | None = None, **changes: Any
    ) -> None:
        for state in states:
            before = self.incident
            entered_ms = before.entered_at_ms + 1
            ended = {"closed_at_ms": entered_ms} if state is State.CLOSED else {}
            self.incident = replace(
                before,
                state=state,
                version=before.version + 1,
                entered_at_ms=entered_ms,
                **ended,
                **changes,
            )
            told = {} if detail is None else {"detail": detail}
            record = record_of(self.incident, before.state, **told)
            await self.store.advance(self.incident, [record])
            self._tell(record)

    def _tell(self, record: JournalRecord) -> None:
        for listener in self.listeners:
            listener.decided(self.incident, record)


#: From the opening to where a person is needed, and from there to the end.
TO_A_PERSON: Final = (State.CAPTURING, State.FREEZING, State.NEEDS_HUMAN)
TO_THE_END: Final = (State.RESTORING, State.AUDITING, State.CLOSED)
