"""Prometheus and this engine give the same answer to every expression of the corpus."""

import pytest

from rollbackd.documents.durations import parse_duration
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.store import Store
from tests.promql import corpus
from tests.promql.oracle import Answer, ask, differences, stored

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
    compiled = [compile_expr(expr) for expr in corpus.expressions()]
    return stored(corpus.series(), compiled, interval=corpus.INTERVAL)


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
