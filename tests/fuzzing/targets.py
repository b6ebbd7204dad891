"""What a random text is given to, and what may come of it: a result, or the diagnostic error."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from rollbackd.app.configuration import expression_problems
from rollbackd.documents.catalogue import SUMMARIES
from rollbackd.documents.diagnostics import Diagnostic, DocumentError
from rollbackd.levers import LEVER_SPECS
from rollbackd.model.events import Sample
from rollbackd.model.labels import labels_of
from rollbackd.promql.errors import EvaluationError, PromqlError
from rollbackd.promql.expressions import CompiledExpr, compile_expr
from rollbackd.promql.outline import outline
from rollbackd.promql.store import Store
from rollbackd.promql.values import STALE
from rollbackd.rulefmt.decision_tree import read_decision_tree
from rollbackd.rulefmt.rule_files import survey_rule_file
from rollbackd.rulefmt.test_files import TestFile, read_test_file
from rollbackd.triggers.engine import Engine
from rollbackd.triggers.lints import LintOptions, lint_rules
from rollbackd.triggers.unit_tests import run_test_file
from tests.fuzzing import mapping, mutation
from tests.fuzzing.events import Events
from tests.fuzzing.events import event as random_event

_START_MS: Final = 1_700_000_000_000
_STEP_MS: Final = 15_000
#: What is evaluated on one store before it is made anew, so that it does not grow.
_EVALUATIONS: Final = 500
#: Unit tests with more rounds than this are read and not run.
_MOST_ROUNDS: Final = 200
_RULES: Final = """
groups:
  - name: g
    rules:
      - {alert: A, expr: up == 0, for: 1m, annotations: {summary: "{{ $labels.job }}"}}
      - {record: "errors:rate", expr: "rate(errors[1m])"}
"""

SERIES: Final = (
    {"__name__": "requests_total", "job": "api", "instance": "a"},
    {"__name__": "requests_total", "job": "api", "instance": "b", "code": "500"},
    {"__name__": "temperature", "job": "web", "instance": "a"},
    {"__name__": "limit", "job": "web", "instance": "a"},
    {"__name__": "limit", "job": "api", "instance": "a"},
    {"__name__": "latency_bucket", "job": "api", "le": "0.5"},
    {"__name__": "latency_bucket", "job": "api", "le": "+Inf"},
    {"__name__": "latency_bucket", "job": "api", "le": "x"},
    {"__name__": "odd", "kind": "nan"},
    {"__name__": "up", "job": "\u00e9", "instance": "$1"},
)
VALUES: Final = (1.0, float("nan"), float("inf"), -0.0, 1e308, STALE, 5e-324, -1e308, 3.0, 7.0)


@dataclass(slots=True)
class Counts:
    """What became of the texts that a target was given."""

    cases: int = 0
    loaded: int = 0
    #: Diagnostics by id.
    refused: dict[str, int] = field(default_factory=dict)

    def refuse(self, id_: str) -> None:
        """Count one diagnostic."""
        self.refused[id_] = self.refused.get(id_, 0) + 1


class Targets:
    """The loader, the checker and the evaluation, each with its counts."""

    def __init__(self) -> None:
        self.counts = {name: Counts() for name, _, _ in KINDS}
        self.evaluated = 0
        self.failed = 0
        (self._rules, _) = survey_rule_file(_RULES, file="rules.yaml")
        self._store = _tiny_store()
        self._events = Events()
        self._mapped = mapping.Mapped()

    def run(self, seed: int, number: int) -> None:
        """One case. Raises whatever should not have been raised."""
        kind, text = case(seed, number)
        target = next(target for name, _, target in KINDS if name == kind)
        counts = self.counts[kind]
        counts.cases += 1
        counts.loaded += target(self, text, counts)

    def expression(self, text: str, counts: Counts) -> bool:
        """Compile, and evaluate what compiles."""
        try:
            compiled = compile_expr(text)
        except PromqlError as error:
            counts.refuse(error.id)
            _check(error, text)
            return False
        outline(text)
        self.evaluate(compiled)
        return True

    def rule_file(self, text: str, counts: Counts) -> bool:
        """Read, build, lint and evaluate, as `rollbackd check` and the daemon do."""
        try:
            rules, diagnostics = survey_rule_file(text, file="rules.yaml")
        except DocumentError as error:
            return _refused(error.diagnostics, text, counts)
        engine = None
        try:
            engine = Engine.build([rules])
        except DocumentError as error:
            diagnostics += error.diagnostics
        diagnostics += lint_rules([rules], LintOptions())
        if engine is None:
            return _refused(diagnostics, text, counts)
        _refused(diagnostics, text, counts)
        self.evaluated += 1
        for now_ms in (_START_MS, _START_MS + 600_000):
            engine.ingest(_samples(), now_ms)
            self.failed += len(engine.evaluate(now_ms, force=True).failures)
        return True

    def unit_tests(self, text: str, counts: Counts) -> bool:
        """Read, and run those that end soon."""
        try:
            tests = read_test_file(text, file="tests.yaml")
            if _rounds(tests) <= _MOST_ROUNDS:
                run_test_file(tests, [self._rules])
        except DocumentError as error:
            return _refused(error.diagnostics, text, counts)
        return True

    def decision_tree(self, text: str, counts: Counts) -> bool:
        """Read, with its expressions."""
        try:
            read_decision_tree(
                text, file="tree.yaml", levers=LEVER_SPECS, check_expression=expression_problems
            )
        except DocumentError as error:
            return _refused(error.diagnostics, text, counts)
        return True

    def event(self, text: str, counts: Counts) -> bool:
        """Decode, and give what it says to the detectors."""
        refused = self._events.take(text)
        if refused:
            counts.refuse(refused)
        return not refused

    def mapping(self, text: str, counts: Counts) -> bool:
        """Read and compile, and give it events of others."""
        try:
            self._mapped.take(text)
        except DocumentError as error:
            return _refused(error.diagnostics, text, counts)
        return True

    def evaluate(self, compiled: CompiledExpr) -> None:
        """Once on the store that all share."""
        self.evaluated += 1
        if self.evaluated % _EVALUATIONS == 0:
            self._store = _tiny_store()
        try:
            compiled.query(self._store, _START_MS + len(VALUES) * _STEP_MS)
        except EvaluationError as error:
            self.failed += 1
            _check_message(error)


#: (name, share of the cases in percent, target).
KINDS: Final[tuple[tuple[str, int, Callable[[Targets, str, Counts], bool]], ...]] = (
    ("mapping", 4, Targets.mapping),
    ("expression", 76, Targets.expression),
    ("rule_file", 8, Targets.rule_file),
    ("unit_tests", 2, Targets.unit_tests),
    ("decision_tree", 2, Targets.decision_tree),
    ("event", 8, Targets.event),
)


def case(seed: int, number: int) -> tuple[str, str]:
    """The kind of a case, and its text."""
    rng = mutation.chance_of(seed, number)
    (kind,) = rng.choices([name for name, _, _ in KINDS], [share for _, share, _ in KINDS])
    own: dict[str, mutation.Maker] = {"event": random_event, "mapping": mapping.mapping_file}
    maker = own[kind] if kind in own else getattr(mutation, kind)
    return kind, maker(rng)


def _check(error: PromqlError, text: str) -> None:
    assert error.id in SUMMARIES
    assert error.message
    # behind the text only where something is missing at its end
    assert 0 <= error.start < error.end <= max(len(text), error.start + 1)


def _check_message(error: EvaluationError) -> None:
    assert str(error)


def _refused(diagnostics: Iterable[Diagnostic], text: str, counts: Counts) -> bool:
    """Count what was found; each has to be something that a person can use."""
    lines = len(text.splitlines()) + 1
    for found in diagnostics:
        counts.refuse(found.id)
        assert found.id in SUMMARIES
        assert found.render()
        assert 1 <= found.position.line <= lines, found
        assert found.position.column >= 1, found
        assert found.position.width >= 1, found
    return False


def _tiny_store() -> Store:
    store = Store(lateness_ms=0, ahead_ms=0, max_series=1_000, retain_ms=1 << 40)
    store.register(compile_expr('{__name__=~".+"}').reads[0][0], window_ms=0)
    store.ingest(_samples(), _START_MS + len(VALUES) * _STEP_MS)
    return store


def _samples() -> list[Sample]:
    return [
        Sample(labels_of(labels), VALUES[(place + step) % len(VALUES)], _START_MS + step * _STEP_MS)
        for place, labels in enumerate(SERIES)
        for step in range(len(VALUES))
    ]


def _rounds(tests: TestFile) -> int:
    times = [t.eval_time_ms for test in tests.tests for t in test.alert_tests]
    times += [t.eval_time_ms for test in tests.tests for t in test.expr_tests]
    return max(times, default=0) // tests.evaluation_interval_ms
