"""What a rule looked at, bounded."""

import pytest

from rollbackd.model.events import Sample
from rollbackd.model.labels import METRIC_NAME, Labels, labels_of
from rollbackd.model.triggers import RuleState, Trigger
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.triggers import recorded
from rollbackd.triggers.engine import Engine

_RULES = """
groups:
  - name: g
    rules:
      - alert: High
        expr: avg_over_time(x[1m]) > on (service) base
        for: 2m
"""


def series(metric: str, **labels: str) -> Labels:
    return labels_of({METRIC_NAME: metric, "service": "rag", **labels})


def engine_of(*samples: Sample, now_ms: int = 600_000) -> Engine:
    engine = Engine.build([read_rule_file(_RULES, file="r.yaml")])
    engine.ingest(samples, now_ms)
    return engine


def trigger(**changes: str) -> Trigger:
    return Trigger(
        rule=changes.get("rule", "High"), group="g", state=RuleState.FIRING, labels=(),
        annotations={}, value=1.0, active_at_ms=0, evaluated_at_ms=0,
        expr=changes.get("expr", "avg_over_time(x[1m]) > on (service) base"),
    )  # fmt: skip


def test_every_sample_that_the_rule_could_see_is_there() -> None:
    """As far back as its lookback and its `for`, not what is older, newest last."""
    times = range(100_000, 600_001, 10_000)
    engine = engine_of(*(Sample(series("x"), t / 1e6, t) for t in times))
    (window,), beyond = engine.windows([trigger()], 600_000, lambda _: True)
    assert (window.metric, window.labels, beyond) == ("x", {"service": "rag"}, 0)
    assert window.samples == [(t, t / 1e6) for t in times if t >= 300_000]
    assert window.count == len(window.samples)


def test_samples_of_equal_times_are_all_there() -> None:
    """Per-request events."""
    engine = engine_of(*(Sample(series("x"), value, 590_000) for value in (1.0, 2.0, 2.0)))
    (window,), _ = engine.windows([trigger()], 600_000, lambda _: True)
    assert window.samples == [(590_000, 1.0), (590_000, 2.0), (590_000, 2.0)]


def test_only_series_that_are_kept() -> None:
    """And the one of two triggers only once."""
    engine = engine_of(
        Sample(series("x", arm="a"), 1.0, 590_000), Sample(series("x", arm="b"), 1.0, 590_000)
    )
    windows, _ = engine.windows(
        [trigger(), trigger(rule="Gone", expr="x > 1")], 600_000, lambda s: ("arm", "a") in s
    )
    assert [window.labels["arm"] for window in windows] == ["a"]


def test_a_pinned_baseline_is_written_down_once_a_minute() -> None:
    """It has no samples; so often that an instant selector finds it at any time."""
    engine = engine_of(Sample(series("x"), 1.0, 590_000))
    engine.pin(series("base"), 0.4)
    windows, _ = engine.windows([trigger()], 600_000, lambda _: True)
    (base,) = (window for window in windows if window.metric == "base")
    assert base.samples[-1] == (600_000, 0.4)
    times = [time for time, _ in base.samples]
    assert times == list(range(times[0], 600_001, 60_000))
    assert base.count == len(base.samples) >= 6


def test_a_long_window_is_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Down to the bound; the newest sample stays, and the count of all."""
    monkeypatch.setattr(recorded, "MOST_SAMPLES_EACH", 4)
    engine = engine_of(*(Sample(series("x"), float(n), 590_000 + n) for n in range(10)))
    (window,), _ = engine.windows([trigger()], 600_000, lambda _: True)
    assert window.samples == [(590_000 + n, float(n)) for n in (0, 3, 6, 9)]
    assert window.count == 10


def test_many_series_share_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond it is counted."""
    monkeypatch.setattr(recorded, "MOST_SERIES", 2)
    monkeypatch.setattr(recorded, "MOST_SAMPLES", 6)
    engine = engine_of(
        *(Sample(series("x", arm=arm), 1.0, 590_000 + n) for arm in "abc" for n in range(5))
    )
    windows, beyond = engine.windows([trigger()], 600_000, lambda _: True)
    assert [len(window.samples) for window in windows] == [3, 3]
    assert beyond == 1


def test_an_expression_that_no_longer_compiles_is_an_error() -> None:
    """The capture names it."""
    with pytest.raises(ValueError, match="ends after"):
        engine_of().windows([trigger(expr="x >")], 600_000, lambda _: True)
