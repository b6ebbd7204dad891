"""Tokens with their places: the parser's tree carries no positions, so they are found here."""

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from rollbackd.promql.errors import PromqlError

#: The parser recurses in native code and would overflow its stack on hostile input.
MAX_CHARACTERS = 65_536
MAX_OPERATORS = 200
MAX_NESTING = 60
#: It panics on times and durations that its numbers cannot hold; these are seconds, 31,000 years.
MAX_SECONDS = 1e12


class Kind(StrEnum):
    """What a token is."""

    #: A metric, label, function or keyword.
    NAME = "name"
    #: A number or a duration.
    NUMBER = "number"
    #: A quoted text.
    STRING = "string"
    #: An operator: `+ - * / % ^ == != > < >= <= =~ !~ =`.
    OPERATOR = "operator"
    #: One of `( ) { } [ ]`.
    BRACKET = "bracket"
    #: One of `, : @`.
    MARK = "mark"
    #: The end of the text.
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the expression and its character offsets."""

    kind: Kind
    text: str
    start: int
    end: int


_PATTERN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<number>0[xX][0-9a-fA-F]+|(?:\d+(?:y|w|d|h|ms|m|s))+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
    |(?P<operator>==|!=|>=|<=|=~|!~|[-+*/%^=<>])
    |(?P<bracket>[(){}\[\]])
    |(?P<mark>[,:@])""",
    re.VERBOSE | re.ASCII,
)
_DURATION = re.compile(r"(\d+)(ms|[ywdhms])", re.ASCII)
_UNITS = {"ms": 1e-3, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_CLOSES = {")": "(", "}": "{", "]": "["}


def tokenize(text: str) -> list[Token]:
    """The tokens of an expression, END last. Raises PromqlError on what is no token."""
    if len(text) > MAX_CHARACTERS:
        raise PromqlError("promql/size", f"the expression is over {MAX_CHARACTERS} characters")
    tokens: list[Token] = []
    at = 0
    depth_in_brackets = 0
    while at < len(text):
        match = _PATTERN.match(text, at)
        # Inside `[5m:1m]` a name may start with a colon; there it is always a mark.
        if depth_in_brackets and text[at] == ":":
            tokens.append(Token(Kind.MARK, ":", at, at + 1))
            at += 1
            continue
        if match is None:
            raise _no_token(text, at)
        kind = match.lastgroup
        if kind is not None and kind != "space":
            tokens.append(Token(Kind(kind), match.group(), at, match.end()))
            depth_in_brackets += {"[": 1, "]": -1}.get(match.group(), 0)
        at = match.end()
    tokens.append(Token(Kind.END, "", len(text), len(text)))
    return tokens


def check_bounds(tokens: list[Token]) -> None:
    """Refuse what would overflow a stack, and brackets that do not pair. Raises PromqlError."""
    operators = 0
    opened: list[Token] = []
    in_braces = False
    for token in tokens:
        if (token.kind is Kind.OPERATOR and not in_braces) or (
            token.kind is Kind.NAME and token.text.lower() in {"and", "or", "unless", "atan2"}
        ):
            operators += 1
        if operators > MAX_OPERATORS:
            raise PromqlError(
                "promql/size",
                f"the expression has more than {MAX_OPERATORS} operators",
                token.start,
                token.end,
                "split it into recording rules",
            )
        if token.kind is Kind.BRACKET:
            _pair(token, opened)
            in_braces = bool(opened) and opened[-1].text == "{"
        if len(opened) > MAX_NESTING:
            raise PromqlError(
                "promql/size", f"nested deeper than {MAX_NESTING} brackets", token.start, token.end
            )
    if opened:
        left = opened[-1]
        raise PromqlError("promql/syntax", f"`{left.text}` is never closed", left.start, left.end)


def check_times(tokens: list[Token]) -> None:
    """Refuse durations and times of more than MAX_SECONDS. Raises PromqlError."""
    before = ""
    for token in tokens:
        word = token.text.lower()
        is_time = token.kind is Kind.NUMBER and before in {"[", ":", "@", "offset"}
        is_endless = before == "offset" and word in {"inf", "nan"}
        if is_endless or (is_time and _seconds(word) > MAX_SECONDS):
            raise PromqlError(
                "promql/size",
                f"`{token.text}` is not a time of at most {MAX_SECONDS:.0f} seconds",
                token.start,
                token.end,
            )
        # a sign changes nothing
        before = before if word in {"+", "-"} else word


def _seconds(text: str) -> float:
    if text.startswith("0x"):
        return float(int(text, 16)) if len(text) < 100 else math.inf
    parts = _DURATION.findall(text)
    return sum(float(count) * _UNITS[unit] for count, unit in parts) if parts else float(text)


def _pair(token: Token, opened: list[Token]) -> None:
    if token.text in "({[":
        opened.append(token)
        return
    if not opened or opened[-1].text != _CLOSES[token.text]:
        raise PromqlError("promql/syntax", f"`{token.text}` closes nothing", token.start, token.end)
    opened.pop()


def _no_token(text: str, at: int) -> PromqlError:
    if text[at] in "\"'`":
        return PromqlError("promql/syntax", "the quoted text is never closed", at, len(text))
    return PromqlError("promql/syntax", f"`{text[at]}` is not part of the language", at, at + 1)
