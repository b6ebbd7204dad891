"""The state machine of alert rules."""

import pytest

from tests.triggers.rule_texts import T0, engine_of, feed, named, states

SECOND = 1_000
FOR = """
- alert: A
  expr: x > 1
  for: 10s
  keep_firing_for: 5s
"""


def test_without_for_it_fires_at_once() -> None:
    """One evaluation takes a new instance to firing."""
    engine = engine_of("- {alert: A, expr: x > 1}")
    feed(engine, "x", 2, T0)
    found = engine.evaluate(T0)
    assert states(found.transitions) == [("A", "firing")]
    assert found.firing[0].fired_at_ms == T0
    assert engine.evaluate(T0 + 1).transitions == []


def test_for_is_served_before_it_fires() -> None:
    """Pending until `for` has passed, to the millisecond, and the engine says when that is."""
    engine = engine_of(FOR)
    feed(engine, "x", 2, T0)
    assert states(engine.evaluate(T0).transitions) == [("A", "pending")]
    due = T0 + 10 * SECOND
    assert engine.next_due_ms(T0) <= due
    assert engine.evaluate(due - 1).transitions == []
    assert engine.next_due_ms(due - 1) == due
    found = engine.evaluate(due)
    assert states(found.transitions) == [("A", "firing")]
    assert (found.firing[0].active_at_ms, found.firing[0].fired_at_ms) == (T0, due)


def test_a_gap_starts_for_again() -> None:
    """A pending instance that misses once is inactive."""
    engine = engine_of(FOR)
    feed(engine, "x", 2, T0)
    engine.evaluate(T0)
    feed(engine, "x", 0, T0 + SECOND)
    assert states(engine.evaluate(T0 + SECOND).transitions) == [("A", "inactive")]
    feed(engine, "x", 2, T0 + 2 * SECOND)
    assert states(engine.evaluate(T0 + 2 * SECOND).transitions) == [("A", "pending")]
    assert engine.evaluate(T0 + 11 * SECOND).transitions == []
    assert states(engine.evaluate(T0 + 12 * SECOND).transitions) == [("A", "firing")]


def test_it_keeps_firing_for_a_while() -> None:
    """`keep_firing_for` bridges a gap; coming back resets it."""
    engine = engine_of(FOR)
    feed(engine, "x", 2, T0)
    engine.evaluate(T0)
    engine.evaluate(T0 + 10 * SECOND)
    feed(engine, "x", 0, T0 + 11 * SECOND)
    found = engine.evaluate(T0 + 11 * SECOND)
    assert (found.transitions, len(found.firing)) == ([], 1)
    feed(engine, "x", 2, T0 + 14 * SECOND)
    engine.evaluate(T0 + 14 * SECOND)
    feed(engine, "x", 0, T0 + 15 * SECOND)
    engine.evaluate(T0 + 15 * SECOND)
    assert engine.evaluate(T0 + 20 * SECOND - 1).transitions == []
    assert engine.next_due_ms(T0 + 20 * SECOND - 1) == T0 + 20 * SECOND
    assert states(engine.evaluate(T0 + 20 * SECOND).transitions) == [("A", "inactive")]


def test_each_label_set_has_its_own_state() -> None:
    """Instances come and go one by one."""
    engine = engine_of("- {alert: A, expr: x > 1, labels: {team: t}}")
    feed(engine, "x", 2, T0, service="a")
    feed(engine, "x", 2, T0, service="b")
    assert len(engine.evaluate(T0).firing) == 2
    feed(engine, "x", 0, T0 + 1, service="a")
    found = engine.evaluate(T0 + 1)
    assert [t.label("service") for t in found.transitions] == ["a"]
    assert [t.labels for t in found.firing] == [
        (("alertname", "A"), ("service", "b"), ("team", "t"))
    ]


def test_values_and_annotations_follow_the_data() -> None:
    """A firing instance shows the newest value; its event time is the newest sample read."""
    engine = engine_of("- {alert: A, expr: x > 1, annotations: {s: 'is {{ $value }}'}}")
    feed(engine, "x", 2, T0)
    engine.evaluate(T0)
    feed(engine, "x", 3, T0 + 5)
    (firing,) = engine.evaluate(T0 + 7).firing
    assert (firing.value, firing.annotations) == (3, {"s": "is 3"})
    assert (firing.event_time_ms, firing.evaluated_at_ms) == (T0 + 5, T0 + 7)


def test_the_event_time_is_that_of_the_same_service() -> None:
    """A silent service does not look fresh because another one in the rule is."""
    engine = engine_of("- {alert: A, expr: 'x > 1 and on (service) y'}")
    feed(engine, "x", 2, T0, service="a")
    feed(engine, "x", 2, T0 + 60 * SECOND, service="b")
    feed(engine, "y", 2, T0 + 1, service="a")
    feed(engine, "y", 2, T0 + 60 * SECOND, service="b")
    found = engine.evaluate(T0 + 60 * SECOND)
    times = {t.label("service"): t.event_time_ms for t in found.firing}
    assert times == {"a": T0 + 1, "b": T0 + 60 * SECOND}


def test_a_failing_rule_keeps_its_state() -> None:
    """An evaluation error neither fires nor resolves; it is reported."""
    engine = engine_of("- {alert: A, expr: x + on () y > 1}")
    feed(engine, "x", 2, T0)
    feed(engine, "y", 2, T0)
    assert len(engine.evaluate(T0).firing) == 1
    feed(engine, "y", 2, T0 + 1, other="b")
    found = engine.evaluate(T0 + 1)
    assert found.transitions == []
    assert len(found.firing) == 1
    assert found.failures[0][0] == "A"
    assert "many-to-many matching not allowed" in found.failures[0][1]


def test_a_limit_that_is_exceeded_resolves_nothing() -> None:
    """Too many results fail the rule; what fires goes on firing."""
    engine = engine_of("- {alert: A, expr: x > 1}", group="name: g, limit: 1")
    feed(engine, "x", 2, T0, i="a")
    assert len(engine.evaluate(T0).firing) == 1
    feed(engine, "x", 2, T0 + 1, i="b")
    found = engine.evaluate(T0 + 1)
    assert found.failures == [("A", "exceeded limit of 1 with 2 alerts")]
    assert [t.label("i") for t in found.firing] == ["a"]


def test_labels_that_collide_fail_the_rule() -> None:
    """Two results that become one alert are an error, as in Prometheus."""
    engine = engine_of("- {alert: A, expr: x > 1, labels: {i: same}}")
    feed(engine, "x", 2, T0, i="a")
    feed(engine, "x", 2, T0, i="b")
    found = engine.evaluate(T0)
    assert found.firing == []
    assert "same labelset after applying alert labels" in found.failures[0][1]


def test_an_alert_writes_its_own_series() -> None:
    """`ALERTS` and `ALERTS_FOR_STATE` can be read by other rules, and end with the alert."""
    engine = engine_of(
        """
        - {alert: A, expr: x > 1, for: 10s}
        - {alert: B, expr: 'ALERTS{alertname="A", alertstate="firing"}'}
        - {alert: C, expr: 'time() - ALERTS_FOR_STATE{alertname="A"} >= 5'}
        """
    )
    feed(engine, "x", 2, T0)
    assert states(engine.evaluate(T0).transitions) == [("A", "pending")]
    found = engine.evaluate(T0 + 10 * SECOND, force=True)
    assert states(found.transitions) == [("A", "firing"), ("B", "firing"), ("C", "firing")]
    feed(engine, "x", 0, T0 + 11 * SECOND)
    assert states(engine.evaluate(T0 + 11 * SECOND).transitions) == [
        ("A", "inactive"), ("B", "inactive"), ("C", "inactive"),
    ]  # fmt: skip
    assert engine.query(engine.compile("ALERTS"), T0 + 11 * SECOND) == []


@pytest.mark.parametrize("seconds", [0, 1, 9])
def test_the_clock_may_step_back(seconds: int) -> None:
    """A clock that jumps back breaks nothing, and evaluation goes on."""
    engine = engine_of(FOR)
    feed(engine, "x", 2, T0 - 20 * SECOND)
    engine.evaluate(T0)
    engine.evaluate(T0 - seconds * SECOND)
    assert engine.next_due_ms(T0) <= T0 + 15 * SECOND
    assert len(engine.evaluate(T0 + 20 * SECOND).firing) == 1


def test_names_are_not_part_of_an_alert() -> None:
    """The metric name goes, the rule's labels win over the result's."""
    engine = engine_of("- {alert: A, expr: x > 1, labels: {service: other, empty: ''}}")
    feed(engine, "x", 2, T0, service="a", empty="e")
    (firing,) = engine.evaluate(T0).firing
    assert firing.labels == named("", alertname="A", service="other")
