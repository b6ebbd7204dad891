"""Prometheus and this engine give the same answer to every expression of the corpus."""

import pytest

from rollbackd.documents.durations import parse_duration
from rollbackd.model.events import Sample
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.store import Store
from rollbackd.promql.values import STALE
from rollbackd.rulefmt.series_notation import Gap, parse_metric, parse_values
from tests.promql import corpus
from tests.promql.oracle import Answer, ask, differences

Question = tuple[str, str]

QUESTIONS: list[Question] = [
    (expr, corpus.TIMES[index % len(corpus.TIMES)])
    for index, expr in enumerate(e for e in corpus.expressions() for _ in corpus.TIMES)
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[Question, Answer]:
    folder = tmp_path_factory.mktemp("promtool")
    found = ask(corpus.series(), QUESTIONS, interval=corpus.INTERVAL, folder=folder)
    return dict(zip(QUESTIONS, found, strict=True))


@pytest.fixture(scope="module")
def store() -> Store:
    """The corpus in memory, as the engine keeps it."""
    made = Store(lateness_ms=0, ahead_ms=1 << 40, max_series=10_000, retain_ms=1 << 40)
    step_ms = parse_duration(corpus.INTERVAL)
    for expr in corpus.expressions():
        for selector, window_ms in compile_expr(expr).reads:
            made.register(selector, window_ms=window_ms)
    for name, values in corpus.series().items():
        made.ingest(
            [
                Sample(parse_metric(name), STALE if value is Gap.STALE else value, i * step_ms)
                for i, value in enumerate(parse_values(values))
                if value is not Gap.MISSING
            ],
            0,
        )
    return made


def test_the_corpus_is_large_enough() -> None:
    """At least 400 expressions are compared."""
    assert len(corpus.expressions()) >= 400


@pytest.mark.parametrize("expr", corpus.expressions())
def test_the_answer_is_prometheus_s(
    expr: str, answers: dict[Question, Answer], store: Store
) -> None:
    """Elements, labels and values agree at every time, and so does whether it is an error."""
    compiled = compile_expr(expr)
    for time in corpus.TIMES:
        theirs = answers[expr, time]
        if theirs.error:
            with pytest.raises(EvaluationError):
                compiled.query(store, parse_duration(time))
        else:
            mine = dict(compiled.query(store, parse_duration(time)))
            assert differences(mine, theirs.elements) == [], f"at {time}"
