"""Metrics as Telegraf's JSON serializer writes them, one or a batch.

{"name": "cpu", "tags": {"host": "a"}, "fields": {"usage_idle": 98.5}, "timestamp": 1763841600}
{"metrics": [{...}, {...}]}

https://github.com/influxdata/telegraf/tree/master/plugins/serializers/json. A field is the series
`<name>_<field>`, `true` is 1, and text is counted and left out.
"""

import re
from typing import Final

import msgspec

from rollbackd.events.collecting import Collector
from rollbackd.events.foreign import (
    MAX_SAMPLES,
    SeriesBook,
    Unused,
    UnusedSeries,
    foreign_labels,
)
from rollbackd.events.json import decode_json
from rollbackd.events.timestamps import MAX_FUTURE_MS
from rollbackd.model.events import Rejected
from rollbackd.model.labels import METRIC_NAME, Labels

#: `json_timestamp_units` -> how many there are in a millisecond.
UNITS: Final = {"1s": 1e-3, "1ms": 1.0, "1us": 1e3, "1ns": 1e6}

#: Memory of label sets, shared by all callers: a cache of a pure function.
_BOOK: Final = SeriesBook()
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_]")
_FAR: Final = 1e15


class _Metric(msgspec.Struct):
    name: str
    fields: dict[str, float | bool | str | None]
    timestamp: int | float
    tags: msgspec.Raw = msgspec.Raw(b"{}")


class _Body(msgspec.Struct):
    metrics: list[_Metric] | None = None


_ONE: Final = msgspec.json.Decoder(_Metric)
_BATCH: Final = msgspec.json.Decoder(_Body)
_TAGS: Final = msgspec.json.Decoder(dict[str, str])


def decode_into(body: bytes, into: Collector, *, unit: str = "1s", now_ms: int) -> str:
    """Add a metric or a batch; what was wrong with series that were left out, if any.

    Raises Rejected, and then has added nothing.
    """
    batch = decode_json(_BATCH, body).metrics
    metrics = [decode_json(_ONE, body)] if batch is None else batch
    count = sum([len(metric.fields) for metric in metrics])
    if count > MAX_SAMPLES:
        raise Rejected(f"{count} fields; at most {MAX_SAMPLES} are allowed in one body")
    times = [_time(metric.timestamp, unit, now_ms) for metric in metrics]
    wrong = ""
    for metric, time_ms in zip(metrics, times, strict=True):
        numbers = {
            name: float(value)
            for name, value in metric.fields.items()
            if isinstance(value, float | bool)
        }
        if len(numbers) < len(metric.fields):
            into.refused[Unused.NOT_A_NUMBER] += len(metric.fields) - len(numbers)
        key = (metric.name, bytes(metric.tags), tuple(numbers))
        schema = _BOOK.schemas(key, lambda key=key: _series(*key))  # type: ignore[misc]
        if isinstance(schema, UnusedSeries):
            into.refused[schema.because] += len(numbers)
            if schema.because is Unused.BAD_LABELS:
                wrong = wrong or schema.message
        elif numbers:
            into.samples.rows.append((schema, time_ms, tuple(numbers.values())))
    return wrong


def _time(timestamp: float, unit: str, now_ms: int) -> int:
    time_ms = round(max(min(timestamp / UNITS[unit], _FAR), -_FAR))
    if time_ms > now_ms + MAX_FUTURE_MS:
        raise Rejected(
            f"`timestamp`: `{timestamp:.15g}` is in the future in units of `{unit}`;"
            " `formats.telegraf_timestamp_unit` says which they are"
        )
    return time_ms


def _series(name: str, tags: bytes, fields: tuple[str, ...]) -> tuple[Labels, ...]:
    labels = {_plain(tag): value for tag, value in decode_json(_TAGS, tags).items()}
    series = tuple(
        foreign_labels({**labels, METRIC_NAME: _plain(f"{name}_{field}")}.items())
        for field in fields
    )
    if len(set(series)) < len(series):
        raise Rejected(f"two fields of `{name[:80]}` have one name")
    return series


def _plain(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)
