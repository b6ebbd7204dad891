"""What guardrails are told of an incident."""

from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.model.history import Trip, act_of, trip_of
from rollbackd.model.incidents import State
from tests.incidents.samples import NOW, SCOPE, opened, policy_of, trigger_of
from tests.incidents.walking import Walk


def test_a_branch_that_was_left_is_remembered() -> None:
    """It may have acted before it was taken over; both rules count."""
    walk = Walk(opened("cost_or_latency"))
    walk.to(State.WATCHING)
    higher = "duplicate_effects"
    walk.say(m.TriggerJoined(trigger=trigger_of(higher), policy=policy_of(higher)))
    walk.to(State.FREEZING)
    act = act_of(walk.to(State.WATCHING))
    assert act.branches == ["cost_or_latency", "duplicate_effects"]
    assert act.rules == ["cost_or_latency", "duplicate_effects"]
    assert {"throttle", "degrade", "write_block", "flag_off"} <= set(act.levers)
    assert (act.is_open, act.acted, act.helped) == (True, True, False)


def test_only_green_and_closed_has_helped() -> None:
    """Each alone is not enough."""
    closed = Walk(opened()).to(State.CLOSED)
    assert act_of(closed).helped
    assert act_of(closed).ended_at_ms == closed.closed_at_ms
    assert not act_of(replace(closed, green_at_ms=None)).helped
    assert not act_of(replace(closed, state=State.ABORTED)).helped


def test_a_trip_is_when_the_rule_began_to_fire() -> None:
    """Not when the incident was opened for it; a pull is none."""
    incident = replace(opened(), opened_at_ms=NOW + 5, triggers=[trigger_of(fired_at_ms=NOW + 2)])
    assert trip_of(incident) == Trip(scope=SCOPE, rule="quality_regression", at_ms=NOW + 2)
    assert trip_of(replace(incident, triggers=[])) is None
