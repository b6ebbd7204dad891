"""Listings as JSON, NDJSON and CSV -> effects, with the place of what cannot be read.

An item has `key` and `effect_id`, perhaps `time` (RFC 3339 or Unix seconds), and perhaps `scope`
(`service/region`): one of another scope than the one asked about is passed over.
"""

import csv
import io
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from rollbackd.errors import PermanentError
from rollbackd.events.timestamps import milliseconds
from rollbackd.model.events import Rejected
from rollbackd.model.facts import EffectStatus
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import DownstreamEffect, LedgerEntry

#: Longer texts are no keys and no ids.
_MOST_CHARACTERS: Final = 1_024
#: Of a ledger in a file that names no scope.
_ANY: Final = Scope("any")
#: The end of the year 9999.
_LATEST_SECONDS: Final = 253_402_300_799
_NEEDED: Final = ("key", "effect_id")


class ListingError(PermanentError):
    """A listing says something that cannot be read."""


class Items(msgspec.Struct, frozen=True):
    """What a text holds, each with its place, and what `next` says."""

    placed: list[tuple[str, Mapping[str, Any]]]
    following: str = ""

    def of(self, scope: Scope | None) -> list[tuple[str, Mapping[str, Any]]]:
        """Those of a scope, and those that say nothing about it; of any scope with None."""
        if scope is None:
            return self.placed
        name = str(scope)
        return [(at, item) for at, item in self.placed if (item.get("scope") or name) == name]


def read_json(body: bytes, *, where: str) -> Items:
    """A list, or `{"effects": [...], "next": "..."}`. Raises ListingError."""
    data = _loaded(body, where)
    following = ""
    if isinstance(data, dict):
        following = _next(data, where)
        data = data.get("effects")
    if not isinstance(data, list):
        raise ListingError(f"{where}: expected a list, or an object with a list `effects`")
    return Items([_object(f"{where}, item {n}", i) for n, i in enumerate(data, 1)], following)


def read_lines(body: bytes, *, where: str) -> Items:
    """NDJSON: one object a line; empty lines are passed over, `{"next": "..."}` is the last."""
    following = ""
    placed: list[tuple[str, Mapping[str, Any]]] = []
    for n, line in enumerate(body.splitlines(), start=1):
        at = f"{where}, line {n}"
        if not line.strip():
            continue
        if following:
            raise ListingError(f"{at}: something follows `next`, which is the last line")
        _, item = _object(at, _loaded(line, at))
        if "next" in item:
            following = _next(item, at)
        else:
            placed.append((at, item))
    return Items(placed, following)


def read_csv(body: bytes, *, where: str) -> Items:
    """CSV (RFC 4180) with a header that names `key`, `effect_id`, perhaps `time` and `scope`."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ListingError(f"{where}: byte {error.start} is not UTF-8") from None
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        missing = [name for name in _NEEDED if name not in (rows.fieldnames or ())]
        if missing:
            raise ListingError(f"{where}, line 1: the header has no column `{missing[0]}`")
        return Items([(f"{where}, line {rows.line_num}", _numbered(row)) for row in rows])
    except csv.Error as error:
        raise ListingError(f"{where}, after line {rows.line_num}: {error}") from None


def read_file(body: bytes, path: Path) -> Items:
    """What a file holds, by the ending of its name. Raises ListingError."""
    readers = {".json": read_json, ".ndjson": read_lines, ".jsonl": read_lines, ".csv": read_csv}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise ListingError(
            f"{path}: the name ends in none of {', '.join(readers)}, which say how to read it"
        )
    items = read(body, where=str(path))
    if items.following:
        raise ListingError(f"{path}: `next` leads nowhere from a file")
    return items


def effects_of(items: Items, scope: Scope | None) -> list[DownstreamEffect]:
    """The effects of a listing. Raises ListingError."""
    return [effect_of(item, where=where) for where, item in items.of(scope)]


def effect_of(item: Mapping[str, Any], *, where: str) -> DownstreamEffect:
    """One effect. Raises ListingError."""
    return DownstreamEffect(
        key=_key(item, "key", where),
        effect_id=_text(item, "effect_id", where),
        time_ms=time_of(item, "time", where),
    )


def entries_of(items: Items, scope: Scope | None) -> list[LedgerEntry]:
    """The receipts of a ledger: as events, or as a guard writes them. Raises ListingError.

    Beside `key` and `effect_id` an item may have `status` (`sealed` where it says nothing).
    """
    return [_entry(item, where, scope or _ANY) for where, item in items.of(scope)]


def time_of(item: Mapping[str, Any], name: str, where: str) -> int | None:
    """A time in milliseconds, or None. Raises ListingError."""
    value = item.get(name)
    if value is None or value == "":
        return None
    wanted = f"{where}: `{name}` must be RFC 3339 or Unix seconds"
    try:
        if isinstance(value, str):
            return milliseconds(msgspec.convert(value, datetime), field=name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ListingError(wanted)
        if not 0 <= value <= _LATEST_SECONDS:
            raise ListingError(f"{wanted}; `{value:g}` is out of range: milliseconds?")
        return round(value * 1_000)
    except (ValueError, OverflowError, msgspec.ValidationError, Rejected):
        raise ListingError(wanted) from None


def _entry(item: Mapping[str, Any], where: str, scope: Scope) -> LedgerEntry:
    named = "idempotency_key" if "idempotency_key" in item else "key"
    effect_id = _text(item, "effect_id", where) if item.get("effect_id") else ""
    try:
        status = EffectStatus(item.get("status") or EffectStatus.SEALED)
    except ValueError:
        words = ", ".join(EffectStatus)
        raise ListingError(f"{where}: `status` must be one of {words}") from None
    heard = [time_of(item, name, where) for name in ("time", "ts")]
    heard += [int(item.get(name) or 0) or None for name in ("started_at_ms", "sealed_at_ms")]
    times = [each for each in heard if each is not None]
    return LedgerEntry(
        scope=scope,
        key=_key(item, named, where),
        effect_id=effect_id,
        status=status,
        first_ms=min(times, default=0),
        last_ms=max(times, default=0),
    )


def _object(where: str, item: object) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(item, Mapping):
        raise ListingError(f"{where}: expected an object with `key` and `effect_id`")
    return where, item


def _loaded(body: bytes, where: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ListingError(f"{where}: not JSON: {error.msg} at column {error.colno}") from None


def _next(data: Mapping[str, Any], where: str) -> str:
    following = data.get("next") or ""
    if not isinstance(following, str) or len(following) > _MOST_CHARACTERS:
        raise ListingError(f"{where}: `next` must be a text of at most {_MOST_CHARACTERS}")
    return following


def _key(item: Mapping[str, Any], name: str, where: str) -> str:
    key = _text(item, name, where)
    if not key:
        raise ListingError(f"{where}: `{name}` is empty")
    return key


def _text(item: Mapping[str, Any], name: str, where: str) -> str:
    value = item.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ListingError(f"{where}: `{name}` is missing, or no text")
    if len(value) > _MOST_CHARACTERS:
        raise ListingError(f"{where}: `{name}` is longer than {_MOST_CHARACTERS} characters")
    return value


def _numbered(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose time is a number where it is written as one: CSV has only texts."""
    try:
        return {**row, "time": float(row.get("time") or "none")}
    except ValueError:
        return row
