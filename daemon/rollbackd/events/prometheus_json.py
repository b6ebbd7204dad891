"""Samples as prometheus-kafka-adapter writes them: one JSON object a record.

{"timestamp": "2026-11-22T20:00:00Z", "value": "0.5", "name": "up",
 "labels": {"__name__": "up", "job": "api"}}

https://github.com/Telefonica/prometheus-kafka-adapter/blob/master/serializers.go. It writes a stale
marker as `NaN`, like any other NaN: here it ends the series.
"""

from datetime import datetime
from typing import Final

import msgspec

from rollbackd.events.collecting import Collector
from rollbackd.events.foreign import STALE, SeriesBook, Unused, UnusedSeries, foreign_labels
from rollbackd.events.json import decode_json
from rollbackd.events.timestamps import milliseconds
from rollbackd.model.events import Rejected
from rollbackd.model.labels import METRIC_NAME, Labels

#: Memory of label sets, shared by all callers: a cache of a pure function.
_BOOK: Final = SeriesBook()


class _Sample(msgspec.Struct):
    timestamp: datetime
    value: str | float
    labels: msgspec.Raw = msgspec.Raw(b"{}")
    name: str = ""


_SAMPLE: Final = msgspec.json.Decoder(_Sample)
_LABELS: Final = msgspec.json.Decoder(dict[str, str])


def decode_into(body: bytes, into: Collector) -> str:
    """Add one sample; why its series was left out, if it was. Raises Rejected."""
    read = decode_json(_SAMPLE, body)
    time_ms = milliseconds(read.timestamp, field="timestamp")
    try:
        value = float(read.value)
    except ValueError:
        raise Rejected(f"`value`: `{str(read.value)[:80]}` is not a number") from None
    key = (read.name, bytes(read.labels))
    schema = _BOOK.schema(key, lambda: _labels(*key))
    if isinstance(schema, UnusedSeries):
        into.refused[schema.because] += 1
        return schema.message if schema.because is Unused.BAD_LABELS else ""
    # a number that is none means no data
    value = STALE if value != value else value  # noqa: PLR0124
    into.samples.rows.append((schema, time_ms, (value,)))
    return ""


def _labels(name: str, written: bytes) -> Labels:
    labels = decode_json(_LABELS, written)
    if name:
        labels.setdefault(METRIC_NAME, name)
    return foreign_labels(labels.items())
