"""A person's word before the first act, and what becomes of an incident without one."""

from msgspec.structs import replace

from rollbackd.incidents import moves
from rollbackd.incidents.ledger import taken
from rollbackd.incidents.states import next_state
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, State


def is_needed(incident: Incident) -> bool:
    """Whether the branch asks first; who pulled it by hand has said yes."""
    said = incident.approved_by or incident.pulled_by
    return incident.policy.approval is not None and not said


def ask(incident: Incident, now_ms: int) -> Incident:
    """Wait for a person; the deadline counts from here."""
    incident = moves.enter(incident, State.AWAITING_APPROVAL, Reason.APPROVAL_NEEDED, now_ms)
    return replace(incident, entered_at_ms=now_ms)


def go_on(incident: Incident, reason: Reason, now_ms: int) -> Incident:
    """Begin with the branch; the evidence comes first, and only once."""
    first = State.CAPTURING
    if incident.evidence is not None:
        first = next_state(incident.policy, State.CAPTURING)
    return moves.enter(incident, first, reason, now_ms)


def stand_down(incident: Incident, reason: Reason, now_ms: int) -> Incident:
    """Do not act. What another branch had done before is a person's to decide."""
    if incident.acted or taken(incident):
        return moves.ask_for_a_person(incident, reason)
    incident = replace(incident, closed_at_ms=now_ms)
    return moves.enter(incident, State.OBSERVED, reason, now_ms)


def deadline_ms(incident: Incident) -> int | None:
    """When the policy decides instead of a person."""
    approval = incident.policy.approval
    return incident.entered_at_ms + approval.within_ms if approval is not None else None


def wait(incident: Incident, now_ms: int) -> Incident:
    """Once the deadline has passed, do what the policy states for that case."""
    approval, deadline = incident.policy.approval, deadline_ms(incident)
    if approval is None or deadline is None or now_ms < deadline:
        return incident
    if approval.otherwise == "act":
        return go_on(incident, Reason.APPROVAL_EXPIRED, now_ms)
    return stand_down(incident, Reason.APPROVAL_EXPIRED, now_ms)
