"""Compiled expressions: text in, operators and the selectors they read out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rollbackd.promql.compiler import Compiler
from rollbackd.promql.errors import PromqlError
from rollbackd.promql.matchers import Selector
from rollbackd.promql.operators import Context, Scalar, ToVector, Vector
from rollbackd.promql.parsing import parse
from rollbackd.promql.store import Store
from rollbackd.promql.values import Element

#: The step of a subquery that names none, as Prometheus's default evaluation interval.
DEFAULT_STEP_MS: Final = 60_000


@dataclass(frozen=True, slots=True, eq=False)
class CompiledExpr:
    """An expression that can be evaluated on any store."""

    text: str
    #: The elements; a number is one element without labels. Raises EvaluationError.
    evaluate: Callable[[Context], list[Element]]
    #: (selector, milliseconds it looks back).
    reads: tuple[tuple[Selector, int], ...]

    @property
    def longest_window_ms(self) -> int:
        """The furthest that it looks back."""
        return max((window for _, window in self.reads), default=0)

    def query(self, store: Store, now_ms: int, since_ms: int | None = None) -> list[Element]:
        """The elements at a time, on samples not older than `since_ms`. Raises EvaluationError."""
        return self.evaluate(Context(store, now_ms, since_ms))


def compile_expr(text: str, *, step_ms: int = DEFAULT_STEP_MS) -> CompiledExpr:
    """Compile an expression that gives a vector or a number. Raises PromqlError."""
    tree, tokens = parse(text)
    compiler = Compiler(tokens, step_ms=step_ms)
    operator = compiler.compile(tree)
    if isinstance(operator, Vector):
        return CompiledExpr(text, operator.vector, tuple(compiler.reads))
    if isinstance(operator, Scalar):
        return CompiledExpr(text, ToVector(operator).vector, tuple(compiler.reads))
    raise PromqlError(
        "promql/type", "the expression gives no instant vector and no number", 0, len(text)
    )
