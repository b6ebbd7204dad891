"""Reasons not to act, each at its boundary."""

from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.incidents.guardrails import (
    GUARDRAILS,
    GUARDRAILS_OF_A_PULL,
    Situation,
    budget_spent,
    cooldown,
    first_objection,
    no_known_good,
    observe_mode,
    paused,
    stale_data,
)
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, State
from rollbackd.model.labels import Scope
from rollbackd.model.policy import Budget
from tests.incidents.samples import (
    KNOWN_GOOD,
    MINUTE,
    NOW,
    SCOPE,
    TREE,
    opened,
    policy_of,
    trigger_of,
)
from tests.incidents.walking import Walk


def situation(**changes: Any) -> Situation:
    """A situation in which nothing stands against acting."""
    calm = Situation(
        now_ms=NOW,
        scope=SCOPE,
        policy=policy_of("quality_regression"),
        tree=TREE,
        trigger=trigger_of(),
        paused=False,
        known_good=KNOWN_GOOD,
        recent=[],
    )
    return replace(calm, **changes)


def ended(*, ago_ms: int = 0, opened_ago_ms: int | None = None, **changes: Any) -> Incident:
    """An incident that acted and was closed some time ago."""
    walk = Walk(opened())
    closed = walk.to(State.CLOSED)
    opened_at_ms = NOW - (opened_ago_ms if opened_ago_ms is not None else ago_ms + MINUTE)
    return replace(closed, closed_at_ms=NOW - ago_ms, opened_at_ms=opened_at_ms, **changes)


def test_nothing_stands_against_acting() -> None:
    """In an ordinary situation no guardrail speaks."""
    assert first_objection(situation()) is None


def test_paused_stops_everything() -> None:
    """Whatever fires."""
    assert paused(situation(paused=True)) is Reason.PAUSED


def test_observe_mode_of_the_branch_or_the_tree() -> None:
    """Either is enough."""
    assert observe_mode(situation()) is None
    observing = policy_of("quality_regression", mode="observe")
    assert observe_mode(situation(policy=observing)) is Reason.OBSERVE_MODE
    assert observe_mode(situation(tree=replace(TREE, mode="observe"))) is Reason.OBSERVE_MODE


@pytest.mark.parametrize(
    ("age_ms", "reason"),
    [
        (0, None),
        (2 * MINUTE, None),
        (2 * MINUTE + 1, Reason.STALE_DATA),
        (-MINUTE, None),
        (None, None),
    ],
)
def test_old_data_pulls_nothing(age_ms: int | None, reason: Reason | None) -> None:
    """Older than `max_event_age`; a rule over no data has no age."""
    event_time_ms = None if age_ms is None else NOW - age_ms
    assert stale_data(situation(trigger=trigger_of(event_time_ms=event_time_ms))) is reason


def test_a_pull_by_hand_has_no_data_to_be_old() -> None:
    """A person looks with their own eyes."""
    assert stale_data(situation(trigger=None)) is None


def test_a_pointer_needs_somewhere_to_go() -> None:
    """Unless the branch moves none."""
    assert no_known_good(situation(known_good=None)) is Reason.NO_KNOWN_GOOD
    needs_none = policy_of("duplicate_effects")
    assert no_known_good(situation(known_good=None, policy=needs_none)) is None


@pytest.mark.parametrize(
    ("ago_ms", "reason"),
    [(0, Reason.COOLDOWN), (30 * MINUTE - 1, Reason.COOLDOWN), (30 * MINUTE, None)],
)
def test_the_cooldown_counts_from_the_end(ago_ms: int, reason: Reason | None) -> None:
    """Of the last incident of this branch and scope that acted."""
    recent = [ended(ago_ms=5 * 60 * MINUTE), ended(ago_ms=ago_ms)]
    assert cooldown(situation(recent=recent)) is reason


def test_a_cooldown_is_of_one_branch_and_scope() -> None:
    """Others, and incidents that moved nothing, do not count."""
    recent = [
        ended(scope=Scope("rag", "us-1")),
        ended(branch="duplicate_effects"),
        ended(receipts=[]),
    ]
    assert cooldown(situation(recent=recent)) is None


def test_an_open_incident_cools_down_from_its_last_state() -> None:
    """It has no end yet."""
    recent = [replace(ended(), closed_at_ms=None, entered_at_ms=NOW - MINUTE)]
    assert cooldown(situation(recent=recent)) is Reason.COOLDOWN


def test_the_budget_of_a_branch_counts_acts_in_its_window() -> None:
    """Three in a day; the fourth is refused until the first is a day old."""
    policy = policy_of("quality_regression", budget=Budget(acts=3, per_ms=60 * MINUTE))
    hour = 60 * MINUTE
    recent = [ended(opened_ago_ms=ago) for ago in (hour - 1, MINUTE, MINUTE)]
    assert budget_spent(situation(policy=policy, recent=recent)) is Reason.BUDGET_SPENT
    older = [ended(opened_ago_ms=hour), *recent[1:]]
    assert budget_spent(situation(policy=policy, recent=older)) is None


def test_the_global_budget_counts_every_scope_and_branch() -> None:
    """One runaway rule over many services is stopped too."""
    recent = [ended(scope=Scope(f"s{i}"), branch="other") for i in range(10)]
    assert budget_spent(situation(recent=recent)) is Reason.BUDGET_SPENT
    assert budget_spent(situation(recent=recent[1:])) is None


def test_what_only_observed_spends_nothing() -> None:
    """Shadow incidents moved nothing."""
    recent = [ended(receipts=[], scope=Scope(f"s{i}")) for i in range(20)]
    assert budget_spent(situation(recent=recent)) is None


def test_a_budget_of_nothing_never_acts() -> None:
    """`acts: 0` is a way to say no."""
    policy = policy_of("quality_regression", budget=Budget(acts=0, per_ms=MINUTE))
    assert budget_spent(situation(policy=policy)) is Reason.BUDGET_SPENT


def test_guardrails_speak_in_order() -> None:
    """The first that says no gives the reason; what a person said comes first."""
    policy = policy_of("quality_regression", mode="observe", budget=Budget(acts=0, per_ms=MINUTE))
    against = situation(
        paused=True,
        policy=policy,
        trigger=trigger_of(event_time_ms=0),
        known_good=None,
        recent=[ended()],
    )
    reasons = []
    for left in range(len(GUARDRAILS)):
        reason = first_objection(against, GUARDRAILS[left:])
        reasons.append(reason)
    assert reasons == [
        Reason.PAUSED,
        Reason.OBSERVE_MODE,
        Reason.STALE_DATA,
        Reason.NO_KNOWN_GOOD,
        Reason.COOLDOWN,
        Reason.BUDGET_SPENT,
    ]


def test_a_pull_overrides_all_but_the_known_good() -> None:
    """A person may act while paused, in cooldown and over budget, but not to nowhere."""
    busy = situation(paused=True, recent=[ended()], trigger=None)
    assert first_objection(busy, GUARDRAILS_OF_A_PULL) is None
    nowhere = situation(known_good=None, trigger=None)
    assert first_objection(nowhere, GUARDRAILS_OF_A_PULL) is Reason.NO_KNOWN_GOOD
