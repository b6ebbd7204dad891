"""Prometheus remote write: a Snappy block of protobuf, versions 1.0 and 2.0.

https://prometheus.io/docs/specs/prw/remote_write_spec/
https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/

NaN is kept, and the stale marker ends its series. Exemplars and metadata are skipped; native
histograms are counted and left out.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from rollbackd.events.collecting import Collector
from rollbackd.events.compression import MAX_UNPACKED, unsnappy
from rollbackd.events.foreign import (
    MAX_SAMPLES,
    SeriesBook,
    Unused,
    UnusedSeries,
    foreign_labels,
)
from rollbackd.events.protobuf import Table, messages, parsed
from rollbackd.model.events import Rejected, Schema
from rollbackd.model.labels import Labels

#: https://github.com/prometheus/prometheus/blob/main/prompb/types.proto (Apache-2.0)
_SAMPLE: Final[dict[str, tuple[int, str | list[str]]]] = {
    "value": (1, "double"),
    "timestamp": (2, "int64"),
}
V1: Final[Table] = {
    "WriteRequest": {"timeseries": (1, ["TimeSeries"])},
    "TimeSeries": {
        "labels": (1, ["bytes"]),
        "samples": (2, ["Sample"]),
        "histograms": (4, ["bytes"]),
    },
    "Label": {"name": (1, "bytes"), "value": (2, "bytes")},
    "Sample": _SAMPLE,
}
#: https://github.com/prometheus/prometheus/blob/main/prompb/io/prometheus/write/v2/types.proto
V2: Final[Table] = {
    "Request": {"symbols": (4, ["bytes"]), "timeseries": (5, ["TimeSeries"])},
    "TimeSeries": {
        "labels_refs": (1, ["uint32"]),
        "samples": (2, ["Sample"]),
        "histograms": (3, ["bytes"]),
    },
    "Sample": _SAMPLE,
}

#: Memory of label sets, shared by all callers: a cache of a pure function.
_BOOK: Final = SeriesBook()


def decode_into(body: bytes, into: Collector, *, limit: int = MAX_UNPACKED) -> str:
    """Add a `prometheus.WriteRequest`; what was wrong with series that were left out, if any.

    Raises Rejected, and then has added nothing.
    """
    return _write(decoded(body, limit=limit).timeseries, into, _schema_v1)


def decode_v2_into(body: bytes, into: Collector, *, limit: int = MAX_UNPACKED) -> str:
    """The same for an `io.prometheus.write.v2.Request`."""
    request = decoded_v2(body, limit=limit)
    symbols = list(request.symbols)

    def schema(series: Any) -> Schema | UnusedSeries:
        refs = list(series.labels_refs)
        try:
            written = tuple([symbols[ref] for ref in refs])
        except IndexError:
            message = f"a label refers to symbol {max(refs)} of {len(symbols)}"
            return UnusedSeries(Unused.BAD_LABELS, message)
        return _BOOK.schema(written, lambda: _labels(written))

    return _write(request.timeseries, into, schema)


def decoded(body: bytes, *, limit: int = MAX_UNPACKED) -> Any:
    """The message alone. Raises Rejected."""
    return parsed(_v1()["WriteRequest"], unsnappy(body, limit), "prometheus.WriteRequest")


def decoded_v2(body: bytes, *, limit: int = MAX_UNPACKED) -> Any:
    """The same for version 2.0."""
    return parsed(_v2()["Request"], unsnappy(body, limit), "io.prometheus.write.v2.Request")


def _write(timeseries: Any, into: Collector, schema_of: Any) -> str:
    count = sum([len(series.samples) for series in timeseries])
    if count > MAX_SAMPLES:
        raise Rejected(
            f"{count} samples; at most {MAX_SAMPLES} are allowed, lower `max_samples_per_send`"
        )
    wrong = ""
    add = into.samples.rows.append
    for series in timeseries:
        schema = schema_of(series)
        if series.histograms:
            into.refused[Unused.NATIVE_HISTOGRAM] += len(series.histograms)
        if isinstance(schema, UnusedSeries):
            into.refused[schema.because] += len(series.samples)
            if schema.because is Unused.BAD_LABELS:
                wrong = wrong or schema.message
            continue
        for sample in series.samples:
            add((schema, sample.timestamp, (sample.value,)))
    return wrong


def _schema_v1(series: Any) -> Schema | UnusedSeries:
    written = tuple(series.labels)
    return _BOOK.schema(written, lambda: _labels(_named(written)))


def _named(written: Iterable[bytes]) -> list[bytes]:
    label = _v1()["Label"]
    read = [parsed(label, each, "prometheus.Label") for each in written]
    return [text for each in read for text in (each.name, each.value)]


def _labels(texts: Iterable[bytes]) -> Labels:
    """Names and values by turns."""
    try:
        known = [text.decode() for text in texts]
    except UnicodeDecodeError as error:
        raise Rejected(f"a label is not UTF-8: {error.reason}") from None
    if len(known) % 2:
        raise Rejected("a label has no value")
    return foreign_labels(zip(known[::2], known[1::2], strict=True))


@cache
def _v1() -> dict[str, Any]:
    return messages("rollbackd.prometheus.v1", V1)


@cache
def _v2() -> dict[str, Any]:
    return messages("rollbackd.prometheus.v2", V2)
