"""OTLP metrics as protobuf, with the fields that are read.

https://github.com/open-telemetry/opentelemetry-proto/tree/main/opentelemetry/proto/metrics/v1
"""

import base64
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import orjson

from rollbackd.events.protobuf import Table, messages, parsed
from rollbackd.model.events import Rejected

_TIMES: Final[dict[str, tuple[int, str | list[str]]]] = {
    "start_time_unix_nano": (2, "fixed64"),
    "time_unix_nano": (3, "fixed64"),
}
FIELDS: Final[Table] = {
    "ExportMetricsServiceRequest": {"resource_metrics": (1, ["ResourceMetrics"])},
    "ResourceMetrics": {"resource": (1, "Resource"), "scope_metrics": (2, ["ScopeMetrics"])},
    "Resource": {"attributes": (1, ["bytes"])},
    "ScopeMetrics": {"metrics": (2, ["Metric"])},
    "Metric": {
        "name": (1, "bytes"),
        "unit": (3, "bytes"),
        "gauge": (5, "Gauge"),
        "sum": (7, "Sum"),
        "histogram": (9, "Histogram"),
        "exponential_histogram": (10, "ExponentialHistogram"),
        "summary": (11, "Summary"),
    },
    "Gauge": {"data_points": (1, ["NumberDataPoint"])},
    "Sum": {
        "data_points": (1, ["NumberDataPoint"]),
        "aggregation_temporality": (2, "enum"),
        "is_monotonic": (3, "bool"),
    },
    "Histogram": {
        "data_points": (1, ["HistogramDataPoint"]),
        "aggregation_temporality": (2, "enum"),
    },
    "ExponentialHistogram": {"data_points": (1, ["bytes"])},
    "Summary": {"data_points": (1, ["SummaryDataPoint"])},
    "NumberDataPoint": {
        **_TIMES,
        "attributes": (7, ["bytes"]),
        "as_double": (4, "double"),
        "as_int": (6, "sfixed64"),
        "flags": (8, "uint32"),
    },
    "HistogramDataPoint": {
        **_TIMES,
        "attributes": (9, ["bytes"]),
        "count": (4, "fixed64"),
        "sum": (5, "double"),
        "bucket_counts": (6, ["fixed64"]),
        "explicit_bounds": (7, ["double"]),
        "flags": (10, "uint32"),
    },
    "SummaryDataPoint": {
        **_TIMES,
        "attributes": (7, ["bytes"]),
        "count": (4, "fixed64"),
        "sum": (5, "double"),
        "quantile_values": (6, ["ValueAtQuantile"]),
        "flags": (8, "uint32"),
    },
    "ValueAtQuantile": {"quantile": (1, "double"), "value": (2, "double")},
    "KeyValue": {"key": (1, "bytes"), "value": (2, "AnyValue")},
    "AnyValue": {
        "string_value": (1, "bytes"),
        "bool_value": (2, "bool"),
        "int_value": (3, "int64"),
        "double_value": (4, "double"),
        "array_value": (5, "ArrayValue"),
        "kvlist_value": (6, "KeyValueList"),
        "bytes_value": (7, "bytes"),
    },
    "ArrayValue": {"values": (1, ["AnyValue"])},
    "KeyValueList": {"values": (1, ["KeyValue"])},
    "ExportMetricsServiceResponse": {"partial_success": (1, "ExportMetricsPartialSuccess")},
    "ExportMetricsPartialSuccess": {
        "rejected_data_points": (1, "int64"),
        "error_message": (2, "bytes"),
    },
}


def request_of(body: bytes) -> Any:
    """An `ExportMetricsServiceRequest`. Raises Rejected."""
    return parsed(_messages()["ExportMetricsServiceRequest"], body, "ExportMetricsServiceRequest")


def response(refused: int, message: str) -> bytes:
    """An `ExportMetricsServiceResponse`."""
    answer = _messages()["ExportMetricsServiceResponse"]()
    if refused:
        answer.partial_success.rejected_data_points = refused
        answer.partial_success.error_message = message.encode()
    return bytes(answer.SerializeToString())


def key_of(attributes: Iterable[bytes]) -> tuple[bytes, ...]:
    """What equal attributes are known by."""
    return tuple(attributes)


def attributes_of(key: tuple[bytes, ...]) -> list[tuple[str, str]]:
    """Names and values as text. Raises Rejected."""
    kind = _messages()["KeyValue"]
    pairs = [parsed(kind, each, "KeyValue") for each in key]
    try:
        return [(pair.key.decode(), _text(pair.value)) for pair in pairs]
    except UnicodeDecodeError as error:
        raise Rejected(f"an attribute is not UTF-8: {error.reason}") from None
    except (RecursionError, orjson.JSONEncodeError):
        raise Rejected("attributes are nested too deeply") from None


def _text(value: Any) -> str:
    plain = _plain(value)
    return plain if isinstance(plain, str) else orjson.dumps(plain).decode()


def _plain(value: Any) -> Any:
    """An `AnyValue` as what it holds."""
    for field, found in value.ListFields():
        match field.name:
            case "string_value":
                return found.decode()
            case "bytes_value":
                return base64.b64encode(found).decode()
            case "array_value":
                return [_plain(item) for item in found.values]
            case "kvlist_value":
                return {pair.key.decode(): _plain(pair.value) for pair in found.values}
            case _:
                return found
    return ""


@cache
def _messages() -> dict[str, Any]:
    return messages("rollbackd.otlp", FIELDS)
