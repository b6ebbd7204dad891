"""How an incident moves from state to state; the vocabulary that `step` is written in."""

from typing import Final

from msgspec.structs import replace

from rollbackd.incidents.checklist import calls_in
from rollbackd.incidents.freezing import in_force
from rollbackd.incidents.ledger import overdue, read_back
from rollbackd.incidents.states import next_state
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Hold, Incident, State
from rollbackd.model.levers import Op

#: What a journal record tells about a step.
Detail = dict[str, object]
#: An incident after a move, and what the journal tells of it.
Next = tuple[Incident, Detail]

#: Times that a target may move between reading and writing before we stop chasing it.
MAX_MOVED: Final = 3


def enter(incident: Incident, state: State, reason: Reason, now_ms: int) -> Incident:
    """Move to a state with the lever calls that it consists of."""
    incident = replace(
        incident,
        state=state,
        reason=reason,
        todo=calls_in(incident, state),
        refreezing=incident.refreezing and state is State.FREEZING,
    )
    if state is State.WATCHING:
        hold = Hold(not_green_since_ms=now_ms)
        return replace(
            incident,
            hold=hold,
            readings=[],
            worse_since_ms=None,
            reconciliation=None,
            restore_met_unknown=False,
        )
    if state is State.FREEZING:
        return replace(incident, frozen_at_ms=None, confirmations=[])
    return incident


def forward(incident: Incident, reason: Reason, now_ms: int) -> Incident:
    """Move to the next state in which the branch has something to do."""
    if incident.refreezing:
        return enter(incident, State.WATCHING, reason, now_ms)
    return enter(incident, next_state(incident.policy, incident.state), reason, now_ms)


def after_flip(incident: Incident, reason: Reason, now_ms: int) -> Incident:
    """What follows the flip: never watching before the cache was rotated (F1)."""
    owed = incident.policy.rotate is not None
    incident = replace(incident, flipped_at_ms=now_ms, rotation_owed=owed)
    return enter(incident, next_state(incident.policy, State.FLIPPING), reason, now_ms)


def done(incident: Incident, reason: Reason, now_ms: int) -> Incident:
    """The first call of the state is done: stay while it has others, else move on."""
    incident = pop(incident)
    if incident.state is State.ROTATING:
        incident = replace(incident, rotation_owed=False)
    if incident.todo:
        return replace(incident, reason=reason)
    if incident.state is State.FREEZING:
        incident = in_force(incident, now_ms)
        if incident.policy.freeze is not None and incident.policy.freeze.confirm:
            return replace(incident, reason=Reason.FREEZE_IN_FORCE)
    return forward(incident, reason, now_ms)


def pop(incident: Incident) -> Incident:
    """Strike the first lever call of the current state off."""
    return replace(incident, todo=incident.todo[1:])


def next_op(incident: Incident) -> tuple[Incident, Op]:
    """The name of one more act."""
    number = incident.acts + 1
    op = Op(op_id=f"{incident.id}:{number}", epoch=incident.epoch, incident_id=incident.id)
    return replace(incident, acts=number), op


def act_failed(incident: Incident, reason: Reason, now_ms: int) -> Incident:
    """A limit that cannot be put on is noted; anything else that fails needs a person.

    An unconfirmed freeze must not be followed by a flip (F2), a flip without a rotation not by
    the watch (F1), and a measure that cannot be given back must not be forgotten (F4). A limit that
    was all that the branch does leaves nothing to watch.
    """
    if incident.state is State.THROTTLING:
        incident = pop(incident)
        if incident.todo:
            return replace(incident, reason=reason)
        if not _did_something_else(incident):
            return ask_for_a_person(incident, Reason.THROTTLE_FAILED)
        return forward(incident, reason, now_ms)
    if incident.state is State.RESTORING and incident.todo:
        # The rotation that was owed: a person said to give back, and the audit will say the rest.
        return replace(pop(incident), reason=reason)
    if incident.state is State.FREEZING:
        reason = Reason.FREEZE_NOT_CONFIRMED
    return ask_for_a_person(incident, reason)


def ask_for_a_person(incident: Incident, reason: Reason) -> Incident:
    """Stop here; measures stay as they are until somebody decides."""
    return replace(incident, state=State.NEEDS_HUMAN, reason=reason, todo=[], refreezing=False)


def look_again(incident: Incident) -> Incident:
    """Read the target anew before trying again; the lever that was being flipped is free again."""
    incident = replace(incident, moved=incident.moved + 1, reason=Reason.TARGET_MOVED)
    if incident.state is State.FLIPPING:
        return replace(incident, state=State.CHOOSING, tried=incident.tried[:-1])
    return incident


def page_overdue(incident: Incident, now_ms: int) -> Next:
    """Mark measures that are past their deadline, once each."""
    late = overdue(incident, now_ms)
    fresh = [measure for measure in late if not measure.paged_overdue]
    if not fresh:
        return incident, {}
    ids = {measure.op_id for measure in fresh}
    ledger = [
        replace(each, paged_overdue=True) if each.op_id in ids else each for each in incident.ledger
    ]
    targets = [str(measure.change.target) for measure in fresh]
    note = f"past its deadline: {', '.join(targets)}"
    return replace(incident, ledger=ledger, note=note), {"overdue": targets}


def _did_something_else(incident: Incident) -> bool:
    flips = bool(incident.policy.levers) or incident.flipped_at_ms is not None
    return flips or bool(read_back(incident))
