"""Asking the guardrails of the branch that fired, and of those that the pins decide for (K8)."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from rollbackd.incidents.checklist import differing_pins
from rollbackd.incidents.choosing import fitting_branch
from rollbackd.incidents.guardrails import first_objection
from rollbackd.incidents.guardrails.by_repetition import within_budget
from rollbackd.incidents.guardrails.situation import Guardrail, Objection, Situation
from rollbackd.model.policy import BranchPolicy


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What stands against acting, and the scope and branch that it was said of."""

    situation: Situation
    objection: Objection


def refusal(
    situation: Situation, guardrails: Sequence[Guardrail], *, acting: str = ""
) -> Refusal | None:
    """What stands against the branch, or against the one that the pins point at instead.

    `acting` is a branch that acts already, which is not asked again.
    """
    objection = first_objection(situation, guardrails)
    if objection is not None:
        return Refusal(situation=situation, objection=objection)
    pointed_at = _pointed_at(situation)
    if pointed_at.branch in {situation.policy.branch, acting}:
        return None
    there = replace(situation, policy=pointed_at)
    objection = first_objection(there, guardrails)
    if objection is None:
        return None
    because = f"the pins that changed point at branch `{pointed_at.branch}`: {objection.because}"
    return Refusal(situation=there, objection=replace(objection, because=because))


def admitted(
    situation: Situation, guardrails: Sequence[Guardrail], *, acting: str = ""
) -> BranchPolicy:
    """The branch with what may be done: levers with budget left, and branches that may act.

    The pins that are captured may point elsewhere than those seen now; a branch that a guardrail
    says no to is out of reach then.
    """
    rivals = [replace(situation, policy=each) for each in situation.policy.shares_symptoms_with]
    may_act = [
        within_budget(each)
        for each in rivals
        if each.policy.branch == acting or first_objection(each, guardrails) is None
    ]
    return replace(within_budget(situation), shares_symptoms_with=may_act)


def _pointed_at(situation: Situation) -> BranchPolicy:
    known_good = situation.known_good
    changed = differing_pins(situation.pins_seen, known_good.pins if known_good else {})
    return fitting_branch(situation.policy, changed)
