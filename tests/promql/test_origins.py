"""Where series come from, and what is forgotten with it."""

from rollbackd.model.events import Sample
from rollbackd.model.labels import Labels, labels_of
from rollbackd.promql.expressions import CompiledExpr, compile_expr
from rollbackd.promql.store import Store

NOW = 1_700_000_000_000
COUNT = compile_expr("count_over_time(x[5m])")
A, B = "events-0", "events-1"


def store_for(*expressions: CompiledExpr) -> Store:
    made = Store(lateness_ms=5_000, ahead_ms=60_000, max_series=100)
    for rule, expr in enumerate(expressions or (COUNT,)):
        for selector, window_ms in expr.reads:
            made.register(selector, window_ms=window_ms, rule=rule)
    return made


def x(i: str) -> Labels:
    return labels_of({"__name__": "x", "i": i})


def feed(store: Store, i: str, origin: str, *, count: int = 3, at_ms: int = NOW) -> None:
    samples = [Sample(x(i), 1.0, at_ms + n) for n in range(count)]
    assert store.ingest(samples, at_ms, origin).accepted == count


def counts(store: Store) -> dict[str, float]:
    return {dict(labels)["i"]: value for labels, value in COUNT.query(store, NOW + 1_000)}


def test_only_the_series_of_the_origin_go() -> None:
    """Others stay, and so does what names no origin."""
    store = store_for()
    for i, origin in (("a", A), ("b", B), ("none", "")):
        feed(store, i, origin)
    assert store.drop_origin(A) == 1
    assert counts(store) == {"b": 3, "none": 3}
    assert store.drop_origin(A) == 0
    assert store.drop_origin("nobody") == 0
    assert len(store) == 2


def test_what_comes_again_is_neither_lost_nor_doubled() -> None:
    """Also when it is older than what was dropped: a refill begins in the past."""
    store = store_for()
    feed(store, "a", A, count=50)
    store.drop_origin(A)
    assert counts(store) == {}
    feed(store, "a", A, count=60, at_ms=NOW - 60_000)
    assert counts(store) == {"a": 60}


def test_a_drop_is_a_change() -> None:
    """Rules that read the series are evaluated again."""
    other = compile_expr("y")
    store = store_for(COUNT, other)
    feed(store, "a", A)
    assert store.dirty
    store.dirty.clear()
    store.drop_origin(A)
    assert [readers.rules for readers in store.dirty] == [frozenset({0})]
    store.dirty.clear()
    store.drop_origin(B)
    assert not store.dirty


def test_a_series_of_two_origins_is_kept_until_the_last_goes() -> None:
    """With all of its samples."""
    store = store_for()
    feed(store, "a", A)
    feed(store, "a", B, at_ms=NOW + 10)
    assert store.drop_origin(A) == 0
    assert counts(store) == {"a": 6}
    assert store.drop_origin(B) == 1
    assert counts(store) == {}


def test_a_shared_series_that_comes_back_is_shared_again() -> None:
    store = store_for()
    feed(store, "a", A)
    feed(store, "a", B, at_ms=NOW + 10)
    counts(store)
    assert store.drop_origin(B) == 0
    feed(store, "a", B, at_ms=NOW + 20)
    assert store.drop_origin(A) == 0
    assert store.drop_origin(B) == 1


def test_what_is_pushed_without_an_origin_outlives_the_partition() -> None:
    """HTTP is never lost."""
    store = store_for()
    feed(store, "a", A)
    feed(store, "a", "", at_ms=NOW + 10)
    assert store.drop_origin(A) == 0
    assert counts(store) == {"a": 6}


def test_what_a_rule_makes_stays() -> None:
    store = store_for()
    store.write(x("made"), 1.0, NOW)
    feed(store, "a", A)
    assert store.drop_origin(A) == 1
    assert counts(store) == {"made": 1}


def test_what_holds_without_samples_stays() -> None:
    """A page or a baseline is durable elsewhere; only the samples beside it go."""
    expr = compile_expr("x")
    store = store_for(expr)
    held = store.held(x("a"), is_data=True)
    assert held is not None
    held.intervals = [(NOW, NOW + 60_000, 7.0)]
    feed(store, "a", A)
    assert store.drop_origin(A) == 1
    assert expr.query(store, NOW + 1_000) == [(x("a"), 7.0)]
    assert expr.query(store, NOW + 90_000) == []
    feed(store, "a", A, at_ms=NOW - 60_000)
    assert store.drop_origin(A) == 1


def test_a_reload_remembers_where_series_came_from() -> None:
    old = store_for()
    feed(old, "a", A)
    feed(old, "b", A)
    feed(old, "b", B, at_ms=NOW + 10)
    new = store_for()
    new.take_over(old)
    assert new.drop_origin(A) == 1
    assert counts(new) == {"b": 6}
    assert new.drop_origin(B) == 1


def test_an_expired_series_is_no_longer_shared() -> None:
    store = store_for()
    feed(store, "a", A)
    feed(store, "a", B, at_ms=NOW + 10)
    counts(store)
    assert store.expire(NOW + 3_600_000) == 1
    feed(store, "a", A, at_ms=NOW + 3_600_000)
    assert store.drop_origin(A) == 1
