"""Invariants of a commit: what must hold when an incident changes in the store."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rollbackd.app.simulation.tracks import Acted, Invariant, Track, control_of
from rollbackd.incidents.states import IllegalTransitionError, check_transition
from rollbackd.levers import LEVER_SPECS
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, JournalRecord, MeasureStatus, State
from rollbackd.model.levers import LeverKind, Receipt
from rollbackd.model.triggers import Verdict

if TYPE_CHECKING:
    from rollbackd.app.simulation.referee import Referee
    from rollbackd.app.simulation.replica import Life

_GIVEN_BACK: Final = {
    MeasureStatus.RESTORED,
    MeasureStatus.LEFT_ALONE,
    MeasureStatus.HANDED_OVER,
    MeasureStatus.ENDED_BY_HAND,
}


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that changed in the store: by which process, from what to what."""

    life: Any
    track: Track
    before: Incident | None
    after: Incident
    records: Sequence[JournalRecord]


#: Two readings further apart do not vouch for the time between them.
_GAP_MS: Final = 60_000

#: What may become of a measure in one step.
_MEASURES: Final = {
    MeasureStatus.REGISTERED: {
        MeasureStatus.TAKEN,
        MeasureStatus.VOID,
        MeasureStatus.LEFT_IN_FORCE,
    },
    MeasureStatus.TAKEN: {
        MeasureStatus.RESTORED,
        MeasureStatus.LEFT_ALONE,
        MeasureStatus.HANDED_OVER,
        MeasureStatus.ENDED_BY_HAND,
        MeasureStatus.LEFT_IN_FORCE,
    },
}


def _transition(referee: "Referee", commit: Commit) -> None:
    before, after, records = commit.before, commit.after, commit.records
    if before is None:
        return
    try:
        check_transition(before.state, after.state)
    except IllegalTransitionError as error:
        referee.fail(Invariant.TRANSITION, str(error), after.id)
    told = any(r.from_state is before.state and r.to_state is after.state for r in records)
    if before.state is not after.state and not told:
        message = f"{before.state} => {after.state} without a record"
        referee.fail(Invariant.TRANSITION, message, after.id)


def _one_writer(referee: "Referee", commit: Commit) -> None:
    life, before, after = commit.life, commit.before, commit.after
    if before is not None and after.epoch < before.epoch:
        message = f"the epoch of {after.id} went from {before.epoch} to {after.epoch}"
        referee.fail(Invariant.EPOCH, message, after.id)
    if not after.is_open and before is None:
        return
    owner = referee.epochs.setdefault((after.scope, after.epoch), life)
    if owner is not life:
        message = f"{after.id} moved on in two processes under epoch {after.epoch}"
        referee.fail(Invariant.ONE_WRITER, message, after.id)


def _paused(referee: "Referee", commit: Commit) -> None:
    life, before, after = commit.life, commit.before, commit.after
    if before is not None or not after.is_open or after.pulled_by or life.paused_since_ms is None:
        return
    known_ms = after.opened_at_ms - life.paused_since_ms
    if known_ms > referee.tolerance_ms:
        message = f"{after.id} was opened {known_ms / 1e3:g} s after its process knew of the pause"
        referee.fail(Invariant.PAUSED, message, after.id)


def _people(referee: "Referee", commit: Commit) -> None:
    track, before, after = commit.track, commit.before, commit.after
    for record in commit.records:
        if record.kind == "Decided":
            by = str(record.detail.get("by"))
            track.decisions = [*track.decisions, by]
            referee.acknowledged.pop((after.id, by), None)
        if record.kind == "Resumed":
            _decisions_are_kept(referee, commit)
    expired = after.reason is Reason.APPROVAL_EXPIRED
    if after.approved_by or after.pulled_by or (expired and after.is_open):
        track.approved = True
    waits = after.state in {State.NEEDS_HUMAN, State.AWAITING_APPROVAL}
    if waits and (before is None or before.state is not after.state):
        track.needed_human = track.needed_human or after.state is State.NEEDS_HUMAN
        track.silent_since_ms = referee.world.now_ms
    if not waits:
        track.silent_since_ms = None


def _decisions_are_kept(referee: "Referee", commit: Commit) -> None:
    for (incident_id, by), life in referee.acknowledged.items():
        if incident_id == commit.after.id and life is not commit.life:
            message = f"a decision of {by} was acknowledged and is in no journal"
            referee.fail(Invariant.ACKNOWLEDGED, message, incident_id)


def _intents(referee: "Referee", commit: Commit) -> None:
    life, track, before, after = commit.life, commit.track, commit.before, commit.after
    if after.pending is not None:
        known = track.acts.get(after.pending.op.op_id)
        if known is None:
            track.acts = {**track.acts, after.pending.op.op_id: Acted(intent=after.pending)}
    had = len(before.receipts) if before is not None else 0
    for receipt in after.receipts[had:]:
        acted = track.acts.get(receipt.op_id)
        if acted is None:
            message = f"a receipt of {receipt.op_id}, which was never journaled"
            referee.fail(Invariant.INTENT_FIRST, message, after.id)
            continue
        acted.received = True
        _read_back(referee, life, acted, receipt, after)


def _read_back(
    referee: "Referee", life: "Life", acted: Acted, receipt: Receipt, after: Incident
) -> None:
    if acted.intent.reverts is not None and not receipt.after:
        return  # it says itself that nothing was read
    scope, name = control_of(acted.intent)
    number, control = life.last_seen.get((scope, name), (0, None))
    written = referee.writes.get((life, scope, name), 0)
    if control is None or number < written or control.effective != receipt.after:
        saw = "nothing" if control is None or number < written else control.effective
        message = f"{receipt.op_id} was sealed as {receipt.after}, but after it {saw} was read"
        referee.fail(Invariant.READ_BACK, message, after.id)


def _ledger(referee: "Referee", commit: Commit) -> None:
    before, after = commit.before, commit.after
    now = {measure.op_id: measure.status for measure in after.ledger}
    for measure in before.ledger if before is not None else []:
        status = now.get(measure.op_id)
        if status is None:
            message = f"{measure.change.target} is no longer in the undo ledger"
            referee.fail(Invariant.LEDGER, message, after.id)
        elif status is not measure.status and status not in _MEASURES.get(measure.status, ()):
            message = f"{measure.change.target} went from {measure.status} to {status}"
            referee.fail(Invariant.LEDGER, message, after.id)


def _hold(referee: "Referee", commit: Commit) -> None:
    """Count the green time from the raw readings, as the requirements have it."""
    track, before, after = commit.track, commit.before, commit.after
    if before is None:
        return
    if after.state is State.WATCHING and before.state is not State.WATCHING:
        track.green_ms, track.last_reading, track.held = 0, None, False
        if track.flipped > track.rotated and after.policy.rotate is not None:
            message = f"{after.id} watches for green, and the cache still holds the bad answers"
            referee.fail(Invariant.ROTATED, message, after.id)
    if after.hold.read_at_ms in {before.hold.read_at_ms, None}:
        return
    number, at_ms, verdict = referee.readings.get(after.id, (0, 0, Verdict.UNKNOWN))
    if number <= track.consumed:
        return
    track.consumed = number
    last = track.last_reading
    if verdict is Verdict.RED:
        track.green_ms = 0
    elif verdict is Verdict.GREEN and last is not None and last[1] is Verdict.GREEN:
        gap = at_ms - last[0]
        track.green_ms += gap if gap <= _GAP_MS + referee.tolerance_ms else 0
    track.last_reading = at_ms, verdict
    if track.green_ms >= after.policy.hold_ms - referee.tolerance_ms:
        track.held = True


def _ended(referee: "Referee", commit: Commit) -> None:
    track, before, after = commit.track, commit.before, commit.after
    if after.is_open or before is None:
        return
    if after.id not in referee.world.reports:
        referee.fail(Invariant.REPORTED, f"{after.id} ended without a report", after.id)
    by_a_person = after.state is State.ABORTED and track.decisions
    if after.state is State.ABORTED and not track.decisions:
        referee.fail(Invariant.TRANSITION, f"{after.id} was aborted by nobody", after.id)
    in_force = {m.op_id: m for m in after.ledger if m.status is MeasureStatus.TAKEN}
    if in_force and not by_a_person:
        named = ", ".join(str(m.change.target) for m in in_force.values())
        referee.fail(Invariant.LEDGER, f"{after.id} ended while {named} is in force", after.id)
    measures = {m.op_id: m.status for m in after.ledger}
    given_up = {m.op_id for m in after.ledger if m.status is not MeasureStatus.RESTORED}
    for op_id, acted in track.acts.items():
        if acted.number is None or acted.received or by_a_person or track.needed_human:
            continue
        if measures.get(op_id) in _GIVEN_BACK:
            continue
        if referee.by_hand.get(control_of(acted.intent), 0) > acted.number:
            continue
        message = f"{acted.intent.change.target} was moved by {op_id} and never sealed"
        referee.fail(Invariant.ACTED_ENDS, message, after.id)
    _left_behind(referee, track, after, given_up if by_a_person else set())


def _left_behind(referee: "Referee", track: Track, after: Incident, accounted: set[str]) -> None:
    for op_id, acted in track.acts.items():
        lever = acted.intent.change.target.lever
        if acted.intent.reverts is not None or LEVER_SPECS[lever].kind is not LeverKind.TEMPORARY:
            continue
        control = referee.world.controls.look(*control_of(acted.intent))
        if control.op_id == op_id and control.trip is not None and op_id not in accounted:
            message = f"{after.id} ended, and {acted.intent.change.target} still is in force"
            referee.fail(Invariant.LEDGER, message, after.id)


CHECKS: Final[tuple[Callable[["Referee", Commit], None], ...]] = (
    _transition,
    _one_writer,
    _paused,
    _people,
    _intents,
    _ledger,
    _hold,
    _ended,
)
