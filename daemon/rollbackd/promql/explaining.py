"""The parts of an expression with what each of them gave.

The expression is compiled by the production compiler, and every part is evaluated by its own
operator: what is shown is what the engine computes, for there is nothing else that could.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rollbackd.model.labels import Labels
from rollbackd.promql.binary import COMPARISONS, VectorScalar
from rollbackd.promql.compiler import Compiler
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.gists import gist_of, number_text, text_of
from rollbackd.promql.lexer import Token
from rollbackd.promql.matchers import Selector
from rollbackd.promql.operators import Context, Operator, Scalar, Text, Vector
from rollbackd.promql.parsing import parse
from rollbackd.promql.selection import InstantSelector, RangeSelector
from rollbackd.promql.series import LOOKBACK_MS, Series
from rollbackd.promql.store import Store
from rollbackd.promql.subqueries import Subquery
from rollbackd.promql.values import Element

#: Whether a label set belongs to what is asked about.
Here = Callable[[Labels], bool]


@dataclass(frozen=True, slots=True)
class Feed:
    """One series that a selector matches; without samples, `newest_ms` is when the last one was."""

    series: Series
    samples: int
    newest_ms: int | None
    value: float | None

    @property
    def labels(self) -> Labels:
        """The labels of the series."""
        return self.series.labels


@dataclass(slots=True)
class Node:
    """One part of an expression, with what it gave."""

    gist: str
    text: str
    operator: Operator
    children: list["Node"]
    elements: list[Element] = field(default_factory=list)
    feeds: list[Feed] = field(default_factory=list)
    silent_since_ms: int | None = None
    #: The number that a vector is compared with.
    bound: float | None = None
    error: str = ""

    @property
    def selector(self) -> Selector | None:
        """The selector of a part that reads series."""
        if isinstance(self.operator, InstantSelector | RangeSelector):
            return self.operator.selector
        return None

    @property
    def kind(self) -> str:
        """`range`, `scalar` or `vector`."""
        if self.is_range:
            return "range"
        return "vector" if isinstance(self.operator, Vector) else "scalar"

    @property
    def is_range(self) -> bool:
        """Whether it gives windows instead of elements."""
        return isinstance(self.operator, RangeSelector | Subquery)

    def nodes(self) -> Iterator["Node"]:
        """Itself and every part below it, in the order of the text."""
        yield self
        for child in self.children:
            yield from child.nodes()


def explain_expr(text: str, store: Store, now_ms: int, *, step_ms: int) -> Node:
    """Every part of an expression at a time. Raises PromqlError."""
    tree, tokens = parse(text)
    compiler = _Noting(tokens, step_ms=step_ms)
    operator = compiler.compile(tree)
    root = next(iter(compiler.parts), None) or Node(text, text, operator, [])
    _evaluate(root, Context(store, now_ms))
    return root


class _Noting(Compiler):
    """Compiles as always, and notes each part with those that it is made of."""

    def __init__(self, tokens: list[Token], *, step_ms: int) -> None:
        super().__init__(tokens, step_ms=step_ms)
        self.parts: list[Node] = []

    def compile(self, expr: Any) -> Operator:
        """The operator of a node."""
        outer, self.parts = self.parts, []
        operator = super().compile(expr)
        children, self.parts = self.parts, outer
        if type(expr).__name__ == "ParenExpr":
            self.parts += children
        elif not isinstance(operator, Text) and not number_text(expr):
            self.parts.append(Node(gist_of(expr, operator), text_of(expr), operator, children))
        return operator


def _evaluate(node: Node, ctx: Context) -> None:
    inside = ctx
    if isinstance(node.operator, Subquery):
        inside = _last_step(node.operator, ctx)
    for child in node.children:
        _evaluate(child, inside)
    try:
        _evaluate_alone(node, ctx)
    except EvaluationError as error:
        node.error = str(error)


def _evaluate_alone(node: Node, ctx: Context) -> None:
    operator = node.operator
    if isinstance(operator, InstantSelector):
        found = {series: (at, value) for series, at, value in operator.samples(ctx)}
        node.elements = [(series.labels, value) for series, (_, value) in found.items()]
        time_ms = operator.when.time(ctx)
        node.feeds = [
            _feed(series, time_ms - LOOKBACK_MS, time_ms, found.get(series))
            for series in ctx.store.members(operator.selector)
        ]
        node.silent_since_ms = ctx.store.silent_since(operator.selector)
    elif isinstance(operator, RangeSelector):
        start, end = operator.bounds(ctx)
        node.feeds = [
            _feed(series, start, end, None) for series in ctx.store.members(operator.selector)
        ]
        node.silent_since_ms = ctx.store.silent_since(operator.selector)
    elif isinstance(operator, Vector):
        node.elements = operator.vector(ctx)
        if isinstance(operator, VectorScalar) and operator.operation.symbol in COMPARISONS:
            node.bound = operator.number.scalar(ctx)
    elif isinstance(operator, Scalar):
        node.elements = [((), operator.scalar(ctx))]


def _feed(series: Series, start: int, end: int, found: tuple[int, float] | None) -> Feed:
    window = series.window(start, end)
    if window is None:
        last = series.newest if len(series.times) else None
        return Feed(series, 0, last, None)
    newest, value = found or (window.times[-1], window.values[-1])
    # What holds without samples is seen at both ends of a window; it is one value all the same.
    samples = len(window.times) if series.held is None else max(1, len(series.times))
    return Feed(series, samples, newest, value)


def _last_step(operator: Subquery, ctx: Context) -> Context:
    """What is inside a subquery is shown at the last of its steps."""
    end = operator.when.time(ctx)
    inner = Context(ctx.store, end // operator.step_ms * operator.step_ms)
    inner.origin_ms = ctx.origin_ms
    return inner
