"""Which lever comes first, and what a reading does to the hold."""

import pytest
from msgspec.structs import replace

from rollbackd.incidents.checklist import (
    MAX_READING_GAP_MS,
    advance_hold,
    calls_in,
    changed_pins,
    choose_lever,
    overall,
)
from rollbackd.model.incidents import Hold, State
from rollbackd.model.triggers import Verdict
from tests.incidents.samples import PINS, evidence_of, opened, policy_of, reading

GREEN, RED, UNKNOWN = Verdict.GREEN, Verdict.RED, Verdict.UNKNOWN
FLAG, ALIAS, REPIN = "flag_off", "alias_revert", "repin"


def order_of(branch: str, *changed: str) -> list[str]:
    """The levers of a branch in the order of trying."""
    policy, tried = policy_of(branch), []
    while (choice := choose_lever(policy, frozenset(changed), tried)) is not None:
        tried.append(choice[0])
        assert policy.levers[choice[0]] == choice[1]
    return [policy.levers[i].lever for i in tried]


@pytest.mark.parametrize(
    ("branch", "changed", "order"),
    [
        ("quality_regression", ["PROMPT_VER"], [FLAG, REPIN, ALIAS]),
        ("quality_regression", ["MODEL_VER"], [FLAG, REPIN, ALIAS]),
        ("quality_regression", ["INDEX_HASH"], [ALIAS, REPIN, FLAG]),
        ("quality_regression", ["INDEX_HASH", "PROMPT_VER"], [REPIN, FLAG, ALIAS]),
        ("quality_regression", [], [FLAG, ALIAS, REPIN]),
        ("retriever_mismatch", ["INDEX_HASH"], [ALIAS, "pointer_flip", REPIN]),
        ("retriever_mismatch", ["INDEX_HASH", "EMBED_DIM"], [ALIAS, "pointer_flip", REPIN]),
        ("retriever_mismatch", ["PROMPT_VER"], ["pointer_flip", REPIN, ALIAS]),
        ("retriever_mismatch", [], [ALIAS, "pointer_flip", REPIN]),
        ("duplicate_effects", ["INDEX_HASH"], [FLAG]),
        ("cost_or_latency", ["INDEX_HASH"], []),
    ],
)
def test_what_changed_is_rolled_back_first(
    branch: str, changed: list[str], order: list[str]
) -> None:
    """The difference of pins picks the lever; without one it is the order of the tree (C3, K8)."""
    assert order_of(branch, *changed) == order


def test_a_lever_is_tried_once() -> None:
    """None is left when all were."""
    policy = policy_of("quality_regression")
    assert choose_lever(policy, frozenset(), [0, 1, 2]) is None
    assert choose_lever(policy, frozenset({"INDEX_HASH"}), [1]) == (2, policy.levers[2])


@pytest.mark.parametrize(
    ("seen", "changed"),
    [
        ({"canary": {**PINS, "PROMPT_VER": "p2"}}, {"PROMPT_VER"}),
        ({"canary": PINS, "baseline": {**PINS, "INDEX_HASH": "old"}}, set()),
        ({"blue": PINS, "green": {**PINS, "INDEX_HASH": "b2"}}, {"INDEX_HASH"}),
        ({"canary": {"PROMPT_VER": "p2", "LOCALE": "de"}}, {"PROMPT_VER"}),
        ({"canary": {}}, set()),
        ({}, set()),
    ],
)
def test_changed_pins_are_those_of_the_suspect_arm(
    seen: dict[str, dict[str, str]], changed: set[str]
) -> None:
    """The canary where there is one; only pins that the known good set has can differ."""
    assert changed_pins(replace(opened(), evidence=evidence_of(seen))) == changed


def test_without_evidence_or_known_good_nothing_is_known_to_have_changed() -> None:
    """No data picks no lever."""
    assert changed_pins(opened()) == frozenset()
    nothing_known = replace(evidence_of(), known_good_pins={})
    assert changed_pins(replace(opened(), evidence=nothing_known)) == frozenset()


def test_the_calls_of_a_state_are_those_of_its_branch() -> None:
    """Freeze and rotate are one call each, throttle a list."""
    policy = policy_of("quality_regression")
    incident = opened()
    assert calls_in(incident, State.FREEZING) == [policy.freeze]
    assert calls_in(incident, State.ROTATING) == [policy.rotate]
    assert calls_in(incident, State.THROTTLING) == policy.throttle
    assert calls_in(incident, State.WATCHING) == calls_in(incident, State.RESTORING) == []
    assert calls_in(opened("cost_or_latency"), State.FREEZING) == []


def test_giving_back_begins_with_a_rotation_that_is_owed() -> None:
    """A flip that no rotation followed is not forgotten (F1)."""
    owing = replace(opened(), rotation_owed=True)
    assert calls_in(owing, State.RESTORING) == [owing.policy.rotate]


@pytest.mark.parametrize(
    ("verdicts", "result"),
    [
        ([], UNKNOWN),
        ([GREEN], GREEN),
        ([GREEN, GREEN], GREEN),
        ([GREEN, UNKNOWN], UNKNOWN),
        ([UNKNOWN, RED, GREEN], RED),
        ([UNKNOWN], UNKNOWN),
    ],
)
def test_all_targets_are_green_or_it_is_not_green(verdicts: list[Verdict], result: Verdict) -> None:
    """Red beats unknown, unknown beats green, and nothing at all is unknown."""
    assert overall(reading(v, str(i)) for i, v in enumerate(verdicts)) is result


@pytest.mark.parametrize(
    ("gap_ms", "counted_ms"),
    [
        (5_000, 5_000),
        (MAX_READING_GAP_MS, MAX_READING_GAP_MS),
        (MAX_READING_GAP_MS + 1, 0),
        (0, 0),
        (-5_000, 0),
    ],
)
def test_only_watched_time_counts(gap_ms: int, counted_ms: int) -> None:
    """Between two green readings that are near enough to vouch for what lies between."""
    hold = Hold(green_ms=1_000, read_at_ms=100_000, verdict=GREEN, first_green_at_ms=90_000)
    after = advance_hold(hold, GREEN, 100_000 + gap_ms)
    assert after.green_ms == 1_000 + counted_ms
    assert after.read_at_ms == 100_000 + gap_ms


@pytest.mark.parametrize(
    ("before", "now", "green_ms"),
    [
        (GREEN, GREEN, 15_000),
        (GREEN, UNKNOWN, 10_000),
        (UNKNOWN, GREEN, 10_000),
        (UNKNOWN, UNKNOWN, 10_000),
        (GREEN, RED, 0),
        (UNKNOWN, RED, 0),
    ],
)
def test_unknown_stops_the_clock_and_red_sets_it_back(
    before: Verdict, now: Verdict, green_ms: int
) -> None:
    """Only green after green adds."""
    hold = Hold(green_ms=10_000, read_at_ms=100_000, verdict=before)
    assert advance_hold(hold, now, 105_000).green_ms == green_ms


def test_the_first_green_is_remembered() -> None:
    """And red after it starts the deadline anew."""
    first = advance_hold(Hold(not_green_since_ms=0), GREEN, 5_000)
    assert (first.first_green_at_ms, first.not_green_since_ms) == (5_000, None)
    red = advance_hold(first, RED, 10_000)
    assert (red.first_green_at_ms, red.not_green_since_ms) == (5_000, 10_000)
    again = advance_hold(advance_hold(red, RED, 15_000), GREEN, 20_000)
    assert (again.first_green_at_ms, again.not_green_since_ms) == (5_000, None)
