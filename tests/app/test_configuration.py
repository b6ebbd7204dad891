"""Rules and tree read together: every problem at once, warnings kept apart, silence measured."""

import logging
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
from rollbackd.settings import LintSettings, Settings, default_settings
from rollbackd.telemetry import Telemetry

WARNED = """
groups:
  - name: g
    rules:
      - alert: A
        expr: avg_over_time(x{arm="canary"}[5m]) > 1
        labels: {branch: quality_regression}
"""
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


def test_the_settings_silence_lints(tmp_path: Path) -> None:
    """For every file."""
    silent = LintSettings(disable=frozenset({"lint/no-sample-floor", "lint/goes-silent"}))
    assert load(replace(settings(tmp_path, WARNED), lints=silent)).warnings == []


def test_the_metric_says_for_how_long_a_selector_has_matched_nothing(tmp_path: Path) -> None:
    """Also after a reload took the rule away."""
    engine = load(settings(tmp_path, WARNED)).engine
    telemetry = Telemetry(CollectorRegistry())
    others: dict[str, Any] = {name: Mock() for name in signature(Housekeeping).parameters}
    clock = ManualClock()
    parts = {**others, "engine": lambda: engine, "clock": clock, "telemetry": telemetry}
    housekeeping = Housekeeping(**parts)
    engine.evaluate(1_000)
    housekeeping._show_silences(91_000)
    name = "rollbackd_rule_selector_matched_nothing_seconds"
    labels = {"rule": "A", "selector": 'x{arm="canary"}'}
    assert telemetry.registry.get_sample_value(name, labels) == 90.0
    engine = load(settings(tmp_path, WARNED.replace("alert: A", "alert: B"))).engine
    housekeeping._show_silences(91_000)
    assert 'rule="A"' not in generate_latest(telemetry.registry).decode()
