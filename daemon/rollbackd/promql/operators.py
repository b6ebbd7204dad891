"""What an expression is compiled to: operators that give a vector, a scalar or windows."""

import math
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

from rollbackd.promql.extents import Extent
from rollbackd.promql.freshness import Seen
from rollbackd.promql.store import Store
from rollbackd.promql.values import Columns, Element
from rollbackd.promql.windows import Window


class Context:
    """One evaluation: at `now_ms`, and on samples not older than `since_ms` if that is given.

    `seen` collects every series that was read.
    """

    __slots__ = ("now_ms", "origin_ms", "seen", "since_ms", "store")

    def __init__(
        self,
        store: Store,
        now_ms: int,
        since_ms: int | None = None,
        seen: Seen | None = None,
    ) -> None:
        self.store = store
        self.now_ms = now_ms
        self.since_ms = since_ms
        #: The time of the whole expression, for `@ start()` and `@ end()`.
        self.origin_ms = now_ms
        self.seen = seen


@runtime_checkable
class Vector(Protocol):
    """Gives an instant vector."""

    #: All elements share one metric name, so that dropping it makes no duplicates.
    one_name: bool

    def vector(self, ctx: Context) -> list[Element]:
        """The elements at ctx.now_ms. Raises EvaluationError."""
        ...


@runtime_checkable
class Columnar(Vector, Protocol):
    """Gives an instant vector as columns too, see Columns."""

    def columns(self, ctx: Context) -> Columns:
        """The elements at ctx.now_ms. Raises EvaluationError."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """Knows something of its values without computing them."""

    def extent(self, ctx: Context, *, anew: bool = False) -> Extent | None:
        """What all values lie in, if that is known; `anew` looks at the samples if it is time."""
        ...


@runtime_checkable
class Scalar(Protocol):
    """Gives a number."""

    def scalar(self, ctx: Context, /) -> float:
        """The number at ctx.now_ms. Raises EvaluationError."""
        ...


@runtime_checkable
class Windows(Protocol):
    """Gives the samples of a range, series by series."""

    one_name: bool

    def windows(self, ctx: Context) -> Iterator[Window]:
        """Windows that hold at least one sample. Raises EvaluationError."""
        ...


class Literal:
    """A number in the text."""

    never_fails = True

    def __init__(self, value: float) -> None:
        self.value = value

    def scalar(self, _ctx: Context, /) -> float:
        """The number."""
        return self.value


class Text:
    """A quoted text; only a parameter."""

    def __init__(self, value: str) -> None:
        self.value = value


class Time:
    """`time()`: the evaluation time in seconds."""

    never_fails = True

    def scalar(self, ctx: Context) -> float:
        """Seconds since the epoch."""
        return ctx.now_ms / 1_000


class ToScalar:
    """`scalar(v)`: the value of the only element, else NaN."""

    def __init__(self, operand: Vector) -> None:
        self.operand = operand

    def scalar(self, ctx: Context) -> float:
        """The value."""
        elements = self.operand.vector(ctx)
        return elements[0][1] if len(elements) == 1 else math.nan


class ToVector:
    """`vector(s)`: one element without labels."""

    one_name = True

    def __init__(self, operand: Scalar) -> None:
        self.operand = operand

    def vector(self, ctx: Context) -> list[Element]:
        """The element."""
        return [((), self.operand.scalar(ctx))]


def columns_of(operand: Vector) -> Callable[[Context], Columns]:
    """How to get the columns of any vector."""
    if isinstance(operand, Columnar):
        return operand.columns

    def transposed(ctx: Context) -> Columns:
        elements = operand.vector(ctx)
        return Columns([labels for labels, _ in elements], [value for _, value in elements])

    return transposed


class _Unbounded:
    def extent(self, _ctx: Context, *, anew: bool = False) -> None:
        """Nothing is known."""


_UNBOUNDED = _Unbounded()


def bounded(operand: Vector) -> Bounded:
    """The extent of any vector."""
    return operand if isinstance(operand, Bounded) else _UNBOUNDED


def never_fails(operator: object) -> bool:
    """Whether it is known that no data makes an evaluation fail."""
    return bool(getattr(operator, "never_fails", False))


#: Anything that an expression can be compiled to.
Operator = Vector | Scalar | Windows | Text
