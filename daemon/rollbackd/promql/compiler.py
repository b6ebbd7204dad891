"""The parser's tree -> operators, and what of the data they read."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import promql_parser

from rollbackd.model.labels import METRIC_NAME
from rollbackd.promql.aggregations import (
    AGGREGATIONS,
    Aggregate,
    CountValues,
    Grouping,
    Quantile,
    TopK,
)
from rollbackd.promql.binary import (
    SETS,
    Negated,
    NegatedScalar,
    Operation,
    ScalarBinary,
    VectorScalar,
)
from rollbackd.promql.calls import FUNCTIONS, ArgumentError, Arguments, build_call
from rollbackd.promql.errors import PromqlError
from rollbackd.promql.lexer import Kind, Token
from rollbackd.promql.matchers import Matcher, MatchOp, Selector
from rollbackd.promql.matching import ManyToOne, Matching, OneToOne, SetBinary
from rollbackd.promql.operators import Literal, Operator, Scalar, Text, Vector
from rollbackd.promql.selection import InstantSelector, RangeSelector, When
from rollbackd.promql.series import LOOKBACK_MS
from rollbackd.promql.subqueries import MAX_SUBQUERY_STEPS, Subquery

_CARDINALITY = promql_parser.VectorMatchCardinality
_MATCH_OPS: Final = {
    "MatchOp.Equal": MatchOp.EQ,
    "MatchOp.NotEqual": MatchOp.NE,
    "MatchOp.Re": MatchOp.RE,
    "MatchOp.NotRe": MatchOp.NRE,
}


class Compiler:
    """One walk over the tree, in the order of the text, with the tokens beside it.

    `reads` collects (selector, how far back it looks in milliseconds).
    """

    def __init__(self, tokens: list[Token], *, step_ms: int) -> None:
        self.reads: list[tuple[Selector, int]] = []
        self._tokens = tokens
        self._cursor = 0
        self._step_ms = step_ms
        self._reach_ms = 0
        self._stands_alone = True

    def compile(self, expr: Any) -> Operator:
        """The operator of a node. Raises PromqlError."""
        match type(expr).__name__:
            case "NumberLiteral":
                return Literal(expr.val)
            case "StringLiteral":
                return Text(expr.val)
            case "ParenExpr":
                return self.compile(expr.expr)
            case "VectorSelector":
                return self._instant(expr)
            case "MatrixSelector":
                return self._range(expr)
            case "SubqueryExpr":
                return self._subquery(expr)
            case "UnaryExpr":
                return self._negation(expr)
            case "Call":
                return self._call(expr)
            case "AggregateExpr":
                return self._aggregate(expr)
            case "BinaryExpr":
                return self._binary(expr)
            case kind:
                raise self._refuse(self._here(), f"`{kind}` is not supported")

    # Leaves

    def _instant(self, expr: Any) -> Operator:
        selector, when = self._selector(expr)
        self._read(selector, LOOKBACK_MS + when.reach_ms)
        return InstantSelector(selector, when)

    def _range(self, expr: Any) -> Operator:
        selector, when = self._selector(expr.vector_selector)
        range_ms = _milliseconds(expr.range)
        self._read(selector, range_ms + when.reach_ms)
        return RangeSelector(selector, range_ms, when)

    def _subquery(self, expr: Any) -> Operator:
        when = self._when(expr, self._here())
        range_ms = _milliseconds(expr.range)
        step_ms = _milliseconds(expr.step) if expr.step is not None else self._step_ms
        if not step_ms or range_ms // step_ms > MAX_SUBQUERY_STEPS:
            raise self._refuse(
                self._here(), f"a subquery may have at most {MAX_SUBQUERY_STEPS} steps"
            )
        outer = self._reach_ms, len(self.reads), self._stands_alone
        self._reach_ms += range_ms + when.reach_ms
        self._stands_alone = True
        operand = self.compile(expr.expr)
        assert isinstance(operand, Vector | Scalar)
        alone = self._stands_alone
        reads = [selector for selector, _ in self.reads[outer[1] :]] if alone else None
        self._reach_ms, self._stands_alone = outer[0], outer[2] and alone and when.stands_alone
        return Subquery(operand, range_ms, step_ms, when, reads=reads)

    # Branches

    def _negation(self, expr: Any) -> Operator:
        operand = self.compile(expr.expr)
        if isinstance(operand, Scalar):
            return NegatedScalar(operand)
        return Negated(self._vector(operand, self._here()))

    def _call(self, expr: Any) -> Operator:
        name = expr.func.name
        token = self._advance(lambda t: t.kind is Kind.NAME and t.text == name)
        if name not in FUNCTIONS:
            raise self._refuse(token, f"function `{name}` is not supported")
        arguments = Arguments([self.compile(arg) for arg in expr.args])
        try:
            built = build_call(name, arguments)
        except ArgumentError as error:
            raise PromqlError("promql/argument", str(error), token.start, token.end) from None
        assert built is not None
        return built

    def _aggregate(self, expr: Any) -> Operator:
        name = str(expr.op)
        token = self._advance(lambda t: t.text.lower() == name)
        modifier = expr.modifier
        grouping = Grouping(
            modifier.labels if modifier is not None else [],
            without=modifier is not None and str(modifier.type).endswith("Without"),
        )
        parameter = self.compile(expr.param) if expr.param is not None else None
        operand = self._vector(self.compile(expr.expr), token)
        if name in AGGREGATIONS:
            return Aggregate(AGGREGATIONS[name], operand, grouping)
        if name == "count_values" and isinstance(parameter, Text):
            return CountValues(parameter.value, operand, grouping)
        if name == "quantile" and isinstance(parameter, Scalar):
            return Quantile(parameter, operand, grouping)
        if name in {"topk", "bottomk"} and isinstance(parameter, Scalar):
            return TopK(parameter, operand, grouping, bottom=name == "bottomk")
        raise self._refuse(token, f"aggregation `{name}` is not supported")

    def _binary(self, expr: Any) -> Operator:
        symbol = str(expr.op)
        left = self.compile(expr.lhs)
        token = self._advance(lambda t: t.text.lower() == symbol)
        right = self.compile(expr.rhs)
        modifier = expr.modifier
        if modifier is not None:
            fill = modifier.fill_values
            if fill is not None and (fill.lhs is not None or fill.rhs is not None):
                raise self._refuse(token, "`fill` modifiers are not supported")
        operation = Operation(symbol, as_bool=modifier is not None and modifier.return_bool)
        if isinstance(left, Scalar):
            if isinstance(right, Scalar):
                return ScalarBinary(operation, left, right)
            return VectorScalar(operation, self._vector(right, token), left, number_first=True)
        vector = self._vector(left, token)
        if isinstance(right, Scalar):
            return VectorScalar(operation, vector, right, number_first=False)
        return self._matched(operation, vector, self._vector(right, token), modifier)

    def _matched(
        self, operation: Operation, left: Vector, right: Vector, modifier: Any
    ) -> Operator:
        labels = modifier.matching if modifier is not None else None
        matching = Matching(
            labels.labels if labels is not None else [],
            on=labels is not None and str(labels.type).endswith("Include"),
        )
        if operation.symbol in SETS:
            return SetBinary(operation.symbol, left, right, matching)
        card = modifier.card if modifier is not None else _CARDINALITY.OneToOne
        if card == _CARDINALITY.OneToOne:
            return OneToOne(operation, left, right, matching)
        return ManyToOne(
            operation, left, right, matching,
            many_left=card == _CARDINALITY.ManyToOne, include=modifier.group_labels or [],
        )  # fmt: skip

    # Parts

    def _selector(self, expr: Any) -> tuple[Selector, When]:
        name = expr.name
        token = self._advance(lambda t: t.text == name if name is not None else t.text == "{")
        if expr.matchers.or_matchers:
            raise self._refuse(token, "`or` between matchers is not supported")
        matchers = [Matcher(METRIC_NAME, MatchOp.EQ, name)] if name is not None else []
        for matcher in expr.matchers.matchers:
            # Its place: the parser keeps the matchers in the order of the text.
            token = self._advance(lambda t: t.kind is Kind.STRING)
            try:
                matchers.append(Matcher(matcher.name, _MATCH_OPS[str(matcher.op)], matcher.value))
            except ValueError as error:
                raise PromqlError("promql/regex", str(error), token.start, token.end) from None
        when = self._when(expr, token)
        self._stands_alone = self._stands_alone and when.stands_alone
        return Selector(tuple(matchers)), when

    def _when(self, expr: Any, token: Token) -> When:
        offset_ms = _milliseconds(expr.offset) if expr.offset is not None else 0
        if expr.at is None:
            return When(offset_ms)
        text = str(expr.at).removeprefix("@").strip()
        if text in {"start()", "end()"}:
            return When(offset_ms, at_origin=True)
        try:
            return When(offset_ms, at_ms=round(float(text) * 1_000))
        except (ValueError, OverflowError):
            raise self._refuse(token, f"time `{text}` after `@` is not supported") from None

    def _read(self, selector: Selector, window_ms: int) -> None:
        self.reads.append((selector, window_ms + self._reach_ms))

    def _vector(self, operator: Operator, token: Token) -> Vector:
        if isinstance(operator, Vector):
            return operator
        raise PromqlError(
            "promql/type", "an instant vector is expected here", token.start, token.end
        )

    def _here(self) -> Token:
        return self._tokens[min(self._cursor, len(self._tokens) - 1)]

    def _advance(self, wanted: Callable[[Token], bool]) -> Token:
        """The next token that fits; the tree follows the text, so it is the node's own."""
        for index in range(self._cursor, len(self._tokens)):
            if wanted(self._tokens[index]):
                self._cursor = index + 1
                return self._tokens[index]
        return self._here()

    def _refuse(self, token: Token, message: str) -> PromqlError:
        return PromqlError("promql/unsupported", message, token.start, token.end)


def _milliseconds(duration: timedelta) -> int:
    return round(duration / timedelta(milliseconds=1))
