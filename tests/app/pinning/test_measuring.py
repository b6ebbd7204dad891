"""What a baseline is measured from."""

import pytest

from rollbackd.app.pinning.measuring import kept_series, statistics_of, unmeasurable
from rollbackd.settings import PinSettings, RatioSettings


@pytest.mark.parametrize("text", ["sum(requests)", "requests{", "requests[5m]", "1", "a or b"])
def test_a_ratio_of_something_else_is_named(text: str) -> None:
    """In the config file, and the engine is not asked to keep it."""
    ratios = (RatioSettings(name="shed", of=text, among="requests"),)
    settings = PinSettings(metrics=(), ratios=ratios)
    (problem,) = unmeasurable(settings, "rollbackd.yaml")
    assert problem.position.file == "rollbackd.yaml"
    assert f"`pins.ratios` `shed`: `{text}` is not a selector" in problem.message
    assert kept_series(settings) == ["count_over_time(requests[300000ms])"]


def test_what_is_measured_is_kept_as_long_as_the_window() -> None:
    """Each series once."""
    assert unmeasurable(PinSettings(), "x") == []
    assert kept_series(PinSettings(window_ms=60_000)) == [
        "count_over_time(coverage[60000ms])",
        "count_over_time(delta_s[60000ms])",
        "count_over_time(latency_seconds[60000ms])",
        "count_over_time(requests[60000ms])",
        'count_over_time(requests{code=~"5.."}[60000ms])',
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
