"""1 - cos of embeddings that events bring."""

import math
import random

import pytest

from rollbackd.scorers.distances import VectorScorer
from tests.scorers.answers import embedded


@pytest.fixture(params=[False, True], ids=["plain", "numpy"])
def scorer(request: pytest.FixtureRequest) -> VectorScorer:
    if request.param:
        pytest.importorskip("numpy")
    return VectorScorer(with_numpy=request.param)


@pytest.mark.parametrize(
    ("question", "context", "distance"),
    [
        ([1, 0], [1, 0], 0.0),
        ([1, 0], [5, 0], 0.0),
        ([1, 0], [0, 3], 1.0),
        ([1, 0], [-2, 0], 2.0),
        ([1, 0], [1, 1], 1 - math.sqrt(0.5)),
        ([1e-15, 0], [1e15, 0], 0.0),
    ],
)
def test_the_distance_is_one_minus_the_cosine(
    scorer: VectorScorer, question: list[float], context: list[float], distance: float
) -> None:
    (scores,) = scorer.score([embedded(question, context)])
    assert scores.delta_s == pytest.approx(distance, abs=1e-6)
    assert scores.delta_s_anchor is None


@pytest.mark.parametrize(
    ("question", "context"),
    [([0, 0], [1, 0]), ([1, 0], [0, 0]), ([0], [0]), ([1e39, 0], [1, 0]), ([1, 0], [1e39, 1])],
    ids=["question", "context", "both", "infinite question", "infinite context"],
)
def test_a_zero_or_infinite_vector_has_no_distance(
    scorer: VectorScorer, question: list[float], context: list[float]
) -> None:
    (scores,) = scorer.score([embedded(question, context)])
    assert scores.delta_s is not None
    assert math.isnan(scores.delta_s)


def test_the_anchor_is_compared_with_the_context(scorer: VectorScorer) -> None:
    (scores,) = scorer.score([embedded([1, 0], [0, 1], [0, 2])])
    assert scores == pytest.approx((1.0, 0.0))


def test_plain_python_and_numpy_agree() -> None:
    pytest.importorskip("numpy")
    draw = random.Random(1)
    facts = [
        embedded(*([draw.gauss(0, 1) for _ in range(384)] for _ in range(3))) for _ in range(20)
    ]
    plain, quick = (VectorScorer(with_numpy=it).score(facts) for it in (False, True))
    for one, other in zip(plain, quick, strict=True):
        assert one == pytest.approx(other, abs=1e-9)
