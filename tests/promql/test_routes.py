"""Rows become what their samples would have become one by one."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rollbackd.model.events import Rows, Sample, Schema
from rollbackd.model.labels import Labels, labels_of
from rollbackd.promql import arrivals
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.routes import Refusal
from rollbackd.promql.store import Store
from rollbackd.promql.values import STALE

NOW = 1_700_000_000_000
READ = ("count_over_time(x[1m])", 'rate(y{i=~"[ab]"}[2m])', "z > 1")


def named(name: str, **labels: str) -> Labels:
    return labels_of({"__name__": name, **labels})


ALL = [named(name, i=i) for name in ("x", "y", "unread") for i in "abcd"]
SCHEMAS = [Schema((ALL[n], ALL[-1 - n], ALL[(5 * n) % 12])) for n in range(10)]
ROW = st.tuples(
    st.integers(0, 9),
    st.sampled_from([-9_000, -4_000, -4_000, -3_999, -10, 0, 0, 1, 2, 50_000, 70_000]),
    st.lists(st.sampled_from([0.0, 1.0, 1.0, 2.5, -1.0]), min_size=3, max_size=3),
)
STEP = st.one_of(
    st.tuples(st.just("rows"), st.lists(ROW, max_size=8), st.sampled_from(["p-0", "p-1", ""])),
    st.tuples(st.just("look"), st.none(), st.none()),
    st.tuples(st.just("expire"), st.sampled_from([0, 10_000_000]), st.none()),
    st.tuples(st.just("drop"), st.none(), st.sampled_from(["p-0", "p-1"])),
    st.tuples(st.just("write"), st.sampled_from([float("nan"), STALE, 3.0]), st.none()),
)


def store_for() -> Store:
    made = Store(lateness_ms=5_000, ahead_ms=60_000, max_series=7)
    for rule, expr in enumerate(READ):
        for selector, window_ms in compile_expr(expr).reads:
            made.register(selector, window_ms=window_ms, rule=rule)
    return made


def rows_of(rows: list[tuple[int, int, list[float]]], at_ms: int) -> Rows:
    made = Rows()
    made.rows += [(SCHEMAS[which], at_ms + late_ms, values) for which, late_ms, values in rows]
    return made


def state(store: Store) -> dict[Labels, Any]:
    store.dirty.clear()
    return {
        labels: (
            series.times.tolist(), list(map(repr, series.values)), series.newest,
            store._arrivals.origins(series) or {series.origin},
            series.dropped_at, series.stale_at, series.rewrites, series.readers.extent,
        )
        for labels, series in store._series.items()
    }  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(STEP, max_size=12))
@example([("write", float("nan"), None), ("rows", [(0, -4_000, [0.0, 0.0, 0.0])], "p-0")])
def test_rows_are_their_samples(steps: list[Any]) -> None:
    """Bounds, lateness, what is read, origins, drops and stale markers are the same."""
    stores = store_for(), store_for()
    for number, (what, detail, origin) in enumerate(steps):
        at_ms = NOW + number * 1_000
        if what == "rows":
            rows = rows_of(detail, at_ms)
            found = stores[0].ingest(rows, at_ms, origin)
            assert found == stores[1].ingest(list(rows), at_ms, origin)
        elif what == "look":
            dirty = [{r.rules for r in store.dirty} for store in stores]
            assert dirty[0] == dirty[1]
        for store in stores:
            if what == "expire":
                store.expire(at_ms + detail)
            elif what == "drop":
                store.drop_origin(origin)
            elif what == "write":
                store.write(named("x", i="a"), detail, at_ms)
        assert len(stores[0]) == len(stores[1])
    assert state(stores[0]) == state(stores[1])


def test_rows_read_as_samples() -> None:
    rows = rows_of([(0, 0, [1.0, 2.0, 3.0]), (1, 5, [4.0, 5.0, 6.0])], NOW)
    assert len(rows) == 6
    assert rows[1] == Sample(SCHEMAS[0].series[1], 2.0, NOW)
    assert rows[-2:] == [
        Sample(s, v, NOW + 5) for s, v in zip(SCHEMAS[1].series[1:], (5, 6), strict=True)
    ]
    assert rows == list(rows)
    assert rows != list(rows)[1:]
    assert (bool(rows), bool(Rows())) == (True, False)


def test_room_that_is_made_is_taken() -> None:
    """A schema that met the bound on series is looked up again, not remembered as refused."""
    store = store_for()
    store.max_series = 1
    schema = Schema((named("x", i="a"), named("x", i="b")))
    rows = Rows()
    rows.rows.append((schema, NOW, (1.0, 2.0)))
    assert store.ingest(rows, NOW).refused == {Refusal.SERIES_LIMIT: 1}
    store.max_series = 2
    assert store.ingest(rows, NOW).accepted == 2


def test_what_is_gone_is_not_written_to() -> None:
    """After its series was dropped a row makes a new one."""
    store = store_for()
    rows = rows_of([(0, 0, [1.0, 2.0, 3.0])], NOW)
    store.ingest(rows, NOW, "p-0")
    store.drop_origin("p-0")
    assert len(store) == 0
    store.ingest(rows, NOW, "p-0")
    assert store.samples == 2


def test_series_are_cut_though_nobody_looks(monkeypatch: Any) -> None:
    """The evaluation may be slow; memory has its bound all the same."""
    monkeypatch.setattr(arrivals, "_MANY", 1_000)
    store = store_for()
    schema = Schema((named("x", i="a"),))
    for n in range(20_000):
        rows = Rows()
        rows.rows.append((schema, NOW + n * 100, (1.0,)))
        store.ingest(rows, NOW + n * 100)
    (series,) = store._series.values()
    assert len(series.times) <= (300_000 + 5_000) / 100 * 5 / 4 + 1_001
