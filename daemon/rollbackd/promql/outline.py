"""What an expression is made of, with the place of each part in the text.

The compiled operators know how to evaluate and nothing else; this is the view for those who look
at an expression without data.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

import promql_parser

from rollbackd.promql.errors import PromqlError
from rollbackd.promql.expressions import DEFAULT_STEP_MS, compile_expr
from rollbackd.promql.lexer import Kind, Token
from rollbackd.promql.matchers import Selector
from rollbackd.promql.parsing import parse

_CARDINALITY = promql_parser.VectorMatchCardinality

_SCALAR_CALLS = frozenset({"scalar", "time", "pi"})


class Form(StrEnum):
    """What a part of an expression is."""

    #: A number or a quoted text.
    CONSTANT = "constant"
    #: The newest samples of series.
    INSTANT = "instant"
    #: The samples of series in a window.
    RANGE = "range"
    #: An expression evaluated at every step of a window.
    SUBQUERY = "subquery"
    #: A function with its arguments.
    CALL = "call"
    #: `sum`, `max` and their like over labels.
    AGGREGATION = "aggregation"
    #: Two operands.
    BINARY = "binary"
    #: A minus before an operand.
    NEGATION = "negation"


class Sides(StrEnum):
    """Which labels the result of a vector match has."""

    #: Of the left side, as far as they are matched on.
    ONE_TO_ONE = "one to one"
    #: Of the left side (`group_left`).
    LEFT = "left"
    #: Of the right side (`group_right`).
    RIGHT = "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A node; `start` and `end` are the offsets of what names it in the text."""

    form: Form
    #: The function, aggregation or operator; the metric of a selector; the text of a constant.
    name: str
    start: int
    end: int
    parts: tuple["Part", ...] = ()
    #: Of a number.
    value: float | None = None
    selector: Selector | None = None
    window_ms: int = 0
    step_ms: int = 0
    #: `by`, `without`, `on`, `ignoring`: the labels, and whether these are the ones to leave out.
    labels: tuple[str, ...] = ()
    leaves_out: bool = False
    as_bool: bool = False
    sides: Sides = Sides.ONE_TO_ONE
    #: `offset` and `@`, empty when there is none.
    when: str = ""
    #: What `group_left (...)` takes from the other side.
    included: tuple[str, ...] = ()

    @property
    def is_scalar(self) -> bool:
        """Whether it is a number (or a text) and no vector."""
        if self.form is Form.CALL:
            return self.name in _SCALAR_CALLS
        composed = self.form in {Form.BINARY, Form.NEGATION}
        return self.form is Form.CONSTANT or (composed and all(p.is_scalar for p in self.parts))

    def walk(self) -> Iterator["Part"]:
        """The part and everything in it, in the order of the text."""
        yield self
        for part in self.parts:
            yield from part.walk()


def outline(text: str, *, step_ms: int = DEFAULT_STEP_MS) -> Part:
    """The parts of an expression. Raises PromqlError for what cannot be compiled."""
    compiled = compile_expr(text, step_ms=step_ms)
    tree, tokens = parse(text)
    return _Walk(tokens, iter([selector for selector, _ in compiled.reads]), step_ms).part(tree)


@dataclass(slots=True)
class _Walk:
    """One walk in the order of the text, with the tokens and the compiled selectors beside it."""

    tokens: list[Token]
    selectors: Iterator[Selector]
    step_ms: int
    cursor: int = field(default=0)

    def part(self, expr: Any) -> Part:
        match type(expr).__name__:
            case "NumberLiteral":
                token = self._next(_is_number)
                return self._made(Form.CONSTANT, token, name=token.text, value=expr.val)
            case "StringLiteral":
                token = self._next(lambda t: t.kind is Kind.STRING)
                return self._made(Form.CONSTANT, token, name=expr.val)
            case "ParenExpr":
                return self.part(expr.expr)
            case "VectorSelector":
                return self._instant(expr)
            case "MatrixSelector":
                return self._range(expr)
            case "SubqueryExpr":
                return self._subquery(expr)
            case "UnaryExpr":
                token = self._next(lambda t: t.text == "-")
                return self._made(Form.NEGATION, token, name="-", parts=(self.part(expr.expr),))
            case "Call":
                token = self._next(lambda t: t.text == expr.func.name)
                parts = tuple(self.part(argument) for argument in expr.args)
                return self._made(Form.CALL, token, name=expr.func.name, parts=parts)
            case "AggregateExpr":
                return self._aggregation(expr)
            case "BinaryExpr":
                return self._binary(expr)
            case kind:
                raise PromqlError("promql/unsupported", f"`{kind}` is not supported")

    def _instant(self, expr: Any) -> Part:
        token = self._named(expr)
        selector = next(self.selectors)
        return self._made(
            Form.INSTANT, token, name=selector.name, selector=selector, when=_when(expr)
        )

    def _range(self, expr: Any) -> Part:
        token = self._named(expr.vector_selector)
        selector = next(self.selectors)
        end = self._next(lambda t: t.text == "]").end
        return Part(
            form=Form.RANGE, name=selector.name, start=token.start, end=end, selector=selector,
            window_ms=_milliseconds(expr.range), when=_when(expr.vector_selector),
        )  # fmt: skip

    def _subquery(self, expr: Any) -> Part:
        inner = self.part(expr.expr)
        opening = self._next(lambda t: t.text == "[")
        end = self._next(lambda t: t.text == "]").end
        return Part(
            form=Form.SUBQUERY, name="", start=opening.start, end=end, parts=(inner,),
            window_ms=_milliseconds(expr.range),
            step_ms=self.step_ms if expr.step is None else _milliseconds(expr.step),
            when=_when(expr),
        )  # fmt: skip

    def _aggregation(self, expr: Any) -> Part:
        name = str(expr.op)
        token = self._next(lambda t: t.text.lower() == name)
        given = (expr.param, expr.expr) if expr.param is not None else (expr.expr,)
        parts = tuple(self.part(operand) for operand in given)
        modifier = expr.modifier
        return self._made(
            Form.AGGREGATION, token, name=name, parts=parts,
            labels=tuple(modifier.labels) if modifier is not None else (),
            leaves_out=modifier is not None and str(modifier.type).endswith("Without"),
        )  # fmt: skip

    def _binary(self, expr: Any) -> Part:
        name = str(expr.op)
        left = self.part(expr.lhs)
        token = self._next(lambda t: t.text.lower() == name)
        right = self.part(expr.rhs)
        modifier = expr.modifier
        matching = modifier.matching if modifier is not None else None
        card = modifier.card if modifier is not None else _CARDINALITY.OneToOne
        return self._made(
            Form.BINARY, token, name=name, parts=(left, right),
            labels=tuple(matching.labels) if matching is not None else (),
            leaves_out=matching is None or not str(matching.type).endswith("Include"),
            as_bool=modifier is not None and modifier.return_bool,
            sides=_sides(card),
            included=tuple(modifier.group_labels or ()) if modifier is not None else (),
        )  # fmt: skip

    def _named(self, expr: Any) -> Token:
        return self._next(lambda t: t.text == (expr.name if expr.name is not None else "{"))

    def _next(self, wanted: Callable[[Token], bool]) -> Token:
        """The next token that fits; where none does, the last that did."""
        for index in range(self.cursor, len(self.tokens)):
            if wanted(self.tokens[index]):
                self.cursor = index + 1
                return self.tokens[index]
        return self.tokens[max(0, self.cursor - 1)]

    def _made(self, form: Form, token: Token, **what: Any) -> Part:
        return Part(form=form, start=token.start, end=token.end, **what)


def _is_number(token: Token) -> bool:
    return token.kind is Kind.NUMBER or token.text.lower() in {"inf", "nan"}


def _when(expr: Any) -> str:
    return " ".join(str(part) for part in (expr.offset, expr.at) if part is not None)


def _sides(card: Any) -> Sides:
    if card == _CARDINALITY.ManyToOne:
        return Sides.LEFT
    return Sides.RIGHT if card == _CARDINALITY.OneToMany else Sides.ONE_TO_ONE


def _milliseconds(duration: timedelta) -> int:
    return round(duration / timedelta(milliseconds=1))
