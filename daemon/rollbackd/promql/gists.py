"""What one part of an expression does, in a few characters and without its operands."""

import re
from typing import Any, Final

from rollbackd.documents.durations import format_duration
from rollbackd.promql.operators import Operator
from rollbackd.promql.selection import InstantSelector, RangeSelector, When
from rollbackd.promql.subqueries import Subquery

_REST: Final = "..."
_SPACE: Final = re.compile(r"\s+")


def text_of(expr: Any) -> str:
    """The part as PromQL on one line."""
    while type(expr).__name__ == "ParenExpr":
        expr = expr.expr
    text = _SPACE.sub(" ", expr.prettify()).strip()
    return text.replace("( ", "(").replace(" )", ")")


def gist_of(expr: Any, operator: Operator) -> str:
    """What the part does."""
    match operator:
        case InstantSelector():
            return f"{operator.selector}{_when(operator.when)}"
        case RangeSelector():
            window = format_duration(operator.range_ms)
            return f"{operator.selector}[{window}]{_when(operator.when)}"
        case Subquery():
            window, step = format_duration(operator.range_ms), format_duration(operator.step_ms)
            return f"({_REST})[{window}:{step}]{_when(operator.when)}"
    match type(expr).__name__:
        case "BinaryExpr":
            return _binary(expr)
        case "Call":
            return f"{expr.func.name}({', '.join(_operand(arg) for arg in expr.args)})"
        case "AggregateExpr":
            return _aggregate(expr)
        case "UnaryExpr":
            return f"-{_REST}"
    return text_of(expr)


def number_text(expr: Any) -> str:
    """The text of a part that is a number, else nothing."""
    match type(expr).__name__:
        case "ParenExpr":
            return number_text(expr.expr)
        case "UnaryExpr":
            inner = number_text(expr.expr)
            return f"-{inner}" if inner else ""
        case "NumberLiteral":
            return text_of(expr)
    return ""


def _binary(expr: Any) -> str:
    modifier = expr.modifier
    words = [str(expr.op)]
    if modifier is not None:
        words += ["bool"] if modifier.return_bool else []
        matching = str(modifier).removeprefix("bool").strip()
        words += [matching] if matching else []
    left, right = number_text(expr.lhs), number_text(expr.rhs)
    if right and not left:
        return " ".join([*words, right])
    return " ".join([left, *words]) if left and not right else " ".join(words)


def _aggregate(expr: Any) -> str:
    grouping = f" {expr.modifier}" if expr.modifier is not None else ""
    parameter = f"{_operand(expr.param)}, " if expr.param is not None else ""
    return f"{expr.op}{grouping} ({parameter}{_REST})"


def _operand(expr: Any) -> str:
    if type(expr).__name__ == "StringLiteral":
        return text_of(expr)
    return number_text(expr) or _REST


def _when(when: When) -> str:
    text = ""
    if when.at_origin:
        text = " @ end()"
    elif when.at_ms is not None:
        text = f" @ {when.at_ms / 1_000:g}"
    return f"{text} offset {format_duration(when.offset_ms)}" if when.offset_ms else text
