"""The first sample of a series: too late as well, when no window reaches it."""

import pytest

from rollbackd.model.events import Rows, Sample, Schema
from rollbackd.model.labels import Labels, labels_of
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.routes import Refusal
from rollbackd.promql.store import IngestResult, Store

NOW = 1_700_000_000_000
LATENESS_MS = 5_000
HOUR = 3_600_000
X: Labels = labels_of({"__name__": "x"})
SCHEMA = Schema((X,))


def store_for(expr: str) -> Store:
    store = Store(lateness_ms=LATENESS_MS, ahead_ms=60_000, max_series=100)
    for selector, window_ms in compile_expr(expr).reads:
        store.register(selector, window_ms=window_ms, rule=0)
    return store


def ingest(store: Store, time_ms: int, *, rows: bool, now_ms: int = NOW) -> IngestResult:
    if not rows:
        return store.ingest([Sample(X, 1.0, time_ms)], now_ms)
    made = Rows()
    made.rows.append((SCHEMA, time_ms, [1.0]))
    return store.ingest(made, now_ms)


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize(
    ("expr", "age_ms", "late"),
    [
        ("count_over_time(x[1h])", HOUR, False),
        ("count_over_time(x[1h])", HOUR + LATENESS_MS, False),
        ("count_over_time(x[1h])", HOUR + LATENESS_MS + 2, True),
        ("x", HOUR, True),
        ("x offset 1h", HOUR, False),
        ("x", NOW, True),
        ("x", NOW - NOW // 1_000, True),  # seconds that were read as milliseconds
    ],
)
def test_what_no_window_reaches_is_too_late(
    expr: str, age_ms: int, *, late: bool, rows: bool
) -> None:
    store = store_for(expr)
    result = ingest(store, NOW - age_ms, rows=rows)
    assert result.refused == ({Refusal.TOO_LATE: 1} if late else {})
    assert store.newest_ms == (None if late else NOW - age_ms)
    assert ingest(store, NOW, rows=rows).accepted == 1


@pytest.mark.parametrize("rows", [False, True])
def test_late_first_samples_are_in_their_windows(*, rows: bool) -> None:
    """In any order, and beyond the window by less than the lateness."""
    store = store_for("count_over_time(x[10m])")
    for age_ms in (603_000, 604_000, 600_000, 10):
        assert ingest(store, NOW - age_ms, rows=rows).accepted == 1
    counted = compile_expr("count_over_time(x[10m])")
    assert [counted.query(store, NOW - age)[0][1] for age in (0, 3_000, 4_000)] == [2.0, 2.0, 3.0]


@pytest.mark.parametrize("rows", [False, True])
def test_a_stream_of_the_past_is_taken_by_its_own_time(*, rows: bool) -> None:
    """As a backtest plays it: now is the time of the stream."""
    store = store_for("x")
    for time_ms in (HOUR, 2 * HOUR, 5 * HOUR):
        assert ingest(store, time_ms, rows=rows, now_ms=time_ms).accepted == 1


def test_what_never_had_a_sample_has_not_fallen_silent() -> None:
    store = store_for("x")
    ingest(store, NOW - HOUR, rows=True)
    store.expire(NOW + HOUR)
    assert len(store) == 0
    (selector,) = (selector for selector, _ in store.readers())
    assert store.silent_since(selector) == NOW + HOUR
