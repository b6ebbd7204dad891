"""`{name}`, `{after.index}` and so on in the texts of a levers file.

They are checked when the file is read, and filled at each call.

A text is taken apart once: what is put in is never read as a template again. `{{` and `}}` are
braces. Where a text goes decides how a value is put into it, so that it cannot become anything but
a part of a path, an argument or a JSON value.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, unquote

import orjson

from rollbackd.errors import PermanentError
from rollbackd.model.levers import Op, Target

#: In what is only read.
OF_TARGET: Final = ("name", "service", "region")
#: In a look at what a value leads to.
OF_VALUE: Final = (*OF_TARGET, "after.")
#: In a move and in its undo.
OF_MOVE: Final = (*OF_VALUE, "before.", "op_id", "incident_id")

_TOKEN: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_.-]*)\}|[{}]|[^{}]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%-]*\Z")

#: What stands for each placeholder by its name.
Values = Mapping[str, object]


def values_of(
    target: Target,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
    op: Op | None = None,
) -> dict[str, object]:
    """What a call may put in."""
    values: dict[str, object] = {
        "name": target.name,
        "service": target.scope.service,
        "region": target.scope.region,
    }
    for prefix, held in (("before", before), ("after", after)):
        values |= {f"{prefix}.{key}": value for key, value in (held or {}).items()}
    if op is not None:
        values |= {"op_id": op.op_id, "incident_id": op.incident_id}
    return values


def check_text(text: str, allowed: tuple[str, ...], where: str) -> None:
    """Raise ValueError for a brace that is none, or a placeholder that has no value there."""
    for literal, key in _parts(text, where):
        if key is None and _CONTROL.search(literal):
            raise ValueError(f"`{where}` holds a control character")
        if key is not None and not _is_allowed(key, allowed):
            known = ", ".join(f"`{{{each}{'...' * each.endswith('.')}}}`" for each in allowed)
            raise ValueError(f"`{where}`: `{{{key}}}` has no value there; there are {known}")


def check_path(path: str, allowed: tuple[str, ...], where: str) -> None:
    """Raise ValueError for what is no absolute path, with or without placeholders."""
    check_text(path, allowed, where)
    if not path.startswith("/"):
        raise ValueError(f"`{where}` must begin with `/`, not with `{path[:40]}`")
    for segment in path[1:].split("/"):
        literal = "".join(text for text, key in _parts(segment, where) if key is None)
        if not _SEGMENT.match(literal) or unquote(segment) in {".", ".."}:
            raise ValueError(
                f"`{where}`: `{segment[:80]}` is no part of a path; write a query as `query:`"
            )


def check_json(value: object, allowed: tuple[str, ...], where: str) -> None:
    """Raise ValueError for a JSON value with a bad placeholder, or one in a key."""
    if isinstance(value, str):
        check_text(value, allowed, where)
    elif isinstance(value, list):
        for item in value:
            check_json(item, allowed, where)
    elif isinstance(value, dict):
        for key, item in value.items():
            if "{" in str(key) or "}" in str(key):
                raise ValueError(
                    f"`{where}`: the key `{str(key)[:80]}` has a brace; keys hold no placeholders"
                )
            check_json(item, allowed, where)


def named_in(value: object) -> frozenset[str]:
    """The placeholders of every text in a JSON value."""
    if isinstance(value, dict):
        return named_in(list(value.values()))
    if isinstance(value, list):
        return frozenset[str]().union(*(named_in(item) for item in value))
    if not isinstance(value, str):
        return frozenset()
    return frozenset(key for _, key in _parts(value, "") if key is not None)


def fill_text(text: str, values: Values) -> str:
    """A text in which nothing has to be quoted. Raises PermanentError."""
    return _filled(text, values, _plain)


def fill_path(path: str, values: Values) -> str:
    """A path whose segments stay the ones of the template. Raises PermanentError."""
    segments = [_segment(segment, values) for segment in path[1:].split("/")]
    return "/" + "/".join(segments)


def fill_argument(text: str, values: Values) -> str:
    """One argument of a program. Raises PermanentError for a value that would be an option."""
    filled = _filled(text, values, _plain)
    if text.startswith("{") and filled.startswith("-"):
        raise PermanentError(f"`{filled[:80]}` for `{text}` would be taken for an option")
    return filled


def fill_json(value: object, values: Values) -> object:
    """A JSON value; a text that is one placeholder becomes the value itself."""
    if isinstance(value, dict):
        return {key: fill_json(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_json(item, values) for item in value]
    if not isinstance(value, str):
        return value
    parts = list(_parts(value, ""))
    if len(parts) == 1 and parts[0][1] is not None:
        return _value(parts[0][1], values)
    return _filled(value, values, _as_text)


def _segment(segment: str, values: Values) -> str:
    filled = _filled(segment, values, lambda value: quote(_plain(value), safe=""))
    if filled != segment and unquote(filled) in {"", ".", ".."}:
        raise PermanentError(f"`{unquote(filled)}` for `{segment}` is no part of a path")
    return filled


def _filled(text: str, values: Values, put: Callable[[object], str]) -> str:
    return "".join(
        literal if key is None else put(_value(key, values)) for literal, key in _parts(text, "")
    )


def _value(key: str, values: Values) -> object:
    if key not in values:
        raise PermanentError(f"there is no value for `{{{key}}}`")
    value = values[key]
    if isinstance(value, str) and any("\ud800" <= each <= "\udfff" for each in value):
        raise PermanentError(f"the value for `{{{key}}}` is no Unicode text")
    return value


def _plain(value: object) -> str:
    text = _as_text(value)
    if _CONTROL.search(text):
        raise PermanentError(f"{text[:80]!r} holds a control character")
    return text


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _parts(text: str, where: str) -> Iterator[tuple[str, str | None]]:
    """The literal parts, and the placeholders as their keys."""
    for match in _TOKEN.finditer(text):
        token, key = match.group(), match.group(1)
        if token in {"{", "}"}:
            raise ValueError(f"`{where}`: write `{token}{token}` for a brace that is none")
        yield (token[0] if token in {"{{", "}}"} else token), key


def _is_allowed(key: str, allowed: tuple[str, ...]) -> bool:
    return any(
        key.startswith(each) and len(key) > len(each) if each.endswith(".") else key == each
        for each in allowed
    )
