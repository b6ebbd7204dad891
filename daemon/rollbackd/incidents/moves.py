"""How an incident moves from state to state; the vocabulary that `step` is written in."""

from typing import Final

from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.checklist import calls_in, changed_pins, choose_lever
from rollbackd.incidents.ledger import give_back_next, overdue, taken
from rollbackd.incidents.states import next_state
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import TERMINAL, Hold, Incident, Intent, State
from rollbackd.model.levers import LeverKind, Op
from rollbackd.model.policy import BranchPolicy

#: What a journal record tells about a step.
Detail = dict[str, object]
#: An incident after a move, and what the journal tells of it.
Next = tuple[Incident, Detail]

#: States that another branch or a person may turn from, once nothing is pending.
_BEFORE_THE_END: Final = frozenset(
    {
        State.FREEZING,
        State.CHOOSING,
        State.ROTATING,
        State.THROTTLING,
        State.WATCHING,
        State.ESCALATING,
        State.NEEDS_HUMAN,
    }
)

#: From here no other branch takes the incident over.
_ENDING: Final = frozenset({State.RESTORING, State.AUDITING}) | TERMINAL


def answers_for(state: State, rank: int, policy: BranchPolicy) -> bool:
    """Whether an incident in a state answers for a trigger of another branch.

    `rank` is the priority of the branch that it follows, or is about to follow.
    """
    return state not in _ENDING and policy.mode == "act" and policy.priority <= rank


def enter(incident: Incident, state: State, reason: Reason, now_ms: int) -> Incident:
    """Move to a state with the lever calls that it consists of."""
    incident = replace(incident, state=state, reason=reason, todo=calls_in(incident.policy, state))
    if state is State.WATCHING:
        incident = replace(incident, hold=Hold(not_green_since_ms=now_ms), readings=[])
    return incident


def forward(incident: Incident, reason: Reason, now_ms: int) -> Incident:
    """Move to the next state in which the branch has something to do."""
    return enter(incident, next_state(incident.policy, incident.state), reason, now_ms)


def after_flip(incident: Incident, reason: Reason, now_ms: int) -> Incident:
    """What follows the flip: never watching before the cache was rotated (F1)."""
    return enter(incident, next_state(incident.policy, State.FLIPPING), reason, now_ms)


def done(incident: Incident, reason: Reason, now_ms: int) -> Incident:
    """Stay while the state has calls left, else move on."""
    return replace(incident, reason=reason) if incident.todo else forward(incident, reason, now_ms)


def pop(incident: Incident) -> Incident:
    """Strike the first lever call of the current state off."""
    return replace(incident, todo=incident.todo[1:])


def act_failed(incident: Incident, reason: Reason, now_ms: int) -> Incident:
    """A limit that cannot be put on is noted; anything else that fails needs a person.

    An unconfirmed freeze must not be followed by a flip (F2), a flip without a rotation not by
    the watch (F1), and a measure that cannot be given back must not be forgotten (F4).
    """
    if incident.state is State.THROTTLING:
        return done(pop(incident), reason, now_ms)
    if incident.state is State.FREEZING:
        reason = Reason.FREEZE_NOT_CONFIRMED
    return ask_for_a_person(incident, reason)


def ask_for_a_person(incident: Incident, reason: Reason) -> Incident:
    """Stop here; measures stay as they are until somebody decides."""
    return replace(incident, state=State.NEEDS_HUMAN, reason=reason, todo=[])


def look_again(incident: Incident) -> Incident:
    """Read the target anew before trying again; the lever that was being flipped is free again."""
    incident = replace(incident, moved=incident.moved + 1, reason=Reason.TARGET_MOVED)
    if incident.state is State.FLIPPING:
        return replace(incident, state=State.CHOOSING, tried=incident.tried[:-1])
    return incident


def next_lever(incident: Incident) -> m.Command:
    """Prepare the lever that fits best, or go on when none is left."""
    choice = choose_lever(incident.policy, changed_pins(incident), incident.tried)
    return m.Continue() if choice is None else m.Prepare(call=choice[1], index=choice[0])


def without_lever(incident: Incident) -> Next:
    """No lever is left to try."""
    return ask_for_a_person(incident, Reason.NO_LEVER_LEFT), {"tried": incident.tried}


def restore_next(incident: Incident, now_ms: int) -> Next:
    """Journal the intent to give the youngest measure back, or go on when none is in force."""
    measure = give_back_next(incident)
    if measure is None:
        return enter(incident, State.AUDITING, Reason.MEASURES_RESTORED, now_ms), {}
    assert measure.applied is not None
    number = incident.acts + 1
    intent = Intent(
        op=Op(op_id=f"{incident.id}:{number}", epoch=incident.epoch, incident_id=incident.id),
        kind=LeverKind.TEMPORARY,
        change=measure.change,
        started_at_ms=now_ms,
        reverts=measure.applied,
    )
    return replace(incident, pending=intent, acts=number, reason=Reason.ACT_PLANNED), {
        "op_id": intent.op.op_id,
        "gives_back": str(measure.change.target),
    }


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


def restore_due(incident: Incident) -> bool:
    """Whether everything is given back now because a person said so."""
    return incident.restore_asked and incident.pending is None and incident.state in _BEFORE_THE_END


def takeover_due(incident: Incident) -> bool:
    """Whether another branch takes over now."""
    return (
        incident.preempted_by is not None
        and incident.pending is None
        and incident.state in _BEFORE_THE_END
    )


def take_over(incident: Incident, now_ms: int) -> Next:
    """Go on under the branch of higher priority; what was taken so far stays in the ledger."""
    assert incident.preempted_by is not None
    policy = incident.preempted_by
    if policy.rotate is None and incident.flipped_at_ms is not None:
        # the flip may still wait for its rotation, which this branch would leave out (F1)
        policy = replace(policy, rotate=incident.policy.rotate)
    detail: Detail = {
        "from": incident.branch,
        "to": policy.branch,
        "measures": len(taken(incident)),
    }
    incident = replace(
        incident, policy=policy, branch=policy.branch, preempted_by=None, tried=[], moved=0
    )
    first = next_state(policy, State.CAPTURING)
    return enter(incident, first, Reason.PREEMPTED_BY_HIGHER_BRANCH, now_ms), detail
