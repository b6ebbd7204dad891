"""What comes of a lever's act: planned, sealed, given back, refused or failed."""

from typing import Final

from msgspec.structs import replace

from rollbackd.incidents import giving_back, moves, reverting
from rollbackd.incidents import messages as m
from rollbackd.incidents.ledger import register, with_handed_over, with_taken, with_void
from rollbackd.incidents.moves import Detail, Next
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, Intent, State
from rollbackd.model.levers import Applied, LeverKind

_REASON_WHEN_DONE: Final = {
    State.FREEZING: Reason.FREEZE_CONFIRMED,
    State.ROTATING: Reason.CACHE_ROTATED,
    State.THROTTLING: Reason.THROTTLE_ON,
    State.RESTORING: Reason.CACHE_ROTATED,
}


def prepared(incident: Incident, event: m.Prepared, now_ms: int) -> Next:
    """The change is planned: journal the intent, and a measure before it is taken."""
    incident, op = moves.next_op(incident)
    intent = Intent(op=op, kind=event.kind, change=event.change, started_at_ms=now_ms)
    incident = replace(incident, pending=intent, reason=Reason.ACT_PLANNED)
    if event.kind is LeverKind.TEMPORARY:
        deadline = now_ms + incident.policy.max_freeze_ms
        incident = register(incident, op.op_id, event.change, deadline)
    if event.index is not None:
        tried = [*incident.tried, event.index]
        incident = replace(incident, tried=tried, state=State.FLIPPING, reason=Reason.LEVER_CHOSEN)
    detail: Detail = {
        "op_id": op.op_id,
        "target": str(event.change.target),
        "before": event.change.before.value,
        "after": event.change.after,
    }
    return incident, detail | ({"held_by": event.held_by} if event.held_by else {})


def nothing_to_move(incident: Incident, event: m.NothingToMove, now_ms: int) -> Next:
    """The target already is as wanted."""
    detail: Detail = {"lever": event.call.lever, "name": event.call.name}
    incident = replace(incident, moved=0)
    if event.index is None:
        reason = _REASON_WHEN_DONE.get(incident.state, incident.reason)
        return _done(incident, reason, now_ms), detail
    # The pointer already stands at the known good: there is nothing to flip, and the rest of the
    # checklist still has to run.
    incident = replace(incident, tried=[*incident.tried, event.index])
    return moves.after_flip(incident, Reason.FLIP_NOT_NEEDED, now_ms), detail


def refused(incident: Incident, event: m.Refused, now_ms: int) -> Next:
    """The lever cannot be used now: the next one, or a person."""
    detail: Detail = {"lever": event.call.lever, "name": event.call.name, "message": event.message}
    incident = replace(incident, note=event.message, moved=0)
    if event.index is not None:
        incident = replace(
            incident, tried=[*incident.tried, event.index], reason=Reason.LEVER_FAILED
        )
        return incident, detail
    return moves.act_failed(incident, Reason.LEVER_FAILED, now_ms), detail


def sealed(incident: Incident, event: m.Sealed, now_ms: int) -> Next:
    """The act took effect and was read back."""
    assert incident.pending is not None
    intent = incident.pending
    detail: Detail = {
        "op_id": intent.op.op_id,
        "target": str(intent.change.target),
        "before": event.receipt.before,
        "after": event.receipt.after,
        "reconciled": event.receipt.reconciled,
    }
    incident = replace(
        incident, pending=None, moved=0, receipts=[*incident.receipts, event.receipt]
    )
    if intent.kind is LeverKind.TEMPORARY:
        incident = with_taken(incident, intent.op.op_id, event.applied, now_ms)
    if event.unseen:
        detail["unseen"] = event.unseen
        incident = replace(incident, note=f"readers were not seen to follow: {event.unseen}")
        if incident.state is State.FREEZING:
            # It is in force for whoever reads it, and somebody who does not may still write (F2).
            return moves.act_failed(incident, Reason.FREEZE_NOT_CONFIRMED, now_ms), detail
    if incident.state is not State.FLIPPING:
        return _done(incident, _REASON_WHEN_DONE[incident.state], now_ms), detail
    if intent.reasserts:
        return moves.after_flip(incident, Reason.REASSERTED, now_ms), detail
    if intent.kind is LeverKind.POINTER:
        incident = replace(incident, flips=[*incident.flips, event.applied])
    return moves.after_flip(incident, Reason.FLIP_VERIFIED, now_ms), detail


def _done(incident: Incident, reason: Reason, now_ms: int) -> Incident:
    if incident.state is State.RESTORING:
        # The rotation that was owed has happened; measures are given back next.
        return replace(moves.pop(incident), rotation_owed=False, reason=reason)
    return moves.done(incident, reason, now_ms)


def given_back(incident: Incident, event: m.GivenBack, now_ms: int) -> Next:
    """A measure, or a pointer, was put back."""
    assert incident.pending is not None
    intent = incident.pending
    incident = replace(
        incident, pending=None, moved=0, receipts=[*incident.receipts, event.receipt]
    )
    if incident.state is State.REVERTING:
        incident = reverting.put_back(incident, event)
    else:
        incident = giving_back.given_back(incident, intent, event, now_ms)
    return incident, {
        "target": str(intent.change.target),
        "restored": event.restored,
        "now": event.receipt.after,
    }


def handed_over(incident: Incident, event: m.HandedOver, now_ms: int) -> Next:
    """A measure stays in force for another incident, which gives it back."""
    assert incident.pending is not None
    change = incident.pending.change
    incident = with_handed_over(incident, change, event.to, now_ms)
    incident = replace(incident, pending=None, moved=0, reason=Reason.HANDED_OVER)
    return incident, {"target": str(change.target), "to": event.to}


def failed(incident: Incident, event: m.Failed, now_ms: int) -> Next:
    """The act cannot succeed: look again, go on without it, or ask a person."""
    assert incident.pending is not None
    intent = incident.pending
    detail: Detail = {
        "op_id": intent.op.op_id,
        "target": str(intent.change.target),
        "message": event.message,
    }
    incident = replace(incident, pending=None, note=event.message)
    if event.may_stand:
        detail["may_stand"] = True
    if event.may_stand and intent.kind is LeverKind.TEMPORARY:
        # Given back in the end like any other: what is not there is left alone.
        presumed = Applied(
            change=intent.change, op_id=intent.op.op_id, version=intent.change.before.version + 1
        )
        incident = with_taken(incident, intent.op.op_id, presumed, now_ms)
    else:
        incident = with_void(incident, intent.op.op_id)
    moved = event.reason is Reason.TARGET_MOVED and not intent.reasserts
    if moved and incident.moved + 1 < moves.MAX_MOVED:
        return moves.look_again(incident), detail
    incident = replace(incident, moved=0)
    if incident.state is State.REVERTING:
        return reverting.give_up(incident, event.reason), detail
    if event.reason is Reason.FENCED_OFF or intent.reasserts:
        # Whoever moves a pointer while it is flipped again is not fought.
        return moves.ask_for_a_person(incident, event.reason), detail
    if incident.state is State.FLIPPING and event.may_stand:
        # Another lever would move a second pointer.
        return moves.ask_for_a_person(incident, event.reason), detail
    if incident.state is State.FLIPPING:
        return moves.enter(incident, State.CHOOSING, event.reason, now_ms), detail
    return moves.act_failed(incident, event.reason, now_ms), detail
