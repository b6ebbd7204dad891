"""`lint/never-true`: a comparison with a number that the other side can never reach."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from rollbackd.documents.diagnostics import Diagnostic
from rollbackd.promql.outline import Form, Part
from rollbackd.triggers.lints.subjects import Pack, Subject, is_comparison


class Bounds(NamedTuple):
    """Every value lies from `low` to `high`, both included."""

    low: float
    high: float


_ANY: Final = Bounds(-math.inf, math.inf)
_COUNT: Final = Bounds(0.0, math.inf)
_ONE: Final = Bounds(1.0, 1.0)
_CALLS: Final = {
    "absent": _ONE,
    "absent_over_time": _ONE,
    "present_over_time": _ONE,
    "count_over_time": Bounds(1.0, math.inf),
    "rate": _COUNT,
    "irate": _COUNT,
    "increase": _COUNT,
    "changes": _COUNT,
    "resets": _COUNT,
    "stddev_over_time": _COUNT,
    "stdvar_over_time": _COUNT,
    "mad_over_time": _COUNT,
    "abs": _COUNT,
    "sqrt": _COUNT,
    "exp": _COUNT,
    "sgn": Bounds(-1.0, 1.0),
    "minute": Bounds(0.0, 59.0),
    "hour": Bounds(0.0, 23.0),
    "day_of_week": Bounds(0.0, 6.0),
    "day_of_month": Bounds(1.0, 31.0),
    "day_of_year": Bounds(1.0, 366.0),
    "days_in_month": Bounds(28.0, 31.0),
    "month": Bounds(1.0, 12.0),
}
_AGGREGATIONS: Final = {
    "count": Bounds(1.0, math.inf),
    "group": _ONE,
    "stddev": _COUNT,
    "stdvar": _COUNT,
}
#: Their result lies among the values they are given.
_AMONG: Final = frozenset(
    {
        "min", "max", "avg", "topk", "bottomk", "min_over_time", "max_over_time",
        "avg_over_time", "last_over_time", "sort", "sort_desc", "label_replace", "label_join",
    }
)  # fmt: skip
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def never_true(subject: Subject, _pack: Pack) -> Iterator[Diagnostic]:
    """One warning for each comparison that filters everything away."""
    for part in subject.expr.walk():
        if not is_comparison(part) or part.as_bool:
            continue
        (left, right), symbol = part.parts, part.name
        if left.value is not None:
            left, right, symbol = right, left, _MIRRORED.get(symbol, symbol)
        if right.value is None or left.value is not None:
            continue
        bounds = _bounds(left)
        if _never(bounds, symbol, right.value):
            yield subject.warning(
                "lint/never-true",
                f"`{symbol} {right.value:g}` never holds: {_described(bounds)}",
                part,
                fix="mend the threshold or the comparison",
            )


def _never(bounds: Bounds, symbol: str, number: float) -> bool:
    match symbol:
        case ">":
            return bounds.high <= number
        case ">=":
            return bounds.high < number
        case "<":
            return bounds.low >= number
        case "<=":
            return bounds.low > number
        case "==":
            return not bounds.low <= number <= bounds.high
        case _:
            return False


def _bounds(part: Part) -> Bounds:
    if part.value is not None:
        return Bounds(part.value, part.value)
    if part.form is Form.BINARY:
        return _of_binary(part)
    if part.form is Form.CALL and part.name in _CALLS:
        return _CALLS[part.name]
    if part.form is Form.AGGREGATION and part.name in _AGGREGATIONS:
        return _AGGREGATIONS[part.name]
    if not part.parts:
        # a selector, whose metric may be called `sum`
        return _ANY
    if part.form is Form.SUBQUERY or part.name in _AMONG:
        vectors = [p for p in part.parts if p.form is not Form.CONSTANT]
        return _bounds(vectors[0]) if vectors else _ANY
    if part.name in {"sum", "sum_over_time"} and _bounds(part.parts[0]).low >= 0:
        return _COUNT
    return _ANY


def _of_binary(part: Part) -> Bounds:
    left, right = part.parts
    if part.name in {"and", "unless"}:
        return _bounds(left)
    low, high = _bounds(left), _bounds(right)
    if part.name == "or":
        return Bounds(min(low.low, high.low), max(low.high, high.high))
    if part.name == "/" and _is_share(left, right):
        return Bounds(0.0, 1.0)
    if part.name in {"*", "/", "+"} and low.low >= 0 and high.low >= 0:
        return _COUNT
    return _ANY


def _is_share(left: Part, right: Part) -> bool:
    """Whether the left side is the right side over fewer series, and both count."""
    return left.name == "sum" and _bounds(right).low >= 0 and _is_part_of(left, right)


def _is_part_of(left: Part, right: Part) -> bool:
    if left.selector is not None and right.selector is not None:
        fewer = set(left.selector.matchers) >= set(right.selector.matchers)
        return fewer and _shape(left) == _shape(right)
    return (
        _shape(left) == _shape(right)
        and len(left.parts) == len(right.parts)
        and left.name in {"sum", "count_over_time", "increase", "rate"}
        and all(_is_part_of(a, b) for a, b in zip(left.parts, right.parts, strict=True))
    )


def _shape(part: Part) -> Part:
    """A part without its place, its operands and its matchers."""
    return replace(part, start=0, end=0, parts=(), selector=None)


def _described(bounds: Bounds) -> str:
    if bounds.low == bounds.high:
        return f"the left side is always {bounds.low:g}"
    if bounds.high == math.inf:
        return f"the left side is never below {bounds.low:g}"
    return f"the left side is from {bounds.low:g} to {bounds.high:g}"
