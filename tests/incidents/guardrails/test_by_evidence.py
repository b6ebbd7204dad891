"""Whether the trigger can be believed, and whether there is anything to go back to."""

import pytest
from msgspec.structs import replace

from rollbackd.incidents.guardrails.by_evidence import (
    input_coverage,
    known_good_is_current,
    no_known_good,
    no_recent_change,
    stale_data,
)
from rollbackd.model.decisions import Reason
from rollbackd.model.facts import ChangeEvent, ChangeKind
from tests.incidents.guardrails.situations import says, situation
from tests.incidents.samples import KNOWN_GOOD, MINUTE, NOW, PINS, SCOPE, policy_of, trigger_of


@pytest.mark.parametrize(
    ("age_ms", "reason"),
    [
        (0, None),
        (2 * MINUTE - 1, None),
        (2 * MINUTE, None),
        (2 * MINUTE + 1, Reason.STALE_DATA),
        (-MINUTE, None),
        (None, None),
    ],
)
def test_old_data_pulls_nothing(age_ms: int | None, reason: Reason | None) -> None:
    """Older than `max_event_age`; a rule over no data has no age."""
    event_time_ms = None if age_ms is None else NOW - age_ms
    assert says(stale_data, situation(trigger=trigger_of(event_time_ms=event_time_ms))) is reason


@pytest.mark.parametrize(
    ("coverage", "reason"),
    [
        (1.0, None),
        (0.5001, None),
        (0.5, None),
        (0.4999, Reason.INPUT_COVERAGE),
        (0.0, Reason.INPUT_COVERAGE),
        (None, None),
    ],
)
def test_half_of_the_series_have_to_report(coverage: float | None, reason: Reason | None) -> None:
    """What is not known, as after a start, is not held against the trigger."""
    assert says(input_coverage, situation(coverage=coverage)) is reason


def test_the_coverage_that_is_asked_for_is_a_setting() -> None:
    """0 asks for nothing."""
    for least, reason in ((0.0, None), (0.9, Reason.INPUT_COVERAGE)):
        policy = policy_of("quality_regression", min_input_coverage=least)
        assert says(input_coverage, situation(policy=policy, coverage=0.8 * bool(least))) is reason


def test_a_pull_by_hand_has_no_data_to_doubt() -> None:
    """A person looks with their own eyes."""
    assert says(stale_data, situation(trigger=None)) is None
    assert says(input_coverage, situation(trigger=None, coverage=0.0)) is None


def test_a_pointer_needs_somewhere_to_go() -> None:
    """Unless the branch moves none."""
    assert says(no_known_good, situation()) is None
    assert says(no_known_good, situation(known_good=None)) is Reason.NO_KNOWN_GOOD
    needs_none = policy_of("duplicate_effects")
    assert says(no_known_good, situation(known_good=None, policy=needs_none)) is None


CHANGE = ChangeEvent(scope=SCOPE, kind=ChangeKind.DEPLOY, subject="rag", time_ms=1)


@pytest.mark.parametrize(
    ("wants", "changes", "reason"),
    [
        (False, [], None),
        (True, [CHANGE], None),
        (True, [], Reason.NO_RECENT_CHANGE),
    ],
)
def test_a_branch_may_want_a_change_to_roll_back(
    *, wants: bool, changes: list[ChangeEvent], reason: Reason | None
) -> None:
    """A fault that nobody brought about is not undone by going back; a person may know better."""
    policy = policy_of("quality_regression", requires_change=wants)
    assert says(no_recent_change, situation(policy=policy, changes=changes)) is reason
    pulled = situation(policy=policy, changes=changes, trigger=None)
    assert says(no_recent_change, pulled) is None


BAD = {**PINS, "PROMPT_VER": "p2"}
PARTLY = {name: value for name, value in PINS.items() if name != "INDEX_HASH"}
CURRENT = Reason.KNOWN_GOOD_IS_CURRENT


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"canary": PINS}, CURRENT),
        ({"canary": {**PINS, "EXTRA": "x"}}, CURRENT),
        ({"canary": BAD}, None),
        ({"canary": BAD, "baseline": PINS}, None),
        ({"canary": PINS, "baseline": BAD}, CURRENT),
        ({"baseline": PINS, "shadow": PINS}, CURRENT),
        ({"baseline": PINS, "shadow": BAD}, None),
        ({"canary": PARTLY}, None),
        ({"canary": {}}, None),
        ({}, None),
    ],
)
def test_what_runs_already_is_nothing_to_go_back_to(
    seen: dict[str, dict[str, str]], reason: Reason | None
) -> None:
    """The suspect is the canary, else every arm; a pin that was not seen proves nothing."""
    assert says(known_good_is_current, situation(pins_seen=seen)) is reason


def test_pins_are_compared_only_where_a_pointer_goes_back() -> None:
    """A branch that only limits has nothing to compare, nor has an empty known good set."""
    limits = policy_of("cost_or_latency")
    current = {"canary": PINS}
    assert says(known_good_is_current, situation(pins_seen=current, policy=limits)) is None
    assert says(known_good_is_current, situation(pins_seen=current, known_good=None)) is None
    empty = replace(KNOWN_GOOD, pins={})
    assert says(known_good_is_current, situation(pins_seen=current, known_good=empty)) is None
