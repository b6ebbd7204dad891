"""Paths into a JSON event: the singular queries of JSONPath (RFC 9535, section 2.3.5.1).

A singular query names at most one place: `$.a.b[0]['c.d']`. Wildcards, slices, filters and `..` are
refused. `@` instead of `$` begins at the item of a list that is taken apart.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

#: What a path is asked: the event, and the item that it is taken apart into.
Get = Callable[[Any, Any], Any]

MAX_STEPS: Final = 16

_BLANK: Final = re.compile(r"[ \t\n\r]*")
_SHORT: Final = re.compile(r"\.([A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)")
_INDEX: Final = re.compile(r"\[(0|-?[1-9][0-9]{0,8})\]")
_SLICE: Final = re.compile(r"\[-?[0-9]*:")
_QUOTED: Final = re.compile(r"\[(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\]", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_PLAIN: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "/": "/", "\\": "\\"}
#: What JSONPath has and a singular query has not.
_MANY: Final = (
    ("..", "`..` finds many places"),
    (".*", "`*` finds many places"),
    ("[*", "`*` finds many places"),
    ("[?", "a filter finds many places"),
)


class PathError(ValueError):
    """A path that is not a singular query; `offset` is where it ends to be one."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class Path(NamedTuple):
    """A parsed path."""

    text: str
    #: Whether it begins at the item and not at the event.
    of_item: bool
    steps: tuple[str | int, ...]


def parse_path(text: str) -> Path:
    """Read a singular query. Raises PathError."""
    if not text.startswith(("$", "@")):
        raise PathError("a path begins with `$`, the event, or `@`, the item of `each`", 0)
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        start = _end(_BLANK.match(text, at), at)
        if start == len(text):
            raise PathError("the path ends in a blank", at)
        step, at = _step(text, start)
        steps.append(step)
    if len(steps) > MAX_STEPS:
        raise PathError(f"{len(steps)} steps; at most {MAX_STEPS} are allowed", 0)
    return Path(text, text[0] == "@", tuple(steps))


def compile_path(path: Path) -> Get:
    """What finds the place: its value, or None where there is none or it is `null`."""
    steps = path.steps
    if path.of_item:
        return lambda _event, item: _walk(item, steps)
    match steps:
        case (str(key),):
            return lambda event, _item: event.get(key)
        case (str(outer), str(inner)):

            def of_two(event: Any, _item: Any) -> Any:
                found = event.get(outer)
                return found.get(inner) if found.__class__ is dict else None

            return of_two
    return lambda event, _item: _walk(event, steps)


def _walk(found: Any, steps: tuple[str | int, ...]) -> Any:
    for step in steps:
        if isinstance(step, str):
            if found.__class__ is not dict:
                return None
            found = found.get(step)
        else:
            if found.__class__ is not list or not -len(found) <= step < len(found):
                return None
            found = found[step]
    return found


def _step(text: str, at: int) -> tuple[str | int, int]:
    if short := _SHORT.match(text, at):
        return short[1], short.end()
    if index := _INDEX.match(text, at):
        return int(index[1]), index.end()
    if quoted := _QUOTED.match(text, at):
        if quoted[1] is not None:
            return _unescaped(quoted[1], "'", at), quoted.end()
        return _unescaped(quoted[2], '"', at), quoted.end()
    for begin, why in _MANY:
        if text.startswith(begin, at):
            raise PathError(f"{why}; a path names one", at)
    if _SLICE.match(text, at):
        raise PathError("a slice finds many places; a path names one", at)
    raise PathError(f"`{text[at:][:40]}` is not a step; write `.name`, `['any name']` or `[0]`", at)


def _unescaped(inside: str, quote: str, at: int) -> str:
    def char(found: re.Match[str]) -> str:
        code = found[1]
        if code == quote:
            return quote
        if len(code) == 5:
            return chr(int(code[1:], 16))
        if code not in _PLAIN:
            raise PathError(f"`\\{code}` is not an escape of JSON", at)
        return _PLAIN[code]

    text = _ESCAPE.sub(char, inside)
    try:
        # a pair of surrogates is one character, half a pair is none
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise PathError("half a surrogate pair is no character", at) from None


def _end(found: re.Match[str] | None, at: int) -> int:
    return at if found is None else found.end()
