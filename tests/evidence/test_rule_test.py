"""The recorded window as a unit test, run by rollbackd and by promtool."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from rollbackd.evidence.rule_test import NoTestError, emit_test
from rollbackd.model.events import Sample
from rollbackd.model.incidents import Incident, SeriesWindow
from rollbackd.model.labels import METRIC_NAME, labels_of
from rollbackd.model.triggers import RuleState, Trigger
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.rulefmt.test_files import read_test_file
from rollbackd.triggers.engine import Engine
from rollbackd.triggers.unit_tests import run_test_file
from tests.evidence.drift import RULES, drift_incident, rule_file
from tests.services.availability import Component, require
from tests.services.prometheus import unit_test_rules

_WHERE = {"service": "rag", "region": "eu-1"}


def fails(text: str, rules: str) -> bool:
    """Whether `rollbackd test` finds anything against it."""
    tests = read_test_file(text, file="t.yaml")
    results = run_test_file(tests, [read_rule_file(rules, file="r.yaml")])
    assert results
    return not all(result.passed for result in results)


def promtool_fails(folder: Path, text: str, rules: str) -> bool:
    """The same of `promtool test rules`."""
    require(Component.PROMTOOL)
    (folder / "rules.yaml").write_text(rules)
    (folder / "test.yaml").write_text(text)
    return unit_test_rules(folder / "test.yaml").returncode != 0


def incident_of(rules: str, samples: list[Sample], *, until_ms: int) -> Incident:
    """What is recorded when the only rule fires, played second by second."""
    engine = Engine.build([read_rule_file(rules, file="r.yaml")])
    pending = sorted(samples, key=lambda sample: sample.time_ms, reverse=True)
    for now_ms in range(samples[0].time_ms, until_ms, 1_000):
        batch = []
        while pending and pending[-1].time_ms <= now_ms:
            batch.append(pending.pop())
        engine.ingest(batch, now_ms)
        for trigger in engine.evaluate(now_ms).transitions:
            if trigger.state is RuleState.FIRING:
                return _recorded(engine, trigger)
    raise AssertionError("it never fired")


def _recorded(engine: Engine, trigger: Trigger) -> Incident:
    incident, _ = drift_incident()
    evidence = incident.evidence
    assert evidence is not None
    windows, _ = engine.windows([trigger], trigger.evaluated_at_ms, lambda _: True)
    evidence = replace(evidence, windows=windows, captured_at_ms=trigger.evaluated_at_ms)
    return replace(incident, triggers=[trigger], evidence=evidence)


def emitted(incident: Incident, rules: str) -> str:
    files = [read_rule_file(rules, file="r.yaml")]
    return emit_test(incident, files, rules=["rules.yaml"])


def alert(expr: str, *, hold: str = "") -> str:
    return (
        "groups:\n- name: g\n  rules:\n  - alert: A\n"
        f"    expr: {expr}\n{hold}    annotations: {{summary: '{{{{ $value }}}}'}}\n"
    )


def test_the_window_of_a_shipped_rule_fires_and_its_regression_is_found(tmp_path: Path) -> None:
    """With the current rule file it passes, and with a loosened threshold it fails, in both."""
    incident, _ = drift_incident()
    rules = RULES.read_text()
    text = emit_test(incident, [rule_file()], rules=["rules.yaml"])
    assert not fails(text, rules)
    assert not promtool_fails(tmp_path, text, rules)
    loosened = rules.replace(") > 0.15", ") > 0.25")
    assert loosened != rules
    assert fails(text, loosened)
    assert promtool_fails(tmp_path, text, loosened)


def test_samples_of_equal_times_all_count(tmp_path: Path) -> None:
    """They go to the steps before: the rule asks for more than there are times."""
    rules = alert("count_over_time(x[1m]) >= 300 and avg_over_time(x[1m]) > 0.5")
    series = labels_of({METRIC_NAME: "x", **_WHERE})
    samples = [Sample(series, 0.9, 100_000 + n // 30 * 1_000) for n in range(600)]
    text = emitted(incident_of(rules, samples, until_ms=200_000), rules)
    assert "interval: 10ms" in text or "interval: 1ms" in text
    assert not fails(text, rules)
    assert not promtool_fails(tmp_path, text, rules)
    assert fails(text, rules.replace(">= 300", ">= 350"))


def test_the_window_of_a_rule_with_a_for_is_repeated_before_itself(tmp_path: Path) -> None:
    """What is recorded reaches less far back than the rule has to hold."""
    rules = alert("sum by (service, region) (rate(errors_total[1m])) > 1", hold="    for: 5m\n")
    series = labels_of({METRIC_NAME: "errors_total", **_WHERE})
    samples = [Sample(series, n * 20.0, 100_000 + n * 10_000) for n in range(60)]
    incident = incident_of(rules, samples, until_ms=800_000)
    assert incident.evidence is not None
    short = [replace(w, samples=w.samples[-8:], count=8) for w in incident.evidence.windows]
    incident = replace(incident, evidence=replace(incident.evidence, windows=short))
    text = emitted(incident, rules)
    assert not fails(text, rules)
    assert not promtool_fails(tmp_path, text, rules)


def test_a_page_makes_a_test_too(tmp_path: Path) -> None:
    """`ALERTS` of an Alertmanager is a series as any other."""
    rules = alert('ALERTS{alertstate="firing", alertname="Paged"}')
    labels = {METRIC_NAME: "ALERTS", "alertname": "Paged", "alertstate": "firing", **_WHERE}
    samples = [Sample(labels_of(labels), 1.0, 100_000)]
    text = emitted(incident_of(rules, samples, until_ms=110_000), rules)
    assert not fails(text, rules)
    assert not promtool_fails(tmp_path, text, rules)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e-7, 1e21])
def test_every_number_can_be_written(tmp_path: Path, value: float) -> None:
    """As both read it."""
    rules = alert("count_over_time(x[1m]) > 2")
    series = labels_of({METRIC_NAME: "x", **_WHERE})
    samples = [Sample(series, value, 100_000 + n * 1_000) for n in range(5)]
    text = emitted(incident_of(rules, samples, until_ms=110_000), rules)
    assert not fails(text, rules)
    assert not promtool_fails(tmp_path, text, rules)


def _thinned() -> Incident:
    """Of which too little was kept: the five bad ones are lost."""
    incident, _ = drift_incident()
    assert incident.evidence is not None
    windows = [
        replace(w, samples=[w.samples[0]] * (len(w.samples) > 100) or w.samples[:3], count=w.count)
        for w in incident.evidence.windows
    ]
    return replace(incident, evidence=replace(incident.evidence, windows=windows))


def _huge() -> Incident:
    incident, _ = drift_incident()
    assert incident.evidence is not None
    window = SeriesWindow(metric="delta_s", labels={}, samples=[(1, 1.0)], count=1_000_000)
    return replace(incident, evidence=replace(incident.evidence, windows=[window]))


@pytest.mark.parametrize(
    ("incident", "because"),
    [
        (replace(drift_incident()[0], triggers=[]), "pulled by hand"),
        (replace(drift_incident()[0], evidence=None), "no window of its triggers was recorded"),
        (_thinned(), r"does not fire on the window .* of `delta_s` 1 of 3,000 samples were kept"),
        (_huge(), "1,000,000 samples"),
    ],
)
def test_what_makes_no_test_is_refused_with_the_reason(incident: Incident, because: str) -> None:
    """Rather than written and failing."""
    with pytest.raises(NoTestError, match=because):
        emit_test(incident, [rule_file()], rules=["r"])


def test_a_rule_that_is_gone_is_refused() -> None:
    """It was renamed, or another file has it."""
    with pytest.raises(NoTestError, match="have no alert `QualityDrift`"):
        emitted(drift_incident()[0], alert("x > 1"))
