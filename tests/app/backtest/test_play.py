"""Recordings through rules and decisions: what fires, and when."""

from pathlib import Path

import pytest

from rollbackd.app.backtest.recording import UnreadableError
from rollbackd.model.events import KnownGood
from rollbackd.model.labels import Scope
from tests.app.backtest.playing import (
    HIGH,
    PINS,
    START,
    TREE,
    decided,
    event,
    fired,
    level,
    pinned,
    played,
    seconds,
)


def rule(expr: str = "level > 10", more: str = "", group: str = "") -> str:
    return (
        HIGH.replace("level > 10", expr)
        .replace("        labels:", f"{more}        labels:")
        .replace("    interval: 15s\n", f"    interval: 15s\n{group}")
    )


def test_a_rule_fires_and_ends_when_it_would_live(tmp_path: Path) -> None:
    """An event is seen in the round after its arrival, not on the next interval."""
    findings = played(tmp_path, [pinned(), *level((1, 5), (20.01, 11), (31.5, 9))])
    assert fired(findings) == [(20.1, "High", "firing"), (31.5, "High", "inactive")]
    assert decided(findings) == [(20.1, "trigger_fired")]


def test_time_alone_fires_a_pending_rule(tmp_path: Path) -> None:
    """No event comes while `for` passes, and none is needed."""
    rules = rule(more="        for: 1m\n")
    findings = played(tmp_path, [pinned(), *level((10, 11), (200, 12))], rules=rules)
    assert fired(findings)[:2] == [(10, "High", "pending"), (70, "High", "firing")]


def test_keep_firing_for_is_honoured(tmp_path: Path) -> None:
    """vmalert's replay leaves it out; what flaps here would be two incidents there."""
    rules = rule(more="        keep_firing_for: 2m\n")
    points = level((10, 11), (20, 1), (100, 11), (110, 1), (300, 1))
    findings = played(tmp_path, [pinned(), *points], rules=rules)
    assert fired(findings) == [(10, "High", "firing"), (230, "High", "inactive")]
    assert len(findings.decisions) == 1


def test_limit_is_honoured(tmp_path: Path) -> None:
    """Over the limit a rule fails: nothing new fires, nothing that fires ends, and it is told."""
    rules = rule(group="    limit: 1\n")
    one, two = level((10, 11)), [{**e, "service": "search"} for e in level((20, 11))]
    findings = played(tmp_path, [pinned(), *one, *two, *level((30, 1))], rules=rules)
    assert fired(findings) == [
        (10, "High", "firing"),
        (30, "High", "firing"),
        (30, "High", "inactive"),
    ]
    (failure,) = findings.failures
    assert failure.message == "exceeded limit of 1 with 2 alerts"
    assert seconds(failure.first_at_ms) == 20


def test_a_decision_counts_as_open_for_the_hold_and_then_cools_down(tmp_path: Path) -> None:
    """The recording does not get better: the hold is assumed, the cooldown is production's."""
    points = level((10, 11), (60, 1), (400, 11), (420, 1), (1_000, 11), (1_010, 11))
    findings = played(tmp_path, [pinned(), *points])
    assert decided(findings) == [
        (10, "trigger_fired"),
        (400, "cooldown"),
        (1_000, "trigger_fired"),
    ]
    first = findings.decisions[0]
    assert seconds(first.until_ms) == 310
    assert first.cooldown_until_ms is not None
    assert seconds(first.cooldown_until_ms) == 910
    assert findings.decisions[2].outcome is None


def test_what_still_fires_is_acted_on_when_the_cooldown_ends(tmp_path: Path) -> None:
    """Dispatch is level-triggered, in a backtest too."""
    firing = level((400, 11), *((at, 12) for at in range(500, 1_100, 100)))
    findings = played(tmp_path, [pinned(), *level((10, 11), (60, 1)), *firing])
    assert decided(findings)[1:] == [(400, "cooldown"), (915, "trigger_fired")]
    assert seconds(findings.decisions[2].fired_at_ms) == 400


def test_a_trigger_joins_the_open_incident(tmp_path: Path) -> None:
    """One incident a scope."""
    points = level((10, 11), (60, 1), (100, 11), (400, 1))
    findings = played(tmp_path, [pinned(), *points])
    (decision,) = findings.decisions
    assert [(seconds(j.at_ms), j.answered) for j in decision.joined] == [(100, True)]


def test_a_higher_branch_takes_over(tmp_path: Path) -> None:
    """And pulls its own levers from there on."""
    rules = HIGH + (
        "      - alert: Twice\n        expr: twice > 0\n"
        "        labels: {branch: duplicate_effects}\n"
    )
    points = [*level((10, 11)), event(50, twice=1), *level((600, 1))]
    (decision,) = played(tmp_path, [pinned(), *points], rules=rules).decisions
    assert decision.branches == ["quality_regression", "duplicate_effects"]
    own, taken_over = [a.after for a in decision.acts if a.lever == "write_block"]
    assert own is not None
    assert taken_over is not None
    assert (own["scope"], taken_over["scope"]) == ("non_idempotent", "all")
    # the hold begins again with the branch that took over
    assert seconds(decision.until_ms) == 350


def test_a_takeover_that_a_guardrail_refuses_is_told(tmp_path: Path) -> None:
    """It opens no decision of its own, for the scope is busy."""
    rules = HIGH + (
        "      - alert: Twice\n        expr: twice > 0\n"
        "        labels: {branch: duplicate_effects}\n"
    )
    tree = TREE.replace("  duplicate_effects:\n", "  duplicate_effects:\n    mode: observe\n")
    points = [*level((10, 11)), event(50, twice=1), *level((60, 1))]
    findings = played(tmp_path, [pinned(), *points], rules=rules, tree=tree)
    assert decided(findings) == [(10, "trigger_fired")]
    assert findings.decisions[0].branches == ["quality_regression"]
    (ignored,) = findings.ignored
    assert (ignored.rule, ignored.scope, ignored.reason) == ("Twice", "rag/eu", "observe_mode")


def test_without_a_known_good_set_the_guardrail_says_no(tmp_path: Path) -> None:
    """As in production."""
    assert decided(played(tmp_path, level((10, 11), (20, 11)))) == [(10, "no_known_good")]


def test_a_known_good_set_from_outside_is_in_force_from_the_start(tmp_path: Path) -> None:
    """Even if it was recorded later; one in the recording replaces it."""
    outside = KnownGood(scope=Scope("rag", "eu"), pins=PINS, recorded_at_ms=(START + 9_000) * 1_000)
    findings = played(tmp_path, level((10, 11), (20, 11)), known_good=[outside])
    assert decided(findings) == [(10, "trigger_fired")]
    newer = pinned(5, baseline={"level": {"p95": 3}})
    rules = rule("level - on (service, region) baseline:level:p95 > 5")
    findings = played(
        tmp_path, [newer, *level((10, 11), (20, 11))], rules=rules, known_good=[outside]
    )
    assert fired(findings) == [(10, "High", "firing")]


def test_an_observing_tree_acts_on_nothing(tmp_path: Path) -> None:
    """And says what it would have done but for that."""
    tree = TREE.replace("defaults: {", "defaults: {mode: observe, ")
    (decision,) = played(tmp_path, [pinned(), *level((10, 11), (20, 1))], tree=tree).decisions
    assert decision.reason == "observe_mode"
    assert decision.calls
    assert not decision.would_act


def test_data_is_stale_by_event_time(tmp_path: Path) -> None:
    """`for` makes the newest sample older than max_event_age; a slow backtest does not."""
    rules = rule("max_over_time(level[10m]) > 10", "        for: 3m\n")
    findings = played(tmp_path, [pinned(), *level((10, 11)), event(400, other=1)], rules=rules)
    assert decided(findings) == [(190, "stale_data")]


def test_half_a_fleet_that_has_gone_silent_is_not_believed(tmp_path: Path) -> None:
    """As in production: what is left may be its sick half."""
    tree = TREE.replace("defaults: {", "defaults: {min_input_coverage: 0.6, ")
    both = [event(at, arm, level=5) for at in range(0, 660, 30) for arm in ("canary", "baseline")]
    left = [event(at, level=5) for at in range(660, 1_200, 30)]
    findings = played(tmp_path, [pinned(), *both, *left, *level((1_200, 11))], tree=tree)
    assert decided(findings) == [(1_200, "input_coverage")]


def test_what_names_no_scope_is_told(tmp_path: Path) -> None:
    """It would never pull anything."""
    findings = played(tmp_path, level((10, 11), (20, 11)), rules=rule("sum(level) > 10"))
    assert findings.decisions == []
    (ignored,) = findings.ignored
    assert (ignored.rule, ignored.reason, ignored.scope) == ("High", "no_scope", "")


def test_pages_of_alertmanager_are_part_of_a_recording(tmp_path: Path) -> None:
    """One language joins alerts and metrics; `resolved` ends the series."""
    labels = {"alertname": "Down", "service": "rag", "region": "eu"}
    begun = {"status": "firing", "labels": labels, "startsAt": "2026-11-20T20:00:10Z"}
    ended = {**begun, "status": "resolved", "endsAt": "2026-11-20T20:00:40Z"}
    bodies = [{"version": "4", "alerts": [each]} for each in (begun, begun, ended)]
    rules = rule('ALERTS{alertname="Down"}')
    findings = played(tmp_path, [pinned(), *bodies, *level((50, 1))], rules=rules)
    assert fired(findings) == [(10, "High", "firing"), (40, "High", "inactive")]


def test_files_are_merged_by_time(tmp_path: Path) -> None:
    """Which file an event stands in makes no difference."""
    events = [pinned(), *level((10, 11), (20, 1), (30, 12), (40, 2))]
    one = played(tmp_path, events)
    two = played(tmp_path, events[1::2], events[0::2])
    assert fired(one) == fired(two)
    assert decided(one) == decided(two)
    assert two.input.sources == [str(tmp_path / "0.ndjson"), str(tmp_path / "1.ndjson")]


def test_late_lines_are_sorted_in(tmp_path: Path) -> None:
    """Within the lateness; the clock does not go back with them."""
    findings = played(tmp_path, [pinned(), *level((10, 1), (30, 1), (20, 11), (31, 1))])
    assert fired(findings) == []
    assert findings.input.refused == {}
    late = played(tmp_path, [pinned(), *level((10, 1), (300, 1), (20, 11), (301, 1))])
    assert late.input.refused == {"too_late": 1}


def test_bad_lines_are_counted_with_their_places(tmp_path: Path) -> None:
    """And the others are used."""
    lines = [pinned(), "{broken", *level((10, 11)), '{"event": "x", "values": {"a": null}}', ""]
    findings = played(tmp_path, lines)
    assert findings.input.bad == 2
    assert [bad.place for bad in findings.input.bad_inputs] == [
        f"{tmp_path}/0.ndjson:2",
        f"{tmp_path}/0.ndjson:4",
    ]
    assert findings.input.events == 2
    assert decided(findings) == [(10, "trigger_fired")]


@pytest.mark.parametrize("lines", [[], ["", ""], ["{broken"], [{"event": "x", "ts": START}]])
def test_a_recording_without_an_event_is_no_recording(tmp_path: Path, lines: list[object]) -> None:
    """No data is not "nothing fired"."""
    with pytest.raises(UnreadableError, match="there is no event in"):
        played(tmp_path, lines)  # type: ignore[arg-type]


def test_an_endless_gap_is_passed_over(tmp_path: Path) -> None:
    """One wrong time stamp in the past must not cost a day; what is pending lives through it."""
    rules = rule(more="        for: 4m\n")
    old = {**event(0, level=11), "ts": 1_000}
    findings = played(tmp_path, [old, pinned(1), *level((10, 11), (20, 11))], rules=rules)
    (gap,) = findings.input.gaps
    assert gap.to_ms == (START + 1) * 1_000
    assert 3_600_000 < gap.from_ms < 10_000_000
    assert [(t.at_ms, str(t.state)) for t in findings.transitions[:3]] == [
        (1_000_000, "pending"),
        (1_240_000, "firing"),
        (1_305_000, "inactive"),
    ]


def test_curves_show_what_a_rule_looked_at(tmp_path: Path) -> None:
    """With the value at which it fired on the line."""
    findings = played(tmp_path, [pinned(), *level((1, 5), (20, 11), (30, 1))], with_curves=True)
    (curve,) = findings.curves
    assert (curve.expr, curve.symbol, curve.threshold) == ("level", ">", 10)
    (line,) = curve.lines
    points = dict(zip(line.times_ms, line.values, strict=True))
    assert points[(START + 20) * 1_000] == 11
    assert line.labels == {"arm": "canary", "region": "eu", "service": "rag"}
