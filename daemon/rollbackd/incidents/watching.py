"""What a reading of the exit targets leads to: the hold, the next lever, drift, or the way back."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents import moves, reconciling
from rollbackd.incidents.checklist import MAX_READING_GAP_MS, advance_hold, overall
from rollbackd.incidents.freezing import freeze_stands
from rollbackd.incidents.ledger import with_lifted
from rollbackd.incidents.moves import Detail, Next
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Hold, Incident, Intent, State, TracePoint
from rollbackd.model.levers import Change, LeverKind
from rollbackd.model.policy import BranchPolicy
from rollbackd.model.triggers import TargetReading, Verdict

#: An incident keeps this many points of its trace; beyond it every second one is dropped.
MAX_TRACE: Final = 720

_REASON_OF_VERDICT: Final = {
    Verdict.GREEN: Reason.TARGETS_GREEN,
    Verdict.RED: Reason.TARGET_RED,
    Verdict.UNKNOWN: Reason.TARGET_UNKNOWN,
}


def watch(incident: Incident) -> m.Command:
    """Read the targets, the pointers that were flipped (the last flip of each), and the fence.

    Once they were green for the hold, receipts are compared where the branch says so; what gives
    anything back is the reading after that.
    """
    if _held(incident) and reconciling.is_owed(incident):
        return m.Reconcile()
    last = {str(flip.change.target): flip.change for flip in incident.flips}
    freeze = incident.policy.freeze if freeze_stands(incident) else None
    return m.Watch(flips=list(last.values()), freeze=freeze)


def read(incident: Incident, event: m.Read, now_ms: int) -> Next:
    """The incident after one more reading."""
    incident, detail = _noted(incident, event.readings, now_ms)
    if event.lifted is not None:
        return _frozen_again(incident, event.lifted, detail, now_ms)
    if drifted := _ours(incident, event.drifted):
        return _drift(incident, drifted, detail, now_ms)
    hold, policy = incident.hold, incident.policy
    since_ms = incident.worse_since_ms
    if since_ms is not None and now_ms - since_ms >= policy.worse_after.for_ms:
        reason = Reason.WORSE_AFTER_ACTING
        return moves.enter(incident, State.REVERTING, reason, now_ms), detail
    if _held(incident):
        if reconciling.is_owed(incident):
            return incident, detail
        incident = replace(incident, green_at_ms=now_ms)
        return moves.enter(incident, State.RESTORING, Reason.HOLD_COMPLETE, now_ms), detail
    since_ms = hold.not_green_since_ms
    if since_ms is not None and now_ms - since_ms >= policy.first_green_ms:
        if not hold.red_seen:
            # The data went silent: another lever would be an act on ignorance.
            return moves.ask_for_a_person(incident, Reason.FIRST_GREEN_MISSED), detail
        return moves.enter(incident, State.ESCALATING, Reason.FIRST_GREEN_MISSED, now_ms), detail
    return incident, detail


def is_worse(incident: Incident, readings: Sequence[TargetReading]) -> bool:
    """Whether a red target is further from its bound than before the act, by the policy's factor.

    A target that was unknown before the act cannot tell.
    """
    before = {r.name: r for r in incident.evidence.readings} if incident.evidence else {}
    factor = incident.policy.worse_after.factor
    return any(
        _further(reading, before.get(reading.name), factor)
        for reading in readings
        if reading.verdict is Verdict.RED
    )


def _held(incident: Incident) -> bool:
    """Whether they were green for the hold, and still are."""
    hold = incident.hold
    return hold.green_ms >= incident.policy.hold_ms and hold.verdict is Verdict.GREEN


def _noted(incident: Incident, readings: list[TargetReading], now_ms: int) -> Next:
    verdict = overall(readings)
    changed = [(r.name, r.verdict) for r in readings] != [
        (r.name, r.verdict) for r in incident.readings
    ]
    hold = advance_hold(incident.hold, verdict, now_ms, max_gap_ms=_max_gap_ms(incident.policy))
    incident = replace(
        incident,
        readings=readings,
        hold=hold,
        reason=_REASON_OF_VERDICT[verdict],
        worse_since_ms=_worse_since(incident, readings, now_ms),
        trace=_traced(incident.trace, readings, now_ms),
        reconciliation=incident.reconciliation if verdict is Verdict.GREEN else None,
    )
    incident, detail = moves.page_overdue(incident, now_ms)
    if changed:
        detail["readings"] = {r.name: {"value": r.value, "verdict": r.verdict} for r in readings}
    return incident, detail


def _max_gap_ms(policy: BranchPolicy) -> int:
    return max(MAX_READING_GAP_MS, 3 * policy.watch_interval_ms)


def _worse_since(incident: Incident, readings: Sequence[TargetReading], now_ms: int) -> int | None:
    """Since when every reading was worse; a gap in the readings vouches for nothing."""
    if not incident.flips or incident.reverted or not is_worse(incident, readings):
        return None
    if incident.worse_since_ms is None or not _follows(incident.hold, incident.policy, now_ms):
        return now_ms
    return incident.worse_since_ms


def _follows(hold: Hold, policy: BranchPolicy, now_ms: int) -> bool:
    gap_ms = now_ms - hold.read_at_ms if hold.read_at_ms is not None else 0
    return 0 <= gap_ms <= _max_gap_ms(policy)


def _further(now: TargetReading, before: TargetReading | None, factor: float) -> bool:
    if now.value is None or before is None or before.value is None:
        return False
    distance = _beyond(now.value, now)
    earlier = abs(_beyond(before.value, before))
    return distance > earlier and distance >= factor * earlier


def _beyond(value: float, reading: TargetReading) -> float:
    """How far a value lies on the wrong side of the bound; negative on the right side."""
    beyond = value - reading.bound
    return beyond if reading.direction == "below" else -beyond


def _traced(
    trace: list[TracePoint], readings: Sequence[TargetReading], now_ms: int
) -> list[TracePoint]:
    point = TracePoint(at_ms=now_ms, values={r.name: r.value for r in readings})
    grown = [*trace, point]
    return grown if len(grown) <= MAX_TRACE else [*grown[:-1:2], point]


def _ours(incident: Incident, drifted: Sequence[Change]) -> list[Change]:
    """The drifted ones among our flips, from what is there now to what we had set."""
    last = {str(flip.change.target): flip.change for flip in incident.flips}
    return [
        replace(last[str(each.target)], before=each.before)
        for each in drifted
        if str(each.target) in last
    ]


def _frozen_again(incident: Incident, lifted: Change, detail: Detail, now_ms: int) -> Next:
    """Put the freeze on again so many times, then leave it to people; the hold starts over.

    Writers ran meanwhile: what was green or was compared before says nothing any more.
    """
    target, now = lifted.target, lifted.before.value
    detail["lifted"] = {str(target): now}
    incident = replace(incident, note=f"{target} was lifted during the hold: it holds {now}")
    if incident.refreezes >= incident.policy.max_reasserts:
        return moves.ask_for_a_person(incident, Reason.FREEZE_LIFTED), detail
    incident = with_lifted(incident, lifted, now_ms)
    incident = replace(incident, refreezes=incident.refreezes + 1, refreezing=True)
    return moves.enter(incident, State.FREEZING, Reason.FREEZE_LIFTED, now_ms), detail


def _drift(incident: Incident, drifted: list[Change], detail: Detail, now_ms: int) -> Next:
    """Flip it again so many times, then leave it to people: whoever moved it may have a reason."""
    change = drifted[0]
    detail["drifted"] = {str(each.target): each.before.value for each in drifted}
    note = f"{change.target} was moved to {change.before.value} during the hold"
    incident = replace(incident, note=note)
    spent = incident.reasserts >= incident.policy.max_reasserts
    if spent or incident.reverted or not freeze_stands(incident):
        return moves.ask_for_a_person(incident, Reason.POINTER_DRIFTED), detail
    incident, op = moves.next_op(incident)
    intent = Intent(
        op=op, kind=LeverKind.POINTER, change=change, started_at_ms=now_ms, reasserts=True
    )
    incident = moves.enter(incident, State.FLIPPING, Reason.POINTER_DRIFTED, now_ms)
    incident = replace(incident, pending=intent, reasserts=incident.reasserts + 1)
    detail["op_id"] = op.op_id
    return incident, detail
