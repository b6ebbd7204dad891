"""The series store: windows, late samples, bounds, staleness, expiry."""

import math
from bisect import bisect_left, bisect_right
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackd.model.events import Rows, Sample, Schema
from rollbackd.model.labels import Labels, labels_of
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.routes import Refusal
from rollbackd.promql.series import LOOKBACK_MS
from rollbackd.promql.store import IngestResult, Store
from rollbackd.promql.values import STALE

NOW = 1_700_000_000_000
X: Labels = labels_of({"__name__": "x", "a": "1"})


def store_for(*exprs: str, lateness_ms: int = 5_000, max_series: int = 100) -> Store:
    store = Store(lateness_ms=lateness_ms, ahead_ms=60_000, max_series=max_series)
    for rule, expr in enumerate(exprs):
        for selector, window_ms in compile_expr(expr).reads:
            store.register(selector, window_ms=window_ms, rule=rule)
    return store


def value_of(store: Store, expr: str, at_ms: int, since_ms: int | None = None) -> float | None:
    found = compile_expr(expr).query(store, at_ms, since_ms)
    return found[0][1] if found else None


@pytest.mark.parametrize("rows", [False, True])
def test_a_clock_that_runs_ahead_makes_nobody_late(*, rows: bool) -> None:
    """What is further ahead than the lateness counts as of now; a little is left as it is."""
    store = store_for("count_over_time(x[5m])", lateness_ms=5_000)
    schema = Schema((X,))

    def ingest(time_ms: int, now_ms: int) -> IngestResult:
        if not rows:
            return store.ingest([Sample(X, 1.0, time_ms)], now_ms)
        made = Rows()
        made.rows.append((schema, time_ms, [1.0]))
        return store.ingest(made, now_ms)

    assert ingest(NOW + 50_000, NOW).newest_ms == NOW
    assert ingest(NOW + 5_000, NOW).newest_ms == NOW + 5_000
    assert ingest(NOW + 1, NOW + 1).accepted == 1
    assert ingest(NOW + 60_002, NOW + 1).refused == {Refusal.TOO_EARLY: 1}


def test_what_no_rule_reads_is_not_kept() -> None:
    """A series without a reader is refused and costs nothing."""
    store = store_for("x > 1")
    result = store.ingest([Sample(labels_of({"__name__": "y"}), 1.0, NOW)] * 3, NOW)
    assert result.refused == {Refusal.NOT_READ: 3}
    assert len(store) == 0


def test_a_matcher_decides_what_is_read() -> None:
    """Only the series that some selector matches are kept."""
    store = store_for('x{a="1"}')
    other = labels_of({"__name__": "x", "a": "2"})
    result = store.ingest([Sample(X, 1.0, NOW), Sample(other, 1.0, NOW)], NOW)
    assert (result.accepted, result.refused) == (1, {Refusal.NOT_READ: 1})


def test_equal_times_are_all_kept() -> None:
    """Requests of one millisecond are all counted; the last one is the instant value."""
    store = store_for("count_over_time(x[1m])")
    store.ingest([Sample(X, float(i), NOW) for i in range(5)], NOW)
    assert value_of(store, "count_over_time(x[1m])", NOW) == 5
    assert value_of(store, "x", NOW) == 4


def test_late_samples_are_sorted_in() -> None:
    """Within the lateness the order of arrival does not matter."""
    store = store_for("count_over_time(x[1m])")
    times = [NOW - 3_000, NOW, NOW - 1_000, NOW - 5_000]
    result = store.ingest([Sample(X, float(t), t) for t in times], NOW)
    assert result.accepted == 4
    assert value_of(store, "min_over_time(x[4s])", NOW) == NOW - 3_000
    assert value_of(store, "x", NOW) == NOW


def test_too_late_and_too_early_are_refused() -> None:
    """A wrong clock can neither rewrite the past nor block the future."""
    store = store_for("x")
    store.ingest([Sample(X, 1.0, NOW)], NOW)
    late = store.ingest([Sample(X, 1.0, NOW - 5_001)], NOW)
    early = store.ingest([Sample(X, 1.0, NOW + 60_001)], NOW)
    assert late.refused == {Refusal.TOO_LATE: 1}
    assert early.refused == {Refusal.TOO_EARLY: 1}
    assert store.ingest([Sample(X, 2.0, NOW + 1)], NOW).accepted == 1


def test_the_bound_on_series_refuses_new_ones_only() -> None:
    """Nothing is evicted: a known series goes on, a new one is refused."""
    store = store_for("x", max_series=1)
    other = labels_of({"__name__": "x", "a": "2"})
    result = store.ingest([Sample(X, 1.0, NOW), Sample(other, 1.0, NOW), Sample(X, 2.0, NOW)], NOW)
    assert (result.accepted, result.refused) == (2, {Refusal.SERIES_LIMIT: 1})


def test_a_stale_marker_ends_a_series() -> None:
    """After the marker there is no instant value; windows leave it out."""
    store = store_for("x")
    store.ingest([Sample(X, 1.0, NOW), Sample(X, STALE, NOW + 1_000)], NOW)
    assert value_of(store, "x", NOW) == 1
    assert value_of(store, "x", NOW + 1_000) is None
    assert value_of(store, "count_over_time(x[1m])", NOW + 1_000) == 1


def test_another_nan_is_data() -> None:
    """Only the one bit pattern is the marker."""
    store = store_for("x")
    store.ingest([Sample(X, math.nan, NOW)], NOW)
    value = value_of(store, "x", NOW)
    assert value is not None
    assert math.isnan(value)


def test_the_lookback_is_five_minutes() -> None:
    """A sample exactly that old is seen, a millisecond more and it is not."""
    store = store_for("x")
    store.ingest([Sample(X, 1.0, NOW)], NOW)
    assert value_of(store, "x", NOW + LOOKBACK_MS) == 1
    assert value_of(store, "x", NOW + LOOKBACK_MS + 1) is None


def test_since_bounds_every_selector() -> None:
    """Exit targets see nothing from before the flip, and rates count the shorter range."""
    store = store_for("rate(x[5m])")
    store.ingest([Sample(X, float(i), NOW + i * 1_000) for i in range(300)], NOW + 300_000)
    end, flip = NOW + 299_000, NOW + 199_000
    assert value_of(store, "count_over_time(x[5m])", end, flip) == 101
    assert value_of(store, "rate(x[5m])", end, flip) == pytest.approx(1.0)
    assert value_of(store, "x", end, end + 1) is None
    assert value_of(store, "count_over_time(x[5m])", end, end + 1) is None
    assert value_of(store, "max_over_time(x[5m:1s])", end, flip) == 299
    assert value_of(store, "count_over_time(x[5m:1s])", end, flip) == 101


def test_memory_is_bounded_by_the_window() -> None:
    """However long a series lives, it holds little more than its longest window."""
    store = store_for("count_over_time(x[1m])")
    for i in range(20_000):
        store.ingest([Sample(X, 1.0, NOW + i * 100)], NOW + i * 100)
    # The instant lookback keeps 5 minutes: 3,000 samples, the lateness and a quarter of slack.
    assert store.samples <= (3_000 + 50) * 5 / 4 + 1
    assert value_of(store, "count_over_time(x[1m])", NOW + 19_999 * 100) == 601


def test_idle_series_expire() -> None:
    """A series that no window reaches is forgotten; pinned ones stay."""
    store = store_for("x", "y")
    store.ingest([Sample(X, 1.0, NOW)], NOW)
    held = store.held(labels_of({"__name__": "y"}), is_data=False)
    assert held is not None
    held.intervals = [(-(1 << 62), 1 << 62, 7.0)]
    assert store.expire(NOW + LOOKBACK_MS) == 0
    assert store.expire(NOW + LOOKBACK_MS + 5_001) == 1
    assert len(store) == 1
    assert value_of(store, "x", NOW) is None
    assert value_of(store, "y", NOW + (1 << 40)) == 7


def test_only_the_readers_of_what_changed_are_dirty() -> None:
    """A rule whose series saw nothing is not woken."""
    store = store_for("x", "y", "x + y")
    store.ingest([Sample(X, 1.0, NOW)], NOW)
    assert set().union(*(r.rules for r in store.dirty)) == {0, 2}


SAMPLES = st.lists(
    st.tuples(st.integers(0, 40), st.floats(-1e6, 1e6, allow_nan=False)), min_size=1, max_size=60
)


@given(samples=SAMPLES, width=st.integers(1, 40), end=st.integers(0, 45))
def test_a_window_holds_what_a_sorted_list_would(
    samples: list[tuple[int, float]], width: int, end: int
) -> None:
    """Whatever the order of arrival, a window is the samples of its closed range."""
    store = store_for("sum_over_time(x[1m])", lateness_ms=100_000)
    store.ingest([Sample(X, v, NOW + t * 1_000) for t, v in samples], NOW)
    ordered = sorted(samples, key=lambda s: s[0])
    times = [t for t, _ in ordered]
    inside = ordered[bisect_left(times, end - width) : bisect_right(times, end)]
    at = NOW + end * 1_000
    assert value_of(store, f"count_over_time(x[{width}s])", at) == (len(inside) or None)
    total = value_of(store, f"sum_over_time(x[{width}s])", at)
    assert total == (pytest.approx(math.fsum(v for _, v in inside)) if inside else None)


@given(samples=SAMPLES)
def test_an_increase_knows_its_resets(samples: list[tuple[int, float]]) -> None:
    """The shortcut for counters without a drop gives what the scan gives."""
    store = store_for("increase(x[1m])", lateness_ms=100_000)
    store.ingest([Sample(X, abs(v), NOW + t * 1_000) for t, v in samples], NOW)
    ordered = [abs(v) for _, v in sorted(samples, key=lambda s: s[0])]
    drops = sum(1 for a, b in pairwise(ordered) if b < a)
    assert value_of(store, "resets(x[1m])", NOW + 41_000) == drops
    found = value_of(store, "increase(x[1m])", NOW + 41_000)
    if len({t for t, _ in samples}) < 2:
        assert found is None
    elif drops == 0:
        assert found is not None
        assert found >= 0
