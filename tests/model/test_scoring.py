"""Which distances are believed."""

import math

import pytest

from rollbackd.model.scoring import Outcome, ScoredMetric, Scores, judged


@pytest.mark.parametrize(
    ("value", "outcome", "taken"),
    [
        (0.0, Outcome.SCORED, 0.0),
        (0.31, Outcome.SCORED, 0.31),
        (1.5, Outcome.SCORED, 1.5),
        (2.0, Outcome.SCORED, 2.0),
        (-1e-6, Outcome.SCORED, 0.0),
        (2.0 + 9e-7, Outcome.SCORED, 2.0),
        (-1.1e-6, Outcome.OUT_OF_RANGE, 0.0),
        (2.00001, Outcome.OUT_OF_RANGE, 0.0),
        (math.nan, Outcome.UNDEFINED, 0.0),
        (math.inf, Outcome.UNDEFINED, 0.0),
        (-math.inf, Outcome.UNDEFINED, 0.0),
        (None, Outcome.MISSING, 0.0),
    ],
)
def test_a_distance_lies_between_0_and_2(
    value: float | None, outcome: Outcome, taken: float
) -> None:
    assert judged(value) == (outcome, taken)


def test_each_series_has_its_distance() -> None:
    scores = Scores(0.1, 0.2)
    assert [scores.of(metric) for metric in ScoredMetric] == [0.1, 0.2]
