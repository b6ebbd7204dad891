"""Label sets that lose their metric name."""

from collections.abc import Sequence
from typing import Final

from rollbackd.model.labels import Labels
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.values import drop_name

SAME_LABELS: Final = "vector cannot contain metrics with the same labelset"


class Unnamed:
    """Label sets without the metric name; made once for a list of them."""

    def __init__(self, *, one_name: bool) -> None:
        self._one_name = one_name
        self._made_of: Sequence[Labels] | None = None
        self._made: list[Labels] = []

    def of(self, labels: Sequence[Labels]) -> Sequence[Labels]:
        """Raises EvaluationError when two become the same."""
        if labels is not self._made_of:
            made = [drop_name(each) for each in labels]
            if not self._one_name and len(set(made)) != len(made):
                raise EvaluationError(SAME_LABELS)
            self._made_of, self._made = labels, made
        return self._made
