"""The hot path of native events: what says the same as before is not read again.

Events of one sender differ in their time and values only. With these cut out, the rest of the text
is looked up: what it once meant is in memory, and neither labels nor pins are decoded or checked.
What is new, odd or bad is read in full by the caller.

Why the rest of the text is enough: what was cut out is decoded by itself, a time and an object of
numbers, so that what surrounds them means what it meant when it was read in full. That the two
places are those of `ts` and `values`, and not of something in a label, is tried out when a text is
learned.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

import msgspec

from rollbackd.events.collecting import Collector, Sighting
from rollbackd.events.envelope import NO_ALERTS, PINNED, Envelope, EventReader
from rollbackd.events.generations import Generations
from rollbackd.events.timestamps import MAX_FUTURE_MS, event_time
from rollbackd.model.events import Rejected, Schema

#: Distinct texts that are remembered, twice at most, and the longest of them.
_REMEMBERED: Final = 20_000
_LONGEST: Final = 4_096
#: Who is so near to the limit is judged by `event_time`.
_MARGIN_MS: Final = 1_000
#: What no time at all means.
_NO_TIME: Final = b"null"

_TS: Final = b'"ts":'
_VALUES: Final = b'"values":'
_NO_VALUES: Final[dict[str, float]] = {}
#: What is put in their place when a text is tried out.
_TRIAL: Final = {"tried": 1.0}
_TRIALS: Final = {_TS: b'"ts":1.0', _VALUES: b'"values":{"tried":1.0}'}


class _Measured(msgspec.Struct, gc=False):
    """What differs between the events of one sender."""

    ts: datetime | float | None = None
    values: dict[str, float] | None = None


_TIME: Final = msgspec.json.Decoder(datetime | float | None)
_NUMBERS: Final = msgspec.json.Decoder(dict[str, float])
_MEASURED: Final = msgspec.json.Decoder(_Measured)
_FULL: Final = msgspec.json.Decoder(Envelope)
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

#: What a text means: the series, whether one more counts the event by its code, and the pins.
_Meaning = tuple[Schema | None, bool, Sighting | None]


class Recognizer:
    """Reads events that say what others have said before; the reader's memory stands behind it."""

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader
        self._known = Generations[tuple[object, ...], _Meaning](_REMEMBERED)

    def read(  # noqa: PLR0912  # a call for each event would cost more than it tidies
        self,
        bodies: Iterable[bytes],
        into: Collector,
        *,
        now_ms: int,
        otherwise: Callable[[int], None],
    ) -> None:
        """Add what single events say; `otherwise` is called with the position of what is not one.

        In order: what `otherwise` adds stands between its neighbours. What it raises goes through.
        """
        latest = (now_ms + MAX_FUTURE_MS - _MARGIN_MS) / 1_000
        find, add, sightings = self._known.find, into.samples.rows.append, into.sightings
        read_time, read_numbers = _TIME.decode, _NUMBERS.decode
        # Neighbours often have the same time.
        before, time_ms = _NO_TIME, now_ms
        for position, body in enumerate(bodies):
            head, timed, rest = body.partition(_TS)
            if timed:
                written, _, rest = rest.partition(b",")
            else:
                head, written, rest = b"", _NO_TIME, body
            middle, _, rest = rest.partition(_VALUES)
            inside, whole, tail = rest.partition(b"}")
            try:
                values = read_numbers(inside + whole) if whole else _NO_VALUES
                if written != before:
                    ts = read_time(written)
                    if ts.__class__ is float and 0.0 <= ts <= latest:
                        time_ms = round(ts * 1_000)
                    else:
                        time_ms = _time(ts, now_ms)
                    before = written
            except (*_UNREADABLE, Rejected):
                whole = b""
            if not whole:
                if not self._read_elsewhere(body, into, now_ms):
                    otherwise(position)
                find = self._known.find
                continue
            key = (head, middle, tail, *values)
            known = find(key)
            if known is None:
                comma = b"," if timed else b""
                known = self._learn(key, body, (head, timed, comma + middle, _VALUES, tail))
                find = self._known.find
                if known is None:
                    otherwise(position)
                    continue
            schema, counted, sighting = known
            if schema is not None:
                found = values.values()
                add((schema, time_ms, (*found, 1.0) if counted else tuple(found)))
            if sighting is not None:
                seen_ms = sightings.get(sighting)
                if seen_ms is None or seen_ms < time_ms:
                    sightings[sighting] = time_ms

    def _read_elsewhere(self, body: bytes, into: Collector, now_ms: int) -> bool:
        """Add what an event says whose time or values stand elsewhere or are missing."""
        try:
            event = _MEASURED.decode(body)
            time_ms = _time(event.ts, now_ms)
        except (*_UNREADABLE, Rejected):
            return False
        values = event.values or _NO_VALUES
        parts = _cut(body)
        known = self._learn((parts, *values), body, parts)
        if known is None:
            return False
        schema, counted, sighting = known
        if schema is not None:
            found = values.values()
            into.samples.rows.append((schema, time_ms, (*found, *((1.0,) if counted else ()))))
        if sighting is not None:
            into.saw_pins(sighting, time_ms)
        return True

    def _learn(
        self, key: tuple[object, ...], body: bytes, parts: tuple[bytes, ...]
    ) -> _Meaning | None:
        """Read an event in full and remember what it says; None when that is not for here."""
        known = self._known.get(key)
        if known is not None:
            return known
        try:
            event = _FULL.decode(body)
            if not _is_plain(event) or not _differs_as_meant(event, parts):
                return None
            schema, sighting = self._reader.outline(event)
        except (*_UNREADABLE, Rejected):
            return None
        known = schema, event.code is not None, sighting
        if len(body) <= _LONGEST:
            self._known.put(key, known)
        return known


def _is_plain(event: Envelope) -> bool:
    """Whether it says nothing but measurements and pins."""
    odd = event.controls or event.baseline or event.alerts is not NO_ALERTS
    return bool(event.event) and event.event != PINNED and not odd


def _differs_as_meant(event: Envelope, parts: tuple[bytes, ...]) -> bool:
    """Whether other text in the two places is another time and other values, and nothing else."""
    trial = _FULL.decode(b"".join([_TRIALS.get(part, part) for part in parts]))
    ts = 1.0 if _TS in parts else None
    values = _TRIAL if _VALUES in parts else None
    return trial == msgspec.structs.replace(event, ts=ts, values=values)


def _cut(body: bytes) -> tuple[bytes, ...]:
    """The text before, between and after time and values, with their names; one part for each.

    For events without one of the two, with the values first, or with the time last.
    """
    head, ts, rest = body.partition(_TS)
    if _VALUES in head:
        head, _, middle = head.partition(_VALUES)
        _, _, middle = middle.partition(b"}")
        return head, _VALUES, middle, ts, _after_time(rest)
    middle, values, tail = (_after_time(rest) if ts else head).partition(_VALUES)
    _, _, tail = tail.partition(b"}")
    return (head, ts, middle, values, tail) if ts else (middle, values, tail)


def _after_time(rest: bytes) -> bytes:
    end = rest.find(b",")
    return rest[end if end >= 0 else rest.find(b"}") :]


def _time(ts: datetime | float | None, now_ms: int) -> int:
    return now_ms if ts is None else event_time(ts, now_ms=now_ms)
