"""Sources compiled to closures: an event in, one value out.

What cannot be used raises Rejected with the place, the paths and the value.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec
import orjson

from rollbackd.events.mapping.description import ANYTHING, OTHER, Scalar, Source, TimeFormat, Way
from rollbackd.events.mapping.paths import Get, compile_path
from rollbackd.events.series import shown
from rollbackd.events.timestamps import event_time
from rollbackd.model.events import Rejected

NumberGet = Callable[[Any, Any], float | None]
TextGet = Callable[[Any, Any], str | None]
TimeGet = Callable[[Any, Any, int], int]

#: How many of a unit make a second.
PER_SECOND: Final = {
    TimeFormat.UNIX: 1,
    TimeFormat.UNIX_MS: 1_000,
    TimeFormat.UNIX_US: 1_000_000,
    TimeFormat.UNIX_NS: 1_000_000_000,
}
_HASH_BYTES: Final = 16


def raw_getter(source: Source, absent: frozenset[str]) -> Get:
    """The value as JSON has it, or None: the first path that is there, the words, the default."""
    get = _origin(source, absent)
    if source.words is not None:
        get = _worded(source, source.words, get)
    if source.default is not None:
        get = _or_default(get, source.default)
    return _required(source, get) if source.required else get


def number_getter(source: Source, absent: frozenset[str]) -> NumberGet:
    """A finite number; numbers in quotes count, and `true` is 1."""
    if source.constant is not None:
        constant = float(source.constant)
        return lambda _event, _item: constant
    get = raw_getter(source, absent)
    if source.way is not Way.FIRST:
        get = (_length if source.way is Way.COUNT else _sum)(source, absent)
        get = _required(source, get) if source.required else get
    factor, divisor = source.factor

    def number(event: Any, item: Any) -> float | None:
        found = get(event, item)
        if found is None:
            return None
        if found.__class__ is not float and found.__class__ is not int:
            found = _number(source, found)
        try:
            value = found * factor / divisor
        except OverflowError:
            value = math.inf
        if value - value != 0:  # infinite
            raise Rejected(f"`{source.place}`: {source.shown} is `{found}`, out of range")
        return float(value)

    return number


def text_getter(source: Source, absent: frozenset[str]) -> TextGet:
    """A scalar as text: `true` and `false` as JSON writes them, a whole number without a dot."""
    if source.constant is not None:
        constant = _text(source, source.constant)
        return lambda _event, _item: constant
    get = raw_getter(source, absent)

    def text(event: Any, item: Any) -> str | None:
        found = get(event, item)
        if found is None or found.__class__ is str:
            return found
        return _text(source, found)

    return text


def label_getter(source: Source, absent: frozenset[str], over: Counter[str]) -> TextGet:
    """As `text_getter`, and what is over the bound or not allowed is `other`, and counted."""
    get = text_getter(source, absent)
    if source.constant is not None:
        return get
    allow, limit = source.allow, source.limit
    name = source.place.partition(".")[2]
    kept = set(allow or ())
    open_ = allow is None

    def label(event: Any, item: Any) -> str | None:
        found = get(event, item)
        if found is None or found in kept:
            return found
        if open_ and len(kept) < limit:
            kept.add(found)
            return found
        over[name] += 1
        return OTHER

    return label


def fact_getter(source: Source, absent: frozenset[str]) -> Get:
    """As JSON has it, or its hash."""
    if source.constant is not None:
        constant = source.constant
        return lambda _event, _item: constant
    get = raw_getter(source, absent)
    if not source.hashed:
        return get

    def hashed(event: Any, item: Any) -> str | None:
        found = get(event, item)
        if found is None:
            return None
        text = _text(source, found).encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()[: _HASH_BYTES * 2]

    return hashed


def time_getter(source: Source | None, absent: frozenset[str]) -> TimeGet:
    """Milliseconds since the epoch; now where the event has no time."""
    if source is None:
        return lambda _event, _item, now_ms: now_ms
    get = raw_getter(source, absent)
    format_ = source.format

    def time(event: Any, item: Any, now_ms: int) -> int:
        found = get(event, item)
        if found is None:
            return now_ms
        try:
            return event_time(moment(source, found, format_), now_ms=now_ms)
        except Rejected as rejected:
            raise Rejected(f"{source.shown}: {rejected}") from None

    return time


def _origin(source: Source, absent: frozenset[str]) -> Get:
    if source.constant is not None:
        constant = source.constant
        return lambda _event, _item: constant
    gets = [compile_path(path) for path in source.paths]
    if len(gets) == 1 and not absent:
        return gets[0]

    def first(event: Any, item: Any) -> Any:
        for get in gets:
            found = get(event, item)
            if found is not None and not (found.__class__ is str and found in absent):
                return found
        return None

    return first


def _worded(source: Source, words: Any, get: Get) -> Get:
    otherwise = words.get(ANYTHING)

    def word(event: Any, item: Any) -> Any:
        found = get(event, item)
        if found is None:
            return None
        meaning = words.get(found if found.__class__ is str else _text(source, found), otherwise)
        if meaning is None:
            raise Rejected(
                f"`{source.place}`: {source.shown} is `{_show(found)}`, which `map` does not have;"
                f" it has {', '.join(f'`{key}`' for key in words)}"
            )
        return meaning

    return word


def _or_default(get: Get, default: Scalar) -> Get:
    def found_or_default(event: Any, item: Any) -> Any:
        found = get(event, item)
        return default if found is None else found

    return found_or_default


def _required(source: Source, get: Get) -> Get:
    def needed(event: Any, item: Any) -> Any:
        found = get(event, item)
        if found is None:
            raise Rejected(f"`{source.place}` is missing: there is no {source.shown}")
        return found

    return needed


def _length(source: Source, absent: frozenset[str]) -> Get:
    get = _origin(source, absent)

    def length(event: Any, item: Any) -> int | None:
        found = get(event, item)
        if found is None or found.__class__ is list:
            return None if found is None else len(found)
        raise Rejected(f"`{source.place}`: {source.shown} is `{_show(found)}`, and not a list")

    return length


def _sum(source: Source, absent: frozenset[str]) -> Get:
    parts = [
        number_getter(Source(place=source.place, paths=(path,)), absent) for path in source.paths
    ]

    def added(event: Any, item: Any) -> float | None:
        found = [n for get in parts if (n := get(event, item)) is not None]
        return math.fsum(found) if found else None

    return added


def _number(source: Source, found: Any) -> float:
    if isinstance(found, bool | int | float):
        return float(found)
    if found.__class__ is str and len(found) <= 40 and "_" not in found:
        try:
            return float(found)
        except ValueError:
            pass
    raise Rejected(f"`{source.place}`: {source.shown} is `{_show(found)}`, which is not a number")


def _text(source: Source, found: Any) -> str:
    if found.__class__ is str:
        return str(found)
    if found.__class__ is bool:
        return "true" if found else "false"
    if found.__class__ is float and found.is_integer():
        return f"{found:.0f}"
    if found.__class__ is int or found.__class__ is float:
        return str(found)
    raise Rejected(
        f"`{source.place}`: {source.shown} is `{_show(found)}`; text, a number, true or false is"
        " needed"
    )


def moment(source: Source, found: Any, format_: TimeFormat) -> datetime | float:
    """A time as it is written: RFC 3339, or seconds since the epoch. Raises Rejected."""
    if found.__class__ is str and format_ in {TimeFormat.AUTO, TimeFormat.RFC3339}:
        try:
            return msgspec.convert(found, datetime)
        except msgspec.ValidationError:
            if format_ is TimeFormat.RFC3339:
                raise Rejected(f"`ts`: `{shown(found)}` is not an RFC 3339 time") from None
    elif format_ is TimeFormat.RFC3339:
        raise Rejected(f"`ts`: `{_show(found)}` is not an RFC 3339 time")
    per_second = PER_SECOND.get(format_, 1)
    if found.__class__ is str and found.isascii() and found.isdigit() and len(found) <= 25:
        found = int(found)  # nanoseconds do not fit into a float
    if found.__class__ is int and abs(found) < 1 << 80:
        return found // per_second + found % per_second / per_second
    try:
        return _number(source, None if found.__class__ is bool else found) / per_second
    except Rejected:
        raise Rejected(f"`ts`: `{_show(found)}` is not a time") from None


def _show(found: Any) -> str:
    return shown(found if isinstance(found, str) else orjson.dumps(found).decode())
