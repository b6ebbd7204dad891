"""What follows the samples gives what a computation from scratch gives, on any stream."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbackd.model.events import Sample
from rollbackd.model.labels import Labels, labels_of
from rollbackd.promql.expressions import CompiledExpr, compile_expr
from rollbackd.promql.freshness import Seen
from rollbackd.promql.operators import Context
from rollbackd.promql.store import Store
from rollbackd.promql.values import STALE
from tests.promql.test_store import NOW, X, store_for

SERIES: tuple[Labels, ...] = (
    X,
    labels_of({"__name__": "x", "a": "2", "b": "1"}),
    labels_of({"__name__": "x", "a": "2", "b": "2"}),
    labels_of({"__name__": "y", "a": "1"}),
    labels_of({"__name__": "y", "a": "2", "b": "1"}),
)

EXPRESSIONS = (
    "sum_over_time(x[10s])", "avg_over_time(x[10s])", "count_over_time(x[10s])",
    "min_over_time(x[10s])", "max_over_time(x[10s])", "quantile_over_time(0.9, x[10s])",
    "quantile_over_time(0.5, x[10s] offset 3s)", "stddev_over_time(x[10s])",
    "stdvar_over_time(x[7s])", "quantile_over_time(1.5, x[10s])", "mad_over_time(x[10s])",
    "increase(x[10s])", "predict_linear(x[10s], 30)", "last_over_time(x[5s])", "x", "x offset 4s",
    "x > 2", "2 < bool x", "-x * 2", "x / ignoring(b) y", "x > on(a, b) y", "x and on(a) y > 1",
    "x unless y", "x or y", "sum by (a) (x)", "max without (b) (avg_over_time(x[10s]))",
    "max(max_over_time(x[10s])) > 2", "quantile by (a) (0.5, rate(x[10s]))", "topk(1, x)",
    "sum by (a) (rate(x[10s])) / sum by (a) (count_over_time(x[10s]))", "abs(x)", "absent(x)",
    "max_over_time(sum_over_time(x[4s])[10s:2s])", "avg_over_time(x[10s] @ 1700000005)",
    "sum_over_time(x[10s:1s] offset 2s)", "min_over_time((x and on(a) y)[6s:2s])",
    "max_over_time(max_over_time(x[4s:1s])[6s:2s])", "last_over_time((x @ end())[5s:1s])",
    "sum_over_time((x offset -3s)[6s:1s])", "count_over_time((absent(x) or x)[8s:1s])",
    "avg_over_time(x[10s]) > 2", "max by (a) (max_over_time(x[10s])) >= 3", "3 <= 2 + x / 2",
    "quantile_over_time(0.9, x[10s]) * -1 < -2", "x == 2", "-x > 1", "avg by (a) (x) <= 1",
    "1 - min_over_time(x[5s]) > 0 and x > 1", "quantile(0.5, x) > 1", "(x > 1) < 3", "x != 0",
    "max_over_time((x > 2)[10s:2s])", "1 / x > 1", "x > bool 2 > 0", "x / 0 > 1", "x * 1e300 > 0",
    "quantile_over_time(2, x[10s]) > 3", "sum by (a) (x) > 5",
    "{a='2'} > 1", "clamp_max(x, 3) > 1", "timestamp(x)", "stddev(x)", "avg(x)", "min(x) < 3",
)  # fmt: skip

VALUES = st.one_of(
    st.integers(0, 4).map(float),
    st.floats(-1e3, 1e3),
    st.sampled_from([math.nan, math.inf, -math.inf, STALE, 1e300, -1e300, 1e-300, 0.1, -0.1]),
)
#: A sample: which series, how late in seconds, and its value.
Fed = tuple[int, int, float]
#: A look: how many seconds pass before it, and how many it may look back.
Look = tuple[int, int | None]
STEPS: st.SearchStrategy[list[tuple[list[Fed], Look]]] = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.integers(0, 4), st.sampled_from([0, 0, 0, 1, 2, 6]), VALUES), max_size=4
        ),
        st.tuples(st.sampled_from([0, 0, 1, 1, 2, 5, -1]), st.sampled_from([None] * 5 + [4])),
    ),
    max_size=16,
)
LATENESS_MS = 3_000


def scratch_store() -> Store:
    """A store that keeps all and knows no selector of an expression: nothing can follow it."""
    store = Store(lateness_ms=LATENESS_MS, ahead_ms=60_000, max_series=100, retain_ms=3_600_000)
    store.register(compile_expr('{__name__=~"x|y"}').reads[0][0], window_ms=0)
    return store


def outcome(
    compiled: CompiledExpr, ctx: Context
) -> tuple[dict[Labels, float] | str, set[tuple[Labels, int]]]:
    """The elements, or the error's text; and what was read for it."""
    try:
        elements = compiled.evaluate(ctx)
    except ValueError as error:
        return str(error).partition(" for the match group")[0], set()
    assert len(dict(elements)) == len(elements)
    return dict(elements), set(ctx.seen or ())


@pytest.mark.parametrize("expr", EXPRESSIONS)
@given(steps=STEPS)
@settings(max_examples=60, deadline=None)
def test_following_gives_what_scratch_gives(expr: str, steps: list[tuple[list[Fed], Look]]) -> None:
    """Late samples, equal times, stale markers, NaN, infinities, and time that goes back."""
    store, scratch = store_for(expr, lateness_ms=LATENESS_MS), scratch_store()
    compiled, now = compile_expr(expr), NOW
    for fed, (seconds, back) in steps:
        samples = [Sample(SERIES[series], value, now - late * 1_000) for series, late, value in fed]
        store.ingest(samples, now)
        scratch.ingest(samples, now)
        now += seconds * 1_000
        since = None if back is None else now - back * 1_000
        got, read = outcome(compiled, Context(store, now, since, Seen()))
        wanted, to_read = outcome(compile_expr(expr), Context(scratch, now, since, Seen()))
        assert read == to_read
        if isinstance(got, str) or isinstance(wanted, str):
            assert got == wanted
        else:
            assert got == pytest.approx(wanted, rel=1e-12, abs=1e-150, nan_ok=True)
