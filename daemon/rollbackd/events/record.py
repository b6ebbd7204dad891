"""The value of one Kafka record."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from rollbackd.events import alertmanager, decoders, native
from rollbackd.events.cloudevents import Headers, events_of, is_cloudevent
from rollbackd.events.collecting import Collector
from rollbackd.events.decoders import Decoders
from rollbackd.events.envelope import NO_ALERTS
from rollbackd.events.foreign import Unused
from rollbackd.model.events import Batch, Rejected
from rollbackd.settings.values import TOPIC_FORMATS

#: What a topic may be declared to hold.
FORMATS: Final = TOPIC_FORMATS
_NOT_AN_EVENT: Final = b""


def decode_record(
    value: bytes,
    *,
    format: str = "auto",  # noqa: A002  # the name of the setting
    headers: Headers = (),
    now_ms: int,
    memory: Decoders | None = None,
) -> Batch:
    """Decode a record as a whole. Raises Rejected."""
    into = Collector()
    decode_record_into(value, into, format=format, headers=headers, now_ms=now_ms, memory=memory)
    return into.batch()


def decode_record_into(
    value: bytes,
    into: Collector,
    *,
    format: str = "auto",  # noqa: A002  # the name of the setting
    headers: Headers = (),
    now_ms: int,
    memory: Decoders | None = None,
) -> str:
    """Add a record to what was collected. Raises Rejected, and then has added nothing.

    Of a format whose records hold many series, what was wrong with those that were left out.
    """
    memory = memory or Decoders()
    if not value:
        raise Rejected("the record is empty")
    if format in decoders.FORMATS:
        return memory.read(format, value, into, now_ms=now_ms)
    if format == "cloudevents" or (headers and is_cloudevent(headers)):
        _read_cloudevents(value, headers, into, memory, now_ms)
    else:
        _read_plain(value, into, format, now_ms)
    return ""


def _read_plain(value: bytes, into: Collector, format: str, now_ms: int) -> None:  # noqa: A002
    if format == "alertmanager":
        _read_notification(value, into)
        return
    event = native.decode_one(value)
    if event is None:
        # A record that holds several events is one unit: all of it, or the dead letters.
        whole = Collector()
        native.decode_into(value, whole, now_ms=now_ms)
        into.add(whole)
    elif format == "auto" and event.alerts is not NO_ALERTS and _is_list(event.alerts):
        _read_notification(value, into)
    else:
        native.READER.read(event, value, into, now_ms=now_ms)


def decode_records(
    values: Sequence[bytes],
    into: Collector,
    *,
    format: str = "auto",  # noqa: A002  # the name of the setting
    headers: Mapping[int, Headers],
    now_ms: int,
    memory: Decoders | None = None,
) -> list[tuple[int, Rejected]]:
    """Add records in their order; returns those that cannot be used, or not whole, by position.

    Each is taken as `decode_record_into` takes it. `headers` are those of records that have any.
    """
    rejected: list[tuple[int, Rejected]] = []
    memory = memory or Decoders()

    def read_in_full(position: int) -> None:
        value, its_headers = values[position], headers.get(position, ())
        try:
            wrong = decode_record_into(
                value, into, format=format, headers=its_headers, now_ms=now_ms, memory=memory
            )
        except Rejected as error:
            rejected.append((position, error))
        else:
            if wrong:
                left_out = f"{wrong}; such series are left out, the rest of the record is taken"
                rejected.append((position, Rejected(left_out)))

    if format not in {"auto", "native"}:
        for position in range(len(values)):
            read_in_full(position)
    else:
        plain = list(values)
        for position, its_headers in headers.items():
            if is_cloudevent(its_headers):
                plain[position] = _NOT_AN_EVENT
        native.RECOGNIZER.read(plain, into, now_ms=now_ms, otherwise=read_in_full)
    return rejected


def _read_cloudevents(
    value: bytes, headers: Headers, into: Collector, memory: Decoders, now_ms: int
) -> None:
    """All events of a record, or none."""
    whole = Collector()
    for position, event in enumerate(events_of(value, headers)):
        key = (event.source, event.id)
        if key in memory.seen or key in whole.ids:
            whole.refused[Unused.DUPLICATE] += 1
            continue
        try:
            _read_plain(event.payload(), whole, "auto", now_ms)
        except Rejected as rejected:
            raise Rejected(f"event {position}: {rejected}", position=position) from None
        whole.ids.append(key)
    memory.seen.add(whole.ids)
    into.add(whole)


def _read_notification(value: bytes, into: Collector) -> None:
    notification = alertmanager.decode_notification(value)
    into.alerts += notification.alerts
    into.truncated += notification.truncated


def _is_list(raw: msgspec.Raw) -> bool:
    return bytes(raw).lstrip().startswith(b"[")
