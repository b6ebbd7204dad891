"""Runs promtool's unit tests on the production engine; time starts at 0.

The order of events is promtool's (cmd/promtool/unittest.go): at each step of the evaluation
interval the samples up to it are loaded and every rule is evaluated; alerts are compared with the
step at or before their time; expressions are evaluated when all steps are done.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rollbackd.documents.diagnostics import DocumentError, Position
from rollbackd.documents.durations import format_duration
from rollbackd.model.events import Sample
from rollbackd.model.labels import Labels, format_labels, labels_of
from rollbackd.model.triggers import RuleState
from rollbackd.promql.values import STALE
from rollbackd.rulefmt.rule_files import RuleFile
from rollbackd.rulefmt.series_notation import Gap
from rollbackd.rulefmt.test_files import AlertTest, ExprTest, TestFile, TestGroup
from rollbackd.triggers.alerting import ALERT_NAME
from rollbackd.triggers.engine import Engine

_FOREVER: Final = 1 << 60
#: Sums may be added up in another order than promtool's; this is far below what people write.
_TOLERANCE: Final = 1e-12
#: Prometheus's `fuzzy_compare`: util/almost.
_FUZZY_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One expectation. `expected` and `got` are texts for people, one element a line."""

    #: The test's name and what was checked, e.g. `boundary: QualityDrift at 5m`.
    name: str
    passed: bool
    expected: str
    got: str
    position: Position


def run_test_file(test_file: TestFile, rule_files: Sequence[RuleFile]) -> list[CaseResult]:
    """Run every test of a file against rules. Raises DocumentError when a rule is wrong."""
    ordered = _in_order(test_file, rule_files)
    return [
        result for test in test_file.tests for result in _Run(test_file, test, ordered).results()
    ]


def _in_order(test_file: TestFile, rule_files: Sequence[RuleFile]) -> list[RuleFile]:
    """The groups in the order that `group_eval_order` wants; the others behind them."""
    rank = {name: index for index, name in enumerate(test_file.group_eval_order)}
    groups = [(file.file, group) for file in rule_files for group in file.groups]
    groups.sort(key=lambda pair: rank.get(pair[1].name, len(rank)))
    return [RuleFile(file=file, groups=(group,)) for file, group in groups]


class _Run:
    """One test: a fresh engine, its series, and its expectations."""

    def __init__(self, file: TestFile, test: TestGroup, rule_files: Sequence[RuleFile]) -> None:
        self._test = test
        self._interval_ms = file.evaluation_interval_ms
        self._tolerance = _FUZZY_TOLERANCE if file.fuzzy_compare else _TOLERANCE
        self._pending = sorted(_samples(test), key=lambda sample: sample.time_ms, reverse=True)
        self._engine = self._built(rule_files)

    def results(self) -> list[CaseResult]:
        """The outcome of every expectation, or of the first evaluation that failed."""
        alerts = sorted(self._test.alert_tests, key=lambda t: t.eval_time_ms)
        times = [t.eval_time_ms for t in alerts]
        times += [t.eval_time_ms for t in self._test.expr_tests]
        found: list[CaseResult] = []
        for now_ms in range(0, max(times, default=-1) + 1, self._interval_ms):
            self._load(now_ms)
            evaluation = self._engine.evaluate(now_ms, force=True)
            if evaluation.failures:
                return [*found, self._failed(now_ms, evaluation.failures)]
            while alerts and alerts[0].eval_time_ms < now_ms + self._interval_ms:
                found.append(self._check_alert(alerts.pop(0), now_ms))
        return found + [self._check_expr(test) for test in self._test.expr_tests]

    def _built(self, rule_files: Sequence[RuleFile]) -> Engine:
        targets = [t.expr.value for t in self._test.expr_tests]
        while True:
            try:
                return Engine.build(
                    rule_files,
                    targets=targets,
                    ahead_ms=_FOREVER,
                    max_series=_FOREVER,
                    retain_ms=_FOREVER,
                    step_ms=self._interval_ms,
                    external_labels=self._test.external_labels,
                )
            except DocumentError:
                # A bad expression fails its own expectation only; bad rules fail them all.
                if not targets:
                    raise
                targets = [text for text in targets if _compiles(text)]
                if len(targets) == len(self._test.expr_tests):
                    raise

    def _load(self, until_ms: int) -> None:
        batch = []
        while self._pending and self._pending[-1].time_ms <= until_ms:
            batch.append(self._pending.pop())
        self._engine.ingest(batch, until_ms)

    def _check_alert(self, test: AlertTest, now_ms: int) -> CaseResult:
        firing = self._engine.instances(RuleState.FIRING, now_ms)
        got = [(t.labels, t.annotations) for t in firing if t.rule == test.alertname]
        expected = [
            (labels_of({**alert.labels, ALERT_NAME: test.alertname}), alert.annotations)
            for alert in test.expected
        ]
        got_text, expected_text = _alert_lines(got), _alert_lines(expected)
        return self._result(
            f"{test.alertname} at {format_duration(test.eval_time_ms)}",
            passed=got_text == expected_text, expected=expected_text, got=got_text,
            position=test.position,
        )  # fmt: skip

    def _check_expr(self, test: ExprTest) -> CaseResult:
        name = f"{' '.join(test.expr.value.split())} at {format_duration(test.eval_time_ms)}"
        expected = sorted(test.expected, key=lambda e: e[0])
        try:
            compiled = self._engine.compile(test.expr.value)
            got = sorted(self._engine.query(compiled, test.eval_time_ms), key=lambda e: e[0])
        except ValueError as error:
            return self._result(
                name,
                passed=False,
                expected=_sample_lines(expected),
                got=f"error: {error}",
                position=test.position,
            )
        passed = len(got) == len(expected) and all(
            mine[0] == theirs[0] and self._is_same(mine[1], theirs[1])
            for mine, theirs in zip(got, expected, strict=True)
        )
        return self._result(
            name,
            passed=passed,
            expected=_sample_lines(expected),
            got=_sample_lines(got),
            position=test.position,
        )

    def _is_same(self, left: float, right: float) -> bool:
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return left == right or math.isclose(left, right, rel_tol=self._tolerance)

    def _failed(self, now_ms: int, failures: Iterable[tuple[str, str]]) -> CaseResult:
        got = "\n".join(f"{rule}: {message}" for rule, message in failures)
        name = f"evaluation at {format_duration(now_ms)}"
        return self._result(
            name, passed=False, expected="no failure", got=got, position=self._test.position
        )

    def _result(
        self, name: str, *, passed: bool, expected: str, got: str, position: Position
    ) -> CaseResult:
        prefix = f"{self._test.name}: " if self._test.name else ""
        return CaseResult(
            name=prefix + name, passed=passed, expected=expected, got=got, position=position
        )


def _samples(test: TestGroup) -> Iterable[Sample]:
    for series in test.input_series:
        for index, value in enumerate(series.values):
            if value is not Gap.MISSING:
                number = STALE if isinstance(value, Gap) else value
                yield Sample(series.labels, number, index * test.interval_ms)


def _compiles(text: str) -> bool:
    try:
        Engine.build([], targets=[text])
    except DocumentError:
        return False
    return True


def _alert_lines(alerts: Iterable[tuple[Labels, dict[str, str]]]) -> str:
    lines = sorted(
        f"{format_labels(labels)} {format_labels(sorted(annotations.items()))}"
        for labels, annotations in alerts
    )
    return "\n".join(lines) or "nothing"


def _sample_lines(samples: Iterable[tuple[Labels, float]]) -> str:
    return "\n".join(f"{format_labels(labels)} {value!r}" for labels, value in samples) or "nothing"
