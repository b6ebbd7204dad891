"""Aggregation operators, with `by` and `without`; promql/engine.go, aggregation."""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import reduce
from operator import add, itemgetter
from typing import Final

from rollbackd.model.labels import METRIC_NAME, Labels
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.extents import Extent
from rollbackd.promql.operators import (
    Context,
    Scalar,
    Vector,
    bounded,
    columns_of,
    never_fails,
)
from rollbackd.promql.values import Columns, Element, drop, keep, quantile_of, with_label

#: Label sets whose group is remembered, per operator; forgotten all at once when full.
_MEMORY = 100_000
_INT64_LIMIT = 2.0**63


class Grouping:
    """Which group a label set belongs to."""

    def __init__(self, names: Sequence[str], *, without: bool) -> None:
        self._without = without
        self._names = frozenset([*names, METRIC_NAME]) if without else frozenset(names)
        self._known: dict[Labels, Labels] = {}
        self._planned_for: Sequence[Labels] | None = None
        self._plan: Plan = ([], [])

    def key(self, labels: Labels) -> Labels:
        """The labels of the group."""
        known = self._known.get(labels)
        if known is not None:
            return known
        key = drop(labels, self._names) if self._without else keep(labels, self._names)
        if len(self._known) >= _MEMORY:
            self._known.clear()
        self._known[labels] = key
        return key

    def drops(self, name: str) -> bool:
        """Whether `without` names the label."""
        return self._without and name in self._names

    def plan(self, labels: Sequence[Labels]) -> "Plan":
        """Where each group's values are; made once for a list of labels."""
        if labels is not self._planned_for:
            places: dict[Labels, list[int]] = {}
            for place, each in enumerate(labels):
                places.setdefault(self.key(each), []).append(place)
            groups = [_values_at(found, len(labels)) for found in places.values()]
            self._planned_for, self._plan = labels, (list(places), groups)
        return self._plan


#: The labels of each group, in order of first appearance, and what gets its values.
Plan = tuple[list[Labels], list[Callable[[Sequence[float]], Sequence[float]]]]


def _values_at(places: list[int], of: int) -> Callable[[Sequence[float]], Sequence[float]]:
    if len(places) == of:
        return lambda values: values
    if len(places) == 1:
        place = places[0]
        return lambda values: (values[place],)
    return itemgetter(*places)


class Aggregate:
    """One number for each group."""

    one_name = True

    def __init__(
        self, function: Callable[[Sequence[float]], float], operand: Vector, grouping: Grouping
    ) -> None:
        self.function = function
        self.operand = operand
        self.grouping = grouping
        self.never_fails = never_fails(operand)
        self._columns = columns_of(operand)
        self._bounded = bounded(operand)

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each group."""
        return self.columns(ctx).elements()

    def columns(self, ctx: Context) -> Columns:
        """The same as columns."""
        labels, values = self._columns(ctx)
        found, groups = self.grouping.plan(labels)
        function = self.function
        return Columns(found, [function(group(values)) for group in groups])

    def extent(self, ctx: Context, *, anew: bool = False) -> Extent | None:
        """That of the operand, where nothing greater or less can come of it."""
        found = self._bounded.extent(ctx, anew=anew) if self.function in _STAY_INSIDE else None
        return None if found is None else found.rounded()


class Quantile:
    """`quantile(q, v)`."""

    one_name = True

    def __init__(self, q: Scalar, operand: Vector, grouping: Grouping) -> None:
        self.q = q
        self.operand = operand
        self.grouping = grouping
        self.never_fails = never_fails(operand) and never_fails(q)
        self._columns = columns_of(operand)
        self._bounded = bounded(operand)

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each group."""
        return self.columns(ctx).elements()

    def columns(self, ctx: Context) -> Columns:
        """The same as columns."""
        q = self.q.scalar(ctx)
        labels, values = self._columns(ctx)
        found, groups = self.grouping.plan(labels)
        return Columns(found, [quantile_of(q, list(group(values))) for group in groups])

    def extent(self, ctx: Context, *, anew: bool = False) -> Extent | None:
        """That of the operand."""
        found = self._bounded.extent(ctx, anew=anew) if 0 <= self.q.scalar(ctx) <= 1 else None
        return None if found is None else found.rounded()


class TopK:
    """`topk` and `bottomk`: whole elements, the k greatest or least of each group."""

    def __init__(self, k: Scalar, operand: Vector, grouping: Grouping, *, bottom: bool) -> None:
        self.k = k
        self.operand = operand
        self.grouping = grouping
        self.bottom = bottom
        self.one_name = operand.one_name

    def vector(self, ctx: Context) -> list[Element]:
        """The chosen elements, best first. Raises EvaluationError for a k that is no integer."""
        k = self.k.scalar(ctx)
        if not -_INT64_LIMIT <= k < _INT64_LIMIT:
            raise EvaluationError(f"Scalar value {k} overflows int64")
        # before the k of no element is answered: an error of the operand is one all the same
        elements = self.operand.vector(ctx)
        if k < 1:
            return []
        groups: dict[Labels, list[Element]] = {}
        for element in elements:
            groups.setdefault(self.grouping.key(element[0]), []).append(element)
        sign = 1.0 if self.bottom else -1.0

        def rank(element: Element) -> tuple[bool, float]:
            value = element[1]
            is_nan = value != value  # noqa: PLR0124  # NaN
            return is_nan, 0.0 if is_nan else sign * value

        return [e for group in groups.values() for e in sorted(group, key=rank)[: int(k)]]


class CountValues:
    """`count_values(label, v)`: how many elements have each value."""

    one_name = True

    def __init__(self, label: str, operand: Vector, grouping: Grouping) -> None:
        self.label = label
        self.operand = operand
        self.grouping = grouping

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each group and value."""
        counts: dict[Labels, float] = {}
        for labels, value in self.operand.vector(ctx):
            key = self.grouping.key(labels)
            # as in Prometheus, `without` takes the new label away again
            if not self.grouping.drops(self.label):
                key = with_label(key, self.label, format_value(value))
            counts[key] = counts.get(key, 0.0) + 1
        return list(counts.items())


def format_value(value: float) -> str:
    """A number as Go's FormatFloat(v, 'f', -1, 64) writes it."""
    if value != value:  # noqa: PLR0124  # NaN
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    # the shortest digits that give the number again, and zeros up to the point
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _sum(values: Sequence[float]) -> float:
    # Not `sum`, which is compensated from Python 3.12 on: Prometheus adds plainly.
    return reduce(add, values)


def _avg(values: Sequence[float]) -> float:
    mean = values[0]
    for index, value in enumerate(values[1:], 2):
        mean += value / index - mean / index
    return mean if math.isfinite(mean) else _avg_of_infinities(values)


def _avg_of_infinities(values: Sequence[float]) -> float:
    mean = values[0]
    for index, value in enumerate(values[1:], 2):
        # An infinite mean stays unless NaN or the opposite infinity comes.
        if math.isinf(mean) and value != -mean and value == value:  # noqa: PLR0124  # NaN
            continue
        mean += value / index - mean / index
    return mean


def _greatest(values: Sequence[float]) -> float:
    greatest = max(values)
    if greatest == greatest:  # noqa: PLR0124  # NaN
        return greatest
    return max((v for v in values if v == v), default=math.nan)  # noqa: PLR0124  # NaN


def _least(values: Sequence[float]) -> float:
    least = min(values)
    if least == least:  # noqa: PLR0124  # NaN
        return least
    return min((v for v in values if v == v), default=math.nan)  # noqa: PLR0124  # NaN


def _stdvar(values: Sequence[float]) -> float:
    mean, total = values[0], 0.0
    for index, value in enumerate(values[1:], 2):
        distance = value - mean
        mean += distance / index
        total += distance * (value - mean)
    return total / len(values)


def _stddev(values: Sequence[float]) -> float:
    variance = _stdvar(values)
    return math.sqrt(variance) if variance >= 0 else math.nan


_STAY_INSIDE: Final = frozenset({_avg, _least, _greatest})

#: Operators without a parameter.
AGGREGATIONS: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "sum": _sum,
    "avg": _avg,
    "min": _least,
    "max": _greatest,
    "count": lambda values: float(len(values)),
    "group": lambda _values: 1.0,
    "stddev": _stddev,
    "stdvar": _stdvar,
}
