"""When a set is recorded without being asked for: everything right, without a gap, for long."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rollbackd.app.pinning.automatic import (
    AutoPin,
    PinPolicy,
    PinWatch,
    Sight,
    decided_before,
    look,
)
from rollbackd.model.controls import Control, ControlValue
from rollbackd.model.events import KnownGood
from rollbackd.model.known_good import SetStatus
from rollbackd.model.triggers import TargetReading, Verdict
from tests.app.pinning.office import GOOD, NOW, SCOPE

POLICY = PinPolicy(after_ms=60_000)
OTHER = {**GOOD, "PROMPT_VER": "p-2"}


def reading(verdict: Verdict) -> TargetReading:
    return TargetReading(name="x", verdict=verdict, value=0.0, bound=1.0, direction="below")


def flag(**weights: Any) -> Mapping[str, Control]:
    return {"flag:canary": Control(name="flag:canary", intent=weights)}


SIGHT = Sight(
    now_ms=NOW,
    paused=False,
    incident_open=False,
    cooling=False,
    controls={},
    arms={"baseline": [GOOD]},
    readings=[reading(Verdict.GREEN)],
    known=OTHER,
)
TRIPPED: ControlValue = {"level": 2}
LACKING = {name: value for name, value in GOOD.items() if name != "GIT_SHA"}


def seen(*sights: Sight, every_ms: int = 5_000) -> list[AutoPin]:
    """What one look after the other comes to."""
    watch, found = None, []
    for n, sight in enumerate(sights):
        watch, verdict = look(watch, replace(sight, now_ms=NOW + n * every_ms), POLICY)
        found.append(verdict)
    return found


def test_it_takes_the_whole_time() -> None:
    """One look short of it is not enough."""
    verdicts = seen(*[SIGHT] * 14)
    assert verdicts == [AutoPin.WAITING] * 12 + [AutoPin.PIN] * 2


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"paused": True}, AutoPin.PAUSED),
        ({"incident_open": True}, AutoPin.INCIDENT),
        ({"cooling": True}, AutoPin.COOLDOWN),
        ({"controls": {"degrade": Control(name="degrade", trip=TRIPPED)}}, AutoPin.TRIPPED),
        ({"controls": flag(baseline_weight=0.9, canary_weight=0.1)}, AutoPin.SPLIT),
        ({"controls": flag(baseline_weight=0.0, canary_weight=0.0)}, AutoPin.SPLIT),
        ({"controls": flag(canary_weight="all")}, AutoPin.SPLIT),
        ({"controls": flag(baseline_weight=0.0, canary_weight=1.0)}, AutoPin.SPLIT),
        ({"arms": {"baseline": [GOOD], "canary": [GOOD]}}, AutoPin.SPLIT),
        ({"arms": {}}, AutoPin.PINS),
        ({"arms": {"baseline": [GOOD, OTHER]}}, AutoPin.PINS),
        ({"arms": {"baseline": [LACKING]}}, AutoPin.PINS),
        ({"arms": {"baseline": [{}]}}, AutoPin.PINS),
        ({"known": GOOD}, AutoPin.KNOWN),
        ({"readings": []}, AutoPin.NOT_GREEN),
        ({"readings": [reading(Verdict.GREEN), reading(Verdict.RED)]}, AutoPin.NOT_GREEN),
        ({"readings": [reading(Verdict.UNKNOWN)]}, AutoPin.NOT_GREEN),
    ],
)
def test_whatever_is_in_the_way_begins_it_anew(change: dict[str, Any], verdict: AutoPin) -> None:
    """One look is enough."""
    verdicts = seen(*[SIGHT] * 10, replace(SIGHT, **change), *[SIGHT] * 13)
    assert verdicts == [*[AutoPin.WAITING] * 10, verdict, *[AutoPin.WAITING] * 12, AutoPin.PIN]


@pytest.mark.parametrize(("gap_ms", "goes_on"), [(30_000, True), (30_001, False)])
def test_what_nobody_saw_does_not_count(gap_ms: int, *, goes_on: bool) -> None:
    """The store was away, or the process stood still."""
    watch, _ = look(None, SIGHT, POLICY)
    watch, verdict = look(watch, replace(SIGHT, now_ms=NOW + gap_ms), POLICY)
    assert verdict is AutoPin.WAITING
    assert watch is not None
    assert (watch.since_ms == NOW) is goes_on


def test_other_pins_begin_it_anew() -> None:
    """A deployment in between is another version, with its own time."""
    other = replace(SIGHT, arms={"baseline": [OTHER]}, known=None)
    verdicts = seen(*[replace(SIGHT, known=None)] * 12, *[other] * 13)
    assert verdicts == [AutoPin.WAITING] * 24 + [AutoPin.PIN]


@pytest.mark.parametrize(
    ("controls", "arm"),
    [
        ({}, "canary"),
        (flag(baseline_weight=0.0, canary_weight=1.0), "canary"),
        (flag(baseline_weight=0, canary_weight=100), "canary"),
        (flag(baseline_weight=1.0, canary_weight=0.0), "baseline"),
        (flag(baseline_weight=0.5, canary_weight=0.5, global_off=True), "baseline"),
        ({}, "blue"),
    ],
)
def test_the_arm_with_all_of_the_weight_counts(controls: Mapping[str, Control], arm: str) -> None:
    """By its flag and by the events."""
    watch, verdict = look(None, replace(SIGHT, controls=controls, arms={arm: [GOOD]}), POLICY)
    assert watch == PinWatch(since_ms=NOW, seen_ms=NOW, arm=arm, pins=GOOD)
    assert verdict is AutoPin.WAITING


@pytest.mark.parametrize(("weight", "verdict"), [(0.98, AutoPin.SPLIT), (0.99, AutoPin.WAITING)])
def test_how_much_is_all_of_it_can_be_said(weight: float, verdict: AutoPin) -> None:
    controls = flag(baseline_weight=weight, canary_weight=1 - weight)
    policy = replace(POLICY, full_weight=0.99)
    assert look(None, replace(SIGHT, controls=controls), policy)[1] is verdict


def test_what_people_have_decided_is_not_decided_again() -> None:
    """A set that waits or was retired stays so; one that was replaced may come back."""
    known = KnownGood(scope=SCOPE, pins=GOOD, recorded_at_ms=NOW)
    assert not decided_before([], GOOD, "")
    assert decided_before([known], GOOD, known.id)
    assert not decided_before([known], GOOD, "KG-another")
    for status in (SetStatus.CANDIDATE, SetStatus.RETIRED):
        assert decided_before([replace(known, status=status)], GOOD, "")
        assert not decided_before([replace(known, status=status)], OTHER, "")


@given(st.lists(st.sampled_from([True, False]), min_size=1, max_size=60))
def test_it_never_pins_within_the_time_after_trouble(fine: list[bool]) -> None:
    """Whatever the order of good and bad looks."""
    bad = replace(SIGHT, incident_open=True)
    verdicts = seen(*[SIGHT if each else bad for each in fine])
    for at, verdict in enumerate(verdicts):
        if verdict is AutoPin.PIN:
            assert all(fine[max(0, at - 12) : at + 1])
            assert at >= 12
