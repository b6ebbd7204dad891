"""The only function that makes a new incident, and the one that says what to do next.

Both are pure. What to do follows from the incident alone, so that a restart, which knows nothing
but the stored incident, goes the same way as an ordinary wake-up.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents import moves
from rollbackd.incidents.checklist import (
    MAX_READING_GAP_MS,
    advance_hold,
    changed_pins,
    overall,
)
from rollbackd.incidents.ledger import register, with_restored, with_taken, with_void
from rollbackd.incidents.moves import Detail, Next
from rollbackd.incidents.states import IllegalTransitionError, check_transition
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, Intent, JournalRecord, State
from rollbackd.model.levers import LeverKind, Op
from rollbackd.model.triggers import Verdict

#: Times that a target may move between reading and writing before we stop chasing it.
MAX_MOVED: Final = 3

_ACTING: Final = frozenset({State.FREEZING, State.ROTATING, State.THROTTLING})
_GIVING_BACK: Final = frozenset({State.RESTORING, State.AUDITING})


def next_command(incident: Incident) -> m.Command | None:
    """What the shell has to do now; None when the incident has ended."""
    if not incident.is_open:
        return None
    if incident.pending is not None:
        return m.Perform(intent=incident.pending)
    if _turns(incident) or incident.state in {
        State.DETECTED,
        State.ESCALATING,
        State.RESTORING,
    }:
        return m.Continue()
    if incident.state in _ACTING:
        return m.Prepare(call=incident.todo[0]) if incident.todo else m.Continue()
    if incident.state is State.CHOOSING:
        return moves.next_lever(incident)
    return _WAITING[incident.state]()


def step(incident: Incident, event: m.Event, now_ms: int) -> tuple[Incident, JournalRecord | None]:
    """The incident after the event, and the journal record of the change.

    The record is None when a reading changed nothing but the hold's clock. Raises
    IllegalTransitionError when the event does not answer the incident's next command.
    """
    _check_answer(incident, event)
    after, detail = _HANDLERS[type(event)](incident, event, now_ms)
    check_transition(incident.state, after.state)
    if after.state is not incident.state:
        after = replace(after, entered_at_ms=now_ms)
    after = replace(after, version=incident.version + 1)
    quiet = isinstance(event, m.Read | m.Continued) and not detail
    if quiet and after.state is incident.state:
        return after, None
    return after, JournalRecord(
        incident_id=after.id,
        sequence=after.version,
        at_ms=now_ms,
        kind=type(event).__name__,
        from_state=incident.state,
        to_state=after.state,
        reason=after.reason,
        detail=detail,
    )


def _turns(incident: Incident) -> bool:
    """Whether a person or another branch makes it go elsewhere than its state says."""
    return moves.restore_due(incident) or moves.takeover_due(incident)


def _check_answer(incident: Incident, event: m.Event) -> None:
    command = next_command(incident)
    expected: tuple[type[m.Event], ...] = ()
    if isinstance(command, m.Perform):
        done = m.Sealed if command.intent.reverts is None else m.GivenBack
        expected = (done, m.Failed)
    elif command is not None:
        expected = _ANSWERS[type(command)]
    if command is not None and isinstance(event, (*expected, *_FROM_OUTSIDE)):
        return
    wanted = type(command).__name__ if command is not None else "nothing: it has ended"
    raise IllegalTransitionError(
        f"{type(event).__name__} in state {incident.state}, which waits for {wanted}"
    )


def _continued(incident: Incident, _event: m.Continued, now_ms: int) -> Next:
    if moves.restore_due(incident):
        incident = replace(incident, restore_asked=False)
        return moves.enter(incident, State.RESTORING, Reason.OPERATOR_DECISION, now_ms), {}
    if moves.takeover_due(incident):
        return moves.take_over(incident, now_ms)
    if incident.state is State.DETECTED:
        return moves.enter(incident, State.CAPTURING, incident.reason, now_ms), {}
    if incident.state is State.ESCALATING:
        return moves.enter(incident, State.CHOOSING, incident.reason, now_ms), {}
    if incident.state is State.RESTORING:
        return moves.restore_next(incident, now_ms)
    if incident.state is State.CHOOSING:
        return moves.without_lever(incident)
    if incident.state is State.NEEDS_HUMAN:
        return moves.page_overdue(incident, now_ms)
    if incident.state is State.AWAITING_APPROVAL:
        return incident, {}
    return moves.forward(incident, incident.reason, now_ms), {}


def _captured(incident: Incident, event: m.Captured, now_ms: int) -> Next:
    incident = replace(incident, evidence=event.evidence)
    detail: Detail = {
        "digest": event.evidence.digest,
        "missing_pins": event.evidence.missing_pins,
        "unavailable": event.evidence.unavailable,
        "changed_pins": sorted(changed_pins(incident)),
    }
    return moves.forward(incident, Reason.EVIDENCE_CAPTURED, now_ms), detail


def _prepared(incident: Incident, event: m.Prepared, now_ms: int) -> Next:
    op = Op(
        op_id=f"{incident.id}:{incident.acts + 1}",
        epoch=incident.epoch,
        incident_id=incident.id,
    )
    intent = Intent(op=op, kind=event.kind, change=event.change, started_at_ms=now_ms)
    incident = replace(incident, pending=intent, acts=incident.acts + 1, reason=Reason.ACT_PLANNED)
    if event.kind is LeverKind.TEMPORARY:
        deadline = now_ms + incident.policy.max_freeze_ms
        incident = register(incident, op.op_id, event.change, deadline)
    if event.index is not None:
        tried = [*incident.tried, event.index]
        incident = replace(incident, tried=tried, state=State.FLIPPING, reason=Reason.LEVER_CHOSEN)
    return incident, {
        "op_id": op.op_id,
        "target": str(event.change.target),
        "before": event.change.before.value,
        "after": event.change.after,
    }


def _nothing_to_move(incident: Incident, event: m.NothingToMove, now_ms: int) -> Next:
    detail: Detail = {"lever": event.call.lever, "name": event.call.name}
    incident = replace(incident, moved=0)
    if event.index is None:
        return moves.done(moves.pop(incident), incident.reason, now_ms), detail
    # The pointer already stands at the known good: there is nothing to flip, and the rest of the
    # checklist still has to run.
    incident = replace(incident, tried=[*incident.tried, event.index], flipped_at_ms=now_ms)
    return moves.after_flip(incident, Reason.FLIP_NOT_NEEDED, now_ms), detail


def _refused(incident: Incident, event: m.Refused, now_ms: int) -> Next:
    detail: Detail = {"lever": event.call.lever, "name": event.call.name, "message": event.message}
    incident = replace(incident, note=event.message, moved=0)
    if event.index is not None:
        incident = replace(
            incident, tried=[*incident.tried, event.index], reason=Reason.LEVER_FAILED
        )
        return incident, detail
    return moves.act_failed(incident, Reason.LEVER_FAILED, now_ms), detail


def _sealed(incident: Incident, event: m.Sealed, now_ms: int) -> Next:
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
    if incident.state is State.FLIPPING:
        incident = replace(incident, flipped_at_ms=now_ms)
        return moves.after_flip(incident, Reason.FLIP_VERIFIED, now_ms), detail
    return moves.done(moves.pop(incident), _REASON_WHEN_DONE[incident.state], now_ms), detail


def _given_back(incident: Incident, event: m.GivenBack, now_ms: int) -> Next:
    assert incident.pending is not None
    intent = incident.pending
    incident = replace(
        incident, pending=None, moved=0, receipts=[*incident.receipts, event.receipt]
    )
    incident = with_restored(incident, intent.change, restored=event.restored, now_ms=now_ms)
    reason = Reason.MEASURES_RESTORED if event.restored else Reason.LEFT_ALONE
    return replace(incident, reason=reason), {
        "target": str(intent.change.target),
        "restored": event.restored,
        "now": event.receipt.after,
    }


def _failed(incident: Incident, event: m.Failed, now_ms: int) -> Next:
    assert incident.pending is not None
    intent = incident.pending
    detail: Detail = {
        "op_id": intent.op.op_id,
        "target": str(intent.change.target),
        "message": event.message,
    }
    incident = replace(incident, pending=None, note=event.message)
    incident = with_void(incident, intent.op.op_id)
    if event.reason is Reason.FENCED_OFF:
        return moves.ask_for_a_person(incident, event.reason), detail
    if event.reason is Reason.TARGET_MOVED and incident.moved + 1 < MAX_MOVED:
        return moves.look_again(incident), detail
    incident = replace(incident, moved=0)
    if incident.state is State.FLIPPING:
        return moves.enter(incident, State.CHOOSING, event.reason, now_ms), detail
    return moves.act_failed(incident, event.reason, now_ms), detail


def _read(incident: Incident, event: m.Read, now_ms: int) -> Next:
    verdict = overall(event.readings)
    max_gap_ms = max(MAX_READING_GAP_MS, 3 * incident.policy.watch_interval_ms)
    hold = advance_hold(incident.hold, verdict, now_ms, max_gap_ms=max_gap_ms)
    changed = [(r.name, r.verdict) for r in event.readings] != [
        (r.name, r.verdict) for r in incident.readings
    ]
    incident = replace(
        incident, readings=event.readings, hold=hold, reason=_REASON_OF_VERDICT[verdict]
    )
    incident, detail = moves.page_overdue(incident, now_ms)
    if changed:
        detail["readings"] = {
            r.name: {"value": r.value, "verdict": r.verdict} for r in event.readings
        }
    if hold.green_ms >= incident.policy.hold_ms:
        incident = replace(incident, green_at_ms=now_ms)
        return moves.enter(incident, State.RESTORING, Reason.HOLD_COMPLETE, now_ms), detail
    since = hold.not_green_since_ms
    if since is not None and now_ms - since >= incident.policy.first_green_ms:
        if not hold.red_seen:
            # The data went silent: another lever would be an act on ignorance.
            return moves.ask_for_a_person(incident, Reason.FIRST_GREEN_MISSED), detail
        return moves.enter(incident, State.ESCALATING, Reason.FIRST_GREEN_MISSED, now_ms), detail
    return incident, detail


def _audited(incident: Incident, event: m.Audited, now_ms: int) -> Next:
    incident = replace(incident, audit=event.checks)
    bad = [check.name for check in event.checks if not check.passed]
    if bad:
        incident = replace(incident, note=f"audit failed: {', '.join(bad)}")
        return moves.ask_for_a_person(incident, Reason.AUDIT_FAILED), {"failed": bad}
    incident = replace(incident, closed_at_ms=now_ms)
    return moves.enter(incident, State.CLOSED, Reason.AUDIT_PASSED, now_ms), {}


def _trigger_joined(incident: Incident, event: m.TriggerJoined, _now_ms: int) -> Next:
    incident = replace(incident, triggers=[*incident.triggers, event.trigger])
    rival = incident.preempted_by or incident.policy
    # a branch that only observes must not act through an incident that another one opened
    if event.policy.mode == "act" and event.policy.priority < rival.priority:
        incident = replace(incident, preempted_by=event.policy)
    return incident, {"rule": event.trigger.rule, "branch": event.policy.branch}


def _decided(incident: Incident, event: m.Decided, now_ms: int) -> Next:
    detail: Detail = {"decision": event.decision, "by": event.by}
    incident = replace(incident, note=f"{event.decision} by {event.by}")
    if event.decision == "restore" and incident.state not in _GIVING_BACK:
        return replace(incident, restore_asked=True), detail
    if event.decision == "abort":
        if incident.pending is not None:
            detail["unknown"] = str(incident.pending.change.target)
        incident = replace(incident, closed_at_ms=now_ms)
        return moves.enter(incident, State.ABORTED, Reason.OPERATOR_DECISION, now_ms), detail
    return incident, detail


def _resumed(incident: Incident, event: m.Resumed, _now_ms: int) -> Next:
    incident = replace(incident, epoch=event.epoch)
    if incident.pending is not None:
        op = replace(incident.pending.op, epoch=event.epoch)
        incident = replace(incident, pending=replace(incident.pending, op=op))
    return incident, {"epoch": event.epoch}


_REASON_WHEN_DONE: Final = {
    State.FREEZING: Reason.FREEZE_CONFIRMED,
    State.ROTATING: Reason.CACHE_ROTATED,
    State.THROTTLING: Reason.THROTTLE_ON,
}
_REASON_OF_VERDICT: Final = {
    Verdict.GREEN: Reason.TARGETS_GREEN,
    Verdict.RED: Reason.TARGET_RED,
    Verdict.UNKNOWN: Reason.TARGET_UNKNOWN,
}
_WAITING: Final[dict[State, Callable[[], m.Command]]] = {
    State.CAPTURING: m.CaptureEvidence,
    State.WATCHING: m.Watch,
    State.AUDITING: m.RunAudit,
    State.NEEDS_HUMAN: m.AwaitPerson,
    State.AWAITING_APPROVAL: m.AwaitPerson,
}
_ANSWERS: Final[dict[type[m.Command], tuple[type[m.Event], ...]]] = {
    m.Continue: (m.Continued,),
    m.CaptureEvidence: (m.Captured,),
    m.Prepare: (m.Prepared, m.NothingToMove, m.Refused),
    m.Watch: (m.Read,),
    m.AwaitPerson: (m.Continued,),
    m.RunAudit: (m.Audited,),
}
_FROM_OUTSIDE: Final = (m.TriggerJoined, m.Decided, m.Resumed)
_HANDLERS: Final[dict[type[m.Event], Callable[[Incident, Any, int], Next]]] = {
    m.Continued: _continued,
    m.Captured: _captured,
    m.Prepared: _prepared,
    m.NothingToMove: _nothing_to_move,
    m.Refused: _refused,
    m.Sealed: _sealed,
    m.GivenBack: _given_back,
    m.Failed: _failed,
    m.Read: _read,
    m.Audited: _audited,
    m.TriggerJoined: _trigger_joined,
    m.Decided: _decided,
    m.Resumed: _resumed,
}
