"""Which steps ask for a person."""

from typing import Final

from rollbackd.incidents.ledger import left_in_force
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, State

_PEOPLE: Final = frozenset({State.NEEDS_HUMAN, State.AWAITING_APPROVAL})


def pages_for(before: Incident, after: Incident) -> list[Reason]:
    """Why people are asked after a step; each reason once, when it came up."""
    reasons = []
    # another branch may take over while the one before still waits for approval
    entered = after.state is not before.state or after.branch != before.branch
    if after.state in _PEOPLE and entered:
        reasons.append(after.reason)
    if after.reasserts > before.reasserts:
        reasons.append(Reason.POINTER_DRIFTED)
    if after.refreezes > before.refreezes:
        reasons.append(Reason.FREEZE_LIFTED)
    if left_in_force(after) and before.is_open and not after.is_open:
        reasons.append(Reason.MEASURES_LEFT_IN_FORCE)
    late = {each.op_id for each in after.ledger if each.paged_overdue}
    if late - {each.op_id for each in before.ledger if each.paged_overdue}:
        reasons.append(Reason.MEASURE_OVERDUE)
    return reasons
