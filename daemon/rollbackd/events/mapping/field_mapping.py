"""A compiled mapping file: bodies and records in, samples, pins, facts and changes out.

An event is taken whole or not at all. One that no entry takes, or that says nothing, is ignored
and counted: other events on a shared topic are no mistake, and silence would hide a wrong path.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import orjson

from rollbackd.events.collecting import Collector
from rollbackd.events.envelope import EventReader
from rollbackd.events.mapping.description import Description
from rollbackd.events.mapping.entries import Entry, Outcome
from rollbackd.events.mapping.reading import MappingFile, read_mapping
from rollbackd.model.events import Rejected

#: Events in one body.
MAX_EVENTS: Final = 50_000
_SHOWN: Final = 120
_ITEMS: Final[msgspec.json.Decoder[list[msgspec.Raw]]] = msgspec.json.Decoder(list[msgspec.Raw])
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class FieldMapping:
    """Reads events that are not ours."""

    def __init__(self, file: MappingFile) -> None:
        reader = EventReader()
        self.file = file
        self._entries = [Entry(said, file.absent, reader) for said in file.entries]
        #: How many events it took nothing from.
        self.ignored = 0

    @classmethod
    def read(cls, text: str, *, file: str) -> "FieldMapping":
        """Read and compile a mapping file. Raises DocumentError."""
        return cls(read_mapping(text, file=file))

    @property
    def over(self) -> Counter[str]:
        """How many values of a label were put under `other`, by label."""
        return sum((entry.over for entry in self._entries), Counter())

    def entries_of(self, event: dict[str, Any], *, now_ms: int) -> list[Description]:
        """The entries that say something of an event. Raises Rejected."""
        return [entry.said for entry in self._entries if list(entry.read(event, now_ms))]

    def times_of(self, event: dict[str, Any], *, now_ms: int) -> list[int]:
        """When what is taken of an event was; `now_ms` where it does not say. Raises Rejected."""
        return [found.time_ms for found in self._outcomes_of_one(event, now_ms)]

    def take_records(
        self, values: Sequence[bytes], into: Collector, *, now_ms: int
    ) -> list[tuple[int, Rejected]]:
        """Add records in their order; returns those that cannot be used, by position.

        A record is one event, a list of them or one a line; it is taken as a whole.
        """
        rejected: list[tuple[int, Rejected]] = []
        for position, value in enumerate(values):
            try:
                found = self._outcomes_of(value, now_ms)
            except Rejected as error:
                rejected.append((position, error))
            else:
                _add(found, into)
        return rejected

    def take_each(self, body: bytes, into: Collector, *, now_ms: int) -> Iterator[Rejected | None]:
        """Add the events of a body one by one: a verdict each, None for one that was taken."""
        try:
            items = split(body)
        except Rejected as rejected:
            yield rejected
            return
        for position, item in enumerate(items):
            try:
                found = self._outcomes_of_one(decoded(item), now_ms)
            except Rejected as rejected:
                yield Rejected(f"event {position}: {rejected}", position=position)
            else:
                _add(found, into)
                yield None

    def _outcomes_of(self, value: bytes, now_ms: int) -> list[Outcome]:
        try:
            event = orjson.loads(value)
        except (orjson.JSONDecodeError, RecursionError):
            events = [decoded(item) for item in split(value)]
        else:
            if event.__class__ is dict:
                return self._outcomes_of_one(event, now_ms)
            events = event if event.__class__ is list else [event]
        if len(events) > MAX_EVENTS:
            raise Rejected(f"{len(events)} events; at most {MAX_EVENTS} are allowed")
        return [o for event in events for o in self._outcomes_of_one(event, now_ms)]

    def _outcomes_of_one(self, event: Any, now_ms: int) -> list[Outcome]:
        if event.__class__ is not dict:
            raise Rejected(f"an event is a JSON object; it begins `{_begin(event)}`")
        found = [o for entry in self._entries for o in entry.read(event, now_ms)]
        if not found:
            self.ignored += 1
        return found


def split(body: bytes) -> list[bytes]:
    """The events of a body: one object, a list of them, or one a line. Raises Rejected."""
    text = body.strip()
    if not text:
        raise Rejected("the body is empty")
    if text.startswith(b"["):
        try:
            items = [bytes(item) for item in _ITEMS.decode(text)]
        except _UNREADABLE as error:
            raise Rejected(f"not JSON: {error}; it begins `{_begin(body)}`") from None
    elif b"\n" in text and text.partition(b"\n")[0].rstrip().endswith(b"}"):
        items = [line for line in text.splitlines() if line.strip()]
    else:
        items = [text]
    if len(items) > MAX_EVENTS:
        raise Rejected(
            f"{len(items)} events; at most {MAX_EVENTS} are allowed, send them in several bodies"
        )
    return items


def decoded(item: bytes) -> object:
    """One JSON value. Raises Rejected."""
    try:
        return orjson.loads(item)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise Rejected(f"not JSON: {error}; it begins `{_begin(item)}`") from None


def _add(found: Sequence[Outcome], into: Collector) -> None:
    for time_ms, schema, measured, sighting, fact in found:
        if fact is not None:
            into.took(fact)
        if schema is not None:
            into.samples.rows.append((schema, time_ms, measured))
        if sighting is not None:
            into.saw_pins(sighting, time_ms)


def _begin(value: object) -> str:
    text = value if isinstance(value, bytes) else orjson.dumps(value)
    return text[:_SHOWN].decode("utf-8", "replace")
