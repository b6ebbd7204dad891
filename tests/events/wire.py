"""Bodies in the formats of other programs, made with the libraries of those programs."""

from collections.abc import Mapping, Sequence
from typing import Any

import cramjam
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from rollbackd.events import remote_write
from rollbackd.events.protobuf import messages

#: (label sets, [(value, time in ms)]).
Series = tuple[Mapping[str, str], Sequence[tuple[float, int]]]


def snappy(text: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(text))


def write_request(*series: Series, native_histograms: int = 0) -> bytes:
    """A remote write body of version 1.0."""
    kinds = messages("test.v1", remote_write.V1)
    request = kinds["WriteRequest"]()
    for labels, samples in series:
        written = request.timeseries.add()
        for name, value in labels.items():
            pair = kinds["Label"](name=name.encode(), value=value.encode())
            written.labels.append(pair.SerializeToString())
        for number, time_ms in samples:
            written.samples.add(value=number, timestamp=time_ms)
        written.histograms.extend([b""] * native_histograms)
    return snappy(request.SerializeToString())


def write_request_v2(*series: Series) -> bytes:
    """A remote write body of version 2.0."""
    kinds = messages("test.v2", remote_write.V2)
    request = kinds["Request"]()
    symbols = [""]
    for labels, samples in series:
        written = request.timeseries.add()
        for text in [each for pair in labels.items() for each in pair]:
            if text not in symbols:
                symbols.append(text)
            written.labels_refs.append(symbols.index(text))
        for number, time_ms in samples:
            written.samples.add(value=number, timestamp=time_ms)
    request.symbols.extend(symbol.encode() for symbol in symbols)
    return snappy(request.SerializeToString())


def metrics_request(
    *metrics: Mapping[str, Any], resource: Mapping[str, str] | None = None
) -> ExportMetricsServiceRequest:
    """An OTLP request; a metric is the keyword arguments of the official class."""
    request = ExportMetricsServiceRequest()
    described = request.resource_metrics.add()
    for key, value in (resource or {}).items():
        described.resource.attributes.add(key=key).value.string_value = value
    scope = described.scope_metrics.add()
    for metric in metrics:
        scope.metrics.add(**metric)
    return request
