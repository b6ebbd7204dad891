"""The hot path of native events: what says the same as before is not read again.

Events of one sender differ in their time and values only. With these cut out, the rest of the text
is looked up: what it once meant is in memory, and neither labels nor pins are decoded or checked.
What is new is read in full and remembered; once there are many, only when its text comes a second
time: events that carry an id are never alike, and nobody asks for them again. What is odd or bad is
left to the caller.

Why the rest of the text is enough: what was cut out is decoded by itself, a time and an object of
numbers, so that what surrounds them means what it meant when it was read in full. That the two
places are those of `ts` and `values`, and not of something in a label, is tried out when a text is
learned. Single facts stand in the rest of the text: one with a fact is never learned. The exception
is the `user` of an answer: as a plain string it is cut out too, and tried out in the same way.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from rollbackd.events.collecting import Collector, Sighting
from rollbackd.events.envelope import NO_ALERTS, PINNED, Envelope, EventReader
from rollbackd.events.facts import ANSWERED, KEYS_OF
from rollbackd.events.generations import Generations
from rollbackd.events.series import MAX_VALUE_LENGTH
from rollbackd.events.timestamps import MAX_FUTURE_MS, event_time
from rollbackd.model.events import Rejected, Schema
from rollbackd.model.facts import AnswerServed

#: Distinct texts that are remembered, twice at most, and the longest of them.
_REMEMBERED: Final = 20_000
_LONGEST: Final = 4_096
#: Who is so near to the limit is judged by `event_time`.
_MARGIN_MS: Final = 1_000
#: What no time at all means.
_NO_TIME: Final = b"null"

_TS: Final = b'"ts":'
_VALUES: Final = b'"values":'
_USER: Final = b'"user":'
_NO_VALUES: Final[dict[str, float]] = {}
#: What is put in their place when a text is tried out.
_TRIAL: Final = {"tried": 1.0}
_TRIALS: Final = {_TS: b'"ts":1.0', _VALUES: b'"values":{"tried":1.0}'}
_CUT: Final = True
_TRIED_USER: Final = b'"user":"tried"'


class _Measured(msgspec.Struct, gc=False):
    """What differs between the events of one sender."""

    ts: datetime | float | None = None
    values: dict[str, float] | None = None


_TIME: Final = msgspec.json.Decoder(datetime | float | None)
_NUMBERS: Final = msgspec.json.Decoder(dict[str, float])
_TEXT: Final = msgspec.json.Decoder(str)
_MEASURED: Final = msgspec.json.Decoder(_Measured)
_FULL: Final = msgspec.json.Decoder(Envelope)
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

#: What a text means: the series, whether one more counts the event by its code, the pins, and the
#: answer to whichever user was cut out.
_Meaning = tuple[Schema | None, bool, Sighting | None, AnswerServed | None]


class Recognizer:
    """Reads events that say what others have said before; the reader's memory stands behind it."""

    def __init__(self, reader: EventReader, *, size: int = _REMEMBERED) -> None:
        self._reader = reader
        self._size = size
        self._known = Generations[tuple[object, ...], _Meaning](size)
        #: Hashes of texts that were read in full once.
        self._met: set[int] = set()

    def read(  # noqa: PLR0912, PLR0915  # a call for each event would cost more than it tidies
        self,
        bodies: Sequence[bytes],
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
        read_time, read_numbers, answered = _TIME.decode, _NUMBERS.decode, into.facts.append
        # Where nobody names a user, nobody looks for one.
        cuts, user, name = bool(bodies) and _USER in bodies[0], b"", ""
        # Neighbours often have the same time.
        before, time_ms = _NO_TIME, now_ms
        for position, body in enumerate(bodies):
            text = body
            if cuts:
                text, user = _without_user(body)
            head, timed, rest = text.partition(_TS)
            if timed:
                written, _, rest = rest.partition(b",")
            else:
                head, written, rest = b"", _NO_TIME, text
            middle, _, rest = rest.partition(_VALUES)
            inside, whole, tail = rest.partition(b"}")
            try:
                values = read_numbers(inside + whole) if whole else _NO_VALUES
                if user:
                    name = _TEXT.decode(user)
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
            # No text as it is written is that of an event without its user.
            key = (_CUT, head, middle, tail, *values) if user else (head, middle, tail, *values)
            known = find(key)
            if known is None:
                known = self._known.get(key)
                if known is None:
                    comma = b"," if timed else b""
                    parts = head, timed, comma + middle, _VALUES, tail
                    if not self._read_in_full(key, body, parts, into, now_ms, cut=bool(user)):
                        otherwise(position)
                    cuts = cuts or _USER in body
                find = self._known.find
                if known is None:
                    continue
            schema, counted, sighting, answer = known
            if answer is not None:
                answered(_to(name, answer, time_ms))
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
        key = (parts, *values)
        known = self._known.get(key)
        if known is None:
            return self._read_in_full(key, body, parts, into, now_ms)
        schema, counted, sighting, _ = known
        if schema is not None:
            found = values.values()
            into.samples.rows.append((schema, time_ms, (*found, *((1.0,) if counted else ()))))
        if sighting is not None:
            into.saw_pins(sighting, time_ms)
        return True

    def _read_in_full(
        self,
        key: tuple[object, ...],
        body: bytes,
        parts: tuple[bytes, ...],
        into: Collector,
        now_ms: int,
        *,
        cut: bool = False,
    ) -> bool:
        """Add what a new text says; False when that is not for here."""
        try:
            event = _FULL.decode(body)
            if not _is_plain(event):
                return False
            learnable = self._reader.read(event, body, into, now_ms=now_ms)
        except (*_UNREADABLE, Rejected):
            return False
        learnable = (learnable or (cut and event.event == ANSWERED)) and not event.has_texts
        if learnable and len(body) <= _LONGEST and self._is_worth_it(key):
            self._learn(key, body, event, parts, cut=cut)
        return True

    def _is_worth_it(self, key: tuple[object, ...]) -> bool:
        """Whether a text is likely to come again."""
        if len(self._known) < self._size:
            return True
        told = hash(key)
        if told in self._met:
            return True
        if len(self._met) >= self._size:
            self._met.clear()
        self._met.add(told)
        return False

    def _learn(
        self,
        key: tuple[object, ...],
        body: bytes,
        event: Envelope,
        parts: tuple[bytes, ...],
        *,
        cut: bool,
    ) -> None:
        """Remember what a text says."""
        trial = b"".join([_TRIALS.get(part, part) for part in parts])
        if cut:
            trial = trial.replace(_USER, _TRIED_USER, 1)
        answer = None
        try:
            if not _differs_as_meant(event, parts, trial):
                return
            if cut and (keys_of := KEYS_OF.get(event.event)) is not None:
                said, tried = keys_of(body), keys_of(trial)
                if said is not None:
                    if tried != msgspec.structs.replace(said, user="tried"):  # type: ignore[type-var]
                        return
                    answer = self._reader.answer(event, said)
        except (*_UNREADABLE, Rejected):
            return
        schema, sighting = self._reader.outline(event, has_fact=answer is not None)
        self._known.put(key, (schema, event.code is not None, sighting, answer))


def _to(user: str, alike: AnswerServed, time_ms: int) -> AnswerServed:
    return AnswerServed(
        scope=alike.scope,
        time_ms=time_ms,
        arm=alike.arm,
        pins=alike.pins,
        user=user,
        claimed_arm=alike.claimed_arm,
    )


def _without_user(body: bytes) -> tuple[bytes, bytes]:
    """The text without the value of `user`, and the value; no value where it is not a plain one."""
    head, name, rest = body.partition(_USER)
    begin = rest.find(b'"')
    end = rest.find(b'"', begin + 1)
    value = rest[begin : end + 1]
    if rest[:begin] not in {b"", b" "} or not 2 <= len(value) <= MAX_VALUE_LENGTH or b"\\" in value:
        return body, b""
    return head + name + rest[end + 1 :], value


def _is_plain(event: Envelope) -> bool:
    """Whether it says nothing but measurements and pins."""
    odd = event.controls or event.baseline or event.alerts is not NO_ALERTS
    return bool(event.event) and event.event != PINNED and not odd


def _differs_as_meant(event: Envelope, parts: tuple[bytes, ...], trial: bytes) -> bool:
    """Whether other text in the two places is another time and other values, and nothing else."""
    ts = 1.0 if _TS in parts else None
    values = _TRIAL if _VALUES in parts else None
    return _FULL.decode(trial) == msgspec.structs.replace(event, ts=ts, values=values)


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
