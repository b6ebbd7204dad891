"""The guardrails together: their order, who is asked when, and what holds for any situation."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from rollbackd.incidents.guardrails import (
    GUARDRAILS,
    GUARDRAILS_OF_A_PULL,
    GUARDRAILS_OF_A_TAKEOVER,
    first_objection,
)
from rollbackd.incidents.guardrails.situation import Guardrail, Objection, Situation, horizon_ms
from rollbackd.model.decisions import Reason
from rollbackd.model.history import Act, History, Latch, Trip
from rollbackd.model.incidents import State
from rollbackd.model.labels import Scope
from rollbackd.model.policy import Budget, Window
from tests.incidents.guardrails.situations import (
    BRANCH,
    act,
    elsewhere,
    opened,
    situation,
    trips,
)
from tests.incidents.samples import (
    BRANCHES,
    KNOWN_GOOD,
    MINUTE,
    NOW,
    PINS,
    SCOPE,
    TREE,
    policy_of,
    trigger_of,
)

NOTHING = Budget(acts=0, per_ms=MINUTE)


def everything_against() -> Situation:
    """Every guardrail has something to say, but those that exclude each other."""
    windows = [
        Window(name=kind, kind=kind, start_ms=0, end_ms=NOW * 2)
        for kind in ("maintenance", "change_freeze")
    ]
    tree = replace(TREE, windows=windows, change_freeze="respect", global_budget=NOTHING)
    acts = [act(n, green_at_ms=None) for n in range(3)]
    busy = [opened(n, scope=elsewhere(n)) for n in range(10, 20)]
    return situation(
        pause="drill",
        tree=tree,
        policy=policy_of(
            BRANCH,
            mode="observe",
            budget=NOTHING,
            rule_budget=NOTHING,
            lever_budget=NOTHING,
            requires_change=True,
        ),
        trigger=trigger_of(event_time_ms=0),
        coverage=0.0,
        pins_seen={"canary": PINS},
        history=History(acts=[*acts, *busy], trips=trips(10), scopes=12),
    )


def test_nothing_stands_against_acting() -> None:
    """In an ordinary situation no guardrail speaks."""
    assert first_objection(situation()) is None


def test_guardrails_speak_in_order() -> None:
    """The first that says no gives the reason; what a person said comes first."""
    against = everything_against()
    spoken = [guard(against) for guard in GUARDRAILS if guard(against) is not None]
    assert [o.reason for o in spoken if o] == [
        Reason.PAUSED,
        Reason.OBSERVE_MODE,
        Reason.MAINTENANCE_WINDOW,
        Reason.CHANGE_FREEZE,
        Reason.STALE_DATA,
        Reason.INPUT_COVERAGE,
        Reason.NO_RECENT_CHANGE,
        Reason.CORRELATED_TRIPS,
        Reason.KNOWN_GOOD_IS_CURRENT,
        Reason.INEFFECTIVE_CHAIN,
        Reason.FLAP_LATCH,
        Reason.COOLDOWN,
        Reason.BUDGET_SPENT,
        Reason.BUDGET_SPENT,
        Reason.BUDGET_SPENT,
        Reason.BUDGET_SPENT,
        Reason.CONCURRENT_INCIDENTS,
        Reason.BLAST_RADIUS,
    ]
    assert first_objection(against) == spoken[0]


def test_a_takeover_is_asked_what_is_not_about_how_much_is_acted_on() -> None:
    """The scope is being acted on already."""
    names = {guard.__name__ for guard in GUARDRAILS} - {
        g.__name__ for g in GUARDRAILS_OF_A_TAKEOVER
    }
    assert names == {
        "ineffective_chain",
        "cooldown",
        "scope_budget_spent",
        "global_budget_spent",
        "concurrent_incidents",
        "blast_radius",
    }


def test_a_pull_overrides_all_but_the_known_good() -> None:
    """A person may act while paused, in cooldown and over budget, but not to nowhere."""
    busy = replace(everything_against(), trigger=None)
    assert first_objection(busy, GUARDRAILS_OF_A_PULL) is None
    nowhere = situation(known_good=None, trigger=None)
    objection = first_objection(nowhere, GUARDRAILS_OF_A_PULL)
    assert objection is not None
    assert objection.reason is Reason.NO_KNOWN_GOOD


def test_the_horizon_reaches_as_far_as_any_limit() -> None:
    """A history that is cut shorter would forget what counts."""
    assert horizon_ms(TREE) == 24 * 60 * MINUTE
    longer = replace(TREE, branches={BRANCH: policy_of(BRANCH, cooldown_ms=48 * 60 * MINUTE)})
    assert horizon_ms(longer) == 48 * 60 * MINUTE


# For any situation

SCOPES = st.sampled_from([SCOPE, *(elsewhere(n) for n in range(6))])
MOMENTS = st.integers(-2 * 86_400_000, 86_400_000).map(lambda offset: NOW + offset)
SOME = st.one_of(st.none(), MOMENTS)
ACTS = st.builds(
    Act,
    incident_id=st.uuids().map(str),
    scope=SCOPES,
    branches=st.lists(st.sampled_from(BRANCHES), min_size=1, max_size=2),
    rules=st.lists(st.sampled_from([*BRANCHES, "x"]), max_size=2),
    levers=st.lists(st.sampled_from(["flag_off", "write_block", "throttle", "y"]), max_size=3),
    opened_at_ms=MOMENTS,
    ended_at_ms=SOME,
    state=st.sampled_from(State),
    reason=st.just(Reason.AUDIT_PASSED),
    acted=st.booleans(),
    flipped_at_ms=SOME,
    green_at_ms=SOME,
)
TRIPS = st.builds(Trip, scope=SCOPES, rule=st.sampled_from(BRANCHES), at_ms=MOMENTS)
LATCHES = st.builds(
    Latch,
    scope=SCOPES,
    branch=st.sampled_from([*BRANCHES, ""]),
    reason=st.sampled_from([Reason.FLAP_LATCH, Reason.INEFFECTIVE_CHAIN]),
    since_ms=MOMENTS,
    because=st.just("so"),
    released_at_ms=SOME,
)
HISTORIES = st.builds(
    History,
    acts=st.lists(ACTS, max_size=6),
    trips=st.lists(TRIPS, max_size=8),
    latches=st.lists(LATCHES, max_size=4),
    scopes=st.integers(0, 50),
)


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Whatever can be, sensible or not."""
    shares = st.floats(0, 1)
    policy = policy_of(
        draw(st.sampled_from(BRANCHES)),
        mode=draw(st.sampled_from(["act", "observe"])),
        min_input_coverage=draw(shares),
    )
    trigger = draw(
        st.one_of(
            st.none(),
            st.builds(trigger_of, event_time_ms=SOME, fired_at_ms=SOME),
        )
    )
    return situation(
        policy=policy,
        tree=replace(
            TREE,
            mode=draw(st.sampled_from(["act", "observe"])),
            max_blast_radius=draw(shares),
            change_freeze=draw(st.sampled_from(["exempt", "respect"])),
        ),
        trigger=trigger,
        history=draw(HISTORIES),
        pause=draw(st.one_of(st.none(), st.text(max_size=5))),
        known_good=draw(st.sampled_from([None, KNOWN_GOOD])),
        pins_seen=draw(st.sampled_from([{}, {"canary": PINS}, {"a": {}, "b": {"x": "y"}}])),
        coverage=draw(st.one_of(st.none(), shares)),
        about_to_trip=draw(st.frozensets(SCOPES)),
    )


@settings(deadline=None)
@given(situations())
def test_no_guardrail_ever_raises(about: Situation) -> None:
    """And each one that objects says what it saw, and says the same when it is asked again."""
    for guard in GUARDRAILS:
        objection = guard(about)
        assert objection is None or (isinstance(objection, Objection) and objection.because)
        assert guard(about) == objection


def more(about: Situation, draw: Any) -> Iterator[Situation]:
    """The same with more of what speaks against acting."""
    history = about.history
    acts = [*history.acts, draw(ACTS.filter(lambda a: a.green_at_ms is None))]
    yield replace(about, history=replace(history, acts=acts))
    yield replace(about, history=replace(history, trips=[*history.trips, draw(TRIPS)]))
    yield replace(about, pause="more")
    yield replace(about, about_to_trip=about.about_to_trip | {draw(SCOPES)})


#: An act that is older than the chain, and too old to count, ends it: that one is left out.
MONOTONE: tuple[Guardrail, ...] = tuple(
    guard for guard in GUARDRAILS if guard.__name__ != "ineffective_chain"
)


@settings(deadline=None)
@given(situations(), st.data())
def test_more_of_it_never_makes_a_guardrail_give_way(about: Situation, data: Any) -> None:
    """Another act, trip or pause can only add objections."""
    before = {guard.__name__ for guard in MONOTONE if guard(about) is not None}
    for worse in more(about, data.draw):
        assert before <= {g.__name__ for g in MONOTONE if g(worse) is not None}


@pytest.mark.parametrize("step", [0.25, 0.5, 0.75, 1.0])
def test_better_coverage_never_makes_it_worse(step: float) -> None:
    """What passes with less passes with more."""
    passed = [
        first_objection(situation(coverage=share / 100)) is None
        for share in range(int(step * 100) + 1)
    ]
    assert passed == sorted(passed)


def test_scopes_are_apart() -> None:
    """The samples name other scopes than the one under test."""
    assert SCOPE not in {elsewhere(n) for n in range(50)} | {Scope("x")}
