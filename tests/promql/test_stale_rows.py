"""Rows of other programs carry NaN and stale markers, as single samples do."""

import math

import pytest

from rollbackd.model.events import Rows, Schema
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.store import Store
from rollbackd.promql.values import STALE

UP = (("__name__", "up"),)


@pytest.mark.parametrize("as_rows", [True, False])
@pytest.mark.parametrize(
    ("values", "now"),
    [
        ([1.0, STALE], None),
        ([STALE], None),
        ([1.0, math.nan], math.nan),
        ([1.0, STALE, 0.5], 0.5),
        ([1.0, math.nan, 2.0], 2.0),
    ],
)
def test_a_stale_marker_ends_a_series_and_nan_does_not(
    values: list[float], now: float | None, *, as_rows: bool
) -> None:
    up = compile_expr("up")
    store = Store(lateness_ms=0, ahead_ms=1_000, max_series=10, retain_ms=300_000)
    store.register(up.reads[0][0], window_ms=300_000)
    rows, schema = Rows(), Schema((UP,))
    rows.rows = [(schema, time_ms, (value,)) for time_ms, value in enumerate(values)]
    store.ingest(rows if as_rows else list(rows), len(values))
    found = up.query(store, len(values))
    assert repr(found) == repr([] if now is None else [(UP, now)])
