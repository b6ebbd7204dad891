"""The hot path of native events: what says the same as before is not read again.

Events of one sender differ in their time and values only. With these cut out, the rest of the text
is looked up: what it once meant is in memory, and neither labels nor pins are decoded or checked.
What is new, odd or bad is read in full by the caller.

Why the rest of the text is enough: the time is cut out as a number and the values as an object of
numbers, which the decoder has seen to, so that what surrounds them means what it meant when it was
read in full. That the two places are those of `ts` and `values`, and not of something in a label,
is tried out when a text is learned.
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
#: Instead of a time.
_REFUSED: Final = -1

_TS: Final = b'"ts":'
_VALUES: Final = b'"values":'
_NO_VALUES: Final[dict[str, float]] = {}
_TRIAL: Final = {"tried": 1.0}


class _Measured(msgspec.Struct, gc=False):
    """What differs between the events of one sender."""

    ts: datetime | float | None = None
    values: dict[str, float] | None = None


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

    def read(
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
        for position, body in enumerate(bodies):
            try:
                event = _MEASURED.decode(body)
            except _UNREADABLE:
                otherwise(position)
                continue
            ts, values = event.ts, event.values or _NO_VALUES
            head, timed, rest = body.partition(_TS)
            if timed:
                _, _, rest = rest.partition(b",")
            else:
                head, rest = b"", body
            middle, _, rest = rest.partition(_VALUES)
            _, whole, tail = rest.partition(b"}")
            parts = (head, timed, middle, _VALUES, tail) if whole else _cut(body)
            key = (b"".join(parts) if whole else parts, *values)
            known = find(key)
            if known is None:
                known = self._learn(key, body, parts)
                find = self._known.find
            if ts.__class__ is float and 0.0 <= ts <= latest:
                time_ms = round(ts * 1_000)
            else:
                time_ms = _time(ts, now_ms)
            if known is None or time_ms == _REFUSED:
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

    def _learn(
        self, key: tuple[object, ...], body: bytes, parts: tuple[bytes, ...]
    ) -> _Meaning | None:
        """Read an event in full and remember what it says; None when that is not for here."""
        known = self._known.get(key)
        if known is not None:
            return known
        try:
            event = _FULL.decode(body)
            trial = _FULL.decode(_on_trial(parts, with_comma=parts is not key[0]))
            if not _is_plain(event) or not _differs_as_meant(event, trial, parts):
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


def _on_trial(parts: tuple[bytes, ...], *, with_comma: bool) -> bytes:
    """The text with another time and other values; `with_comma` puts the comma between back."""
    other = {_TS: b'"ts":1.0,' if with_comma else b'"ts":1.0', _VALUES: b'"values":{"tried":1.0}'}
    return b"".join([other.get(part, part) for part in parts])


def _differs_as_meant(event: Envelope, trial: Envelope, parts: tuple[bytes, ...]) -> bool:
    """Whether other text in the two places is another time and other values, and nothing else."""
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
    if ts is None:
        return now_ms
    try:
        return event_time(ts, now_ms=now_ms)
    except Rejected:
        return _REFUSED
