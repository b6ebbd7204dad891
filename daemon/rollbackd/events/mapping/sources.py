"""Reading one value of a mapping: a constant, a path, or both with what is made of them."""

from collections.abc import Callable
from typing import Any, Final

from rollbackd.documents.reader import Fields, Reader, suggestion
from rollbackd.events.mapping.description import DEFAULT_LIMIT, Scalar, Source, TimeFormat, Way
from rollbackd.events.mapping.paths import Path, PathError, parse_path
from rollbackd.events.mapping.units import UNITS, UnitError, conversion

#: Keys of a value that is written as a mapping; exactly one of the first four.
_ORIGINS: Final = ("path", "const", "count", "sum")
_SHARED: Final = ("default", "map", "required")
#: And those that only some places have.
NUMBER: Final = ("unit",)
TIME: Final = ("format",)
LABEL: Final = ("limit", "allow")
FACT: Final = ("hash",)
TEXT: Final[tuple[str, ...]] = ()

_MOST_LIMIT: Final = 10_000
_MOST_PATHS: Final = 10


class SourceReader:
    """Reads the values of one entry; `@` is allowed where the entry has `each`."""

    def __init__(self, *, has_item: bool) -> None:
        self._has_item = has_item

    def read(self, reader: Reader, place: str, own: tuple[str, ...] = TEXT) -> Source:
        """A value; `own` are the keys that only this place has. Problems are reported."""
        written = reader.plain()
        if isinstance(written, dict):
            return self._in_full(reader, place, own)
        if isinstance(written, list):
            return Source(place=place, paths=self._paths(reader))
        if _is_path(written):
            path = self.path(reader)
            return Source(place=place, paths=() if path is None else (path,))
        return Source(place=place, constant=_scalar(reader, number=own is NUMBER))

    def path(self, reader: Reader) -> Path | None:
        """One path. Problems are reported."""
        text = reader.string()
        if not text:
            return None
        try:
            path = parse_path(text)
        except PathError as error:
            quoted = getattr(reader.node, "style", None) in {"'", '"'}
            where = reader.position.shifted(error.offset + quoted, max(1, len(text) - error.offset))
            message = f"`{text[:80]}` is not a path: {error}"
            reader.document.report(where, "mapping/path", message)
            return None
        if path.of_item and not self._has_item:
            reader.problem(
                "mapping/path",
                f"`{text}` begins at an item, and there is no `each`",
                fix=f"write `${text[1:]}`, or name the list in `each:`",
            )
            return None
        return path

    def _in_full(self, reader: Reader, place: str, own: tuple[str, ...]) -> Source:
        f = reader.fields((*_ORIGINS, *_SHARED, *own))
        given = [key for key in _ORIGINS if key in f]
        if not given:
            reader.problem("key/missing", "`path` is missing", fix="add `path:` or `const:`")
        for key in given[1:]:
            f.problem(key, "config/exclusive-keys", f"`{key}` and `{given[0]}` exclude each other")
        number = own is NUMBER

        def scalar(r: Reader) -> Scalar | None:
            return _scalar(r, number=number)

        way = Way.COUNT if "count" in f else Way.SUM if "sum" in f else Way.FIRST
        if way is not Way.FIRST and not number:
            f.problem(way.value, "value/type", f"`{way}` makes a number, which only `values` take")
        return Source(
            place=place,
            paths=self._origin(f),
            constant=f.read("const", scalar, None),
            way=way,
            factor=f.read("unit", _unit, (1.0, 1.0)),
            words=f.read("map", lambda r: _words(r, scalar), None),
            default=f.read("default", scalar, None),
            required=f.read("required", Reader.boolean, default=False),
            hashed=f.read("hash", Reader.boolean, default=False),
            limit=f.read("limit", _limit, DEFAULT_LIMIT),
            allow=f.read("allow", lambda r: frozenset(_texts(r)), None),
            format=f.read("format", _format, TimeFormat.AUTO),
        )

    def _origin(self, f: Fields) -> tuple[Path, ...]:
        for key in ("path", "sum"):
            found = f.get(key)
            if found is not None and isinstance(found.plain(), list):
                return self._paths(found)
        for key in ("path", "count", "sum"):
            found = f.get(key)
            if found is not None:
                path = self.path(found)
                return () if path is None else (path,)
        return ()

    def _paths(self, reader: Reader) -> tuple[Path, ...]:
        items = list(reader.items())
        if not 1 <= len(items) <= _MOST_PATHS:
            reader.problem("value/range", f"{len(items)} paths; 1 to {_MOST_PATHS} are allowed")
        return tuple(path for item in items if (path := self.path(item)) is not None)


def _is_path(written: Any) -> bool:
    return isinstance(written, str) and written.startswith(("$", "@"))


def _scalar(reader: Reader, *, number: bool) -> Scalar | None:
    if number:
        return reader.number()
    value = reader.plain()
    if isinstance(value, str | int | float):
        return value
    reader.problem("value/type", "expected text, a number, or `true` or `false`")
    return None


def _words(reader: Reader, scalar: Callable[[Reader], Scalar | None]) -> dict[str, Scalar]:
    read = {key: scalar(value) for key, value in reader.entries()}
    return {key: value for key, value in read.items() if value is not None}


def _texts(reader: Reader) -> list[str]:
    return [item.text_of_scalar() for item in reader.items()]


def _unit(reader: Reader) -> tuple[float, float]:
    try:
        return conversion(reader.string())
    except UnitError as error:
        reader.problem("mapping/unit", str(error), fix=suggestion(error.unit, UNITS))
        return (1.0, 1.0)


def _limit(reader: Reader) -> int:
    return reader.integer(DEFAULT_LIMIT, minimum=1, maximum=_MOST_LIMIT)


def _format(reader: Reader) -> TimeFormat:
    return TimeFormat(reader.choice([word.value for word in TimeFormat], TimeFormat.AUTO))
