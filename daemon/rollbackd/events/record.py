"""The value of one Kafka record."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from rollbackd.events import alertmanager, native
from rollbackd.events.collecting import Collector
from rollbackd.events.envelope import NO_ALERTS
from rollbackd.model.events import Batch, Rejected

#: What a topic may be declared to hold.
FORMATS: Final = ("auto", "native", "alertmanager")
_NOT_AN_EVENT: Final = b""

Headers = Sequence[tuple[str, bytes | None]]


def decode_record(
    value: bytes,
    *,
    format: str = "auto",  # noqa: A002  # the name of the setting
    headers: Headers = (),
    now_ms: int,
) -> Batch:
    """Decode a record as a whole. Raises Rejected."""
    into = Collector()
    decode_record_into(value, into, format=format, headers=headers, now_ms=now_ms)
    return into.batch()


def decode_record_into(
    value: bytes,
    into: Collector,
    *,
    format: str = "auto",  # noqa: A002  # the name of the setting
    headers: Headers = (),
    now_ms: int,
) -> None:
    """Add a record to what was collected. Raises Rejected, and then has added nothing."""
    if headers and (content := _cloudevents_type(headers)) is not None:
        raise Rejected(
            f"header `content-type`: `{content[:80].decode('utf-8', 'replace')}`:"
            " structured CloudEvents are not read; send the data alone"
        )
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
        native.READER.read(event, into, now_ms=now_ms)


def decode_records(
    values: Sequence[bytes],
    into: Collector,
    *,
    format: str = "auto",  # noqa: A002  # the name of the setting
    headers: Mapping[int, Headers],
    now_ms: int,
) -> list[tuple[int, Rejected]]:
    """Add records in their order; returns those that cannot be used, by position.

    Each is taken as `decode_record_into` takes it. `headers` are those of records that have any.
    """
    rejected: list[tuple[int, Rejected]] = []

    def read_in_full(position: int) -> None:
        value, its_headers = values[position], headers.get(position, ())
        try:
            decode_record_into(value, into, format=format, headers=its_headers, now_ms=now_ms)
        except Rejected as error:
            rejected.append((position, error))

    if format == "alertmanager":
        for position in range(len(values)):
            read_in_full(position)
    else:
        plain = list(values)
        for position, its_headers in headers.items():
            if _cloudevents_type(its_headers):
                plain[position] = _NOT_AN_EVENT
        native.RECOGNIZER.read(plain, into, now_ms=now_ms, otherwise=read_in_full)
    return rejected


def _read_notification(value: bytes, into: Collector) -> None:
    notification = alertmanager.decode_notification(value)
    into.alerts += notification.alerts
    into.truncated += notification.truncated


def _is_list(raw: msgspec.Raw) -> bool:
    return bytes(raw).lstrip().startswith(b"[")


def _cloudevents_type(headers: Headers) -> bytes | None:
    """The content type if it says that this is a structured CloudEvent."""
    for name, content in headers:
        if content is None or name.lower() != "content-type":
            continue
        if content.lower().startswith(b"application/cloudevents"):
            return content
    return None
