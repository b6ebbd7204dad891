"""The value of one Kafka record."""

from collections.abc import Sequence
from typing import Final

import msgspec

from rollbackd.events import alertmanager, native
from rollbackd.events.collecting import Collector
from rollbackd.events.envelope import NO_ALERTS
from rollbackd.model.events import Batch, Rejected

#: What a topic may be declared to hold.
FORMATS: Final = ("auto", "native", "alertmanager")

Headers = Sequence[tuple[str, bytes]]


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
    if headers:
        _refuse_cloudevents(headers)
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


def _read_notification(value: bytes, into: Collector) -> None:
    notification = alertmanager.decode_notification(value)
    into.alerts += notification.alerts
    into.truncated += notification.truncated


def _is_list(raw: msgspec.Raw) -> bool:
    return bytes(raw).lstrip().startswith(b"[")


def _refuse_cloudevents(headers: Headers) -> None:
    for name, content in headers:
        if name.lower() == "content-type" and content.lower().startswith(
            b"application/cloudevents"
        ):
            raise Rejected(
                f"header `content-type`: `{content[:80].decode('utf-8', 'replace')}`:"
                " structured CloudEvents are not read; send the data alone"
            )
