"""`for` goes on after a restart, by the rules of Prometheus."""

import pytest

from rollbackd.model.triggers import RuleInstance, RuleState
from rollbackd.triggers.engine import Engine
from rollbackd.triggers.memory import RestorePolicy, resumed_at
from tests.triggers.rule_texts import T0, engine_of, feed, states

SECOND = 1_000
MINUTE = 60_000
RULE = "- {alert: A, expr: x > 1, for: 5m, labels: {branch: b}, annotations: {s: t}}"
POLICY = RestorePolicy(grace_ms=10 * SECOND, tolerance_ms=60 * MINUTE)


def before_restart(rule: str = RULE, *, seconds: int) -> list[RuleInstance]:
    """What is left of an engine whose rule held for so long, and was looked at every second."""
    engine = engine_of(rule)
    for second in range(seconds + 1):
        feed(engine, "x", 2, T0 + second * SECOND)
        engine.evaluate(T0 + second * SECOND)
    return engine.rule_instances()


def restarted(instances: list[RuleInstance], rule: str = RULE) -> Engine:
    engine = engine_of(rule)
    engine.restore(instances, POLICY)
    return engine


def holds_at(engine: Engine, second: int) -> list[tuple[str, str]]:
    """The transitions of an evaluation at which the expression holds."""
    feed(engine, "x", 2, T0 + second * SECOND)
    return states(engine.evaluate(T0 + second * SECOND).transitions)


def test_an_instance_says_what_it_is() -> None:
    (instance,) = before_restart(seconds=200)
    assert instance.state is RuleState.PENDING
    assert (instance.active_at_ms, instance.fired_at_ms) == (T0, None)
    assert instance.seen_at_ms == T0 + 200 * SECOND
    assert dict(instance.labels) == {"alertname": "A", "branch": "b"}


def test_the_time_spent_before_the_restart_counts() -> None:
    """200 s before, 40 s away, 100 s after: the outage counts neither way."""
    engine = restarted(before_restart(seconds=200))
    assert holds_at(engine, 240) == [("A", "pending")]
    assert holds_at(engine, 339) == []
    assert holds_at(engine, 340) == [("A", "firing")]
    assert engine.rule_instances()[0].active_at_ms == T0 + 40 * SECOND


def test_without_a_memory_it_starts_anew() -> None:
    engine = engine_of(RULE)
    assert holds_at(engine, 240) == [("A", "pending")]
    assert holds_at(engine, 340) == []
    assert holds_at(engine, 540) == [("A", "firing")]


def test_what_was_about_to_fire_waits_for_the_grace() -> None:
    """It had one second to go; ten have to pass after the restart."""
    engine = restarted(before_restart(seconds=299))
    assert holds_at(engine, 400) == [("A", "pending")]
    assert holds_at(engine, 409) == []
    assert holds_at(engine, 410) == [("A", "firing")]


def test_what_fired_fires_again_at_once() -> None:
    """With the times of its first life."""
    engine = restarted(before_restart(seconds=320))
    assert holds_at(engine, 400) == [("A", "firing")]
    (instance,) = engine.rule_instances()
    assert (instance.active_at_ms, instance.fired_at_ms) == (T0, T0 + 300 * SECOND)


def test_a_long_outage_is_forgotten() -> None:
    engine = restarted(before_restart(seconds=200))
    assert holds_at(engine, 200 + 3_601) == [("A", "pending")]
    assert engine.rule_instances()[0].active_at_ms == T0 + 3_801 * SECOND


@pytest.mark.parametrize(
    "changed",
    [
        RULE.replace("x > 1", "x > 1.5"),
        RULE.replace("5m", "6m"),
        RULE.replace("branch: b", "branch: c"),
        RULE.replace("branch: b", 'branch: "{{ $labels.b }}"'),
        RULE.replace("alert: A", "alert: B"),
        RULE.replace("for: 5m", "for: 5m, keep_firing_for: 1m"),
        RULE.replace("for: 5m", "for: 5s"),
    ],
)
def test_a_rule_that_changed_starts_anew(changed: str) -> None:
    """Any part of its identity; and a `for` that is shorter than the grace is not restored."""
    engine = restarted(before_restart(seconds=200), changed)
    assert not engine.restoring
    holds_at(engine, 240)
    assert engine.rule_instances()[0].active_at_ms == T0 + 240 * SECOND


def test_other_annotations_are_the_same_rule() -> None:
    engine = restarted(before_restart(seconds=200), RULE.replace("{s: t}", "{s: other}"))
    assert engine.restoring


def test_what_does_not_hold_in_time_had_ended() -> None:
    """One interval after the windows are full; until then it may only not be there yet."""
    engine = restarted(before_restart(seconds=200))
    engine.evaluate(T0 + 240 * SECOND)
    engine.evaluate(T0 + 300 * SECOND)
    assert engine.restoring
    engine.settle(T0 + 300 * SECOND)
    engine.evaluate(T0 + 314 * SECOND)
    assert engine.restoring
    engine.evaluate(T0 + 316 * SECOND)
    assert not engine.restoring
    assert holds_at(engine, 320) == [("A", "pending")]
    assert engine.rule_instances()[0].active_at_ms == T0 + 320 * SECOND


def test_the_last_look_still_counts() -> None:
    """The evaluation that ends the memory comes first."""
    engine = restarted(before_restart(seconds=200))
    engine.settle(T0 + 240 * SECOND)
    assert holds_at(engine, 260) == [("A", "pending")]
    assert engine.rule_instances()[0].active_at_ms == T0 + 60 * SECOND
    assert not engine.restoring


def test_a_reload_keeps_the_memory() -> None:
    engine = restarted(before_restart(seconds=200))
    fresh = engine_of(RULE)
    fresh.carry_over(engine)
    assert fresh.restoring
    holds_at(fresh, 240)
    assert fresh.rule_instances()[0].active_at_ms == T0 + 40 * SECOND


def test_an_instance_is_taken_up_once() -> None:
    """If it ends after the restart, it begins anew."""
    engine = restarted(before_restart(seconds=200))
    holds_at(engine, 240)
    feed(engine, "x", 0, T0 + 241 * SECOND)
    assert states(engine.evaluate(T0 + 241 * SECOND).transitions) == [("A", "inactive")]
    holds_at(engine, 242)
    assert engine.rule_instances()[0].active_at_ms == T0 + 242 * SECOND


@pytest.mark.parametrize(
    ("spent", "away", "remaining"),
    [(0, 100, 300), (100, 0, 200), (100, 50, 200), (289, 50, 11), (291, 50, 10), (300, 50, -50)],
)
def test_the_time_that_remains(spent: int, away: int, remaining: int) -> None:
    """`for: 5m` with a grace of 10 s, to the second; nothing remains of what had fired."""
    instance = RuleInstance(
        rule_id="r", rule="A", group="g", labels=(), state=RuleState.PENDING,
        active_at_ms=T0, seen_at_ms=T0 + spent * SECOND,
    )  # fmt: skip
    now_ms = instance.seen_at_ms + away * SECOND
    active_at_ms = resumed_at(instance, now_ms, for_ms=300 * SECOND, grace_ms=10 * SECOND)
    assert active_at_ms + 300 * SECOND - now_ms == remaining * SECOND
