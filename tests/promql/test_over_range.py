"""Remembered windows are never told apart from computed ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbackd.model.events import Sample
from rollbackd.promql.expressions import CompiledExpr, compile_expr
from rollbackd.promql.store import Store
from rollbackd.promql.values import STALE
from tests.promql.test_store import NOW, X, store_for

EXPRESSIONS = (
    "count_over_time(x[10s])", "sum_over_time(x[10s] offset 2s)", "rate(x[10s])",
    "increase(x[7s])", "delta(x[10s])", "quantile_over_time(0.5, x[10s])", "last_over_time(x[4s])",
    "min_over_time(x[10s])", "predict_linear(x[10s], 5)", "changes(x[10s])", "deriv(x[10s])",
    "quantile_over_time(scalar(x) / 100, x[10s])", "resets(x[10s])", "sum_over_time(x[10s] @ 5)",
)  # fmt: skip

#: What happens next: a sample (lateness in seconds, value) or time passing (seconds, since).
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("sample"), st.integers(0, 6), st.integers(0, 9)),
        st.tuples(st.just("stale"), st.just(0), st.just(0)),
        st.tuples(st.just("look"), st.integers(-3, 6), st.integers(0, 12)),
        st.tuples(st.just("trim"), st.just(0), st.just(0)),
    ),
    max_size=30,
)


def answer(compiled: CompiledExpr, store: Store, at_ms: int, since_ms: int | None) -> str:
    """The elements as text, so that NaN equals NaN."""
    return repr(compiled.query(store, at_ms, since_ms))


@pytest.mark.parametrize("expr", EXPRESSIONS)
@given(steps=STEPS)
@settings(max_examples=60, deadline=None)
def test_an_operator_with_a_memory_answers_like_a_new_one(
    expr: str, steps: list[tuple[str, int, int]]
) -> None:
    """Whatever comes between two evaluations: samples, late ones, stale markers, trims, time."""
    store = store_for(expr, lateness_ms=60_000)
    old = compile_expr(expr)
    now = NOW
    for kind, first, second in steps:
        if kind == "look":
            now += first * 1_000
            since = now - second * 1_000 if second < 11 else None
            assert answer(old, store, now, since) == answer(compile_expr(expr), store, now, since)
        elif kind == "trim":
            for series in store.members(compile_expr("x").reads[0][0]):
                series.trim(now - 30_000)
        else:
            value = STALE if kind == "stale" else float(second)
            store.ingest([Sample(X, value, now - first * 1_000)], now)
