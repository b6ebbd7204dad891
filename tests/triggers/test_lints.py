"""Warnings about rules that would be taken: what is warned of, and what is not."""

from pathlib import Path

import pytest

from rollbackd.documents.diagnostics import Severity
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.triggers.lints import LintOptions, lint_rules

ROOT = Path(__file__).parents[2]
PUBLIC = sorted((Path(__file__).parent / "public").glob("*.yaml"))
BRANCH = "labels: {branch: b}"


def alert(expr: str, more: str = "", name: str = "A") -> str:
    return f"      - alert: {name}\n        expr: '{expr}'\n        {more}\n"


def record(name: str, expr: str) -> str:
    return f"      - record: {name}\n        expr: '{expr}'\n"


def found(*rules: str, options: LintOptions | None = None, interval: str = "15s") -> list[str]:
    """`id at what the caret shows` of every warning."""
    text = f"groups:\n  - name: g\n    interval: {interval}\n    rules:\n" + "".join(rules)
    warnings = lint_rules([read_rule_file(text, file="f")], options or LintOptions())
    assert all(w.severity is Severity.WARNING and w.fix for w in warnings)
    return [
        f"{w.id} at {w.source_line[w.position.column - 1 :][: w.position.width]}" for w in warnings
    ]


FLOOR = "lint/no-sample-floor at"


@pytest.mark.parametrize(
    ("expr", "caret"),
    [
        ("quantile_over_time(0.95, x[5m]) > 2", "quantile_over_time"),
        ("2 < avg_over_time(x[5m])", "avg_over_time"),
        ("quantile_over_time(0.9, x[5m]) - ignoring(a) baseline:x:p9 > 0.15", "quantile_over_time"),
        ("histogram_quantile(0.99, sum by (le) (rate(x_bucket[5m]))) > 2", "histogram_quantile"),
        ("rate(e_total[5m]) / rate(r_total[5m]) > 0.01", "/"),
        ("sum(increase(e[5m])) / on () sum(increase(r[5m])) >= 0.01", "/"),
        ("avg_over_time(x[5m]) > 2 and on () up > 0", "avg_over_time"),
        ("avg_over_time(x[5m]) > 2 and count_over_time(x[5m]) > 0", "avg_over_time"),
        ("avg_over_time(x[5m]) > 2 or count_over_time(x[5m]) > 200", "avg_over_time"),
        ("avg_over_time(x[5m]) > 2 unless count_over_time(x[5m]) > 200", "avg_over_time"),
        ("avg_over_time(x[5m]) > 2 and rate(a[5m]) / rate(b[5m]) > 5", "avg_over_time"),
        ("sum(avg_over_time(x[5m]) > bool 2) > 1", "avg_over_time"),
    ],
)  # fmt: skip
def test_a_statistic_without_a_floor(expr: str, caret: str) -> None:
    """A ratio, quantile or mean against a threshold, on however few samples."""
    assert f"{FLOOR} {caret}" in found(alert(expr))


@pytest.mark.parametrize(
    "expr",
    [
        "quantile_over_time(0.95, x[5m]) > 2 and count_over_time(x[5m]) >= 200",
        "count_over_time(x[5m]) >= 200 and quantile_over_time(0.95, x[5m]) > 2",
        "(quantile_over_time(0.95, x[5m]) and 200 < count_over_time(x[5m])) > 2",
        "quantile_over_time(0.95, x[5m]) > 2 unless count_over_time(x[5m]) < 200",
        "avg_over_time(x[5m]) > 2 and on (a) b > 1 and sum by (a) (increase(c[5m])) >= 1000",
        "rate(e[5m]) / rate(r[5m]) > 0.01 and rate(r[5m]) > 0.5",
        "rate(e[5m]) / rate(r[5m]) > 0.01 and svc:requests:count5m > 200",
        "rate(e[5m]) / rate(r[5m]) > 0",
        "rate(e[5m]) > 5",
        "rate(e[5m]) / 60 > 5",
        "available_bytes / size_bytes < 0.1",
        "count(up == 0) / count(up) > 0.5",
        "max_over_time(x[5m]) > 2",
        "avg_over_time(x[5m])",
    ],
)
def test_a_statistic_with_a_floor_and_what_needs_none(expr: str) -> None:
    """Wherever the floor stands; counts, gauges, and "any at all" are no matter of chance."""
    assert found(alert(expr)) == []


def test_a_floor_is_seen_through_recording_rules() -> None:
    """The ratio and the floor may both be recorded."""
    ratio = record("ratio", "rate(e[5m]) / rate(r[5m])")
    assert found(ratio, alert("ratio > 0.01")) == [f"{FLOOR} ratio"]
    floored = record("ratio", "rate(e[5m]) / rate(r[5m]) and increase(r[5m]) > 200")
    assert found(floored, alert("ratio > 0.01")) == []
    volume = record("volume", "sum(increase(r[5m]))")
    assert found(ratio, volume, alert("ratio > 0.01 and on () volume >= 200")) == []
    assert found(record("x", "x / x"), alert("x > 1")) == []


def test_the_fix_names_the_count_to_ask_for() -> None:
    """Of a ratio it is what is divided by, of a histogram its count."""

    def fix(expr: str) -> str:
        text = "groups:\n  - name: g\n    rules:\n" + alert(expr)
        return lint_rules([read_rule_file(text, file="f")], LintOptions())[0].fix

    assert '`and count_over_time(x{a="b"}[5m]) >= 200`' in fix('avg_over_time(x{a="b"}[5m]) > 2')
    assert "`and increase(r[5m]) >= 200`" in fix("rate(e[5m]) / rate(r[5m]) > 0.1")
    quantile = "histogram_quantile(0.9, rate(h_bucket[5m])) > 2"
    assert "`and increase(h_count[5m]) >= 200`" in fix(quantile)


SHORT = "lint/short-window at"


def test_windows_over_what_is_known() -> None:
    """Recorded series, subqueries, comments, and the rule of thumb for rates."""
    slow = record("rec", "up")
    assert found(slow, alert("max_over_time(rec[1m]) > 1"), interval="45s") == [f"{SHORT} rec[1m]"]
    assert found(slow, alert("max_over_time(rec[90s]) > 1"), interval="45s") == []
    assert found(alert("max_over_time(rec[1s]) > 1")) == []
    assert found(alert("max_over_time(x[1m:45s]) > 1")) == [f"{SHORT} [1m:45s]"]
    assert found(alert("rate(x[59s]) > 1")) == [f"{SHORT} x[59s]"]
    assert found(alert("rate(x[1m]) > 1")) == []
    assert found(alert("rate(x[1m]) > 1"), interval="30s") == [f"{SHORT} x[1m]"]
    hint = '      # rollbackd: interval x{arm="canary"} 20s\n'
    assert found(hint, alert('max_over_time(x{arm="canary", a="b"}[30s]) > 1')) == [
        f'{SHORT} x{{arm="canary", a="b"}}[30s]'
    ]
    assert found(hint, alert('rate(x{arm="canary"}[40s]) > 1')) == []
    assert found(hint, alert("max_over_time(x[30s]) > 1")) == []
    wide = LintOptions(least_intervals=4)
    assert found(alert("max_over_time(x[3m:1m]) > 1"), options=wide) == [f"{SHORT} [3m:1m]"]
    assert found("      # rollbackd: interval ) 20s\n", alert("max_over_time(x[1s]) > 1")) == []


SILENT = "lint/goes-silent at"


def test_silence_that_nobody_notices_is_told_once_a_metric() -> None:
    """At the first rule that pulls and reads it."""
    rules = [alert("x > 1 and y > 1", BRANCH), alert("x > 2", BRANCH, "B"), alert("z > 1")]
    assert found(*rules) == [f"{SILENT} x", f"{SILENT} y"]


@pytest.mark.parametrize(
    "guard",
    [
        "absent(x)",
        'absent_over_time(x{service="rag"}[10m]) or absent(other)',
        'absent({__name__=~"x|other"})',
    ],
)
def test_one_rule_for_no_data_is_enough(guard: str) -> None:
    """Which series come and go together is not in the file."""
    assert found(alert("x > 1 and y > 1", BRANCH), alert(guard, name="NoData")) == []
    assert f"{SILENT} y" in found(alert("y > 1", BRANCH), alert(guard, name="NoData"))


def test_what_comes_and_goes_by_nature_may_be_silent() -> None:
    """Pages and pinned baselines; of recorded series it is the source that counts."""
    assert found(alert('ALERTS{a="b"} and on () baseline:x:p95', BRANCH)) == []
    assert found(record("rec", "max(x)"), alert("rec > 1", f"{BRANCH}\n        # c")) == [
        f"{SILENT} rec",
        "lint/no-scope at rec",
    ]
    recorded = [record("rec", "max by (service) (x)"), alert("rec > 1", BRANCH)]
    assert found(*recorded, alert("absent(x)", name="NoData")) == []


SCOPE = "lint/no-scope at"


@pytest.mark.parametrize(
    ("expr", "caret"),
    [
        ("sum(x) > 1", "sum"),
        ("sum by (le) (x) > 1", "sum"),
        ("sum without (service) (x) > 1", "sum"),
        ("max by (service) (sum by (region) (x)) > 1", "sum"),
        ("x / on (region) y > 1", "/"),
        ("x / ignoring (service) y > 1", "/"),
        ("sum(x) * on () group_left y > 1", "sum"),
        ("x * on () group_right sum(y) > 1", "sum"),
        ("vector(1)", "vector"),
        ("absent(x)", "absent"),
        ("time() > bool 5", ">"),
        ("sum(x) > 1 and on () y", "sum"),
        ("sum(x) or vector(1)", "sum"),
        ("histogram_quantile(0.9, sum by (le) (x)) > 1", "sum"),
        ('count_values("version", x) > 1', "count_values"),
        ('x{service=""} > 1', "x"),
        ("-sum(x) < 1", "sum"),
        ("max_over_time(sum(x)[5m:1m]) > 1", "sum"),
    ],
)
def test_a_result_that_cannot_name_a_scope(expr: str, caret: str) -> None:
    """The caret shows what drops the label."""
    assert f"{SCOPE} {caret}" in found(alert(expr, BRANCH))


@pytest.mark.parametrize(
    "expr",
    [
        "x > 1",
        "sum by (service) (x) > 1",
        "sum without (pod) (x) > 1",
        "topk(3, x) > 1",
        "5 < x",
        "time() - x > 5",
        "time() - 5 > x",
        "x > scalar(sum(y))",
        "quantile_over_time(scalar(sum(y)), x[5m]) > 1",
        "x / on (service) y > 1",
        "x / ignoring (pod) y > 1",
        "x * on () group_left sum(y) > 1",
        "sum(y) * on () group_right x > 1",
        "sum(y) * on () group_left (service) x > 1",
        "sum(y) or x",
        "x unless on () sum(y)",
        'absent(x{service="rag"})',
        'label_replace(sum(x), "service", "rag", "", "")',
        'count_values("service", x) > 1',
    ],
)
def test_a_result_that_may_name_a_scope(expr: str) -> None:
    """In doubt nothing is said."""
    assert [w for w in found(alert(expr, BRANCH)) if w.startswith(SCOPE)] == []


def test_the_label_may_come_from_the_rule_or_have_another_name() -> None:
    """And a rule that pulls nothing needs none."""
    quiet = frozenset({"lint/goes-silent"})
    options = LintOptions(disabled=quiet)
    assert found(alert("sum(x) > 1"), options=options) == []
    assert found(alert("sum(x) > 1", "labels: {branch: b, service: rag}"), options=options) == []
    other = LintOptions(service_label="app", disabled=quiet)
    assert found(alert("sum by (app) (x) > 1", BRANCH), options=other) == []
    assert found(alert("sum by (service) (x) > 1", BRANCH), options=other) == [f"{SCOPE} sum"]


@pytest.mark.parametrize(
    "expr",
    [
        "count_over_time(x[5m]) < 0",
        "count_over_time(x[5m]) == 0",
        "0 > rate(x[5m])",
        "count(x) < 1",
        "absent(x) > 1",
        "sum(count_over_time(x[5m])) < 0",
        'sum by (a) (rate(x{code="500"}[5m])) / sum by (a) (rate(x[5m])) > 1',
        'sum(count_over_time(x{a="b",c="d"}[5m])) / sum(count_over_time(x{a="b"}[5m])) >= 5',
        "hour() > 23",
        "avg_over_time(rate(x[5m])[10m:1m]) < 0",
        "abs(x) < 0",
        "(rate(x[5m]) and y) < 0",
    ],
)
def test_a_comparison_that_never_holds(expr: str) -> None:
    """The rule could not fire."""
    assert any(w.startswith("lint/never-true") for w in found(alert(expr)))


@pytest.mark.parametrize(
    "expr",
    [
        "count_over_time(x[5m]) <= 1",
        "count_over_time(x[5m]) < bool 0",
        "count_over_time(x[5m]) != 0",
        "rate(x[5m]) == 0",
        "delta(x[5m]) < 0",
        "x < 0",
        "sum < -1",
        "-rate(x[5m]) < 0",
        "sum(rate(x[5m])) - sum(rate(y[5m])) < 0",
        "sum(x) / sum(x offset 1w) > 1",
        "sum(rate(x[5m])) / sum(rate(x[5m] offset 1w)) > 1 and sum(increase(x[5m])) > 99",
        'sum(rate(x{a="b"}[5m])) / sum(rate(y[5m])) > 1 and sum(increase(y[5m])) > 99',
        'sum(x{a="b"}) / sum(x) > 1',
        "1 > 2",
        "hour() >= 23",
    ],
)
def test_a_comparison_that_may_hold(expr: str) -> None:
    """In doubt nothing is said."""
    assert [w for w in found(alert(expr)) if w.startswith("lint/never-true")] == []


def test_rules_that_record_each_other_are_looked_at_once() -> None:
    """In circles, and by a billion ways."""
    chain = [record(f"r{i + 1}", f"r{i} + r{i} * on () group_left max(r{i})") for i in range(40)]
    chain += [record("r0", "r40 / x")]
    assert found(*chain, alert("r40 > 1 and on () r0 > 1", BRANCH)) == [f"{SILENT} r0"]
    long = [record(f"r{i + 1}", f"r{i}") for i in range(3_000)]
    assert found(*long, alert("r3000 > 1", BRANCH)) == []


def test_lints_are_silenced_by_comments_and_options() -> None:
    """For a rule, for a file, for everything."""
    bad = alert("sum(avg_over_time(x[5m])) > 1", BRANCH)
    ids = {"lint/no-sample-floor", "lint/no-scope", "lint/goes-silent"}
    assert {w.split(" at ")[0] for w in found(bad)} == ids
    comment = f"      # rollbackd: disable={','.join(sorted(ids))} it is a drill\n"
    assert found(comment, bad) == []
    assert len(found(comment, bad, alert("sum(avg_over_time(x[5m])) > 1", BRANCH, "B"))) == 3
    assert found(comment.replace("disable", "file/disable"), bad, bad.replace("A", "B")) == []
    assert found(bad, options=LintOptions(disabled=frozenset(ids))) == []


def test_a_rule_that_does_not_compile_is_left_to_the_errors() -> None:
    """The others are looked at."""
    assert found(alert("sum("), alert("avg_over_time(x[5m]) > 1")) == [f"{FLOOR} avg_over_time"]


def test_the_shipped_rules_and_our_own_alerts_are_clean() -> None:
    """We do not warn of what we ship."""
    files = [
        read_rule_file(path.read_text(), file=str(path))
        for path in (ROOT / "rules/when-to-pull.yaml", ROOT / "docs/deploy/rollbackd-alerts.yml")
    ]
    assert [w.render() for w in lint_rules(files, LintOptions())] == []


@pytest.mark.parametrize("path", PUBLIC, ids=lambda p: p.stem)
def test_rules_of_public_projects_are_warned_of_floors_only(path: Path) -> None:
    """They pull nothing, and their windows and comparisons make sense."""
    warnings = lint_rules([read_rule_file(path.read_text(), file=path.name)], LintOptions())
    assert {w.id for w in warnings} <= {"lint/no-sample-floor"}
    assert len(warnings) <= 3
