"""Which branch and which lever: roll back what changed (requirements C3, K8)."""

from collections.abc import Iterable

from msgspec.structs import replace

from rollbackd.incidents import approval, moves
from rollbackd.incidents import messages as m
from rollbackd.incidents.checklist import changed_pins, choose_lever
from rollbackd.incidents.freezing import freeze_stands
from rollbackd.incidents.moves import Detail, Next
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident
from rollbackd.model.policy import BranchPolicy


def next_lever(incident: Incident) -> m.Command:
    """Prepare the lever that fits best, or go on when there is none that may be pulled.

    None may be pulled without a confirmed freeze (F2), nor after the pointer was put back.
    """
    if incident.reverted or not freeze_stands(incident):
        return m.Continue()
    choice = choose_lever(incident.policy, changed_pins(incident), incident.tried)
    return m.Continue() if choice is None else m.Prepare(call=choice[1], index=choice[0])


def without_lever(incident: Incident) -> Next:
    """No lever may be pulled."""
    stands = freeze_stands(incident)
    reason = Reason.NO_LEVER_LEFT if stands else Reason.FREEZE_NOT_CONFIRMED
    return moves.ask_for_a_person(incident, reason), {"tried": incident.tried}


def fitting_branch(policy: BranchPolicy, changed: frozenset[str]) -> BranchPolicy:
    """The branch that the pins point at: this one, or one that shows the same symptoms.

    Another one only when no lever here names a pin that changed and a lever there does. A lever
    that names none fits any difference, and so points nowhere.
    """
    if not changed or _names(policy, changed):
        return policy
    rivals = (each for each in policy.shares_symptoms_with if each.mode == "act")
    return next((each for each in rivals if _names(each, changed)), policy)


def after_capture(incident: Incident, now_ms: int) -> Next:
    """Go on under the branch that the pins point at."""
    changed = changed_pins(incident)
    policy = fitting_branch(incident.policy, changed)
    if policy is incident.policy:
        return moves.forward(incident, Reason.EVIDENCE_CAPTURED, now_ms), {}
    detail: Detail = {
        "from": incident.branch,
        "to": policy.branch,
        "because": _because(changed, policy),
    }
    rival = incident.preempted_by
    if rival is not None and rival.priority >= policy.priority:
        rival = None
    incident = replace(
        incident,
        policy=policy,
        branch=policy.branch,
        branches_left=[*incident.branches_left, incident.branch],
        preempted_by=rival,
    )
    if approval.is_needed(incident):
        return approval.ask(incident, now_ms), detail
    return moves.forward(incident, Reason.PIN_DIFF_DECIDED, now_ms), detail


def stays(incident: Incident, policy: BranchPolicy) -> Next:
    """The branch that wants to take over has no lever for what changed; this one has."""
    changed = changed_pins(incident)
    incident = replace(incident, preempted_by=None, reason=Reason.PIN_DIFF_DECIDED)
    detail: Detail = {
        "from": policy.branch,
        "to": incident.branch,
        "because": _because(changed, incident.policy),
    }
    return incident, detail


def _names(policy: BranchPolicy, changed: Iterable[str]) -> bool:
    return any(set(call.reverts) & set(changed) for call in policy.levers)


def _because(changed: frozenset[str], policy: BranchPolicy) -> str:
    return f"changed pins {', '.join(sorted(changed))} are brought back by `{policy.branch}`"
