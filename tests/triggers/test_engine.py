"""The engine: what wakes it, recording rules, pages, baselines and reloads."""

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.model.events import Sample
from rollbackd.triggers.engine import Engine
from tests.triggers.rule_texts import T0, engine_of, feed, named, page, rule_file, states

SECOND = 1_000
TWO = """
- {alert: A, expr: x > 1}
- {alert: B, expr: y > 1}
"""


def test_only_rules_whose_input_changed_are_evaluated() -> None:
    """Between intervals a sample wakes its readers and nobody else."""
    engine = engine_of(TWO)
    assert engine.evaluate(T0).evaluated == 2
    assert not engine.dirty
    feed(engine, "x", 2, T0 + 1)
    assert engine.dirty
    assert engine.evaluate(T0 + 1).evaluated == 1
    assert engine.evaluate(T0 + 2).evaluated == 0


def test_the_interval_evaluates_what_nothing_changed() -> None:
    """Time alone can end a window; the group's interval sees to it."""
    engine = engine_of("- {alert: A, expr: 'absent(x)'}", group="name: g, interval: 5s")
    assert states(engine.evaluate(T0).transitions) == [("A", "firing")]
    assert engine.next_due_ms(T0) == T0 + 5 * SECOND
    feed(engine, "x", 1, T0 + 1)
    assert states(engine.evaluate(T0 + 1).transitions) == [("A", "inactive")]
    assert engine.evaluate(T0 + 300 * SECOND).transitions == []
    assert states(engine.evaluate(T0 + 305 * SECOND).transitions) == [("A", "firing")]


def test_an_engine_without_rules_idles() -> None:
    """Nothing to do is no error."""
    engine = Engine.build([])
    assert engine.evaluate(T0).evaluated == 0
    assert engine.next_due_ms(T0) > T0
    assert not engine.dirty


def test_recording_rules_feed_the_rules_behind_them() -> None:
    """Within one evaluation, in order; a vanished result goes stale at once."""
    engine = engine_of(
        """
        - {record: 'job:x:sum', expr: sum by (job) (x), labels: {from: rule}}
        - {alert: A, expr: 'job:x:sum{from="rule"} > 2'}
        """
    )
    feed(engine, "x", 2, T0, job="j", i="a")
    feed(engine, "x", 2, T0, job="j", i="b")
    found = engine.evaluate(T0)
    assert states(found.transitions) == [("A", "firing")]
    assert found.firing[0].labels == named("", alertname="A", job="j", **{"from": "rule"})
    assert states(engine.evaluate(T0 + 301 * SECOND).transitions) == [("A", "inactive")]


def test_a_rule_that_reads_a_later_one_follows_in_the_next_round() -> None:
    """Order is kept; what a later rule changed makes the engine due again."""
    engine = engine_of(
        """
        - {alert: A, expr: 'r > 1'}
        - {record: r, expr: x}
        """
    )
    feed(engine, "x", 2, T0)
    assert engine.evaluate(T0).transitions == []
    assert engine.dirty
    assert engine.next_due_ms(T0) == T0
    assert states(engine.evaluate(T0 + 100).transitions) == [("A", "firing")]
    assert not engine.dirty


def test_samples_may_come_between_two_rules() -> None:
    """Rules that follow see them; a rule that had its turn is due again."""
    engine = engine_of(TWO)
    steps = engine.evaluating(T0)
    assert next(steps).evaluated == 1
    feed(engine, "x", 2, T0)
    feed(engine, "y", 2, T0)
    *_, evaluation = steps
    assert states(evaluation.transitions) == [("B", "firing")]
    assert engine.next_due_ms(T0) == T0
    assert states(engine.evaluate(T0).transitions) == [("A", "firing")]


def test_a_recording_rule_over_its_limit_writes_nothing() -> None:
    """The failure is reported, the last good series stay."""
    engine = engine_of(
        "- {record: r, expr: x}\n- {alert: A, expr: r > 1}", group="name: g, limit: 1"
    )
    feed(engine, "x", 2, T0, i="a")
    assert len(engine.evaluate(T0).firing) == 1
    feed(engine, "x", 2, T0 + 1, i="b")
    found = engine.evaluate(T0 + 1)
    assert found.failures == [("r", "exceeded limit of 1 with 2 series")]
    assert len(found.firing) == 1


PAGED = """
- {alert: Paged, expr: 'ALERTS{alertstate="firing", alertname!="Paged", rollback="b"}'}
"""


def test_a_page_is_a_series_while_it_fires() -> None:
    """From its start until it is resolved, however long that takes."""
    engine = engine_of(PAGED)
    assert engine.set_alert(page(rollback="b"), T0 + 30 * SECOND)
    assert engine.dirty
    found = engine.evaluate(T0 + 30 * SECOND)
    assert states(found.transitions) == [("Paged", "firing")]
    assert found.firing[0].event_time_ms == T0 + 30 * SECOND
    hour = T0 + 3_600 * SECOND
    assert len(engine.evaluate(hour).firing) == 1
    assert engine.set_alert(page(rollback="b", resolved_ms=hour), hour)
    assert states(engine.evaluate(hour).transitions) == [("Paged", "inactive")]


def test_a_page_that_nobody_reads_is_not_kept() -> None:
    """Alerts without the label change nothing."""
    engine = engine_of(PAGED)
    assert not engine.set_alert(page(other="b"))
    assert not engine.dirty
    assert engine.series_count == 0


def test_an_old_resolved_notice_does_not_end_a_new_page() -> None:
    """Notices may come out of order."""
    engine = engine_of(PAGED)
    engine.set_alert(page(rollback="b", starts_ms=T0), T0)
    engine.set_alert(page(rollback="b", starts_ms=T0 - 100, resolved_ms=T0 - 50), T0 + 1)
    assert len(engine.evaluate(T0 + 2).firing) == 1


def test_a_page_that_repeats_changes_nothing() -> None:
    """The same alert again is the same series."""
    engine = engine_of(PAGED)
    for at_ms in (T0, T0 + 1, T0 + 2):
        engine.set_alert(page(rollback="b"), at_ms)
    assert engine.series_count == 1
    engine.set_alert(page(rollback="b", resolved_ms=T0 + 3), T0 + 3)
    assert engine.evaluate(T0 + 4).firing == []


def test_an_engine_starts_and_ends_a_page_again() -> None:
    """A page that comes back is a new interval of the same series."""
    engine = engine_of("- {alert: A, expr: 'sum_over_time(ALERTS{alertname=\"Page\"}[1m]) > 0'}")
    engine.set_alert(page(rollback="b"), T0)
    engine.set_alert(page(rollback="b", resolved_ms=T0 + SECOND), T0 + SECOND)
    engine.set_alert(page(rollback="b", starts_ms=T0 + 5 * SECOND), T0 + 5 * SECOND)
    assert len(engine.evaluate(T0 + 6 * SECOND).firing) == 1
    present = engine.compile('present_over_time(ALERTS{alertname="Page"}[1m])')
    assert [v for _, v in engine.query(present, T0 + 6 * SECOND)] == [1.0]


def test_a_pinned_baseline_never_goes_stale() -> None:
    """It is read at any time, can be overwritten, and says nothing of how fresh the data is."""
    engine = engine_of("- {alert: A, expr: x - ignoring (arm) baseline > 1}")
    assert engine.pin(named("baseline", service="s"), 1.0)
    feed(engine, "x", 3, T0, service="s", arm="canary")
    found = engine.evaluate(T0 + 60 * SECOND)
    assert states(found.transitions) == [("A", "firing")]
    assert found.firing[0].event_time_ms == T0
    engine.pin(named("baseline", service="s"), 2.5)
    assert states(engine.evaluate(T0 + 61 * SECOND).transitions) == [("A", "inactive")]
    baseline = engine.compile("baseline")
    assert engine.query(baseline, T0 + 10**12)[0][1] == 2.5
    assert engine.query(baseline, T0, T0 + 1)[0][1] == 2.5
    assert not engine.pin(named("unread"), 1.0)


def test_targets_keep_their_series() -> None:
    """What only an exit target reads is stored, and wakes no rule."""
    engine = Engine.build([], targets=["avg_over_time(x[10m])"])
    assert engine.ingest([Sample(named("x"), 1.0, T0)], T0).accepted == 1
    assert not engine.dirty
    assert engine.longest_window_ms == 600_000
    assert engine.query(engine.compile("avg_over_time(x[10m])"), T0) == [((), 1.0)]


def test_a_bad_target_is_refused() -> None:
    """With the place in the expression."""
    with pytest.raises(DocumentError, match=r"exit target:1:5: error: unknown function"):
        Engine.build([], targets=["1 + nosuch(x)"])


@pytest.mark.parametrize("expr", ["x[5m]", "nosuch(x)", "", "x +"])
def test_a_query_that_cannot_be_compiled_is_a_value_error(expr: str) -> None:
    """The API turns it into a 4xx."""
    with pytest.raises(ValueError, match=r"\w"):
        Engine.build([]).compile(expr)


def test_a_reload_keeps_what_did_not_change() -> None:
    """Series, baselines, pages and pending instances survive; a changed rule starts anew."""
    rules = "- {alert: A, expr: x > 1, for: 10s}\n- {alert: B, expr: x > 1, for: 10s}" + PAGED
    old = engine_of(rules)
    old.pin(named("baseline"), 7.0)
    old.set_alert(page(rollback="b"), T0)
    feed(old, "x", 2, T0)
    old.evaluate(T0)
    changed = rules.replace("alert: B, expr: x > 1", "alert: B, expr: x > 1.5")
    new = engine_of(changed + "- {alert: C, expr: baseline > 1}\n")
    new.carry_over(old)
    found = new.evaluate(T0 + 10 * SECOND)
    assert states(found.transitions) == [("A", "firing"), ("B", "pending"), ("C", "firing")]
    assert {t.rule for t in found.firing} == {"A", "Paged", "C"}
    assert found.firing[0].active_at_ms == T0


def test_a_reload_drops_what_is_no_longer_read() -> None:
    """Series of rules that are gone are forgotten."""
    old = engine_of(TWO)
    feed(old, "x", 2, T0)
    feed(old, "y", 2, T0)
    new = engine_of("- {alert: A, expr: x > 1}")
    new.carry_over(old)
    assert new.series_count == 1


def test_a_restart_without_acting_is_refill_and_evaluate() -> None:
    """Samples of the past fill the windows in any batches; the verdict is the same."""
    batches = [[Sample(named("x"), 1.0, T0 + i * SECOND)] for i in range(60)]
    one, other = (engine_of("- {alert: A, expr: 'sum_over_time(x[1m]) >= 60'}") for _ in "ab")
    for batch in batches:
        one.ingest(batch, batch[0].time_ms)
        one.evaluate(batch[0].time_ms)
    other.ingest([s for batch in batches for s in batch], T0 + 59 * SECOND)
    end = T0 + 59 * SECOND
    assert states(one.evaluate(end).firing) == states(other.evaluate(end).firing) != []


def test_build_reports_every_mistake_of_every_file() -> None:
    """One error names them all, with file, line and column."""
    files = [
        rule_file("- {alert: A, expr: 'rate(x)'}"),
        rule_file("- {record: r, expr: 'x +'}\n- {alert: C, expr: x, labels: {a: '{{ $b }}'}}"),
    ]
    with pytest.raises(DocumentError) as caught:
        Engine.build(files, targets=["y["])
    ids = [d.id for d in caught.value.diagnostics]
    assert ids == ["promql/type", "promql/syntax", "rule/template", "promql/syntax"]


def test_a_lost_partition_takes_its_instances_along() -> None:
    """What fires because of its series ends; what other partitions feed goes on."""
    engine = engine_of("- {alert: A, expr: x > 1}")
    for region, origin in (("eu", "events-0"), ("us", "events-1")):
        engine.ingest([Sample(named("x", region=region), 2.0, T0)], T0, origin)
    assert len(engine.evaluate(T0).firing) == 2
    assert engine.drop_origin("events-0") == 1
    assert engine.dirty
    found = engine.evaluate(T0 + 1)
    assert states(found.transitions) == [("A", "inactive")]
    assert [t.label("region") for t in found.firing] == ["us"]
