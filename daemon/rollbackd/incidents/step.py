"""The only function that makes a new incident, and the one that says what to do next.

Both are pure. What to do follows from the incident alone, so that a restart, which knows nothing
but the stored incident, goes the same way as an ordinary wake-up.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from rollbackd.incidents import (
    acting,
    approval,
    choosing,
    deciding,
    freezing,
    giving_back,
    joining,
    moves,
    reconciling,
    reverting,
    turning,
    watching,
)
from rollbackd.incidents import messages as m
from rollbackd.incidents.chain import chain
from rollbackd.incidents.checklist import changed_pins
from rollbackd.incidents.moves import Detail, Next
from rollbackd.incidents.states import IllegalTransitionError, check_promises, check_transition
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.levers import Target

_ACTING: Final = frozenset({State.FREEZING, State.ROTATING, State.THROTTLING, State.RESTORING})


def next_command(incident: Incident) -> m.Command | None:
    """What the shell has to do now; None when the incident has ended."""
    if not incident.is_open:
        return None
    if incident.pending is not None:
        return m.Perform(intent=incident.pending)
    if turning.turns(incident):
        owed = turning.restores_next(incident) and reconciling.is_owed(incident)
        return m.Reconcile() if owed else m.Continue()
    if incident.state in _ACTING and incident.todo:
        return m.Prepare(call=incident.todo[0])
    return _WAITING.get(incident.state, _go_on)(incident)


def step(incident: Incident, event: m.Event, now_ms: int) -> tuple[Incident, JournalRecord | None]:
    """The incident after the event, and the journal record of the change.

    The record is None when a reading changed nothing but the hold's clock, and when all there is to
    tell is that a command takes long. Raises
    IllegalTransitionError when the event does not answer the incident's next command.
    """
    _check_answer(incident, event)
    after, detail = _HANDLERS[type(event)](incident, event, now_ms)
    check_transition(incident.state, after.state)
    check_promises(after)
    if after.state is not incident.state:
        after = replace(after, entered_at_ms=now_ms)
    after = replace(after, version=incident.version + 1)
    quiet = isinstance(event, _MAY_BE_QUIET) and not detail
    if quiet and after.state is incident.state:
        return after, None
    record = JournalRecord(
        incident_id=after.id,
        sequence=after.version,
        at_ms=now_ms,
        kind=type(event).__name__,
        from_state=incident.state,
        to_state=after.state,
        reason=after.reason,
        detail=detail,
    )
    return chain(after, record)


def _check_answer(incident: Incident, event: m.Event) -> None:
    command = next_command(incident)
    expected: tuple[type[m.Event], ...] = ()
    if isinstance(command, m.Perform):
        expected = _PERFORMED if command.intent.reverts is None else _PUT_BACK
    elif command is not None:
        expected = _ANSWERS[type(command)]
    if command is not None and isinstance(event, (*expected, *_FROM_OUTSIDE)):
        return
    wanted = type(command).__name__ if command is not None else "nothing: it has ended"
    raise IllegalTransitionError(
        f"{type(event).__name__} in state {incident.state}, which waits for {wanted}"
    )


def _go_on(_incident: Incident) -> m.Command:
    return m.Continue()


def _confirm_freeze(incident: Incident) -> m.Command:
    asks = incident.frozen_at_ms is not None and not freezing.freeze_stands(incident)
    return freezing.ask_probes(incident) if asks else m.Continue()


def _await_approval(incident: Incident) -> m.Command:
    return m.AwaitPerson(until_ms=approval.deadline_ms(incident))


def _continued(incident: Incident, _event: m.Continued, now_ms: int) -> Next:
    if turning.turns(incident):
        return turning.turn(incident, now_ms)
    return _ONWARD.get(incident.state, _forward)(incident, now_ms)


def _forward(incident: Incident, now_ms: int) -> Next:
    return moves.forward(incident, incident.reason, now_ms), {}


def _begin(incident: Incident, now_ms: int) -> Next:
    if approval.is_needed(incident):
        return approval.ask(incident, now_ms), {}
    if incident.policy.approval is not None:
        incident = replace(incident, approved_by=incident.pulled_by)
    return moves.enter(incident, State.CAPTURING, incident.reason, now_ms), {}


def _wait_for_approval(incident: Incident, now_ms: int) -> Next:
    incident, detail = moves.page_overdue(incident, now_ms)
    return approval.wait(incident, now_ms), detail


def _escalate(incident: Incident, now_ms: int) -> Next:
    """The next lever; a freeze is confirmed anew, for it may have been lifted by hand (F2)."""
    frozen = incident.policy.freeze is not None
    state = State.FREEZING if frozen else State.CHOOSING
    return moves.enter(incident, state, incident.reason, now_ms), {}


def _without_lever(incident: Incident, _now_ms: int) -> Next:
    return choosing.without_lever(incident)


def _captured(incident: Incident, event: m.Captured, now_ms: int) -> Next:
    incident = replace(incident, evidence=event.evidence)
    detail: Detail = {
        "digest": event.evidence.digest,
        "missing_pins": event.evidence.missing_pins,
        "unavailable": event.evidence.unavailable,
        "changed_pins": sorted(changed_pins(incident)),
    }
    incident, chosen = choosing.after_capture(incident, now_ms)
    return incident, detail | chosen


def _freeze_checked(incident: Incident, event: m.FreezeChecked, now_ms: int) -> Next:
    known = incident.confirmations
    incident = freezing.told(incident, event, now_ms)
    detail: Detail = {}
    if event.confirmations != known:
        detail["probes"] = {each.probe: each.confirmed for each in event.confirmations}
    if freezing.freeze_stands(incident):
        return moves.forward(incident, Reason.FREEZE_CONFIRMED, now_ms), detail
    if (reason := freezing.objection(incident, now_ms)) is not None:
        return moves.ask_for_a_person(incident, reason), detail
    return incident, detail


def _resumed(incident: Incident, event: m.Resumed, _now_ms: int) -> Next:
    incident = replace(incident, epoch=event.epoch)
    if incident.pending is not None:
        op = replace(incident.pending.op, epoch=event.epoch)
        pending = replace(incident.pending, op=op, inherited=True)
        incident = replace(incident, pending=pending)
    return incident, {"epoch": event.epoch}


def _still_performing(incident: Incident, event: m.StillPerforming, now_ms: int) -> Next:
    """Deadlines count meanwhile; the journal tells once which lever is waited for."""
    waits_for = _lever_in_hand(incident)
    incident, detail = moves.page_overdue(incident, now_ms)
    if event.first and waits_for:
        detail |= {"waits_for": waits_for, "since_ms": event.since_ms}
    return incident, detail


def _lever_in_hand(incident: Incident) -> str:
    match next_command(incident):
        case m.Perform(intent=intent):
            return str(intent.change.target)
        case m.Prepare(call=call):
            return str(Target(lever=call.lever, scope=incident.scope, name=call.name))
        case _:
            return ""


#: What is waited for in a state; in every other one it goes on at once.
_WAITING: Final[dict[State, Callable[[Incident], m.Command]]] = {
    State.CAPTURING: lambda _: m.CaptureEvidence(),
    State.FREEZING: _confirm_freeze,
    State.CHOOSING: choosing.next_lever,
    State.WATCHING: watching.watch,
    State.AUDITING: lambda _: m.RunAudit(),
    State.NEEDS_HUMAN: lambda _: m.AwaitPerson(),
    State.AWAITING_APPROVAL: _await_approval,
}
#: How it goes on from a state; from every other one to what comes next in the checklist.
_ONWARD: Final[dict[State, Callable[[Incident, int], Next]]] = {
    State.DETECTED: _begin,
    State.AWAITING_APPROVAL: _wait_for_approval,
    State.CHOOSING: _without_lever,
    State.ESCALATING: _escalate,
    State.REVERTING: reverting.next_revert,
    State.RESTORING: giving_back.next_measure,
    State.NEEDS_HUMAN: moves.page_overdue,
}
_ANSWERS: Final[dict[type[m.Command], tuple[type[m.Event], ...]]] = {
    m.Continue: (m.Continued,),
    m.CaptureEvidence: (m.Captured,),
    m.Prepare: (m.Prepared, m.NothingToMove, m.Refused),
    m.ConfirmFreeze: (m.FreezeChecked,),
    m.Watch: (m.Read,),
    m.AwaitPerson: (m.Continued,),
    m.Reconcile: (m.Reconciled,),
    m.RunAudit: (m.Audited,),
}
_PERFORMED: Final = (m.Sealed, m.Failed)
_PUT_BACK: Final = (m.GivenBack, m.HandedOver, m.Failed)
_MAY_BE_QUIET: Final = (m.Read, m.Continued, m.FreezeChecked, m.StillPerforming)
_FROM_OUTSIDE: Final = (
    m.TriggerJoined,
    m.Decided,
    m.ItemsAccepted,
    m.CompensationAsked,
    m.Resumed,
    m.StillPerforming,
)
_HANDLERS: Final[dict[type[m.Event], Callable[[Incident, Any, int], Next]]] = {
    m.Continued: _continued,
    m.Captured: _captured,
    m.Prepared: acting.prepared,
    m.NothingToMove: acting.nothing_to_move,
    m.Refused: acting.refused,
    m.Sealed: acting.sealed,
    m.GivenBack: acting.given_back,
    m.HandedOver: acting.handed_over,
    m.Failed: acting.failed,
    m.FreezeChecked: _freeze_checked,
    m.Read: watching.read,
    m.Reconciled: reconciling.reconciled,
    m.Audited: giving_back.audited,
    m.TriggerJoined: joining.joined,
    m.Decided: deciding.decided,
    m.ItemsAccepted: reconciling.accepted,
    m.CompensationAsked: deciding.compensation_asked,
    m.Resumed: _resumed,
    m.StillPerforming: _still_performing,
}
