"""What a selector's entry says of its members."""

import math

import pytest

from rollbackd.model.events import Sample
from rollbackd.model.labels import labels_of
from rollbackd.promql.entries import Entry
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.extents import NOTHING, Extent
from rollbackd.promql.store import Store
from rollbackd.promql.values import STALE
from tests.promql.test_store import NOW, X, store_for


def entry_of(store: Store, expr: str) -> Entry:
    entry = store.entry(compile_expr(expr).reads[0][0])
    assert entry is not None
    return entry


def test_changes_are_told_once() -> None:
    """A reader that says where it was gets what changed behind that, and nothing else."""
    store = store_for("x")
    store.ingest([Sample(X, 1.0, NOW)], NOW)
    cursor = entry_of(store, "x").cursor
    other = labels_of({"__name__": "x", "a": "2"})
    store.ingest([Sample(other, float(n), NOW) for n in range(3)], NOW)
    changed = entry_of(store, "x").since(cursor)
    assert changed is not None
    assert [series.labels for series in changed] == [other]
    assert entry_of(store, "x").since(entry_of(store, "x").cursor) == []


def test_a_reader_that_sleeps_costs_no_memory() -> None:
    """Changes that nobody fetches are dropped; the reader learns that it has to look at all."""
    store = store_for("x")
    cursor = entry_of(store, "x").cursor
    for n in range(2_000):
        store.write(X, float(n), NOW + n)
    assert entry_of(store, "x").since(cursor) is None
    cursor = entry_of(store, "x").cursor
    for n in range(2_000):
        store.ingest([Sample(X, float(n), NOW + 2_000 + n)], NOW + 4_000)
        store.entry(compile_expr("x").reads[0][0])
    assert entry_of(store, "x").since(cursor) is None


def test_members_are_found_by_any_matcher() -> None:
    """Whatever the selector fixes, a series reaches it: a name, a label, both, or nothing."""
    exprs = ("x", "{a='1'}", "x{a='1'}", "x{a=~'1|2'}", "{a=~'1|2'}", "x{a='1', b=''}")
    store = store_for(*exprs)
    store.ingest([Sample(X, 1.0, NOW)], NOW)
    assert [len(entry_of(store, expr).members) for expr in exprs] == [1] * len(exprs)
    misses = ("y", "{a='2'}", "y{a='1'}", "x{a!~'1|2'}", "x{a='1', b='1'}")
    store = store_for(*misses)
    assert store.ingest([Sample(X, 1.0, NOW)], NOW).accepted == 0


def test_an_extent_takes_in_every_sample() -> None:
    """In order, late, written by a rule, or infinite; NaN and stale markers lie in any extent."""
    store = store_for("min_over_time(x[1m])", "x{a='1'}")
    assert entry_of(store, "min_over_time(x[1m])").extent == NOTHING
    store.ingest([Sample(X, 2.0, NOW), Sample(X, 5.0, NOW + 1), Sample(X, math.nan, NOW + 2)], NOW)
    assert entry_of(store, "min_over_time(x[1m])").extent == Extent(2, 5)
    store.ingest([Sample(X, 1.0, NOW - 1), Sample(X, STALE, NOW + 3)], NOW)
    store.write(X, 9.0, NOW + 4)
    store.write(X, -math.inf, NOW + 4)
    for expr in ("min_over_time(x[1m])", "x{a='1'}"):
        assert entry_of(store, expr).extent == Extent(-math.inf, 9)


def test_an_outlier_is_forgotten_when_it_has_left_the_windows() -> None:
    """At most once in a window the samples are read again; a value that comes then counts anew."""
    store = store_for("min_over_time(x[1m])")
    reader = entry_of(store, "min_over_time(x[1m])")
    store.ingest([Sample(X, 1_000.0, NOW)], NOW)
    for second in range(1, 1_200):
        store.ingest([Sample(X, second % 7, NOW + second * 1_000)], NOW + second * 1_000)
    assert entry_of(store, "min_over_time(x[1m])").extent == Extent(0, 1_000)
    end = NOW + 1_200_000
    reader.narrow(end)
    reader.narrow(end + reader.window_ms)
    assert reader.extent == Extent(0, 6)
    store.ingest([Sample(X, 7.0, end)], end)
    assert entry_of(store, "min_over_time(x[1m])").extent == Extent(0, 7)
    reader.narrow(end + reader.window_ms + 1)
    assert reader.extent == Extent(0, 7)


def test_a_series_that_comes_after_another_has_gone_is_within_the_extent() -> None:
    """Series with the same readers share what is known of them, whoever is there."""
    store = store_for("min_over_time(x[1m])")
    store.ingest([Sample(X, 1_000.0, NOW)], NOW)
    assert store.expire(NOW + 3_600_000) == 1
    reader = entry_of(store, "min_over_time(x[1m])")
    reader.narrow(NOW + 3_600_000)
    reader.narrow(NOW + 7_200_000)
    assert reader.extent == NOTHING
    store.ingest([Sample(X, 500.0, NOW + 7_200_000)], NOW + 7_200_000)
    least, greatest = entry_of(store, "min_over_time(x[1m])").extent
    assert least <= 500 <= greatest


def test_what_holds_without_samples_may_have_any_value() -> None:
    """A page or a baseline is not looked at."""
    store = store_for("x")
    assert store.held(X, is_data=False) is not None
    assert entry_of(store, "x").extent == Extent(-math.inf, math.inf)


def test_a_store_that_takes_over_knows_the_extent() -> None:
    """After a reload the samples are not read again for it."""
    old, fresh = store_for("x"), store_for("x", "x{a='1'}")
    old.ingest([Sample(X, 3.0, NOW), Sample(X, 4.0, NOW)], NOW)
    fresh.take_over(old)
    assert entry_of(fresh, "x{a='1'}").extent == Extent(3, 4)


@pytest.mark.parametrize(
    ("symbol", "number", "ruled_out"),
    [
        (">", 5, True), (">", 4.9, False), (">=", 5, False), (">=", 5.1, True),
        ("<", 2, True), ("<", 2.1, False), ("<=", 2, False), ("<=", 1.9, True),
        ("==", 1, True), ("==", 6, True), ("==", 2, False), ("==", 5, False),
        ("!=", 2, False), (">", math.nan, False), ("==", math.nan, False),
    ],
)  # fmt: skip
def test_an_extent_rules_out_what_no_value_can_fulfil(
    symbol: str, number: float, *, ruled_out: bool
) -> None:
    """The bounds themselves are among the values."""
    assert Extent(2, 5).rules_out(symbol, number) is ruled_out
    assert NOTHING.rules_out(symbol, number) is (symbol != "!=" and number == number)
