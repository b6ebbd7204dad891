"""From a firing trigger to a new incident."""

from collections.abc import Sequence

from rollbackd.incidents.chain import chain
from rollbackd.model.decisions import Reason
from rollbackd.model.facts import ChangeEvent
from rollbackd.model.incidents import Incident, JournalRecord, State, Unit
from rollbackd.model.labels import Scope
from rollbackd.model.policy import BranchPolicy
from rollbackd.model.triggers import Trigger


def scope_of(trigger: Trigger, *, service_label: str, region_label: str) -> Scope | None:
    """The scope that a trigger's labels name; None when they name none that is valid."""
    region = trigger.label(region_label) or "global"
    try:
        return Scope.of(trigger.label(service_label), region)
    except ValueError:
        return None


def new_incident(
    *,
    incident_id: str,
    scope: Scope,
    policy: BranchPolicy,
    epoch: int,
    now_ms: int,
    trigger: Trigger | None = None,
    pulled_by: str = "",
    objection: Reason | None = None,
    reason: Reason | None = None,
    note: str = "",
    unit: Unit | None = None,
    changes: Sequence[ChangeEvent] = (),
) -> tuple[Incident, JournalRecord]:
    """A new incident with its first record.

    With an objection it is only observed: it ends here, and nothing is touched. `reason` is why it
    was opened, where that is neither its trigger nor a person.
    """
    state = State.DETECTED if objection is None else State.OBSERVED
    fallback = Reason.TRIGGER_FIRED if trigger else Reason.PULLED_BY_OPERATOR
    reason = objection or reason or fallback
    incident = Incident(
        id=incident_id,
        scope=scope,
        branch=policy.branch,
        state=state,
        reason=reason,
        version=1,
        epoch=epoch,
        policy=policy,
        opened_at_ms=now_ms,
        entered_at_ms=now_ms,
        triggers=[trigger] if trigger else [],
        closed_at_ms=now_ms if objection else None,
        pulled_by=pulled_by,
        note=note,
        unit=unit,
        changes=list(changes),
    )
    record = JournalRecord(
        incident_id=incident_id,
        sequence=1,
        at_ms=now_ms,
        kind="Opened",
        from_state=None,
        to_state=state,
        reason=reason,
        detail=_detail(incident),
    )
    return chain(incident, record)


def _detail(incident: Incident) -> dict[str, object]:
    """Why it was opened, in the journal's words."""
    detail: dict[str, object] = {"pulled_by": incident.pulled_by, "note": incident.note}
    if incident.triggers:
        trigger = incident.triggers[0]
        detail = {
            "rule": trigger.rule,
            "value": trigger.value,
            "labels": dict(trigger.labels),
            "expr": trigger.expr,
            **({"note": incident.note} if incident.note else {}),
        }
    unit = incident.unit
    if unit is not None:
        detail["unit"] = {"id": unit.id, "order": unit.order, "step": unit.index + 1}
    if incident.changes:
        detail["changes"] = [str(change) for change in incident.changes]
    return detail
