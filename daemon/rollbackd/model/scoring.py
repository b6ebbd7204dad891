"""What a scorer says of one answer, and which of it is believed.

dS = 1 - cos(a, b) of two embeddings lies in [0, 2] (requirements 1.1, K1).
"""

import math
from enum import StrEnum
from typing import Final, NamedTuple

#: Rounding may make a distance of equal vectors this much less than zero (requirements 1.1).
TOLERANCE: Final = 1e-6
_MOST: Final = 2.0


class ScoredMetric(StrEnum):
    """A series that scores are written to."""

    #: Question against what was retrieved.
    DELTA_S = "delta_s"
    #: What was retrieved against what should have been; only where the event has an anchor.
    DELTA_S_ANCHOR = "delta_s_anchor"


class Scores(NamedTuple):
    """The distances of one answer; None where there is none. NaN is a zero vector's."""

    delta_s: float | None = None
    delta_s_anchor: float | None = None

    def of(self, metric: ScoredMetric) -> float | None:
        """The distance that a series is of."""
        return self.delta_s if metric is ScoredMetric.DELTA_S else self.delta_s_anchor


class Outcome(StrEnum):
    """What became of one score."""

    SCORED = "scored"
    #: The queue was full; the oldest go first.
    DROPPED = "dropped"
    #: It waited for longer than the engine takes late samples.
    LATE = "late"
    #: The scorer failed, and was asked as often as allowed.
    FAILED = "failed"
    #: The scorer answered, and said nothing of this one.
    MISSING = "missing"
    #: A zero vector, or no number: no cosine.
    UNDEFINED = "undefined"
    OUT_OF_RANGE = "out_of_range"
    #: It has texts only, and nothing is configured to read them.
    NO_MODEL = "no_model"


def judged(value: float | None) -> tuple[Outcome, float]:
    """Whether a distance is believed, and the distance in [0, 2]."""
    if value is None:
        return Outcome.MISSING, 0.0
    if not math.isfinite(value):
        return Outcome.UNDEFINED, 0.0
    if not -TOLERANCE <= value <= _MOST + TOLERANCE:
        return Outcome.OUT_OF_RANGE, 0.0
    return Outcome.SCORED, min(max(value, 0.0), _MOST)
