"""OTLP metrics as JSON: structs with the field names of the protobuf messages.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: lowerCamelCase, 64-bit integers
as numbers or strings, unknown fields ignored.
"""

from typing import Annotated, Any, Final

import msgspec
import orjson
from msgspec import Meta

from rollbackd.events.json import decode_json
from rollbackd.model.events import Rejected

_NO_ATTRIBUTES: Final = msgspec.Raw(b"[]")
_NO_METRICS: Final = b'{"resourceMetrics":[]}'
_DIGITS: Final = 20

Whole = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class _Message(msgspec.Struct, rename="camel"):
    def HasField(self, name: str) -> bool:  # noqa: N802  # protobuf's name for it
        """Whether the field was there."""
        return getattr(self, name) is not None


class _NumberPoint(_Message, rename="camel"):
    attributes: msgspec.Raw = _NO_ATTRIBUTES
    start_time_unix_nano: Count = 0
    time_unix_nano: Count = 0
    as_double: float | None = None
    as_int: Whole | None = None
    flags: Count = 0


class _HistogramPoint(_Message, rename="camel"):
    attributes: msgspec.Raw = _NO_ATTRIBUTES
    start_time_unix_nano: Count = 0
    time_unix_nano: Count = 0
    count: Count = 0
    sum: float | None = None
    bucket_counts: list[Count] = []
    explicit_bounds: list[float] = []
    flags: Count = 0


class _AtQuantile(_Message, rename="camel"):
    quantile: float = 0.0
    value: float = 0.0


class _SummaryPoint(_Message, rename="camel"):
    attributes: msgspec.Raw = _NO_ATTRIBUTES
    time_unix_nano: Count = 0
    count: Count = 0
    sum: float = 0.0
    quantile_values: list[_AtQuantile] = []
    flags: Count = 0


class _Gauge(_Message, rename="camel"):
    data_points: list[_NumberPoint] = []


class _Sum(_Message, rename="camel"):
    data_points: list[_NumberPoint] = []
    aggregation_temporality: Count = 0
    is_monotonic: bool = False


class _Histogram(_Message, rename="camel"):
    data_points: list[_HistogramPoint] = []
    aggregation_temporality: Count = 0


class _ExponentialHistogram(_Message, rename="camel"):
    data_points: list[msgspec.Raw] = []


class _Summary(_Message, rename="camel"):
    data_points: list[_SummaryPoint] = []


class _Metric(_Message, rename="camel"):
    name: str = ""
    unit: str = ""
    gauge: _Gauge | None = None
    sum: _Sum | None = None
    histogram: _Histogram | None = None
    exponential_histogram: _ExponentialHistogram | None = None
    summary: _Summary | None = None


class _ScopeMetrics(_Message, rename="camel"):
    metrics: list[_Metric] = []


class _Resource(_Message, rename="camel"):
    attributes: msgspec.Raw = _NO_ATTRIBUTES


class _ResourceMetrics(_Message, rename="camel"):
    resource: _Resource = msgspec.field(default_factory=_Resource)
    scope_metrics: list[_ScopeMetrics] = []


class _Request(_Message, rename="camel"):
    resource_metrics: list[_ResourceMetrics]


class _KeyValue(_Message, rename="camel"):
    key: str = ""
    value: Any = None


#: Not strict: `"4"` is a whole number, and `"NaN"` a float.
_REQUEST: Final = msgspec.json.Decoder(_Request, strict=False)
_ATTRIBUTES: Final = msgspec.json.Decoder(list[_KeyValue])


def request_of(body: bytes) -> Any:
    """An `ExportMetricsServiceRequest`. Raises Rejected.

    A `null` is the default of its field, https://protobuf.dev/programming-guides/json/#null-values,
    and `{}` is a request without metrics; any other object without `resourceMetrics` is none.
    """
    try:
        return decode_json(_REQUEST, body)
    except Rejected:
        said = _without_nulls(body)
        if said is None:
            raise
        return decode_json(_REQUEST, said)


def _without_nulls(body: bytes) -> bytes | None:
    """The same without the fields that are null; None where that could make no request of it."""
    try:
        plain = orjson.loads(body)
        if plain in ({}, {"resourceMetrics": None}):
            return _NO_METRICS
        return orjson.dumps(_bare(plain)) if isinstance(plain, dict) else None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
        return None


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(each) for key, each in value.items() if each is not None}
    return [_bare(each) for each in value] if isinstance(value, list) else value


def key_of(attributes: msgspec.Raw) -> bytes:
    """What equal attributes are known by."""
    return bytes(attributes)


def attributes_of(key: bytes) -> list[tuple[str, str]]:
    """Names and values as text. Raises Rejected."""
    try:
        return [(pair.key, _text(pair.value)) for pair in decode_json(_ATTRIBUTES, key)]
    except (RecursionError, orjson.JSONEncodeError):
        raise Rejected("attributes are nested too deeply") from None


def _text(value: Any) -> str:
    plain = _plain(value)
    return plain if isinstance(plain, str) else orjson.dumps(plain).decode()


def _plain(value: Any) -> Any:
    """An `AnyValue` as what it holds."""
    match value:
        case {"intValue": str() as digits}:
            whole = len(digits) <= _DIGITS and digits.removeprefix("-").isdecimal()
            return int(digits) if whole else digits
        case {"arrayValue": {"values": list() as items}}:
            return [_plain(item) for item in items]
        case {"kvlistValue": {"values": list() as items}}:
            pairs = [item for item in items if isinstance(item, dict)]
            return {str(item.get("key", "")): _plain(item.get("value")) for item in pairs}
        case {"stringValue": found} | {"boolValue": found} | {"intValue": found}:
            return found
        case {"doubleValue": found} | {"bytesValue": found}:
            return found
    return ""
