"""A recorded NDJSON file: checked as a whole before any of it is sent, then handed out in time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from rollbackd.cli.failures import FailureError
from rollbackd.events.timestamps import event_time
from rollbackd.model.events import Rejected

#: Lines longer than this are not events.
_MAX_LINE: Final = 1 << 20
#: Any time is allowed in a recording; what counts is the distance between two.
_END_OF_TIME: Final = 1 << 50


class _Stamped(msgspec.Struct):
    """The part of an event that replay reads."""

    event: str
    ts: datetime | float


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One line: how long after the first one it happened, and the event itself."""

    offset_ms: int
    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recording:
    """A checked file."""

    path: Path
    count: int
    first_ms: int
    length_ms: int

    def events(self) -> Iterator[RecordedEvent]:
        """The events in the order of the file; a time that goes back counts as the one before."""
        latest = 0
        for number, line in _lines(self.path):
            time_ms = _time_of(self.path, number, line)
            latest = max(latest, time_ms - self.first_ms)
            yield RecordedEvent(latest, msgspec.json.decode(line))


def open_recording(path: Path) -> Recording:
    """Read the file once and check every line. Raises FailureError with the first bad line."""
    times = [_time_of(path, number, line) for number, line in _lines(path)]
    if not times:
        raise FailureError(f"{path}: there is no event in this file")
    return Recording(path, len(times), times[0], max(times) - times[0])


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


def _time_of(path: Path, number: int, line: bytes) -> int:
    try:
        stamped = msgspec.json.decode(line, type=_Stamped)
        return event_time(stamped.ts, now_ms=_END_OF_TIME)
    except (msgspec.DecodeError, Rejected, UnicodeDecodeError, RecursionError) as error:
        message = str(error) or type(error).__name__
        raise FailureError(
            f"{path}:{number}: {message}", fix="one JSON event a line, see docs/cli.md"
        ) from None
