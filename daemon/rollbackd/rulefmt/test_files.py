"""Unit tests of rules in promtool's format: text -> frozen values.

https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from rollbackd.documents.diagnostics import Position
from rollbackd.documents.reader import Document, Reader
from rollbackd.documents.yaml import compose
from rollbackd.model.labels import Labels
from rollbackd.rulefmt.series_notation import (
    SeriesValue,
    parse_metric,
    parse_number,
    parse_values,
)
from rollbackd.rulefmt.source_text import SourceText, locate

T = TypeVar("T")

_FILE_KEYS: Final = (
    "rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests",
)  # fmt: skip
_TEST_KEYS: Final = (
    "name", "interval", "input_series", "alert_rule_test", "promql_expr_test",
    "external_labels", "external_url",
)  # fmt: skip
_DEFAULT_INTERVAL_MS: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSeries:
    """A series of a test: the values stand `interval` apart, the first at time 0."""

    labels: Labels
    values: tuple[SeriesValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedAlert:
    """An alert that has to fire, without its `alertname`."""

    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTest:
    """Which instances of an alert fire at a time."""

    alertname: str
    eval_time_ms: int
    expected: tuple[ExpectedAlert, ...]
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class ExprTest:
    """What an expression gives at a time."""

    expr: SourceText
    eval_time_ms: int
    expected: tuple[tuple[Labels, float], ...]
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class TestGroup:
    """Series, and what the rules make of them."""

    name: str
    interval_ms: int
    input_series: tuple[InputSeries, ...]
    alert_tests: tuple[AlertTest, ...]
    expr_tests: tuple[ExprTest, ...]
    external_labels: dict[str, str]
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFile:
    """One file of tests; `rule_files` are patterns relative to it."""

    file: str
    rule_files: tuple[str, ...]
    evaluation_interval_ms: int
    group_eval_order: tuple[str, ...]
    fuzzy_compare: bool
    tests: tuple[TestGroup, ...]


def read_test_file(text: str, *, file: str) -> TestFile:
    """Read a file of unit tests. Raises DocumentError with every problem found."""
    document = Document(file, text)
    root = compose(text, file=file)
    reader = Reader(document, root) if root is not None else None
    if reader is None:
        document.report(Position(file, 1, 1), "test/empty", "the file is empty")
        document.raise_errors()
    assert reader is not None
    fields = reader.fields(_FILE_KEYS)
    found = TestFile(
        file=file,
        rule_files=fields.read("rule_files", lambda r: tuple(r.string_list()), _no_names()),
        evaluation_interval_ms=fields.read(
            "evaluation_interval", Reader.duration_ms, 0
        ) or _DEFAULT_INTERVAL_MS,
        group_eval_order=fields.read(
            "group_eval_order", lambda r: tuple(r.string_list()), _no_names()
        ),
        fuzzy_compare=fields.read("fuzzy_compare", Reader.boolean, default=False),
        tests=_each(reader=fields.get("tests"), read=lambda r: _test(document, r)),
    )  # fmt: skip
    document.raise_errors()
    return found


def _no_names() -> tuple[str, ...]:
    return ()


def _each(reader: Reader | None, read: Callable[[Reader], T]) -> tuple[T, ...]:
    return () if reader is None else tuple(read(item) for item in reader.items())


def _test(document: Document, reader: Reader) -> TestGroup:
    fields = reader.fields(_TEST_KEYS)
    return TestGroup(
        name=fields.read("name", Reader.text_of_scalar, ""),
        interval_ms=fields.read("interval", Reader.duration_ms, 0) or _DEFAULT_INTERVAL_MS,
        input_series=_each(fields.get("input_series"), _input_series),
        alert_tests=_each(fields.get("alert_rule_test"), _alert_test),
        expr_tests=_each(fields.get("promql_expr_test"), lambda r: _expr_test(document, r)),
        external_labels=fields.read("external_labels", Reader.string_map, {}),
        position=reader.position,
    )


def _input_series(reader: Reader) -> InputSeries:
    fields = reader.fields(("series", "values"), required=("series", "values"))
    nothing: list[SeriesValue] = []
    return InputSeries(
        labels=fields.read("series", lambda r: _checked(r, parse_metric, ()), ()),
        values=tuple(fields.read("values", lambda r: _checked(r, parse_values, nothing), nothing)),
    )


def _alert_test(reader: Reader) -> AlertTest:
    fields = reader.fields(
        ("eval_time", "alertname", "exp_alerts"), required=("eval_time", "alertname")
    )
    return AlertTest(
        alertname=fields.read("alertname", Reader.text_of_scalar, ""),
        eval_time_ms=fields.read("eval_time", Reader.duration_ms, 0),
        expected=_each(fields.get("exp_alerts"), _expected_alert),
        position=reader.position,
    )


def _expected_alert(reader: Reader) -> ExpectedAlert:
    fields = reader.fields(("exp_labels", "exp_annotations"))
    return ExpectedAlert(
        labels=fields.read("exp_labels", Reader.string_map, {}),
        annotations=fields.read("exp_annotations", Reader.string_map, {}),
    )


def _expr_test(document: Document, reader: Reader) -> ExprTest:
    fields = reader.fields(("expr", "eval_time", "exp_samples"), required=("expr", "eval_time"))
    expr = fields.get("expr")
    return ExprTest(
        expr=locate(document, expr.node if expr is not None else reader.node),
        eval_time_ms=fields.read("eval_time", Reader.duration_ms, 0),
        expected=_each(fields.get("exp_samples"), _expected_sample),
        position=reader.position,
    )


def _expected_sample(reader: Reader) -> tuple[Labels, float]:
    fields = reader.fields(("labels", "value"))
    return (
        fields.read("labels", lambda r: _checked(r, parse_metric, ()), ()),
        fields.read("value", lambda r: _checked(r, parse_number, 0.0), 0.0),
    )


def _checked(reader: Reader, parse: Callable[[str], T], default: T) -> T:
    """Parse the text of a scalar; a mistake is reported where it stands."""
    try:
        return parse(reader.text_of_scalar())
    except ValueError as error:
        reader.problem("test/notation", str(error))
        return default
