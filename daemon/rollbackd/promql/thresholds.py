"""What of a rule's expression can be drawn: `lhs > number` is the left side and a line."""

from dataclasses import dataclass
from typing import Any, Final

from rollbackd.promql.errors import PromqlError
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.parsing import parse
from rollbackd.promql.store import Store

_MIRRORED: Final = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "==", "!=": "!="}
#: Conditions that only narrow their left side.
_NARROWING: Final = frozenset({"and", "unless"})


@dataclass(frozen=True, slots=True)
class Drawn:
    """An expression to plot, beside a threshold when the rule compares it with a number."""

    expr: str
    symbol: str = ""
    threshold: float | None = None


def drawn(expr: str) -> Drawn:
    """What to plot of an expression that compiles."""
    tree, _ = parse(expr)
    comparison = _comparison(tree)
    return comparison or Drawn(expr)


def _comparison(tree: Any) -> Drawn | None:
    kind = type(tree).__name__
    if kind == "ParenExpr":
        return _comparison(tree.expr)
    if kind != "BinaryExpr":
        return None
    symbol = str(tree.op)
    if symbol in _NARROWING:
        return _comparison(tree.lhs)
    if symbol not in _MIRRORED or (tree.modifier is not None and tree.modifier.return_bool):
        return None
    sides = ((tree.lhs, tree.rhs, symbol), (tree.rhs, tree.lhs, _MIRRORED[symbol]))
    for side, other, found in sides:
        number = _constant(other)
        if number is not None and _compiles(side):
            return Drawn(_text(side), found, number)
    return None


def _text(tree: Any) -> str:
    """The source of a part, without brackets around the whole."""
    while type(tree).__name__ == "ParenExpr":
        tree = tree.expr
    # long expressions are laid out over lines, never inside a quoted text
    return " ".join(line.strip() for line in str(tree.prettify()).splitlines())


def _constant(tree: Any) -> float | None:
    """The value of a part that is only numbers, e.g. `14.4 * 0.001`."""
    if not _is_constant(tree):
        return None
    nothing = Store(lateness_ms=0, ahead_ms=0, max_series=0)
    ((_, value),) = compile_expr(_text(tree)).query(nothing, 0)
    return value


def _is_constant(tree: Any) -> bool:
    match type(tree).__name__:
        case "NumberLiteral":
            return True
        case "ParenExpr" | "UnaryExpr":
            return _is_constant(tree.expr)
        case "BinaryExpr":
            return _is_constant(tree.lhs) and _is_constant(tree.rhs)
        case _:
            return False


def _compiles(tree: Any) -> bool:
    try:
        compile_expr(_text(tree))
    except PromqlError:
        return False
    return True
