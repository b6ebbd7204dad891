"""Unit test files in promtool's format, and the notation of series."""

import math

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.model.labels import labels_of
from rollbackd.rulefmt.series_notation import Gap, parse_metric, parse_number, parse_values
from rollbackd.rulefmt.test_files import read_test_file

MISSING, STALE = Gap.MISSING, Gap.STALE


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1 2 3", [1, 2, 3]),
        ("1+2x3", [1, 3, 5, 7]),
        ("10-2x2", [10, 8, 6]),
        ("5x2", [5, 5, 5]),
        ("0x6", [0] * 7),
        ("-1-1x2", [-1, -2, -3]),
        ("_ _x2 1", [MISSING, MISSING, MISSING, 1]),
        ("1 stale _ 2", [1, STALE, MISSING, 2]),
        ("1e3 .5 -2.5", [1000, 0.5, -2.5]),
        ("Inf -Inf", [math.inf, -math.inf]),
        ("", []),
        ("1+1x0", [1]),
    ],
)
def test_values_expand_as_in_promtool(text: str, values: list[object]) -> None:
    """`a+bxn` has n+1 values, `_xn` has n places without one."""
    assert parse_values(text) == values


@pytest.mark.parametrize(
    "text",
    ["1+2", "x3", "1x", "abc", "1++2x3", "1+-2x3", "{{1}}", "1x9999999999", "_x", "1,2", "1x-3"],
)
def test_what_is_no_value_is_named(text: str) -> None:
    """The item that is wrong stands in the message."""
    with pytest.raises(ValueError, match="`"):
        parse_values(text)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("up", {"__name__": "up"}),
        ('up{job="a"}', {"__name__": "up", "job": "a"}),
        ("up{ job = 'a' , b=`c` , }", {"__name__": "up", "job": "a", "b": "c"}),
        ('{a="b\\"c\\\\"}', {"a": 'b"c\\'}),
        ("{}", {}),
        ("", {}),
        ('up{a=""}', {"__name__": "up"}),
    ],
)
def test_a_series_name_is_read(text: str, labels: dict[str, str]) -> None:
    """Names and labels in every quoting; an empty value is no label."""
    assert parse_metric(text) == labels_of(labels)


@pytest.mark.parametrize(
    "text", ["up{", 'up{a="b"', "up{a}", 'up{a="b"}x', "up down", 'u{a="b" c="d"}']
)
def test_what_is_no_series_is_refused(text: str) -> None:
    """A half-written series is an error, not another series."""
    with pytest.raises(ValueError, match="`"):
        parse_metric(text)


def test_numbers_of_samples() -> None:
    """As YAML and as Prometheus write them."""
    assert parse_number(".inf") == math.inf
    assert math.isnan(parse_number("NaN"))
    with pytest.raises(ValueError, match="not a number"):
        parse_number("1_000")


GOOD = """
rule_files: [rules.yaml]
evaluation_interval: 30s
group_eval_order: [b, a]
fuzzy_compare: true
tests:
  - name: t
    interval: 15s
    external_labels: {cluster: c}
    input_series:
      - {series: 'x{a="b"}', values: 5}
    alert_rule_test:
      - eval_time: 1m
        alertname: A
        exp_alerts:
          - {exp_labels: {a: b, n: 1}, exp_annotations: {summary: s}}
    promql_expr_test:
      - {expr: x, eval_time: 0s, exp_samples: [{labels: 'x{a="b"}', value: 5}]}
"""


def test_a_test_file_becomes_values() -> None:
    """Every key of promtool's format is read."""
    found = read_test_file(GOOD, file="t.yaml")
    (test,) = found.tests
    assert (found.rule_files, found.group_eval_order) == (("rules.yaml",), ("b", "a"))
    assert (found.evaluation_interval_ms, found.fuzzy_compare) == (30_000, True)
    assert (test.name, test.interval_ms, test.external_labels) == ("t", 15_000, {"cluster": "c"})
    assert test.input_series[0].values == (5.0,)
    assert test.alert_tests[0].expected[0].labels == {"a": "b", "n": "1"}
    assert test.expr_tests[0].expected == ((labels_of({"__name__": "x", "a": "b"}), 5.0),)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("values: 5", "values: 5+1"), "`5+1` has a step and no count"),
        (("series: 'x{a=\"b\"}'", "series: 'x{'"), "is not a series"),
        (("alertname: A", "alert: A"), "key `alert` is not known here"),
        (("eval_time: 1m", "eval_time: soon"), "`soon` is not a duration"),
        (("value: 5", "value: five"), "`five` is not a number"),
        (("tests:", "test:"), "did you mean `tests`?"),
    ],
)
def test_a_malformed_test_file_is_refused(change: tuple[str, str], expected: str) -> None:
    """The mistake is named with its place."""
    text = GOOD.replace(*change)
    with pytest.raises(DocumentError) as caught:
        read_test_file(text, file="t.yaml")
    assert expected in str(caught.value)
    assert str(caught.value).startswith("t.yaml:")


def test_an_empty_test_file_is_refused() -> None:
    """A file that tests nothing is a mistake."""
    with pytest.raises(DocumentError, match="the file is empty"):
        read_test_file("", file="t.yaml")
