"""Labels are those of the plan, and are read back as they were written."""

import pytest

from rollbackd.app.backtest.labels import read_labels
from rollbackd.app.generating.labels import labels_of, write_labels
from rollbackd.app.generating.plans import draw
from rollbackd.app.generating.scenario import Kind
from rollbackd.app.generating.scenarios import SCENARIOS
from tests.app.generating.measuring import START_MS

BRANCHES = ("duplicate_effects", "retriever_mismatch", "quality_regression", "cost_or_latency")


@pytest.mark.parametrize("name", SCENARIOS)
def test_labels_are_read_back_as_they_were_written(name: str) -> None:
    """One from the onset to the end for what is bad, none for what is healthy."""
    plan = draw(SCENARIOS[name], seed=3, start_ms=START_MS)
    labels = labels_of(plan)
    assert read_labels(write_labels(labels), file="labels.yaml", branches=BRANCHES) == labels
    if plan.scenario.kind is Kind.HEALTHY:
        assert labels == []
        return
    (label,) = labels
    assert (label.scope, label.branch) == ("rag/eu", plan.scenario.branch)
    assert plan.rollout_ms <= label.start_ms == min(each.from_ms for each in plan.injections)
    assert label.end_ms == plan.end_ms
    assert name in label.note


def test_a_plan_that_ends_before_its_fault_has_no_label() -> None:
    """Nothing is wrong with what was played."""
    plan = draw(SCENARIOS["errors-canary"], seed=3, start_ms=START_MS, duration_ms=300_000)
    assert labels_of(plan) == []
    assert write_labels([]) == "[]\n"
