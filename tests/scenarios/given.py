"""What stands before a scenario begins: the tree, the rules, and what is known to be good."""

from pathlib import Path
from typing import Any, Final

import yaml

from rollbackd.app.configuration import expression_problems
from rollbackd.levers import LEVER_SPECS
from rollbackd.model.controls import ControlValue
from rollbackd.model.events import KnownGood
from rollbackd.model.labels import METRIC_NAME, Labels, Scope, labels_of
from rollbackd.model.policy import DecisionTree
from rollbackd.rulefmt.decision_tree import read_decision_tree
from rollbackd.rulefmt.rule_files import RuleFile, read_rule_file
from tests.incidents.samples import PINS
from tests.scenarios.clock import START_MS
from tests.scenarios.timeline import Scenario

_RULES: Final = Path(__file__).parents[2] / "rules"
_GOOD: Final[dict[str, ControlValue]] = {
    "alias:docs_live": {"index": "docs_vA"},
    "pointer:live": {"target": "blue"},
}
INTENTS: Final[dict[str, ControlValue]] = {
    "flag:canary": {"baseline_weight": 0.9, "canary_weight": 0.1, "global_off": False},
    "alias:docs_live": {"index": "docs_vB"},
    "pointer:live": {"target": "green"},
    "throttle": {"requests_per_second": 500, "burst": 900, "breaker": "closed"},
    "cache": {"generation": 3, "namespace": "old"},
}
#: Laid over the shipped tree: the clock's figures are short, and the exit targets are what the
#: scenario says.
_SHORT: Final[dict[str, Any]] = {
    "defaults": {"hold": "30s", "first_green": "1m", "cooldown": "10m"},
    "exit_targets": [
        {
            "name": name,
            "value": f"max by (service, region) (last_over_time({metric}[3s]))",
            "below": 0.005,
        }
        for name, metric in (("errors", "error_ratio"), ("quality", "drift"))
    ],
    "branches": {
        name: {"targets": ["errors"]}
        for name in (
            "duplicate_effects",
            "retriever_mismatch",
            "quality_regression",
            "cost_or_latency",
        )
    },
}


def tree_of(changes: dict[str, Any]) -> DecisionTree:
    """The shipped tree with short figures, and with these changes."""
    shipped = yaml.safe_load((_RULES / "decision-tree.yaml").read_text())
    text = yaml.safe_dump(_laid_over(_laid_over(shipped, _SHORT), changes), sort_keys=False)
    return read_decision_tree(
        text, file="scenario tree", levers=LEVER_SPECS, check_expression=expression_problems
    )


def rule_files_of(scenario: Scenario) -> list[RuleFile]:
    """The shipped rules, and those of the scenario."""
    texts = {"when-to-pull.yaml": (_RULES / "when-to-pull.yaml").read_text()}
    if scenario.given.rules:
        texts["scenario"] = yaml.safe_dump(scenario.given.rules, sort_keys=False)
    return [read_rule_file(text, file=name) for name, text in texts.items()]


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    laid = dict(below)
    for key, value in above.items():
        under = laid.get(key)
        if value is None:
            laid.pop(key, None)
        elif isinstance(value, dict) and isinstance(under, dict):
            laid[key] = _laid_over(under, value)
        else:
            laid[key] = value
    return laid


def known_good_of(
    scope: Scope, controls: dict[str, ControlValue], now_ms: int = START_MS - 3_600_000
) -> KnownGood:
    """The set that was recorded before the rollout, with other controls laid over."""
    return KnownGood(
        scope=scope, pins=PINS, recorded_at_ms=now_ms, controls={**_GOOD, **controls},
        baseline={"delta_s": {"p95": 0.4}},
    )  # fmt: skip


def series_of(scope: str, metric: str) -> Labels:
    """A series of a service."""
    parts = Scope.parse(scope)
    return labels_of({METRIC_NAME: metric, "service": parts.service, "region": parts.region})
