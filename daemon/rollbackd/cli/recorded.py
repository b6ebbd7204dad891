"""A recorded NDJSON file: checked as a whole before any of it is sent, then handed out in time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import msgspec
import orjson

from rollbackd.cli.failures import FailureError
from rollbackd.events.mapping.field_mapping import FieldMapping, decoded
from rollbackd.events.mapping.moving import immovable, move
from rollbackd.events.timestamps import event_time
from rollbackd.model.events import Rejected

#: Lines longer than this are not events.
_MAX_LINE: Final = 1 << 20
#: Any time is allowed in a recording; what counts is the distance between two.
_END_OF_TIME: Final = 1 << 50
_UNREADABLE: Final = (msgspec.DecodeError, Rejected, UnicodeDecodeError, RecursionError)


class EventTimes(Protocol):
    """Where the events of a recording say when they were."""

    #: What a line has to be, for whoever has one that is not.
    wanted: str

    def of(self, line: bytes) -> int | None:
        """In milliseconds; None for an event that says nothing. Raises Rejected, DecodeError."""
        ...

    def moved(self, line: bytes, to: Callable[[int], float]) -> bytes:
        """The event at other times, where `of` gave one."""
        ...


class _Stamped(msgspec.Struct):
    """The part of a native event that replay reads."""

    event: str
    ts: datetime | float


class NativeTimes:
    """Implements EventTimes: `ts`."""

    wanted = "one native event a line, or name the --mapping of your own; see docs/cli.md"

    def of(self, line: bytes) -> int | None:
        """See EventTimes."""
        stamped = msgspec.json.decode(line, type=_Stamped)
        return event_time(stamped.ts, now_ms=_END_OF_TIME)

    def moved(self, line: bytes, to: Callable[[int], float]) -> bytes:
        """See EventTimes."""
        at_ms = to(self.of(line) or 0)
        return orjson.dumps({**msgspec.json.decode(line), "ts": round(at_ms) / 1_000})


class MappedTimes:
    """Implements EventTimes: where a mapping finds them."""

    wanted = "one JSON event a line, see docs/mapping.md"

    def __init__(self, mapping: FieldMapping) -> None:
        """Raises FailureError for a mapping that does not say where times are."""
        self._mapping = mapping
        if why := immovable(mapping.file.entries):
            raise FailureError(f"these events cannot be replayed: {why}")

    def of(self, line: bytes) -> int | None:
        """See EventTimes."""
        event = decoded(line)
        if not isinstance(event, dict):
            raise Rejected("an event is a JSON object")
        times = self._mapping.times_of(event, now_ms=_END_OF_TIME)
        if _END_OF_TIME in times:
            places = {entry.time.shown for entry in self._mapping.file.entries if entry.time}
            raise Rejected(f"`time` is missing: there is no {' or '.join(sorted(places))}")
        return max(times, default=None)

    def moved(self, line: bytes, to: Callable[[int], float]) -> bytes:
        """See EventTimes."""
        event = orjson.loads(line)
        entries = self._mapping.entries_of(event, now_ms=_END_OF_TIME)
        move(event, entries, self._mapping.file.absent, lambda time_ms: round(to(time_ms)))
        return orjson.dumps(event)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One line: how long after the first one it happened, when that was, and the event itself."""

    offset_ms: int
    time_ms: int
    line: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """A checked file."""

    path: Path
    times: EventTimes
    count: int
    #: Events that say nothing; they are passed over.
    ignored: int
    first_ms: int
    length_ms: int

    def events(self) -> Iterator[RecordedEvent]:
        """The events in the order of the file; a time that goes back counts as the one before."""
        latest = 0
        for number, line in _lines(self.path):
            time_ms = _time_of(self.path, number, line, self.times)
            if time_ms is not None:
                latest = max(latest, time_ms - self.first_ms)
                yield RecordedEvent(latest, time_ms, line)


def open_recording(path: Path, times: EventTimes) -> Recording:
    """Read the file once and check every line. Raises FailureError with the first bad line."""
    lines = [_time_of(path, number, line, times) for number, line in _lines(path)]
    found = [time_ms for time_ms in lines if time_ms is not None]
    ignored = len(lines) - len(found)
    if not found:
        among = f" that the mapping takes anything from, among {ignored}" if ignored else ""
        raise FailureError(f"{path}: there is no event in this file{among}")
    return Recording(path, times, len(found), ignored, found[0], max(found) - found[0])


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE + 1), b""), 1):
                if len(line) > _MAX_LINE:
                    raise FailureError(f"{path}:{number}: the line is over {_MAX_LINE} bytes")
                if not line.isspace():
                    yield number, line
    except OSError as error:
        raise FailureError(f"cannot read `{path}`: {error.strerror}") from None


def _time_of(path: Path, number: int, line: bytes, times: EventTimes) -> int | None:
    try:
        return times.of(line)
    except _UNREADABLE as error:
        message = str(error) or type(error).__name__
        raise FailureError(f"{path}:{number}: {message}", fix=times.wanted) from None
