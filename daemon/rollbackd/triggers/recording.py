"""Recording rules: the result of an expression becomes series for the rules behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rollbackd.model.labels import METRIC_NAME, Labels, labels_of
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.expressions import CompiledExpr
from rollbackd.promql.operators import Context
from rollbackd.promql.store import Store


@dataclass(slots=True, kw_only=True)
class RecordingRule:
    """A compiled recording rule and the series it made last."""

    name: str
    group: str
    expr: CompiledExpr
    limit: int
    labels: Mapping[str, str]
    _written: set[Labels] = field(default_factory=set)

    def evaluate(self, store: Store, now_ms: int) -> None:
        """Write the result; series that are gone become stale.

        Raises EvaluationError and writes nothing when the expression cannot be evaluated, two
        results get the same labels, or there are more than `limit`.
        """
        found: dict[Labels, float] = {}
        for labels, value in self.expr.evaluate(Context(store, now_ms)):
            key = labels_of({**dict(labels), **self.labels, METRIC_NAME: self.name})
            if key in found:
                raise EvaluationError(
                    "vector contains metrics with the same labelset after applying rule labels"
                )
            found[key] = value
        if self.limit and len(found) > self.limit:
            raise EvaluationError(f"exceeded limit of {self.limit} with {len(found)} series")
        for labels, value in found.items():
            store.write(labels, value, now_ms)
        for labels in self._written - found.keys():
            store.end(labels, now_ms)
        self._written = set(found)

    def take_over(self, old: object) -> None:
        """Go on from where the same rule stood before a reload."""
        if isinstance(old, RecordingRule):
            self._written = old._written  # noqa: SLF001  # the same class
