"""Binary operators: arithmetic, comparisons and sets; promql/engine.go, VectorBinop."""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress, repeat
from typing import Final, cast

from rollbackd.promql.extents import Extent
from rollbackd.promql.operators import (
    Context,
    Scalar,
    Vector,
    bounded,
    columns_of,
    never_fails,
)
from rollbackd.promql.unnamed import Unnamed
from rollbackd.promql.values import (
    EMPTY,
    Columns,
    Element,
    divide,
    modulo,
    power,
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

#: `number < value` is `value > number`.
_TURNED: Final = {"==": "==", "!=": "!=", ">": "<", "<": ">", ">=": "<=", "<=": ">="}
#: They only rise or only fall with the left operand, and these also with the right one.
_MONOTONE: Final = frozenset({"+", "-", "*", "/"})
_MONOTONE_RIGHT: Final = frozenset({"+", "-", "*"})

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

    @property
    def is_filter(self) -> bool:
        """Whether it takes elements away and leaves the others as they are."""
        return self.symbol in COMPARISONS and not self.as_bool

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
        self.never_fails = never_fails(operand) and never_fails(number) and self.one_name
        self._columns = columns_of(operand)
        self._bounded = bounded(operand)
        #: A filter that may be empty without the operand being computed.
        self._skips = operation.is_filter and never_fails(operand) and never_fails(number)
        self._unnamed = Unnamed(one_name=self.one_name)

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each of the operand's that stays."""
        return self.columns(ctx).elements()

    def columns(self, ctx: Context) -> Columns:
        """The same as columns."""
        number = self.number.scalar(ctx)
        if self._skips and self._is_out_of_question(ctx, number):
            if ctx.seen is not None:
                ctx.seen.add_later(lambda: self._columns(ctx))
            return EMPTY
        labels, values = self._columns(ctx)
        operation = self.operation
        sides = (repeat(number), values) if self.number_first else (values, repeat(number))
        if operation.is_filter:
            stays = list(map(COMPARISONS[operation.symbol], *sides))
            if True not in stays:
                return EMPTY
            return Columns(list(compress(labels, stays)), list(compress(values, stays)))
        found = cast("list[float]", list(map(self.function, *sides)))
        return Columns(self._unnamed.of(labels) if operation.drops_name else labels, found)

    def extent(self, ctx: Context, *, anew: bool = False) -> Extent | None:
        """That of the operand, by the operation."""
        operation, found = self.operation, self._bounded.extent(ctx, anew=anew)
        if found is None or operation.is_filter:
            return found
        if operation.symbol not in (_MONOTONE_RIGHT if self.number_first else _MONOTONE):
            return None
        function, number = ARITHMETIC[operation.symbol], self.number.scalar(ctx)
        if self.number_first:
            return found.mapped(lambda value: function(number, value))
        return found.mapped(lambda value: function(value, number))

    def _is_out_of_question(self, ctx: Context, number: float) -> bool:
        symbol = self.operation.symbol
        if self.number_first:
            symbol = _TURNED[symbol]
        found = self._bounded.extent(ctx)
        if found is None:
            return False
        if found.rules_out(symbol, number):
            return True
        found = self._bounded.extent(ctx, anew=True)
        return found is not None and found.rules_out(symbol, number)


class Negated:
    """Unary minus; the metric name goes."""

    def __init__(self, operand: Vector) -> None:
        self.operand = operand
        self.one_name = operand.one_name
        self.never_fails = never_fails(operand) and self.one_name
        self._columns = columns_of(operand)
        self._bounded = bounded(operand)
        self._unnamed = Unnamed(one_name=self.one_name)

    def vector(self, ctx: Context) -> list[Element]:
        """The elements with their signs turned."""
        return self.columns(ctx).elements()

    def columns(self, ctx: Context) -> Columns:
        """The same as columns."""
        labels, values = self._columns(ctx)
        return Columns(self._unnamed.of(labels), [-value for value in values])

    def extent(self, ctx: Context, *, anew: bool = False) -> Extent | None:
        """That of the operand with its signs turned."""
        found = self._bounded.extent(ctx, anew=anew)
        return None if found is None else found.mapped(operator.neg)


class NegatedScalar:
    """Unary minus of a number."""

    def __init__(self, operand: Scalar) -> None:
        self.operand = operand

    def scalar(self, ctx: Context) -> float:
        """The number with its sign turned."""
        return -self.operand.scalar(ctx)
