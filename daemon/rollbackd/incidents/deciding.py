"""What a person says, and what the unit asks: taken at any time, done once nothing is pending."""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from rollbackd.incidents import approval, moves, reconciling
from rollbackd.incidents import messages as m
from rollbackd.incidents.ledger import perhaps_taken, with_left
from rollbackd.incidents.messages import Decision
from rollbackd.incidents.moves import Detail, Next
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, State

_GIVING_BACK: Final = frozenset({State.RESTORING, State.AUDITING})


def objection(incident: Incident, decision: str) -> str:
    """Why a decision cannot be taken on an open incident as it is, or an empty string."""
    if decision not in set(Decision):
        return f"decision `{decision}` is not known; it must be one of {', '.join(Decision)}"
    waits = incident.state is State.AWAITING_APPROVAL
    if decision in {Decision.APPROVE, Decision.DECLINE} and not waits:
        return f"incident `{incident.id}` is {incident.state} and asks for no approval"
    if decision == Decision.RESTORE and waits:
        return (
            f"incident `{incident.id}` waits for approval: `decline` stands down, `approve` goes on"
        )
    if decision == Decision.ROTATED and not _rotation_was_missed(incident):
        return f"incident `{incident.id}` misses no rotation of the cache"
    if decision == Decision.ABORT and (kept := perhaps_taken(incident)):
        named = ", ".join(str(measure.change.target) for measure in kept)
        return (
            f"temporary measures are in force: {named}; `restore` gives them back first, "
            "`abort_leaving_measures` ends the incident and leaves them to you"
        )
    return ""


def decided(incident: Incident, event: m.Decided, now_ms: int) -> Next:
    """The incident after a person's word."""
    detail: Detail = {"decision": event.decision, "by": event.by}
    if because := objection(incident, event.decision):
        detail["refused"] = because
        return replace(incident, note=f"{event.decision} by {event.by} was refused"), detail
    incident = replace(incident, note=f"{event.decision} by {event.by}")
    after, told = _DECISIONS[Decision(event.decision)](incident, event, now_ms)
    return after, detail | told


def compensation_asked(incident: Incident, event: m.CompensationAsked, _now_ms: int) -> Next:
    """The unit wants this step put back; a second asking changes nothing."""
    done = incident.state is State.NEEDS_HUMAN and incident.reason is Reason.COMPENSATED
    if incident.compensation_asked or (done and not incident.flips):
        return incident, {"because": event.because, "again": True}
    return replace(incident, compensation_asked=True), {"because": event.because}


def _approve(incident: Incident, event: m.Decided, now_ms: int) -> Next:
    incident = replace(incident, approved_by=event.by)
    return approval.go_on(incident, Reason.APPROVED, now_ms), {}


def _decline(incident: Incident, _event: m.Decided, now_ms: int) -> Next:
    return approval.stand_down(incident, Reason.DECLINED, now_ms), {}


def _restore(incident: Incident, _event: m.Decided, _now_ms: int) -> Next:
    under_way = incident.state in _GIVING_BACK
    if under_way:
        return incident, {}
    return replace(reconciling.restore_said(incident), restore_asked=True), {}


def _rotated(incident: Incident, _event: m.Decided, _now_ms: int) -> Next:
    return replace(incident, rotation_owed=False), {}


def _abort(incident: Incident, _event: m.Decided, now_ms: int) -> Next:
    """It ends as it stands; of an act in hand nobody knows what became of it."""
    detail: Detail = {}
    if incident.pending is not None:
        detail["unknown"] = str(incident.pending.change.target)
    if left := [str(measure.change.target) for measure in perhaps_taken(incident)]:
        detail["left_in_force"] = left
    reason = Reason.MEASURES_LEFT_IN_FORCE if left else Reason.OPERATOR_DECISION
    incident = replace(with_left(incident, now_ms), closed_at_ms=now_ms)
    return moves.enter(incident, State.ABORTED, reason, now_ms), detail


def _rotation_was_missed(incident: Incident) -> bool:
    return incident.state is State.NEEDS_HUMAN and incident.rotation_owed


_DECISIONS: Final[dict[Decision, Callable[[Incident, m.Decided, int], Next]]] = {
    Decision.APPROVE: _approve,
    Decision.DECLINE: _decline,
    Decision.RESTORE: _restore,
    Decision.ROTATED: _rotated,
    Decision.ABORT: _abort,
    Decision.ABORT_LEAVING_MEASURES: _abort,
}
