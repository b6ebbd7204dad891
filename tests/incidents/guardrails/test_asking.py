"""Who is asked beside the branch that fired: the branch that the pins decide for (K8)."""

from msgspec.structs import replace

from rollbackd.incidents.guardrails import GUARDRAILS
from rollbackd.incidents.guardrails.asking import admitted, refusal
from rollbackd.incidents.guardrails.situation import Situation
from rollbackd.model.decisions import Reason
from rollbackd.model.policy import BranchPolicy, Budget
from tests.incidents.guardrails.situations import BRANCH, act, after, elsewhere, situation
from tests.incidents.samples import MINUTE, PINS, policy_of

OTHER = "retriever_mismatch"
SPENT = Budget(acts=0, per_ms=MINUTE)


def sharing(rival: BranchPolicy, *, changed: str) -> Situation:
    return situation(
        policy=policy_of(BRANCH, shares_symptoms_with=[rival]),
        pins_seen={"canary": {**PINS, changed: "new"}},
    )


def test_the_branch_that_the_pins_point_at_may_object() -> None:
    refused = refusal(sharing(policy_of(OTHER, budget=SPENT), changed="ANALYZER_CONF"), GUARDRAILS)
    assert refused is not None
    assert refused.objection.reason is Reason.BUDGET_SPENT
    assert refused.situation.policy.branch == OTHER


def test_another_branch_that_shares_symptoms_is_not_asked() -> None:
    """Nor one whose incident is open already, nor one that only observes."""
    spent = policy_of(OTHER, budget=SPENT)
    assert refusal(sharing(spent, changed="PROMPT_VER"), GUARDRAILS) is None
    there = sharing(spent, changed="ANALYZER_CONF")
    assert refusal(there, GUARDRAILS, acting=OTHER) is None
    watching = sharing(replace(spent, mode="observe"), changed="ANALYZER_CONF")
    assert refusal(watching, GUARDRAILS) is None


def test_only_branches_that_may_act_are_within_reach() -> None:
    may, spent = policy_of(OTHER), policy_of(OTHER, budget=SPENT)
    assert admitted(sharing(may, changed="PROMPT_VER"), GUARDRAILS).shares_symptoms_with == [may]
    there = sharing(spent, changed="PROMPT_VER")
    assert admitted(there, GUARDRAILS).shares_symptoms_with == []
    assert admitted(there, GUARDRAILS, acting=OTHER).shares_symptoms_with == [spent]


def test_a_branch_within_reach_has_no_lever_without_budget() -> None:
    moved = [act(n, scope=elsewhere(n), levers=["alias_revert"]) for n in range(3)]
    rival = policy_of(OTHER, lever_budget=Budget(acts=3, per_ms=60 * MINUTE))
    policy = policy_of(BRANCH, shares_symptoms_with=[rival])
    (reached,) = admitted(after(*moved, policy=policy), GUARDRAILS).shares_symptoms_with
    assert [call.lever for call in reached.levers] == ["pointer_flip", "repin"]
