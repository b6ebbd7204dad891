"""Rules and tree read together: every problem at once, warnings kept apart, silence measured."""

import logging
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest

from rollbackd.app.configuration import load, survey
from rollbackd.app.daemon import _log_warnings
from rollbackd.app.housekeeping import Housekeeping
from rollbackd.clock import ManualClock
from rollbackd.documents.diagnostics import DocumentError
from rollbackd.settings import (
    CloudEventsSettings,
    KafkaSettings,
    KafkaTopic,
    LintSettings,
    NotificationSettings,
    Settings,
    default_settings,
)
from rollbackd.settings.reconciliation import ListingSettings, ReconciliationSettings
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Engine
from tests.triggers.rule_texts import T0, engine_of, feed

WARNED = """
groups:
  - name: g
    rules:
      - alert: A
        expr: avg_over_time(x{arm="canary"}[5m]) > 1
        labels: {branch: quality_regression}
"""
RECORDED = "groups: [{name: g, rules: [{record: a, expr: b}]}]"
BROKEN = WARNED.replace("quality", "quantity").replace("expr:", "form: 5m\n        expr: )")


def settings(folder: Path, rules: str) -> Settings:
    (folder / "rules.yaml").write_text(rules)
    return replace(default_settings(), rules=[folder / "rules.yaml"])


def test_every_kind_of_problem_comes_in_one_run(tmp_path: Path) -> None:
    """What reading, compiling and the decision tree say, of one rule."""
    with pytest.raises(DocumentError) as caught:
        load(settings(tmp_path, BROKEN))
    ids = {d.id for d in caught.value.diagnostics}
    assert {"key/unknown", "promql/syntax", "rule/unknown-branch"} <= ids


def test_a_tree_that_cannot_be_read_hides_no_problem_of_the_rules(tmp_path: Path) -> None:
    """And the other way round."""
    (tmp_path / "tree.yaml").write_text("branches: {}\n")
    chosen = replace(settings(tmp_path, BROKEN), decision_tree=tmp_path / "tree.yaml")
    ids = {d.id for d in survey(chosen).diagnostics}
    assert {"key/missing", "tree/no-branch", "key/unknown"} <= ids
    assert "rule/unknown-branch" not in ids


def test_warnings_refuse_nothing_and_are_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A line for each when the rules are loaded."""
    configuration = load(settings(tmp_path, WARNED))
    assert {d.id for d in configuration.warnings} == {"lint/no-sample-floor", "lint/goes-silent"}
    with caplog.at_level(logging.WARNING):
        _log_warnings(configuration)
    said = [getattr(record, "because", "") for record in caplog.records]
    assert len(said) == 2
    assert all(text.startswith(f"{tmp_path}/rules.yaml:6:") for text in said)


TREE = """
exit_targets: [{name: errors, value: error_ratio, below: 0.005}]
branches:
  quality_regression:
    freeze: {lever: write_block}
    targets: [errors]
    reconcile: WORD
"""
KAFKA = KafkaSettings(bootstrap_servers=["a:1"], topics=[])
LISTED = ReconciliationSettings(
    listings=[ListingSettings(name="bank", services=["*"], file=Path("bank.csv"))]
)


def ids_of(folder: Path, tree: str, **more: Any) -> list[str]:
    """What is said of a config of one's own tree."""
    path, config = folder / "tree.yaml", folder / "rollbackd.yaml"
    path.write_text(tree)
    config.touch()
    chosen = replace(settings(folder, RECORDED), decision_tree=path, path=config, **more)
    return [d.id for d in load(chosen).warnings]


@pytest.mark.parametrize(
    ("word", "reconciliation", "said"),
    [
        ("required", ReconciliationSettings(), ["tree/no-listing"]),
        ("where_listed", ReconciliationSettings(), ["tree/no-listing"]),
        ("off", ReconciliationSettings(), []),
        ("required", LISTED, []),
        ("where_listed", LISTED, []),
    ],
)
def test_a_comparison_of_receipts_needs_a_listing(
    tmp_path: Path, word: str, reconciliation: ReconciliationSettings, said: list[str]
) -> None:
    """It refuses nothing: with `required` a person is asked, and that may be what is wanted."""
    assert ids_of(tmp_path, TREE.replace("WORD", word), reconciliation=reconciliation) == said


def test_the_shipped_tree_wants_no_listing(tmp_path: Path) -> None:
    """Its `where_listed` is nobody's wish."""
    config = tmp_path / "rollbackd.yaml"
    config.touch()
    assert load(replace(settings(tmp_path, RECORDED), path=config)).warnings == []


def test_brokers_without_topics_are_said_unless_something_needs_them(tmp_path: Path) -> None:
    """Decisions are written there, or a probe asks for a group of theirs."""
    tree = TREE.replace("WORD", "off")
    probe = "{lever: write_block, confirm: [{probe: consumers, group: writers}]}"
    told = NotificationSettings(cloudevents=CloudEventsSettings(topic="decisions"))
    read = replace(KAFKA, topics=[KafkaTopic(name="events")])
    assert ids_of(tmp_path, tree, kafka=KAFKA) == ["config/no-topics"]
    assert ids_of(tmp_path, tree, kafka=read) == []
    assert ids_of(tmp_path, tree, kafka=KAFKA, notifications=told) == []
    probing = tree.replace("{lever: write_block}", probe)
    assert ids_of(tmp_path, probing, kafka=KAFKA) == []


def test_the_settings_silence_lints(tmp_path: Path) -> None:
    """For every file."""
    silent = LintSettings(disable=frozenset({"lint/no-sample-floor", "lint/goes-silent"}))
    assert load(replace(settings(tmp_path, WARNED), lints=silent)).warnings == []


def looking_after(engine: Callable[[], Engine], telemetry: Telemetry) -> Housekeeping:
    others: dict[str, Any] = {name: Mock() for name in signature(Housekeeping).parameters}
    return Housekeeping(
        **{**others, "engine": engine, "clock": ManualClock(), "telemetry": telemetry}
    )


def test_the_metric_says_how_many_instances_of_an_alert_are_pending_and_firing() -> None:
    """Also that none is any more; rules of one name are counted together."""
    rules = (
        "- {alert: A, expr: x > 1}\n- {alert: A, expr: x > 2}\n- {alert: B, expr: x > 1, for: 1m}"
    )
    engine = engine_of(rules)
    telemetry = Telemetry(CollectorRegistry())
    housekeeping = looking_after(lambda: engine, telemetry)

    def shown(value: float, at_ms: int) -> list[float | None]:
        feed(engine, "x", value, at_ms)
        engine.evaluate(at_ms)
        housekeeping._show_rules()
        of = telemetry.registry.get_sample_value
        return [
            of("rollbackd_rule_state", {"rule": rule, "state": state})
            for rule in "AB"
            for state in ("pending", "firing")
        ]

    assert shown(9, T0) == [0, 2, 1, 0]
    assert shown(9, T0 + 60_000) == [0, 2, 0, 1]
    assert shown(0, T0 + 120_000) == [0, 0, 0, 0]


def test_the_metric_says_for_how_long_a_selector_has_matched_nothing(tmp_path: Path) -> None:
    """Also after a reload took the rule away."""
    engine = load(settings(tmp_path, WARNED)).engine
    telemetry = Telemetry(CollectorRegistry())
    housekeeping = looking_after(lambda: engine, telemetry)
    engine.evaluate(1_000)
    housekeeping._show_silences(91_000)
    name = "rollbackd_rule_selector_matched_nothing_seconds"
    labels = {"rule": "A", "selector": 'x{arm="canary"}'}
    assert telemetry.registry.get_sample_value(name, labels) == 90.0
    engine = load(settings(tmp_path, WARNED.replace("alert: A", "alert: B"))).engine
    housekeeping._show_silences(91_000)
    assert 'rule="A"' not in generate_latest(telemetry.registry).decode()
