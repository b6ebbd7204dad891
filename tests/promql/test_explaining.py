"""The parts of an expression, and why one of them gave nothing."""

import math

import pytest

from rollbackd.model.events import Sample
from rollbackd.model.labels import Labels, labels_of
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.explaining import Node, explain_expr
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.reasons import Reasons, rough, short
from rollbackd.promql.store import Store
from rollbackd.promql.values import STALE
from tests.promql import corpus
from tests.promql.test_differential import store as corpus_store  # noqa: F401  # a fixture

NOW = 1_700_000_000_000
MINUTE = 60_000


def store_for(expr: str) -> Store:
    """Keeps what the expression reads."""
    made = Store(lateness_ms=0, ahead_ms=0, max_series=1_000)
    for selector, window_ms in compile_expr(expr).reads:
        made.register(selector, window_ms=window_ms)
    return made


def named(name: str, **labels: str) -> Labels:
    return labels_of({"__name__": name, **labels})


def gives(store: Store, name: str, *values: float, ago_ms: int = 0, **labels: str) -> None:
    """Samples a second apart, the last one `ago_ms` before now."""
    end = NOW - ago_ms
    samples = [
        Sample(named(name, **labels), value, end - 1_000 * back)
        for back, value in zip(range(len(values) - 1, -1, -1), values, strict=True)
    ]
    store.ingest(samples, NOW)


def shape(node: Node) -> object:
    """The gists, nested."""
    return [node.gist, *map(shape, node.children)] if node.children else node.gist


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("x", "x"),
        ('x{a="b"}', 'x{a="b"}'),
        ("(((x)))", "x"),
        ("x > 2e3", ["> 2000", "x"]),
        ("1 - x", ["1 -", "x"]),
        ("x > -1", ["> -1", "x"]),
        ("-x", ["-...", "x"]),
        ("x == bool y", ["== bool", "x", "y"]),
        ("x / on (a) group_left (b) y", ["/ on (a) group_left (b)", "x", "y"]),
        ("rate(x[5m] offset 1m)", ["rate(...)", "x[5m] offset 1m"]),
        ("quantile_over_time(0.9, x[90s])", ["quantile_over_time(0.9, ...)", "x[1m30s]"]),
        ("sum by (a) (x)", ["sum by (a) (...)", "x"]),
        ("topk without (a) (3, x)", ["topk without (a) (3, ...)", "x"]),
        ("max_over_time((x > 1)[5m:1m])", ["max_over_time(...)", ["(...)[5m:1m]", ["> 1", "x"]]]),
        ('label_replace(x, "a", "$1", "b", "(.*)")',
         ['label_replace(..., "a", "$1", "b", "(.*)")', "x"]),
        ("x @ 1700000000", "x @ 1.7e+09"),
        ("vector(time())", ["vector(...)", "time()"]),
        ("42", "42"),
    ],
)  # fmt: skip
def test_the_tree_follows_the_text(expr: str, expected: object) -> None:
    """One node for each part; brackets and numbers are folded into their neighbours."""
    assert shape(explain_expr(expr, store_for(expr), NOW, step_ms=MINUTE)) == expected


@pytest.mark.parametrize("expr", corpus.expressions())
def test_the_root_gives_what_the_expression_gives(
    expr: str,
    corpus_store: Store,  # noqa: F811
) -> None:
    """Over the whole corpus: elements, order and errors; there is no second evaluator."""
    for at_ms in (180_000, 600_000, 1_200_000):
        root = explain_expr(expr, corpus_store, at_ms, step_ms=MINUTE)
        try:
            wanted = compile_expr(expr).query(corpus_store, at_ms)
        except EvaluationError as error:
            failure = str(error)
        else:
            failure = ""
        if failure:
            assert failure in [node.error for node in root.nodes()]
            continue
        assert [labels for labels, _ in root.elements] == [labels for labels, _ in wanted]
        for (_, found), (_, value) in zip(root.elements, wanted, strict=True):
            assert found == value or (math.isnan(found) and math.isnan(value))


@pytest.mark.parametrize("expr", corpus.expressions())
def test_there_is_a_reason_for_every_empty_result(
    expr: str,
    corpus_store: Store,  # noqa: F811
) -> None:
    """Whatever gave nothing, the words can be found."""
    for at_ms in (180_000, 10_000_000):
        root = explain_expr(expr, corpus_store, at_ms, step_ms=MINUTE)
        if not root.elements:
            reason = Reasons(lambda _labels: True, at_ms=at_ms).why_empty(root)
            assert "`" in reason
            by_itself = ("clamp(", "topk", "bottomk", "limit")
            assert "lets nothing through" not in reason or any(w in reason for w in by_itself)


def test_a_selector_says_what_it_saw() -> None:
    """Samples in the window, the newest one, and series that have none there."""
    expr = "max_over_time(x[10s])"
    store = store_for(expr)
    gives(store, "x", *range(30), i="a")
    gives(store, "x", 7, ago_ms=4 * MINUTE, i="b")
    (windows,) = explain_expr(expr, store, NOW, step_ms=MINUTE).children
    assert [(dict(f.labels)["i"], f.samples, f.newest_ms, f.value) for f in windows.feeds] == [
        ("a", 11, NOW, 29.0),
        ("b", 0, NOW - 4 * MINUTE, None),
    ]


def test_a_pinned_value_is_one_value() -> None:
    """It is seen at both ends of a window, and is no two samples."""
    store = store_for("x")
    held = store.held(named("x"), is_data=False)
    assert held is not None
    held.intervals = [(0, 1 << 60, 0.4)]
    (feed,) = explain_expr("x", store, NOW, step_ms=MINUTE).feeds
    assert (feed.samples, feed.value) == (1, 0.4)


def reason(expr: str, store: Store, *, where: str = "", **scope: str) -> str:
    root = explain_expr(expr, store, NOW, step_ms=MINUTE)

    def here(labels: Labels) -> bool:
        return all(scope.get(name, value) == value for name, value in labels)

    return Reasons(here, at_ms=NOW, where=where).why_empty(root)


def test_nothing_matches() -> None:
    """With since when, once that is worth saying."""
    store = store_for("x > 1")
    assert reason("x > 1", store) == "`x` has no series"
    store.expire(NOW - 10 * MINUTE)
    assert reason("x > 1", store) == "`x` has no series (nothing has matched it for 10m)"


def test_only_other_scopes_match() -> None:
    store = store_for("baseline:x:p95")
    gives(store, "baseline:x:p95", 1, region="us")
    said = reason("baseline:x:p95", store, where="rag/eu", region="eu")
    assert said == (
        "unknown baseline: `baseline:x:p95` has no series for rag/eu, only that of another scope"
    )
    gives(store, "baseline:x:p95", 1, region="ap")
    assert "for rag/eu, 2 series of other scopes" in reason(
        "baseline:x:p95", store, where="rag/eu", region="eu"
    )


def test_the_data_is_old_or_has_ended() -> None:
    """Silence beyond the window, a stale marker, and data from the future differ."""
    store = store_for("max_over_time(x[1m])")
    gives(store, "x", 1, ago_ms=4 * MINUTE)
    assert reason("max_over_time(x[1m])", store) == (
        "the newest sample of `x[1m]` is 4m old, and it looks back 1m"
    )
    gives(store, "x", STALE)
    assert reason("x", store) == "`x` has ended: its newest sample is a stale marker"
    root = explain_expr("x", store, NOW - 10 * MINUTE, step_ms=MINUTE)
    assert "all newer" in Reasons(lambda _: True, at_ms=NOW - 10 * MINUTE).why_empty(root)


def test_a_floor_filters() -> None:
    """The value that did not pass is named, and how much data stands behind it."""
    expr = "avg_over_time(x[5m]) < 0.6 and count_over_time(x[5m]) >= 200"
    store = store_for(expr)
    gives(store, "x", *[0.5] * 131)
    assert reason(expr, store) == (
        "the right side of `and` has none because `>= 200` filtered it:"
        " `count_over_time(x[5m])` is 131"
    )
    assert reason("avg_over_time(x[5m]) > 0.6", store) == (
        "`> 0.6` filtered it: `avg_over_time(x[5m])` is 0.5 (`x[5m]` has 131 samples)"
    )


def test_what_was_filtered_is_told_from_what_it_is_compared_with() -> None:
    """Four digits would read as if the bound had been met, or as if both sides were one."""
    expr = "x > 0.15"
    store = store_for("x > on () y")
    gives(store, "x", 0.1499996)
    gives(store, "y", 0.1499997)
    assert reason(expr, store) == "`> 0.15` filtered it: `x` is 0.1499996"
    root = explain_expr(expr, store, NOW, step_ms=MINUTE)
    assert (root.bound, root.children[0].bound) == (0.15, None)
    assert explain_expr("x * 2", store, NOW, step_ms=MINUTE).bound is None
    assert reason("x > on () y", store) == (
        "`> on ()` filtered it: `x` is 0.1499996, `y` is 0.1499997"
    )


def test_many_values_are_named_in_part() -> None:
    store = store_for("x > 9")
    for number in range(5):
        gives(store, "x", number, i=str(number))
    assert reason("x > 9", store) == (
        '`> 9` filtered it: `x` is 0 for {i="0"}, 1 for {i="1"}, 2 for {i="2"} and 2 more'
    )


def test_a_function_needs_more_samples() -> None:
    store = store_for("rate(x[5m])")
    gives(store, "x", 1)
    assert reason("rate(x[5m])", store) == "`x[5m]` has 1 sample, and `rate(...)` needs more"


def test_labels_that_do_not_match() -> None:
    """Both sides have elements, and none has its counterpart."""
    store = store_for("x / y")
    gives(store, "x", 1, arm="canary", service="s")
    gives(store, "y", 1, service="s")
    against = '{arm="canary", service="s"} against {service="s"}'
    assert reason("x / y", store).endswith(f"of `/` has the labels of one on the right: {against}")
    assert reason("x and y", store).endswith(against)
    assert reason("x > ignoring (arm) y", store) == (
        "`> ignoring (arm)` filtered it: `x` is 1, `y` is 1"
    )


def test_both_sides_are_missing() -> None:
    """A cause that both share is said once."""
    store = store_for("x and y or z")
    assert reason("x and y", store) == (
        "the left side of `and` has none because `x` has no series;"
        " the right side of `and` has none because `y` has no series"
    )
    assert reason("x and x > 1", store) == "`x` has no series"
    assert reason("x / y", store) == "`x` has no series; `y` has no series"
    assert "side of `or` has none because `y`" in reason("x or y", store)
    assert reason("x unless y", store) == (
        "the left side of `unless` has none because `x` has no series"
    )


def test_what_is_there_is_not_absent() -> None:
    store = store_for("absent(x) or absent_over_time(x[5m]) or absent(x > 1) or x unless x")
    gives(store, "x", 2, 3)
    assert reason("absent(x)", store) == "nothing is absent: `x` has 2 samples"
    assert reason("absent_over_time(x[5m])", store) == "nothing is absent: `x[5m]` has 2 samples"
    assert reason("absent(x > 1)", store) == "nothing is absent: `x > 1` gives 3"
    assert reason("x unless x", store).startswith("all that the left side of `unless` has")


def test_an_error_is_the_reason() -> None:
    """Where it happened, not only at the root."""
    expr = "sum(x / on (a) y) > 1"
    store = store_for(expr)
    for i in "ab":
        gives(store, "x", 1, a="1", i=i)
        gives(store, "y", 1, a="1", i=i)
    root = explain_expr(expr, store, NOW, step_ms=MINUTE)
    assert [bool(node.error) for node in root.nodes()] == [True, True, True, False, False]
    assert "many-to-many" in reason(expr, store)


@pytest.mark.parametrize(
    ("value", "text"),
    [(131.0, "131"), (0.123456, "0.1235"), (math.inf, "inf"), (math.nan, "nan"), (1e12, "1e+12")],
)
def test_values_are_short(value: float, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(0, "0s"), (420, "420ms"), (61_499, "1m1s"), (3_600_000, "1h")]
)
def test_lengths_of_time_are_rough(milliseconds: int, text: str) -> None:
    assert rough(milliseconds) == text
