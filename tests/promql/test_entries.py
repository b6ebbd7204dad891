"""What a selector's entry says of its members."""

from rollbackd.model.events import Sample
from rollbackd.model.labels import labels_of
from rollbackd.promql.entries import Entry
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.store import Store
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
