"""dS of two embeddings: 1 - cos, in plain Python, or with numpy where it is installed."""

import importlib
import importlib.util
import math
from array import array
from collections.abc import Callable, Sequence
from operator import mul

from rollbackd.model.facts import Scorable, Vectors
from rollbackd.model.scoring import Scores

#: The inner product of two vectors of one length.
_Dot = Callable[["array[float]", "array[float]"], float]


class VectorScorer:
    """Scores what brings its own embeddings; needs no model."""

    def __init__(self, *, with_numpy: bool | None = None) -> None:
        found = importlib.util.find_spec("numpy") is not None
        self._dot = _numpy_dot() if (found if with_numpy is None else with_numpy) else _dot

    def score(self, facts: Sequence[Scorable]) -> list[Scores]:
        """In the order of the facts; all of them have vectors."""
        return [self._of(fact.vectors) for fact in facts if fact.vectors is not None]

    def _of(self, vectors: Vectors) -> Scores:
        question, context, anchor = vectors
        return Scores(
            self._distance(question, context),
            None if anchor is None else self._distance(context, anchor),
        )

    def _distance(self, a: "array[float]", b: "array[float]") -> float:
        """NaN where one of them is zero or has no length."""
        dot = self._dot
        norms = math.sqrt(dot(a, a)) * math.sqrt(dot(b, b))
        return 1.0 - dot(a, b) / norms if norms > 0 else math.nan


def _dot(a: "array[float]", b: "array[float]") -> float:
    return float(sum(map(mul, a, b)))


def _numpy_dot() -> _Dot:
    numpy = importlib.import_module("numpy")

    def dot(a: "array[float]", b: "array[float]") -> float:
        left, right = (numpy.frombuffer(v, dtype=numpy.float32).astype(float) for v in (a, b))
        return float(left @ right)

    return dot
