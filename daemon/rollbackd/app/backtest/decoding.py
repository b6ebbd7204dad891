"""Reads a line or record of a recording as the daemon reads the topic that it was recorded from."""

from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from rollbackd.events.cloudevents import Headers
from rollbackd.events.collecting import Collector
from rollbackd.events.decoders import Decoders
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.events.record import decode_record_into
from rollbackd.model.events import Batch, Rejected, Rows
from rollbackd.settings.formats import FormatSettings

_Timed = TypeVar("_Timed", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordShape:
    """What a recording holds, in the words that the config has for a topic."""

    #: One of `TOPIC_FORMATS`.
    format: str = "auto"
    #: Instead of the format.
    mapping: FieldMapping | None = None
    formats: FormatSettings = field(default_factory=FormatSettings)


class RecordReader:
    """Reads one stream: a file, or a partition. Deltas and ids are remembered along it."""

    def __init__(self, shape: RecordShape) -> None:
        self._shape = shape
        self._memory = Decoders(shape.formats)

    def read(self, value: bytes, *, headers: Headers = (), now_ms: int) -> tuple[Batch, str]:
        """What it says, and what was wrong with the series that were left out. Raises Rejected."""
        into = Collector()
        wrong = ""
        if self._shape.mapping is not None:
            for _, rejected in self._shape.mapping.take_records([value], into, now_ms=now_ms):
                raise rejected
        else:
            wrong = decode_record_into(
                value,
                into,
                format=self._shape.format,
                headers=headers,
                now_ms=now_ms,
                memory=self._memory,
            )
        batch = into.batch()
        if wrong and batch == Batch():
            raise Rejected(wrong)
        return batch, wrong and f"{wrong}; such series are left out, the rest is used"

    @property
    def time_is_missing(self) -> str:
        """What is said of a first event that does not say when it was."""
        where = "`ts`" if self._shape.mapping is None else "the time that the mapping looks for"
        return f"{where} is missing, and no event before this one says when it was"


def dated(batch: Batch, *, unknown_ms: int, known_ms: int) -> Batch:
    """The batch with one time in the place of another: what came without a time gets one.

    To decode once more at another time would add up deltas twice, and know events by their ids.
    """
    rows = Rows()
    if isinstance(batch.samples, Rows):
        rows.rows = [
            (schema, known_ms if time_ms == unknown_ms else time_ms, values)
            for schema, time_ms, values in batch.samples.rows
        ]

    def moved(said: list[_Timed], name: str = "time_ms") -> list[_Timed]:
        return [
            msgspec.structs.replace(each, **{name: known_ms})
            if getattr(each, name) == unknown_ms
            else each
            for each in said
        ]

    return Batch(
        samples=rows,
        alerts=batch.alerts,
        pins=moved(batch.pins),
        known_good=moved(batch.known_good, "recorded_at_ms"),
        facts=moved(batch.facts),
        changes=moved(batch.changes),
    )
