"""Giving temporary measures back, the youngest first, and what the audit says of it."""

from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents import moves
from rollbackd.incidents.ledger import give_back_next, taken, with_restored
from rollbackd.incidents.moves import Detail, Next
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, Intent, State
from rollbackd.model.levers import LeverKind


def next_measure(incident: Incident, now_ms: int) -> Next:
    """Journal the intent to give the youngest measure back, or go on when none is in force."""
    measure = give_back_next(incident)
    if measure is None:
        return moves.enter(incident, State.AUDITING, Reason.MEASURES_RESTORED, now_ms), {}
    assert measure.applied is not None
    incident, op = moves.next_op(incident)
    intent = Intent(
        op=op,
        kind=LeverKind.TEMPORARY,
        change=measure.change,
        started_at_ms=now_ms,
        reverts=measure.applied,
    )
    return replace(incident, pending=intent, reason=Reason.ACT_PLANNED), {
        "op_id": op.op_id,
        "gives_back": str(measure.change.target),
    }


def given_back(incident: Incident, intent: Intent, event: m.GivenBack, now_ms: int) -> Incident:
    """The measure was given back, or was no longer ours."""
    incident = with_restored(incident, intent.change, restored=event.restored, now_ms=now_ms)
    reason = Reason.MEASURES_RESTORED if event.restored else Reason.LEFT_ALONE
    return replace(incident, reason=reason)


def audited(incident: Incident, event: m.Audited, now_ms: int) -> Next:
    """Close it, unless a check failed; what no check may overlook is looked at here as well."""
    incident = replace(
        incident,
        audit=event.checks,
        reconciliation=event.reconciliation or incident.reconciliation,
    )
    bad = [check.name for check in event.checks if not check.passed]
    bad += [name for name in _missing(incident) if name not in bad]
    if bad:
        incident = replace(incident, note=f"audit failed: {', '.join(bad)}")
        detail: Detail = {"failed": bad}
        return moves.ask_for_a_person(incident, Reason.AUDIT_FAILED), detail
    incident = replace(incident, closed_at_ms=now_ms)
    return moves.enter(incident, State.CLOSED, Reason.AUDIT_PASSED, now_ms), {}


def _missing(incident: Incident) -> list[str]:
    missing = ["evidence_is_whole"] if incident.evidence is None else []
    missing += ["measures_are_given_back"] if taken(incident) else []
    return missing + (["cache_was_rotated"] if incident.rotation_owed else [])
