"""Prometheus and this engine give the same answer to expressions that nobody thought of.

The engine is asked twice: after it has seen all series at once, and after it has followed them,
evaluating as they came, as it does in a daemon.

A batch is one random set of series and many random questions, in one run of promtool. For a long
search, with new batches every time:

    python -m pytest tests/promql/test_generated.py --hypothesis-profile long --timeout 0
"""

import contextlib
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rollbackd.documents.durations import parse_duration
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.expressions import CompiledExpr, compile_expr
from rollbackd.promql.store import Store
from tests.promql.oracle import AFTER_ALL_MS, Answer, ask, differences, samples_of, stored
from tests.promql.random_expressions import expressions
from tests.promql.random_series import INTERVAL, LAST_SECONDS, series

#: Fewer than a profile's examples, for each is a run of promtool.
BATCHES = settings().max_examples // 5
QUESTIONS = 60
#: An evaluation comes after the samples of so much time.
_ROUND_MS = 45_000
#: promtool loads samples up to the last evaluation before the latest question.
_ALL_LOADED = ("vector(1)", "1h")


@dataclass(frozen=True)
class Case:
    """Series in promtool's notation, and questions about them."""

    series: dict[str, str]
    #: (expression, evaluation time).
    questions: list[tuple[str, str]]


def cases() -> st.SearchStrategy[Case]:
    """Series, and questions at times on the grid and off it, and after the last sample."""
    times = st.integers(0, LAST_SECONDS + 400).map("{}s".format)
    question = st.tuples(expressions(), times)
    return st.builds(Case, series(), st.lists(question, min_size=QUESTIONS, max_size=QUESTIONS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("promtool")


@given(case=cases())
@settings(
    max_examples=BATCHES,
    deadline=None,
    # what is found is made smaller here, a question at a time, which takes seconds, not minutes
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_the_answer_is_prometheus_s(folder: Path, case: Case) -> None:
    """Elements, labels and values agree, and so does whether it is an error."""
    wrong = disagreements(case, folder)
    assert not wrong, "\n\n".join(
        f"{case.questions[index][0]}  at {case.questions[index][1]}\n    {what}\n"
        f"    with {fewest_series(case, index, folder)}"
        for index, what in wrong.items()
    )


def disagreements(case: Case, folder: Path) -> dict[int, str]:
    """What is different, by the number of the question."""
    questions = [*case.questions, _ALL_LOADED]
    *answers, _ = ask(case.series, questions, interval=INTERVAL, folder=folder)
    times = [parse_duration(time) for _, time in case.questions]
    found: dict[int, str] = {}
    for what, (compiled, store) in {"": _at_once(case), "followed: ": _followed(case)}.items():
        for index, theirs in enumerate(answers):
            if wrong := disagreement(compiled[index], times[index], theirs, store):
                found.setdefault(index, what + wrong)
    return found


def _at_once(case: Case) -> tuple[list[CompiledExpr], Store]:
    compiled = [compile_expr(expr) for expr, _ in case.questions]
    return compiled, stored(case.series, compiled, interval=INTERVAL)


def _followed(case: Case) -> tuple[list[CompiledExpr], Store]:
    compiled = [compile_expr(expr) for expr, _ in case.questions]
    store = stored({}, compiled, interval=INTERVAL)
    samples = sorted(samples_of(case.series, interval=INTERVAL), key=lambda s: s.time_ms)
    for time_ms, coming in groupby(samples, key=lambda s: s.time_ms // _ROUND_MS * _ROUND_MS):
        store.ingest(coming, AFTER_ALL_MS)
        for each in compiled:
            with contextlib.suppress(EvaluationError):
                each.query(store, time_ms + _ROUND_MS)
    return compiled, store


def disagreement(compiled: CompiledExpr, at_ms: int, theirs: Answer, store: Store) -> str:
    """What is different in one answer, or an empty text."""
    try:
        mine = dict(compiled.query(store, at_ms))
    except EvaluationError as error:
        return "" if theirs.error else f"{error}; Prometheus: {theirs.elements}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it should not be
        return f"{error!r}; Prometheus: {theirs}"
    if theirs.error:
        return f"{mine}; Prometheus: {theirs.error}"
    return "; ".join(differences(mine, theirs.elements, rel_tol=1e-9, abs_tol=1e-9))


def fewest_series(case: Case, index: int, folder: Path) -> dict[str, str]:
    """The series without which the answer to a question is not wrong."""
    needed = dict(case.series)
    for name in case.series:
        fewer = {other: values for other, values in needed.items() if other != name}
        if disagreements(Case(fewer, [case.questions[index]]), folder):
            needed = fewer
    return needed
