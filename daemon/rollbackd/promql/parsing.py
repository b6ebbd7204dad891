"""Text -> tree by the promql-parser package, with the place of every mistake."""

import re
from typing import Any

import promql_parser

from rollbackd.promql.errors import PromqlError
from rollbackd.promql.lexer import Kind, Token, check_bounds, tokenize

_OPERATOR_NAMES = frozenset({"and", "or", "unless", "atan2"})
_QUOTED = re.compile(r"'([A-Za-z_][A-Za-z0-9_]*)'")
_SYNTAX = re.compile(r"bad number or duration syntax: (\S+)")
_MODIFIERS = frozenset(
    {"by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset"}
)


def _register_old_names() -> None:
    # The parser follows Prometheus 3, where `holt_winters` has another name.
    kinds = promql_parser.ValueType
    function = promql_parser.Function(
        "holt_winters", [kinds.Matrix, kinds.Scalar, kinds.Scalar], kinds.Vector
    )
    try:
        promql_parser.register_extra_functions([function])
    except ValueError:
        pass  # a later version of the parser knows it


_register_old_names()


def parse(text: str) -> tuple[Any, list[Token]]:
    """The parser's tree and the tokens. Raises PromqlError with the best place that can be found."""
    tokens = tokenize(text)
    check_bounds(tokens)
    if len(tokens) == 1:
        raise PromqlError("promql/syntax", "the expression is empty")
    try:
        return promql_parser.parse(text), tokens
    except ValueError as error:
        raise _placed(str(error), text, tokens) from None
    except BaseException as error:
        # A panic of the native parser; its class derives from BaseException on purpose.
        if type(error).__name__ != "PanicException":
            raise
        raise PromqlError("promql/syntax", "the parser cannot read this expression") from None


def _placed(message: str, text: str, tokens: list[Token]) -> PromqlError:
    """The parser says what is wrong, not where; this finds the place."""
    if name := _QUOTED.search(message):
        word = name.group(1)
        for token in tokens:
            if token.kind is Kind.NAME and token.text == word:
                id_ = "promql/function" if "unknown function" in message else "promql/type"
                return PromqlError(id_, message, token.start, token.end)
    if number := _SYNTAX.search(message):
        at = text.find(number.group(1))
        if at >= 0:
            return PromqlError("promql/syntax", message, at, at + len(number.group(1)))
    odd = _first_out_of_place(tokens)
    if odd is not None:
        if odd.kind is Kind.END:
            last = tokens[-2]
            return PromqlError(
                "promql/syntax", f"the expression ends after `{last.text}`", last.start, last.end
            )
        return PromqlError(
            "promql/syntax", f"`{odd.text}` is not expected here", odd.start, odd.end
        )
    id_ = "promql/syntax" if message == "invalid promql query" else "promql/type"
    return PromqlError(id_, message, 0, len(text.rstrip()))


def _first_out_of_place(tokens: list[Token]) -> Token | None:
    """The first token that breaks the alternation of operands and operators."""
    wants_operand = True
    skip_to = ""
    for index, token in enumerate(tokens):
        if skip_to:
            skip_to = "" if token.text == skip_to else skip_to
            continue
        if token.text in {"{", "["}:
            if wants_operand and token.text == "[":
                return token
            wants_operand = False
            skip_to = "}" if token.text == "{" else "]"
        elif token.kind is Kind.NAME and token.text.lower() in _MODIFIERS and index:
            return None
        elif token.kind is Kind.OPERATOR or token.text.lower() in _OPERATOR_NAMES:
            if wants_operand and token.text not in {"+", "-"}:
                return token
            wants_operand = True
        elif token.kind in {Kind.NAME, Kind.NUMBER, Kind.STRING}:
            if not wants_operand:
                return token
            wants_operand = False
        elif token.text == "(":
            if not wants_operand and tokens[index - 1].kind is not Kind.NAME:
                return token
            wants_operand = True
            if tokens[index + 1].text == ")":
                wants_operand = False
        elif token.text == ",":
            wants_operand = True
        elif (token.text == ")" and wants_operand and tokens[index - 1].text != "(") or (token.kind is Kind.END and wants_operand):
            return token
    return None
