"""Text -> tree by the promql-parser package, with the place of every mistake."""

import contextlib
import re
from enum import Enum
from typing import Any

import promql_parser

from rollbackd.documents.catalogue import DiagnosticId
from rollbackd.documents.reader import suggestion
from rollbackd.promql.calls import FUNCTIONS
from rollbackd.promql.errors import PromqlError
from rollbackd.promql.lexer import Kind, Token, check_bounds, check_times, tokenize

_OPERATOR_NAMES = frozenset({"and", "or", "unless", "atan2"})
_QUOTED = re.compile(r"'([A-Za-z_][A-Za-z0-9_]*)'")
_SYNTAX = re.compile(r"bad number or duration syntax: (\S+)")
_GROUPINGS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})


def _register_old_names() -> None:
    # The parser follows Prometheus 3, where `holt_winters` has another name.
    kinds = promql_parser.ValueType
    function = promql_parser.Function(
        "holt_winters", [kinds.Matrix, kinds.Scalar, kinds.Scalar], kinds.Vector
    )
    # A later version of the parser may know it.
    with contextlib.suppress(ValueError):
        promql_parser.register_extra_functions([function])


_register_old_names()


def parse(text: str) -> tuple[Any, list[Token]]:
    """The parser's tree and the tokens. Raises PromqlError with the best place there is."""
    tokens = tokenize(text)
    check_bounds(tokens)
    check_times(tokens)
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
                if "unknown function" in message:
                    return _no_function(token)
                fix = "add a window, e.g. `[5m]`" if "expected type matrix" in message else ""
                return PromqlError("promql/type", message, token.start, token.end, fix)
    if number := _SYNTAX.search(message):
        at = text.find(number.group(1))
        if at >= 0:
            return PromqlError("promql/syntax", message, at, at + len(number.group(1)))
    odd = _first_out_of_place(_without_modifiers(tokens))
    if odd is not None:
        if odd.kind is Kind.END:
            last = tokens[-2]
            return PromqlError(
                "promql/syntax", f"the expression ends after `{last.text}`", last.start, last.end
            )
        return PromqlError(
            "promql/syntax", f"`{odd.text}` is not expected here", odd.start, odd.end
        )
    id_: DiagnosticId = "promql/syntax" if message == "invalid promql query" else "promql/type"
    return PromqlError(id_, message, 0, len(text.rstrip()))


def _no_function(token: Token) -> PromqlError:
    return PromqlError(
        "promql/function",
        f"unknown function `{token.text}`",
        token.start,
        token.end,
        suggestion(token.text, FUNCTIONS),
    )


def _without_modifiers(tokens: list[Token]) -> list[Token]:
    """The tokens without `by (...)`, `bool`, `offset 5m` and their like."""
    kept: list[Token] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        word = token.text.lower() if token.kind is Kind.NAME else token.text
        index += 1
        if word in _GROUPINGS and tokens[index].text == "(":
            while index < len(tokens) - 1 and tokens[index].text != ")":
                index += 1
            index += 1
        elif word in {"offset", "@"} and tokens[index].kind is not Kind.END:
            index += 2 if tokens[index].text in {"+", "-"} else 1
            if tokens[min(index, len(tokens) - 1)].text == "(":
                index += 2
        elif word not in _GROUPINGS and word != "bool":
            kept.append(token)
    return kept if kept and kept[-1].kind is Kind.END else [*kept, tokens[-1]]


def _first_out_of_place(tokens: list[Token]) -> Token | None:
    """The first token that breaks the alternation of operands and operators."""
    wants_operand = True
    skip_to = ""
    for index, token in enumerate(tokens):
        if skip_to:
            skip_to = "" if token.text == skip_to else skip_to
            continue
        role = _role(tokens, index)
        if role is _Role.OPERAND and not wants_operand:
            return token
        if role in {_Role.OPERATOR, _Role.END} and wants_operand:
            return token
        if role is _Role.SUFFIX:
            if wants_operand:
                return token
            skip_to = "]"
        if token.text == "{":
            skip_to = "}"
        wants_operand = role in {_Role.OPERATOR, _Role.SIGN, _Role.OPEN}
    return None


class _Role(Enum):
    """What a token does in the alternation."""

    OPERAND = "operand"
    OPERATOR = "operator"
    #: `+` or `-`: fits on both sides.
    SIGN = "sign"
    #: `(` or `,`: an operand comes next.
    OPEN = "open"
    #: `[`: belongs to the operand before it.
    SUFFIX = "suffix"
    #: `)` or the end: an operand came before.
    END = "end"
    #: Says nothing: the `{` behind a name, the `)` of an empty call.
    FREE = "free"


def _role(tokens: list[Token], index: int) -> _Role:
    token = tokens[index]
    before = tokens[index - 1] if index else None
    after_name = before is not None and before.kind is Kind.NAME
    roles = {",": _Role.OPEN, "[": _Role.SUFFIX, "+": _Role.SIGN, "-": _Role.SIGN}
    if token.text in roles:
        return roles[token.text]
    if token.kind is Kind.OPERATOR or token.text.lower() in _OPERATOR_NAMES:
        return _Role.OPERATOR
    if token.text == "(":
        closes_behind = before is not None and before.text == ")"
        return _Role.OPEN if not closes_behind else _Role.OPERAND
    if token.text == ")":
        return _Role.FREE if before is not None and before.text == "(" else _Role.END
    if token.text == "{":
        return _Role.FREE if after_name else _Role.OPERAND
    if token.kind is Kind.END:
        return _Role.END
    return _Role.OPERAND if token.kind is not Kind.MARK else _Role.FREE
