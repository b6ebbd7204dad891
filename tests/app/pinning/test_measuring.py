"""What a baseline is measured from."""

import pytest

from rollbackd.app.configuration import build_engine, load
from rollbackd.app.pinning.measuring import (
    Measured,
    Measuring,
    kept_series,
    refuse_few,
    statistics_of,
    unmeasurable,
)
from rollbackd.model.events import Sample
from rollbackd.model.labels import METRIC_NAME, Scope, labels_of
from rollbackd.model.policy import DecisionTree
from rollbackd.promql.expressions import compile_expr
from rollbackd.settings import (
    PinSettings,
    RatioSettings,
    ScopeLabels,
    Settings,
    WindowedSettings,
    default_settings,
)

NOW = 1_790_000_000_000


def measured(settings: PinSettings, counts: dict[str, int]) -> Measured:
    """What a window gives in which each of these metrics has so many samples: 1, 2, 3, ..."""
    engine = build_engine([], DecisionTree(branches={}), Settings(pins=settings))
    for name, count in counts.items():
        labels = labels_of({METRIC_NAME: name, "service": "rag", "region": "eu", "code": "200"})
        engine.ingest([Sample(labels, n + 1.0, NOW - count + n) for n in range(count)], NOW)
    measuring = Measuring(lambda: engine, lambda: settings, ScopeLabels())
    return measuring.measure(Scope("rag", "eu"), "baseline", window_ms=300_000, now_ms=NOW)


@pytest.mark.parametrize("text", ["sum(requests)", "requests{", "requests[5m]", "1", "a or b"])
def test_a_ratio_of_something_else_is_named(text: str) -> None:
    """In the config file, and the engine is not asked to keep it."""
    ratios = (RatioSettings(name="shed", of=text, among="requests"),)
    settings = PinSettings(metrics=(), windowed=(), ratios=ratios)
    (problem,) = unmeasurable(settings, "rollbackd.yaml")
    assert problem.position.file == "rollbackd.yaml"
    assert f"`pins.ratios` `shed`: `{text}` is not a selector" in problem.message
    assert kept_series(settings) == ["count_over_time(requests[300000ms])"]


def test_what_is_measured_is_kept_as_long_as_the_window() -> None:
    """Each series once."""
    assert unmeasurable(PinSettings(), "x") == []
    assert kept_series(PinSettings(window_ms=60_000)) == [
        "count_over_time(cost_per_solved_query[60000ms])",
        "count_over_time(coverage[60000ms])",
        "count_over_time(delta_s[60000ms])",
        "count_over_time(latency_seconds[60000ms])",
        "count_over_time(requests[60000ms])",
        'count_over_time(requests{code=~"5.."}[60000ms])',
        "count_over_time(tokens[60000ms])",
    ]


def test_percentiles_are_linear_between_ranks() -> None:
    """As PromQL's, in whatever order the samples came."""
    assert statistics_of([4.0, 1.0, 3.0, 2.0]) == {
        "p50": 2.5,
        "p95": pytest.approx(3.85),
        "p99": pytest.approx(3.97),
        "mean": 2.5,
        "count": 4.0,
    }
    assert statistics_of([]) == {"count": 0.0}


def test_every_baseline_that_the_shipped_rules_read_is_measured() -> None:
    """By the shipped settings: a rule whose baseline nobody records never fires."""
    settings = default_settings()
    configuration = load(settings)
    texts = [
        rule.expr.value for f in configuration.rule_files for g in f.groups for rule in g.rules
    ]
    for branch in configuration.tree.branches.values():
        texts += [target.value for target in branch.exit_targets]
    read = {selector.name for text in texts for selector, _ in compile_expr(text).reads}
    # of a histogram the sender records the percentiles: docs/pins.md
    histograms = {name.removesuffix("_bucket") for name in read if name.endswith("_bucket")}
    baselines = {name for name in read if name.startswith("baseline:")}
    wanted = {name for name in baselines if name.split(":")[1] not in histograms}
    assert "baseline:tokens:mean" in wanted
    pins = settings.pins
    ratios = [ratio.among for ratio in pins.ratios]
    counts = dict.fromkeys([*pins.metrics, *ratios], pins.min_samples)
    counts |= {each.name: each.min_samples for each in pins.windowed}
    found = measured(pins, counts).baseline
    assert wanted <= {f"baseline:{metric}:{stat}" for metric in found for stat in found[metric]}


@pytest.mark.parametrize(("count", "baseline"), [(3, {"mean": 2.0, "count": 3.0}), (2, None)])
def test_what_comes_in_windows_has_a_mean_of_a_few(
    count: int, baseline: dict[str, float] | None
) -> None:
    """And no percentiles; with too few it is left out, and the rest is recorded."""
    windowed = (WindowedSettings(name="cost", min_samples=3),)
    settings = PinSettings(metrics=("delta_s",), ratios=(), windowed=windowed, min_samples=5)
    found = measured(settings, {"delta_s": 5, "cost": count})
    assert found.baseline.get("cost") == baseline
    assert found.empty == ([] if baseline else ["cost"])
    assert found.baseline["delta_s"]["count"] == 5
    refuse_few({"cost": {"mean": 1.0, "count": 3.0}}, settings)
    with pytest.raises(ValueError, match="at least 3, 5 are needed: `cost` has 2, `delta_s` has 4"):
        refuse_few({"cost": {"count": 2.0}, "delta_s": {"count": 4.0}}, settings)
