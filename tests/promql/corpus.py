"""Series and expressions for the comparison with Prometheus; the same on every run."""

import random
from collections.abc import Iterator
from itertools import product

INTERVAL = "15s"
COUNT = 81
TIMES = ("3m", "10m", "14m", "20m")


def series() -> dict[str, str]:
    """Counters with resets, gauges with gaps, stale markers, NaN, infinities and histograms."""
    rng = random.Random(7)
    found: dict[str, str] = {}
    for job, instance in product(("api", "web"), ("a", "b", "c")):
        name = f'{{job="{job}", instance="{instance}"}}'
        found[f"requests_total{name}"] = " ".join(_counter(rng))
        found[f"temperature{name}"] = " ".join(_gauge(rng))
        found[f"limit{name}"] = f"{rng.randint(1, 9)}x{COUNT - 1}"
        if instance != "c":
            found[f'errors_total{{job="{job}", instance="{instance}", code="500"}}'] = " ".join(
                _counter(rng)
            )
        total = [0.0] * 5
        rows: list[list[str]] = [[] for _ in range(5)]
        for _ in range(COUNT):
            for index in range(5):
                total[index] += rng.randint(0, 3) * (index + 1)
            for index in range(5):
                rows[index].append(str(sum(total[: index + 1])))
        for le, row in zip(("0.1", "0.5", "1", "5", "+Inf"), rows, strict=True):
            key = f'latency_bucket{{job="{job}", instance="{instance}", le="{le}"}}'
            found[key] = " ".join(row)
    for instance in "abc":
        found[f'build{{instance="{instance}", version="v{instance}", empty=""}}'] = f"1x{COUNT - 1}"
    found['odd{kind="nan"}'] = "1 NaN 3 NaN NaN " + "2+1x30"
    found['odd{kind="inf"}'] = "1 Inf -Inf Inf 5 Inf" + " Inf" * 60
    found['odd{kind="tiny"}'] = "1e-300 1e300 -1e300 1e-5 123456789012 " + "0.1+0.1x60"
    found['odd{kind="gone"}'] = "1 2 3 stale _x20 7 stale _x30 9 9 9"
    found['odd{kind="zero"}'] = f"0x{COUNT - 1}"
    found['short{a="1"}'] = "_x38 5 6"
    return found


def expressions() -> list[str]:
    """A few hundred expressions over the series."""
    found = [*_ranges(), *_instants(), *_aggregations(), *_binaries(), *_special(), *_nested()]
    return list(dict.fromkeys(found))


def _counter(rng: random.Random) -> Iterator[str]:
    value = rng.randint(0, 50)
    for _ in range(COUNT):
        value += rng.randint(0, 9)
        if rng.random() < 0.04:
            value = rng.randint(0, 5)
        yield "_" if rng.random() < 0.08 else str(value)


def _gauge(rng: random.Random) -> Iterator[str]:
    for _ in range(COUNT):
        draw = rng.random()
        if draw < 0.08:
            yield "_"
        elif draw < 0.1:
            yield "stale"
        else:
            yield f"{rng.uniform(-50, 50):.3f}"


RANGE_FUNCTIONS = (
    "rate", "increase", "delta", "irate", "idelta", "sum_over_time", "avg_over_time",
    "count_over_time", "min_over_time", "max_over_time", "last_over_time", "present_over_time",
    "stddev_over_time", "stdvar_over_time", "changes", "resets", "deriv", "absent_over_time",
)  # fmt: skip


def _ranges() -> Iterator[str]:
    selectors = (
        "requests_total[5m]", 'temperature{job="api"}[3m]', "odd[2m]", "short[1m] offset 30s",
        'requests_total{instance!="a"}[4m] offset 5m',
    )  # fmt: skip
    for function, selector in product(RANGE_FUNCTIONS, selectors):
        yield f"{function}({selector})"
    for q in ("0", "0.5", "0.95", "1", "-1", "2", "NaN"):
        yield f"quantile_over_time({q}, temperature[5m])"
    yield "quantile_over_time(0.5, odd[5m])"
    yield "predict_linear(temperature[5m], 600)"
    yield "predict_linear(requests_total[5m] offset 1m, 60)"
    yield "predict_linear(limit[5m], Inf)"
    yield "holt_winters(temperature[5m], 0.3, 0.7)"
    yield "rate(requests_total[15s])"
    yield "rate(requests_total[14s])"
    yield "count_over_time(limit[1m])"


def _instants() -> Iterator[str]:
    yield from (
        "requests_total", "temperature", "odd", "short", "short offset 4m", "short offset 6m",
        "odd offset 30s", 'requests_total{job="api"}', 'requests_total{job!="api"}',
        'requests_total{instance=~"a|b"}', 'requests_total{instance!~"a|b"}',
        'requests_total{missing=""}', 'requests_total{missing!=""}', 'build{empty=""}',
        'requests_total{instance=~".*"}', 'requests_total{instance=~"[ab]"}',
        '{__name__=~"requests.*|limit", job="api"}', '{__name__="limit"}',
        'requests_total{job=~"(?i)API"}', "requests_total @ 300", "requests_total @ 300 offset 1m",
        "requests_total @ end()", "rate(requests_total[2m] @ 400)", "temperature offset -1m",
    )  # fmt: skip
    functions = (
        "abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sqrt", "sgn", "round", "timestamp",
        "sort", "sort_desc", "sin", "cos", "tan", "atan", "sinh", "tanh", "deg", "rad", "asin",
        "acosh", "atanh",
    )  # fmt: skip
    for function, selector in product(functions, ("temperature", "odd")):
        yield f"{function}({selector})"
    yield from (
        "round(temperature, 5)", "round(temperature, 0.1)", "clamp(temperature, -10, 10)",
        "clamp(temperature, 10, -10)", "clamp_min(temperature, 0)", "clamp_max(odd, 2)",
        "clamp_min(odd, NaN)", "timestamp(temperature offset 1m)", "timestamp(temperature + 1)",
        "timestamp((temperature))", "-temperature", "-odd", "+temperature", "-(-temperature)",
        "minute(limit * 1000)", "hour(vector(123456))", "day_of_week(vector(1e9))",
        "day_of_month(vector(1e9))", "days_in_month(vector(951868800))", "month()", "year()",
        "hour()", "day_of_year(vector(1e9))",
        "round(temperature, Inf)", "round(odd, -Inf)", "round(odd, 0)", "round(odd, NaN)",
        "year(vector(1e12))", "year(vector(-1e12))", "day_of_week(vector(-1e12))",
        "year(vector(-62135596801))", "days_in_month(vector(1e14))",
    )  # fmt: skip


def _aggregations() -> Iterator[str]:
    operators = ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
    groupings = ("", "by (job)", "by (job, instance)", "without (instance)", "by (missing)",
                 "by ()", "without ()", "by (__name__)")  # fmt: skip
    for operator, grouping in product(operators, groupings):
        yield f"{operator} {grouping} (temperature)"
    for operator in operators:
        yield f"{operator}(odd)"
        yield f"{operator} by (kind) (odd offset 3m)"
        yield f"{operator}(nothing)"
    for grouping in ("", "by (job)", "without (job)"):
        yield f"quantile {grouping} (0.9, temperature)"
        yield f"topk {grouping} (2, temperature)"
        yield f"bottomk {grouping} (1, temperature)"
        yield f'count_values {grouping} ("v", limit)'
    yield from (
        "quantile(1.1, limit)", "quantile(NaN, limit)", "topk(0, limit)", "topk(-1, limit)",
        "topk(scalar(nothing), limit)", "topk(3, odd)", "bottomk(3, odd)", "topk(100, limit)",
        'count_values("kind", odd)', "sum(requests_total) by (job)", "topk(1.9, temperature)",
        'count_values without (job) ("job", limit)', 'count_values by (job) ("job", limit)',
        'count_values("v", limit * 1e20)', 'count_values("v", limit / 3e7)',
        "topk(0, limit * on () limit)", "clamp(limit * on () limit, 2, 1)",
    )  # fmt: skip


def _binaries() -> Iterator[str]:
    arithmetic = ("+", "-", "*", "/", "%", "^", "atan2")
    comparisons = ("==", "!=", ">", "<", ">=", "<=")
    for operator in (*arithmetic, *comparisons):
        yield f"temperature {operator} limit"
        yield f"temperature {operator} 3"
        yield f"3 {operator} temperature"
        yield f"odd {operator} odd"
        yield f"odd {operator} 0"
    for operator in comparisons:
        yield f"temperature {operator} bool limit"
        yield f"temperature {operator} bool 5"
        yield f"5 {operator} bool temperature"
        yield f"1 {operator} bool 2"
    yield from (
        "temperature + on (instance) group_left build",
        "temperature * on (instance) group_left (version) build",
        "build * on (instance) group_right (version) temperature",
        "build * on (instance) group_right temperature",
        "temperature + ignoring (instance) limit",
        "temperature + on (job) limit",
        "errors_total / ignoring (code) requests_total",
        "errors_total / on (job, instance) requests_total",
        "requests_total / ignoring (code) errors_total",
        "sum by (job) (errors_total) / sum by (job) (requests_total)",
        "temperature > on (instance, job) limit",
        "temperature > bool on (instance, job) limit",
        "temperature - on (instance) group_left sum by (instance) (limit)",
        "limit and temperature > 0", "limit and on (job) errors_total", "limit or temperature",
        "limit or on (instance) build", "limit unless on (instance) errors_total",
        "limit unless temperature > 0", "limit and ignoring (code) errors_total",
        "limit and on () vector(1)", "limit and on () (vector(1) > 2)", "nothing or vector(0)",
        "limit or nothing", "nothing and limit", "limit unless nothing", "nothing + limit",
        "limit + nothing", "vector(1) + vector(2)", "1 + 2 * 3 ^ 2 % 5", "2 ^ 3 ^ 2", "-2 ^ 2",
        "1 / 0", "-1 / 0", "0 / 0", "5 % 0", "-7 % 3", "0 ^ -1", "(0 - 8) ^ (1 / 3)", "Inf - Inf",
        "limit > 3 and limit < 7", "limit > 3 or limit < 2", "1 + limit * 2 - limit / 2",
        "limit == limit", "limit != limit", "limit * on (job, instance) group_left limit",
        'label_replace(limit, "a", "x", "", "") + on (job, instance) limit',
        "{__name__=~'limit|temperature'} + 1", "-{__name__=~'limit|temperature'}",
        "abs({__name__=~'limit|temperature'})", "rate({__name__=~'requests_total|limit'}[5m])",
        "{__name__=~'limit|temperature'} > 2", "sum({__name__=~'limit|temperature'})",
        "{__name__=~'limit|temperature'} > bool 2",
        "last_over_time({__name__=~'limit|temperature'}[5m])",
    )  # fmt: skip


def _special() -> Iterator[str]:
    for q in ("0", "0.5", "0.9", "0.99", "1", "-1", "2", "NaN"):
        yield f"histogram_quantile({q}, rate(latency_bucket[5m]))"
        yield f"histogram_quantile({q}, sum by (le) (rate(latency_bucket[5m])))"
        yield f"histogram_quantile({q}, sum by (job, le) (latency_bucket))"
    yield from (
        'histogram_quantile(0.5, latency_bucket{le!="+Inf"})', "histogram_quantile(0.5, limit)",
        'histogram_quantile(0.9, latency_bucket{le=~"1|.Inf"})',
        'histogram_quantile(0.5, latency_bucket{le="+Inf"})',
        "histogram_quantile(0.5, latency_bucket * 0)",
        "absent(limit)", "absent(nothing)", 'absent(nothing{a="b", c=~"d", e!="f"})',
        'absent(nothing{a="b", a="c"})', "absent(sum(nothing))", "absent((nothing))",
        'absent(nothing{a="b"} + 1)', 'absent((nothing{a="b"}))', "absent(limit > 100)",
        'absent_over_time(nothing{a="b"}[5m])', "absent_over_time(limit[5m])",
        "absent_over_time(rate(nothing[1m])[5m:1m])",
        "scalar(limit)", "scalar(sum(limit))", "vector(3)", "vector(time())", "time()", "pi()",
        "scalar(nothing)", "limit * scalar(sum(limit))", "vector(scalar(nothing))",
        'label_replace(limit, "new", "$1-x", "instance", "(.*)")',
        'label_replace(limit, "new", "${1}y$$", "instance", "([ab])")',
        'label_replace(limit, "instance", "", "instance", "a")',
        'label_replace(limit, "instance", "same", "instance", ".*")',
        'label_replace(limit, "job", "$2$1", "job", "(.)(.*)")',
        'label_replace(limit, "new", "$name", "job", "(?P<name>.)(.*)")',
        'label_replace(limit, "__name__", "renamed", "", "")',
        'label_replace(limit, "new", "$1", "missing", "(.*)")',
        'label_join(limit, "all", "-", "job", "instance")', 'label_join(limit, "all", "-")',
        'label_join(limit, "job", "", "missing")',
        'label_join(limit, "all", ",", "missing", "job")',
    )  # fmt: skip


def _nested() -> Iterator[str]:
    yield from (
        "max_over_time(rate(requests_total[1m])[5m:30s])",
        "max_over_time(rate(requests_total[1m])[5m:])",
        "sum_over_time(temperature[5m:15s])", "count_over_time(temperature[5m:7s])",
        "avg_over_time((temperature > 0)[5m:30s])", "rate(requests_total[5m:30s])",
        "last_over_time(limit[5m:1m])", "count_over_time(sum(temperature)[5m:15s])",
        "count_over_time(vector(1)[5m:1m])", "sum_over_time(vector(time())[3m:1m])",
        "max_over_time(temperature[5m:15s] offset 2m)", "max_over_time(temperature[2m:15s] @ 400)",
        "quantile_over_time(0.5, sum by (job) (temperature)[5m:15s])",
        "increase(sum(requests_total)[5m:15s])", "count_over_time(absent(nothing)[5m:1m])",
        "max_over_time(max_over_time(temperature[1m:15s])[5m:1m])",
        "sum(rate(requests_total[5m])) by (job) > 0.1 and sum(rate(errors_total[5m])) by (job) > 0",
        "(sum by (job) (rate(errors_total[5m])) / sum by (job) (rate(requests_total[5m]))) * 100",
        "max by (job) (avg_over_time(temperature[5m])) - min by (job) (limit)",
        "topk(1, sum by (job) (rate(requests_total[5m])))", "count(temperature > 0) or vector(0)",
        "(temperature - avg_over_time(temperature[5m])) / stddev_over_time(temperature[5m])",
        "count by (job) (rate(requests_total[2m]) == 0)", "sum(limit) > bool 3", "avg(limit > 4)",
        "quantile(0.5, rate(requests_total[5m])) + 0 * time()",
        "changes(requests_total[5m]) > resets(requests_total[5m]) * 10",
        "stddev(rate(requests_total[5m]))", "abs(-temperature) == abs(temperature)",
    )  # fmt: skip
