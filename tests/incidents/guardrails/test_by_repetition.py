"""How often it was done lately, and whether it helped."""

from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.incidents.guardrails.by_repetition import (
    cooldown,
    flap_latch,
    global_budget_spent,
    ineffective_chain,
    lever_budget_spent,
    rule_budget_spent,
    scope_budget_spent,
    within_budget,
)
from rollbackd.incidents.guardrails.situation import Guardrail, Situation
from rollbackd.model.decisions import Reason
from rollbackd.model.history import Act, History, Latch
from rollbackd.model.incidents import State
from rollbackd.model.labels import Scope
from rollbackd.model.policy import Budget, Repeats
from tests.incidents.guardrails.situations import (
    BRANCH,
    act,
    after,
    elsewhere,
    opened,
    says,
    situation,
)
from tests.incidents.samples import MINUTE, NOW, SCOPE, TREE, policy_of

HOUR = 60 * MINUTE


# Cooldown


@pytest.mark.parametrize(
    ("ago_ms", "reason"),
    [
        (-1, Reason.COOLDOWN),
        (0, Reason.COOLDOWN),
        (30 * MINUTE - 1, Reason.COOLDOWN),
        (30 * MINUTE, None),
        (30 * MINUTE + 1, None),
    ],
)
def test_the_cooldown_counts_from_the_end(ago_ms: int, reason: Reason | None) -> None:
    """Of the last incident of this branch and scope that acted."""
    assert says(cooldown, after(act(1, ago_ms=5 * HOUR), act(2, ago_ms=ago_ms))) is reason


@pytest.mark.parametrize(
    "other",
    [
        {"scope": Scope("rag", "us-1")},
        {"branches": ["duplicate_effects"]},
        {"acted": False},
        {"ended_at_ms": None},
    ],
)
def test_a_cooldown_is_of_one_branch_and_scope(other: dict[str, Any]) -> None:
    """Others do not count, nor does what moved nothing; one that is open has not ended."""
    assert says(cooldown, after(act(**other))) is None


def test_a_branch_that_was_taken_over_cools_down_too() -> None:
    """It acted before another one took the incident over."""
    assert says(cooldown, after(act(branches=[BRANCH, "duplicate_effects"]))) is Reason.COOLDOWN


# Budgets


def spending(count: int, **changes: Any) -> list[Act]:
    return [act(n, opened_at_ms=NOW - MINUTE, **changes) for n in range(count)]


LIMITED = policy_of(
    BRANCH,
    budget=Budget(acts=3, per_ms=HOUR),
    rule_budget=Budget(acts=4, per_ms=HOUR),
    lever_budget=Budget(acts=5, per_ms=HOUR),
)
#: guardrail, how much it allows, what an act has to be to count, what does not count
BUDGETS: list[tuple[Guardrail, int, dict[str, Any], dict[str, Any]]] = [
    (scope_budget_spent, 3, {}, {"scope": Scope("rag", "us-1")}),
    (scope_budget_spent, 3, {"branches": [BRANCH, "other"]}, {"branches": ["other"]}),
    (rule_budget_spent, 4, {"scope": Scope("x")}, {"rules": ["another"]}),
    (lever_budget_spent, 5, {"scope": Scope("x")}, {"levers": ["degrade"]}),
    (global_budget_spent, 10, {"scope": Scope("x"), "branches": ["y"]}, {"acted": False}),
]


@pytest.mark.parametrize(("guardrail", "allowed", "counts", "not_"), BUDGETS)
def test_a_budget_is_spent_at_its_limit(
    guardrail: Guardrail, allowed: int, counts: dict[str, Any], not_: dict[str, Any]
) -> None:
    """Under it, at it, over it; and what is somebody else's is not counted."""
    for count in (allowed - 1, allowed, allowed + 1):
        reason = Reason.BUDGET_SPENT if count >= allowed else None
        assert says(guardrail, after(*spending(count, **counts), policy=LIMITED)) is reason
    others = spending(20, **{**counts, **not_})
    assert says(guardrail, after(*others, policy=LIMITED)) is None


@pytest.mark.parametrize(("ago_ms", "spent"), [(HOUR - 1, True), (HOUR, False), (HOUR + 1, False)])
def test_a_budget_is_of_the_time_before(ago_ms: int, *, spent: bool) -> None:
    """The oldest act falls out of it when it is as old as the window."""
    acts = [*spending(2), act(9, opened_at_ms=NOW - ago_ms)]
    reason = says(scope_budget_spent, after(*acts, policy=LIMITED))
    assert reason is (Reason.BUDGET_SPENT if spent else None)


def test_what_is_open_spends_before_it_acts() -> None:
    """Ten that open at once must not all find the budget untouched."""
    waiting = [opened(n, opened_at_ms=NOW) for n in range(3)]
    assert says(scope_budget_spent, after(*waiting, policy=LIMITED)) is Reason.BUDGET_SPENT


def test_a_budget_of_nothing_never_acts() -> None:
    """`acts: 0` is a way to say no."""
    policy = policy_of(BRANCH, budget=Budget(acts=0, per_ms=MINUTE))
    assert says(scope_budget_spent, situation(policy=policy)) is Reason.BUDGET_SPENT


def test_a_pull_has_no_rule_to_spend() -> None:
    """The budget is of the rule."""
    assert says(rule_budget_spent, after(*spending(9), policy=LIMITED, trigger=None)) is None


@pytest.mark.parametrize(
    ("branch", "spent", "refused"),
    [
        (BRANCH, ["flag_off"], False),
        (BRANCH, ["flag_off", "alias_revert", "repin"], True),
        (BRANCH, ["write_block"], True),
        (BRANCH, ["cache_rotate"], True),
        (BRANCH, ["throttle"], False),
        ("cost_or_latency", ["throttle"], False),
        ("cost_or_latency", ["throttle", "degrade"], True),
    ],
)
def test_a_branch_goes_on_with_the_levers_that_are_left(
    branch: str, spent: list[str], *, refused: bool
) -> None:
    """One pointer is enough; the freeze and the rotation have no replacement."""
    policy = policy_of(branch, lever_budget=Budget(acts=5, per_ms=HOUR))
    about = after(*spending(5, levers=spent, scope=Scope("x")), policy=policy)
    assert says(lever_budget_spent, about) is (Reason.BUDGET_SPENT if refused else None)
    left = [call.lever for call in within_budget(about).levers]
    assert left == [call.lever for call in policy.levers if call.lever not in spent]


# The chain that did not help


def in_vain(number: int, **changes: Any) -> Act:
    return act(number, ago_ms=number * HOUR, **{"green_at_ms": None, **changes})


@pytest.mark.parametrize(
    ("acts", "breaks"),
    [
        ([in_vain(1)], False),
        ([in_vain(2), in_vain(1)], True),
        ([in_vain(3), in_vain(2), in_vain(1)], True),
        ([in_vain(3), act(2, ago_ms=2 * HOUR), in_vain(1)], False),
        ([in_vain(2), act(1, ago_ms=HOUR, state=State.ABORTED)], True),
        ([in_vain(2), in_vain(1, state=State.CLOSED)], True),
        ([in_vain(3), in_vain(2), act(1, ago_ms=HOUR)], False),
        ([in_vain(2), in_vain(1, acted=False)], False),
        ([in_vain(2), in_vain(1, scope=Scope("x"))], False),
        ([in_vain(2), in_vain(1, branches=["other"])], True),
        ([in_vain(30), in_vain(1)], False),
        ([in_vain(24), in_vain(1)], False),
        ([in_vain(23), in_vain(1)], True),
        ([in_vain(2), in_vain(1), opened(0, acted=True)], True),
    ],
)
def test_two_acts_that_did_not_help_are_enough(acts: list[Act], *, breaks: bool) -> None:
    """In a row, within a day, along any branch; being closed is no help unless it was green."""
    assert says(ineffective_chain, after(*acts)) is (Reason.INEFFECTIVE_CHAIN if breaks else None)


# Flapping


def flaps(*hours_ago: float) -> list[Act]:
    return [
        act(n, opened_at_ms=(at := NOW - round(ago * HOUR)) - MINUTE, flipped_at_ms=at)
        for n, ago in enumerate(hours_ago)
    ]


@pytest.mark.parametrize(
    ("acts", "latched"),
    [
        (flaps(1, 2), False),
        (flaps(1, 2, 3), True),
        (flaps(1, 2, 3, 4), True),
        (flaps(1, 2, 6), False),
        (flaps(1, 2, 5.99), True),
        ([*flaps(1, 2), act(9, ago_ms=HOUR, branches=["other"])], False),
        ([*flaps(1, 2), act(9, ago_ms=HOUR, scope=Scope("x"))], False),
        ([*flaps(1, 2), act(9, ago_ms=HOUR, acted=False)], False),
        ([*flaps(1, 2), act(9, ago_ms=HOUR, flipped_at_ms=None)], True),
    ],
)
def test_three_flips_in_six_hours_latch(acts: list[Act], *, latched: bool) -> None:
    """Of one scope along one branch; without a pointer, an incident counts from its opening."""
    assert says(flap_latch, after(*acts)) is (Reason.FLAP_LATCH if latched else None)


def latch(branch: str, reason: Reason, **changes: Any) -> Latch:
    settings: dict[str, Any] = {"scope": SCOPE, "since_ms": NOW - HOUR, "because": "it was so"}
    return Latch(branch=branch, reason=reason, **{**settings, **changes})


LATCHES: list[tuple[Guardrail, str, Reason, list[Act]]] = [
    (flap_latch, BRANCH, Reason.FLAP_LATCH, flaps(1, 2, 3)),
    (ineffective_chain, "", Reason.INEFFECTIVE_CHAIN, [in_vain(2), in_vain(1)]),
]


@pytest.mark.parametrize(("guardrail", "branch", "reason", "acts"), LATCHES)
def test_a_latch_holds_until_it_is_released(
    guardrail: Guardrail, branch: str, reason: Reason, acts: list[Act]
) -> None:
    """Even when the acts are long forgotten; after its release only what came later counts."""

    def about(*latches: Latch, acts: list[Act]) -> Situation:
        return situation(history=History(acts=acts, latches=list(latches), scopes=10))

    held = latch(branch, reason)
    assert says(guardrail, about(held, acts=[])) is reason
    assert says(guardrail, about(latch(branch, reason, scope=Scope("x")), acts=[])) is None
    other = latch("other", reason)
    assert says(guardrail, about(other, acts=[])) is None
    released = latch(branch, reason, released_at_ms=NOW - 1)
    assert says(guardrail, about(released, acts=acts)) is None
    before = latch(branch, reason, released_at_ms=NOW - 9 * HOUR)
    assert says(guardrail, about(before, acts=acts)) is reason


def test_the_limits_are_settings() -> None:
    """Of the tree."""
    tree = replace(
        TREE,
        flap_latch=Repeats(times=1, within_ms=HOUR),
        ineffective_chain=Repeats(times=1, within_ms=HOUR),
        global_budget=Budget(acts=1, per_ms=HOUR),
    )
    assert says(flap_latch, after(*flaps(0.5), tree=tree)) is Reason.FLAP_LATCH
    assert says(ineffective_chain, after(in_vain(0), tree=tree)) is Reason.INEFFECTIVE_CHAIN
    busy = act(scope=elsewhere(1), opened_at_ms=NOW)
    assert says(global_budget_spent, after(busy, tree=tree)) is Reason.BUDGET_SPENT
