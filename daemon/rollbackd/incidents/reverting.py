"""Putting pointers back: once because it got worse, or all of them because the unit asks."""

from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents import moves
from rollbackd.incidents.moves import Detail, Next
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, Intent, State
from rollbackd.model.levers import LeverKind


def begin(incident: Incident, now_ms: int) -> Next:
    """Put the pointers back for the unit; one that was never flipped is not flipped any more."""
    if not incident.flips:
        incident = replace(incident, compensation_asked=False)
        return moves.ask_for_a_person(incident, Reason.COMPENSATED), {"flips": 0}
    detail: Detail = {"flips": len(incident.flips)}
    return moves.enter(incident, State.REVERTING, Reason.COMPENSATED, now_ms), detail


def next_revert(incident: Incident, now_ms: int) -> Next:
    """Journal the intent to put the youngest flip back."""
    flip = incident.flips[-1]
    incident, op = moves.next_op(incident)
    intent = Intent(
        op=op,
        kind=LeverKind.POINTER,
        change=flip.change,
        started_at_ms=now_ms,
        reverts=flip,
    )
    return replace(incident, pending=intent), {
        "op_id": op.op_id,
        "puts_back": str(flip.change.target),
    }


def put_back(incident: Incident, event: m.GivenBack) -> Incident:
    """The youngest flip is undone, or no longer ours; then a person goes on.

    The freeze and the cache stay as they are: the namespace only moves forward.
    """
    incident = replace(incident, flips=incident.flips[:-1], reverted=True)
    if not event.restored:
        target = event.receipt.target
        incident = replace(incident, note=f"{target} was moved by somebody else and left alone")
    if incident.compensation_asked and incident.flips:
        return replace(incident, reason=Reason.FLIP_REVERTED)
    return give_up(incident, _why(incident))


def give_up(incident: Incident, reason: Reason) -> Incident:
    """Nothing more is put back by itself."""
    return moves.ask_for_a_person(replace(incident, compensation_asked=False), reason)


def _why(incident: Incident) -> Reason:
    asked = incident.compensation_asked
    return Reason.COMPENSATED if asked else Reason.WORSE_AFTER_ACTING
