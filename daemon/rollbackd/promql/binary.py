"""Binary operators: arithmetic, comparisons and sets; promql/engine.go, VectorBinop."""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rollbackd.model.labels import METRIC_NAME, Labels, format_labels
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.operators import Context, Scalar, Vector
from rollbackd.promql.values import (
    Element,
    divide,
    drop,
    drop_name,
    have_duplicates,
    keep,
    label_value,
    modulo,
    power,
    with_label,
)

ARITHMETIC: Final[dict[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": divide,
    "%": modulo,
    "^": power,
    "atan2": math.atan2,
}

COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}

SETS: Final = frozenset({"and", "or", "unless"})

#: Prometheus 2.42 keeps the metric name through `atan2`; later versions drop it.
_KEEPS_NAME: Final = frozenset({"atan2"})


@dataclass(frozen=True, slots=True)
class Operation:
    """An arithmetic or comparison operator; `as_bool` is the `bool` modifier."""

    symbol: str
    as_bool: bool = False

    @property
    def drops_name(self) -> bool:
        """Whether the result is another quantity than the operand."""
        return self.as_bool or (self.symbol in ARITHMETIC and self.symbol not in _KEEPS_NAME)

    def function(self) -> Callable[[float, float], float | None]:
        """(left, right) -> value, or None when a filter drops the element (it keeps the left)."""
        if self.symbol in ARITHMETIC:
            return ARITHMETIC[self.symbol]
        compare = COMPARISONS[self.symbol]
        if self.as_bool:
            return lambda left, right: 1.0 if compare(left, right) else 0.0
        return lambda left, right: left if compare(left, right) else None


class ScalarBinary:
    """Two numbers; a comparison always has `bool`."""

    def __init__(self, operation: Operation, left: Scalar, right: Scalar) -> None:
        self.function = operation.function()
        self.left = left
        self.right = right

    def scalar(self, ctx: Context) -> float:
        """The result."""
        value = self.function(self.left.scalar(ctx), self.right.scalar(ctx))
        assert value is not None
        return value


class VectorScalar:
    """A vector and a number, on either side; a filter keeps the vector's value."""

    def __init__(
        self, operation: Operation, operand: Vector, number: Scalar, *, number_first: bool
    ) -> None:
        self.operation = operation
        self.function = operation.function()
        self.operand = operand
        self.number = number
        self.number_first = number_first
        self.one_name = operand.one_name

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each of the operand's that stays."""
        number = self.number.scalar(ctx)
        function = self.function
        drops_name = self.operation.drops_name
        filters = self.operation.symbol in COMPARISONS and not self.operation.as_bool
        result: list[Element] = []
        for labels, value in self.operand.vector(ctx):
            found = function(number, value) if self.number_first else function(value, number)
            if found is not None:
                kept = value if filters else found
                result.append((drop_name(labels) if drops_name else labels, kept))
        if not self.one_name and have_duplicates(result):
            raise EvaluationError("vector cannot contain metrics with the same labelset")
        return result


class Negated:
    """Unary minus; the metric name goes."""

    def __init__(self, operand: Vector) -> None:
        self.operand = operand
        self.one_name = operand.one_name

    def vector(self, ctx: Context) -> list[Element]:
        """The elements with their signs turned."""
        result = [(drop_name(labels), -value) for labels, value in self.operand.vector(ctx)]
        if not self.one_name and have_duplicates(result):
            raise EvaluationError("vector cannot contain metrics with the same labelset")
        return result


class NegatedScalar:
    """Unary minus of a number."""

    def __init__(self, operand: Scalar) -> None:
        self.operand = operand

    def scalar(self, ctx: Context) -> float:
        """The number with its sign turned."""
        return -self.operand.scalar(ctx)


class Matching:
    """`on` and `ignoring`: which labels of two elements have to be equal."""

    _MEMORY = 100_000

    def __init__(self, names: Sequence[str], *, on: bool) -> None:
        self.on = on
        self.names = frozenset(names)
        self._ignored = frozenset([*names, METRIC_NAME])
        self._known: dict[Labels, Labels] = {}

    def signature(self, labels: Labels) -> Labels:
        """What has to be equal."""
        known = self._known.get(labels)
        if known is not None:
            return known
        found = keep(labels, self.names) if self.on else drop(labels, self._ignored)
        if len(self._known) >= self._MEMORY:
            self._known.clear()
        self._known[labels] = found
        return found

    def result(self, labels: Labels) -> Labels:
        """The labels that a one-to-one match keeps."""
        return keep(labels, self.names) if self.on else drop(labels, self.names)


class SetBinary:
    """`and`, `or` and `unless`: whole elements, by presence."""

    def __init__(self, symbol: str, left: Vector, right: Vector, matching: Matching) -> None:
        self.symbol = symbol
        self.left = left
        self.right = right
        self.matching = matching
        self.one_name = left.one_name and symbol != "or"

    def vector(self, ctx: Context) -> list[Element]:
        """The elements of the left, and for `or` those of the right that have no match."""
        signature = self.matching.signature
        left, right = self.left.vector(ctx), self.right.vector(ctx)
        if self.symbol == "or":
            known = {signature(labels) for labels, _ in left}
            both = left + [e for e in right if signature(e[0]) not in known]
            if have_duplicates(both):
                raise EvaluationError("vector cannot contain metrics with the same labelset")
            return both
        known = {signature(labels) for labels, _ in right}
        wanted = self.symbol == "and"
        return [e for e in left if (signature(e[0]) in known) is wanted]


class OneToOne:
    """Two vectors whose elements match in pairs."""

    one_name = False

    def __init__(
        self, operation: Operation, left: Vector, right: Vector, matching: Matching
    ) -> None:
        self.operation = operation
        self.function = operation.function()
        self.left = left
        self.right = right
        self.matching = matching

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each pair that stays."""
        left, right = self.left.vector(ctx), self.right.vector(ctx)
        if not left or not right:
            return []
        ones = index_of(right, self.matching, side="right")
        matched: set[Labels] = set()
        result: list[Element] = []
        for labels, value in left:
            signature = self.matching.signature(labels)
            other = ones.get(signature)
            if other is None:
                continue
            found = self.function(value, other[1])
            if found is None:
                continue
            if signature in matched:
                raise EvaluationError(
                    "multiple matches for labels: many-to-one matching must be explicit "
                    "(group_left/group_right)"
                )
            matched.add(signature)
            kept = drop_name(labels) if self.operation.drops_name else labels
            result.append((self.matching.result(kept), found))
        if have_duplicates(result):
            raise EvaluationError("vector cannot contain metrics with the same labelset")
        return result


class ManyToOne:
    """`group_left` (many on the left) and `group_right` (many on the right)."""

    one_name = False

    def __init__(
        self,
        operation: Operation,
        left: Vector,
        right: Vector,
        matching: Matching,
        *,
        many_left: bool,
        include: Sequence[str],
    ) -> None:
        self.operation = operation
        self.function = operation.function()
        self.left = left
        self.right = right
        self.matching = matching
        self.many_left = many_left
        self.include = include

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each of the many that has a match and stays."""
        left, right = self.left.vector(ctx), self.right.vector(ctx)
        if not left or not right:
            return []
        many, one = (left, right) if self.many_left else (right, left)
        ones = index_of(one, self.matching, side="right" if self.many_left else "left")
        seen: set[tuple[Labels, Labels]] = set()
        result: list[Element] = []
        for labels, value in many:
            signature = self.matching.signature(labels)
            other = ones.get(signature)
            if other is None:
                continue
            pair = (value, other[1]) if self.many_left else (other[1], value)
            found = self.function(*pair)
            if found is None:
                continue
            kept = self._labels(labels, other[0])
            if (signature, kept) in seen:
                raise EvaluationError(
                    "multiple matches for labels: grouping labels must ensure unique matches"
                )
            seen.add((signature, kept))
            result.append((kept, found))
        if have_duplicates(result):
            raise EvaluationError("vector cannot contain metrics with the same labelset")
        return result

    def _labels(self, labels: Labels, one: Labels) -> Labels:
        if self.operation.drops_name:
            labels = drop_name(labels)
        for name in self.include:
            labels = with_label(labels, name, label_value(one, name))
        return labels


def index_of(one: list[Element], matching: Matching, *, side: str) -> dict[Labels, Element]:
    """The elements of the `one` side by signature. Raises EvaluationError when two share it."""
    found: dict[Labels, Element] = {}
    for element in one:
        signature = matching.signature(element[0])
        known = found.get(signature)
        if known is not None:
            raise EvaluationError(
                f"found duplicate series for the match group {_braced(signature)} on the {side} "
                f"hand-side of the operation: [{_braced(element[0])}, {_braced(known[0])}];"
                "many-to-many matching not allowed: matching labels must be unique on one side"
            )
        found[signature] = element
    return found


def _braced(labels: Labels) -> str:
    return format_labels(labels)
