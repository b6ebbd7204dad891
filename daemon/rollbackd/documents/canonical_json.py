"""Canonical JSON, so that equal values have equal hashes: RFC 8785 (JSON Canonicalization Scheme).

Members are sorted by the UTF-16 code units of their names, nothing is between the tokens, numbers
are written as ECMAScript writes them (so 5.0 and 5 are one value), and the text is UTF-8. Two
things go beyond the RFC: JSON has no NaN and no infinities, which are written as the strings
`nan`, `inf` and `-inf`; and integers above 2^53 keep all their digits.
"""

import math
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, Final

import msgspec


def canonical_json(value: object) -> bytes:
    """The one text of a value of the model or of plain JSON data."""
    return _text(msgspec.to_builtins(value)).encode()


def _text(value: Any) -> str:
    return _WRITERS[type(value)](value)


def _object(value: dict[str, Any]) -> str:
    names = sorted(value, key=_utf16)
    return "{" + ",".join([f"{encode_basestring(n)}:{_text(value[n])}" for n in names]) + "}"


def _array(value: list[Any] | tuple[Any, ...]) -> str:
    return "[" + ",".join([_WRITERS[type(item)](item) for item in value]) + "]"


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be")


def _number(value: float) -> str:
    """ECMA-262, Number::toString: the shortest digits that read back, and its own exponents."""
    if not math.isfinite(value):
        return f'"{value}"'
    mantissa, _, exponent = repr(value).removesuffix(".0").partition("e")
    if not exponent:
        return mantissa if value else "0"
    power = int(exponent)
    sign, digits = ("-" if value < 0 else ""), mantissa.lstrip("-").replace(".", "")
    if -7 < power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    if 0 <= power < 21:
        return f"{sign}{digits.ljust(power + 1, '0')}"
    return f"{mantissa}e{power:+d}"


#: By the exact type: msgspec makes no others.
_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    str: encode_basestring,
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: str,
    float: _number,
    dict: _object,
    list: _array,
    tuple: _array,
}
