"""Recorded incidents: what a version of the program stored, and every event that led to it."""

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from rollbackd.incidents import messages as m
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.stores.records import decode, encode

#: A folder for each version; what is in it is never changed.
JOURNALS: Final = Path(__file__).parent / "journals"

_EVENTS: Final = {kind.__name__: kind for kind in typing.get_args(m.Event)}


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """One event with its time, as `step` was given it."""

    kind: str
    now_ms: int
    event: dict[str, Any]

    @classmethod
    def of(cls, event: m.Event, now_ms: int) -> "Happened":
        """Write an event down."""
        plain: dict[str, Any] = msgspec.json.decode(encode(event))
        return cls(kind=type(event).__name__, now_ms=now_ms, event=plain)

    def again(self) -> m.Event:
        """The event as this version reads it."""
        event: m.Event = decode(encode(self.event), _EVENTS[self.kind])
        return event


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One incident from its opening to where it was left.

    `stored` is the incident as the store had it whenever it entered a state: the first is the
    opening, the last what it came to.
    """

    about: str
    stored: list[dict[str, Any]]
    happened: list[Happened]
    journal: list[dict[str, Any]]

    def incidents(self) -> list[Incident]:
        """What was stored, as this version reads it."""
        return [decode(encode(each), Incident) for each in self.stored]

    def records(self) -> list[JournalRecord]:
        """The journal, as this version reads it."""
        return [decode(encode(each), JournalRecord) for each in self.journal]


def recordings() -> Iterator[tuple[str, Recording]]:
    """Every recording of every version, by its path."""
    for path in sorted(JOURNALS.glob("*/*.json")):
        recording = msgspec.json.decode(path.read_bytes(), type=Recording)
        yield f"{path.parent.name}/{path.stem}", recording
