"""What turns an incident from its way once nothing is pending: a person, a branch, the unit."""

from typing import Final

from msgspec.structs import replace

from rollbackd.incidents import approval, choosing, moves, reverting
from rollbackd.incidents.checklist import changed_pins
from rollbackd.incidents.ledger import taken
from rollbackd.incidents.moves import Detail, Next
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import TERMINAL, Incident, State
from rollbackd.model.policy import BranchPolicy

_ACTING: Final = frozenset(
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
_ENDING: Final = frozenset({State.RESTORING, State.AUDITING})
#: Where each turn may be taken. The evidence of the bad state is captured whatever is said.
_RESTORES: Final = _ACTING
_TAKES_OVER: Final = _ACTING | {State.AWAITING_APPROVAL}
_COMPENSATES: Final = _TAKES_OVER | _ENDING


def answers_for(state: State, rank: int, policy: BranchPolicy) -> bool:
    """Whether an incident in a state answers for a trigger of another branch.

    `rank` is the priority of the branch that it follows, or is about to follow.
    """
    over = _ENDING | TERMINAL
    return state not in over and policy.mode == "act" and policy.priority <= rank


def turns(incident: Incident) -> bool:
    """Whether it goes elsewhere now than its state says."""
    return _compensates(incident) or _restores(incident) or _taken_over(incident)


def restores_next(incident: Incident) -> bool:
    """Whether the turn that comes next is to give everything back."""
    return _restores(incident) and not _compensates(incident)


def turn(incident: Incident, now_ms: int) -> Next:
    """Go there: what the unit needs comes first, then what a person said."""
    if _compensates(incident):
        return reverting.begin(incident, now_ms)
    if _restores(incident):
        incident = replace(incident, restore_asked=False)
        return moves.enter(incident, State.RESTORING, Reason.OPERATOR_DECISION, now_ms), {}
    return _take_over(incident, now_ms)


def _compensates(incident: Incident) -> bool:
    due = incident.compensation_asked and incident.pending is None
    return due and incident.state in _COMPENSATES


def _restores(incident: Incident) -> bool:
    return incident.restore_asked and incident.pending is None and incident.state in _RESTORES


def _taken_over(incident: Incident) -> bool:
    due = incident.preempted_by is not None and incident.pending is None
    return due and incident.state in _TAKES_OVER


def _take_over(incident: Incident, now_ms: int) -> Next:
    """Go on under the branch of higher priority; what was taken so far stays in the ledger."""
    assert incident.preempted_by is not None
    policy = choosing.fitting_branch(incident.preempted_by, changed_pins(incident))
    if policy.branch == incident.branch:
        return choosing.stays(incident, incident.preempted_by)
    if policy.rotate is None and incident.flipped_at_ms is not None:
        # the flip may wait for its rotation, now or when it is asserted again (F1)
        policy = replace(policy, rotate=incident.policy.rotate)
    if policy.reconcile == "off":
        # what made the branch before compare receipts is not undone by another symptom
        policy = replace(policy, reconcile=incident.policy.reconcile)
    detail: Detail = {
        "from": incident.branch,
        "to": policy.branch,
        "measures": len(taken(incident)),
    }
    incident = replace(
        incident,
        policy=policy,
        branch=policy.branch,
        branches_left=[*incident.branches_left, incident.branch],
        preempted_by=None,
        tried=[],
        moved=0,
        approved_by="",
        frozen_at_ms=None,
        refreezing=False,
        confirmations=[],
    )
    if policy.approval is not None:
        return approval.ask(incident, now_ms), detail
    return approval.go_on(incident, Reason.PREEMPTED_BY_HIGHER_BRANCH, now_ms), detail
