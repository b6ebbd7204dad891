"""OTLP metrics in both encodings, written with OpenTelemetry's own classes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2

from rollbackd.events import otlp_protobuf
from rollbackd.events.collecting import Collector
from rollbackd.events.decoders import Decoders
from rollbackd.events.otlp_protobuf import FIELDS
from rollbackd.events.record import decode_record, decode_records
from rollbackd.model.events import Rejected
from rollbackd.model.labels import format_labels
from rollbackd.promql.values import is_stale
from rollbackd.settings import FormatSettings
from tests.events.bodies import NOW
from tests.events.wire import metrics_request

NS = NOW * 1_000_000
RESOURCE = {"service.name": "rag", "cloud.region": "eu", "host.name": "h-1"}
DELTA, CUMULATIVE = 1, 2
ENCODINGS = pytest.mark.parametrize("encoding", ["otlp_json", "otlp_protobuf"])


def encoded(request: Any, encoding: str) -> bytes:
    if encoding == "otlp_protobuf":
        return bytes(request.SerializeToString())
    said = MessageToDict(request, use_integers_for_enums=True)
    return json.dumps(said).encode()


def point(value: float, time_ns: int = NS, **more: Any) -> dict[str, Any]:
    return {"as_double": value, "time_unix_nano": time_ns, **more}


def attribute(key: str, **value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def read(
    metrics: Sequence[dict[str, Any]],
    encoding: str,
    memory: Decoders | None = None,
    resource: Mapping[str, str] = RESOURCE,
    now_ms: int = NOW + 60_000,
) -> tuple[dict[str, float], Collector, str]:
    """Series as text -> its last value; what was collected, and what was wrong."""
    into = Collector()
    body = encoded(metrics_request(*metrics, resource=resource), encoding)
    rejected = decode_records(
        [body], into, format=encoding, headers={}, now_ms=now_ms, memory=memory
    )
    found = {format_labels(s.labels): s.value for s in into.samples}
    return found, into, str(rejected[0][1]) if rejected else ""


@ENCODINGS
@pytest.mark.parametrize(
    ("metric", "series"),
    [
        ({"name": "queue.depth", "gauge": {"data_points": [point(4.5)]}}, "queue_depth"),
        (
            {"name": "cpu.utilization", "unit": "1", "gauge": {"data_points": [point(4.5)]}},
            "cpu_utilization_ratio",
        ),
        (
            {
                "name": "http.requests",
                "unit": "{request}",
                "sum": {
                    "is_monotonic": True,
                    "aggregation_temporality": CUMULATIVE,
                    "data_points": [point(4.5)],
                },
            },
            "http_requests_total",
        ),
        (
            {
                "name": "pool.used",
                "unit": "By",
                "sum": {"aggregation_temporality": CUMULATIVE, "data_points": [point(4.5)]},
            },
            "pool_used_bytes",
        ),
    ],
)
def test_numbers_are_named_as_prometheus_names_them(
    metric: dict[str, Any], series: str, encoding: str
) -> None:
    found, into, wrong = read([metric], encoding)
    assert found == {f'{series}{{region="eu", service="rag"}}': 4.5}
    assert [sample.time_ms for sample in into.samples] == [NOW]
    assert wrong == ""


@ENCODINGS
def test_attributes_become_labels(encoding: str) -> None:
    attributes = [
        attribute("http.route", string_value="/a"),
        attribute("http_route", string_value="/b"),
        attribute("code", int_value=-5),
        attribute("2nd", bool_value=True),
        attribute("list", array_value={"values": [{"int_value": 1}, {"string_value": "x"}]}),
        attribute("empty", string_value=""),
        attribute("service", string_value="other"),
    ]
    gauge = {"name": "g", "gauge": {"data_points": [point(1.0, attributes=attributes)]}}
    ((series, _),) = read([gauge], encoding)[0].items()
    assert series == (
        'g{code="-5", http_route="/a;/b", key_2nd="true", list="[1,\\"x\\"]",'
        ' region="eu", service="other"}'
    )


@ENCODINGS
def test_which_resource_attributes_are_labels_is_settable(encoding: str) -> None:
    memory = Decoders(FormatSettings(otlp_resource_labels={"host.name": "host"}))
    gauge = {"name": "g", "gauge": {"data_points": [{"as_int": 3, "time_unix_nano": NS}]}}
    assert read([gauge], encoding, memory)[0] == {'g{host="h-1"}': 3.0}


@ENCODINGS
def test_two_processes_of_a_service_have_series_of_their_own(encoding: str) -> None:
    """In one series each value of the other would look like a restart of the counter."""
    total = {"is_monotonic": True, "aggregation_temporality": CUMULATIVE}
    metric = {"name": "c", "sum": {**total, "data_points": [point(4.5)]}}
    found = [
        series
        for pod in ("a", "b")
        for series in read([metric], encoding, resource=RESOURCE | {"service.instance.id": pod})[0]
    ]
    assert found == [
        f'c_total{{instance="{pod}", region="eu", service="rag"}}' for pod in ("a", "b")
    ]


def histogram(temporality: int = CUMULATIVE, **changes: Any) -> dict[str, Any]:
    one = {
        "time_unix_nano": NS,
        "count": 6,
        "sum": 12.5,
        "bucket_counts": [1, 2, 3],
        "explicit_bounds": [0.005, 10],
        **changes,
    }
    said = {"aggregation_temporality": temporality, "data_points": [one]}
    return {"name": "latency", "unit": "s", "histogram": said}


@ENCODINGS
def test_a_histogram_has_classic_buckets(encoding: str) -> None:
    found, _, _ = read([histogram()], encoding)
    where = 'region="eu", service="rag"'
    assert found == {
        f'latency_seconds_bucket{{le="0.005", {where}}}': 1.0,
        f'latency_seconds_bucket{{le="10", {where}}}': 3.0,
        f'latency_seconds_bucket{{le="+Inf", {where}}}': 6.0,
        f"latency_seconds_count{{{where}}}": 6.0,
        f"latency_seconds_sum{{{where}}}": 12.5,
    }


@ENCODINGS
def test_a_histogram_without_buckets_has_a_count(encoding: str) -> None:
    found, _, _ = read([histogram(bucket_counts=[], explicit_bounds=[])], encoding)
    assert [series.partition("{")[0] for series in found] == [
        "latency_seconds_bucket", "latency_seconds_count", "latency_seconds_sum",
    ]  # fmt: skip


@ENCODINGS
@pytest.mark.parametrize(
    "changes",
    [
        {"bucket_counts": [1, 2, 3, 4]},
        {"explicit_bounds": [10, 5]},
        {"explicit_bounds": [1, float("inf")]},
        {"bucket_counts": [1] * 202, "explicit_bounds": list(range(201))},
    ],
)
def test_a_histogram_that_is_none_is_left_out(changes: dict[str, Any], encoding: str) -> None:
    good = {"name": "g", "gauge": {"data_points": [point(1.0)]}}
    found, into, wrong = read([histogram(**changes), good], encoding)
    assert len(found) == 1
    assert into.refused == {"bad_labels": 1}
    assert "bound" in wrong


@ENCODINGS
def test_a_summary_has_quantiles(encoding: str) -> None:
    quantiles = [{"quantile": 0.5, "value": 1.5}, {"quantile": 1.0, "value": 9.0}]
    one = {"time_unix_nano": NS, "count": 4, "sum": 8.0, "quantile_values": quantiles}
    found, _, _ = read([{"name": "s", "summary": {"data_points": [one]}}], encoding)
    where = 'region="eu", service="rag"'
    assert found == {
        f's{{quantile="0.5", {where}}}': 1.5,
        f's{{quantile="1", {where}}}': 9.0,
        f"s_count{{{where}}}": 4.0,
        f"s_sum{{{where}}}": 8.0,
    }


@ENCODINGS
def test_what_has_no_classic_form_is_counted_and_left_out(encoding: str) -> None:
    exponential = {"data_points": [{"time_unix_nano": NS, "count": 1}] * 2}
    falling = {"aggregation_temporality": DELTA, "data_points": [point(1.0)] * 3}
    metrics = [
        {"name": "e", "exponential_histogram": exponential},
        {"name": "f", "sum": falling},
        {"name": "nothing"},
    ]
    found, into, wrong = read(metrics, encoding)
    assert (found, wrong) == ({}, "")
    assert into.refused == {"exponential_histogram": 2, "delta": 3}


@ENCODINGS
def test_a_point_without_a_recorded_value_ends_its_series(encoding: str) -> None:
    gone = {"time_unix_nano": NS, "flags": 1}
    metrics = [
        {"name": "g", "gauge": {"data_points": [gone]}},
        histogram(flags=1, count=0, sum=0.0, bucket_counts=[0, 0, 0]),
    ]
    _, into, _ = read(metrics, encoding)
    assert len(into.samples) == 6
    assert all(is_stale(sample.value) for sample in into.samples)


def counter(value: float, time_ns: int, start_ns: int) -> dict[str, Any]:
    one = point(value, time_ns, start_time_unix_nano=start_ns)
    said = {"is_monotonic": True, "aggregation_temporality": DELTA, "data_points": [one]}
    return {"name": "c", "sum": said}


@ENCODINGS
def test_deltas_of_a_counter_are_added_up(encoding: str) -> None:
    """From zero at the start of the first one, so that it is an increase like the others."""
    memory = Decoders()
    times = [NS + second * 1_000_000_000 for second in range(4)]
    seen = []
    for number, value in ((1, 5.0), (2, 7.0), (2, 7.0), (3, 1.0)):
        _, into, _ = read([counter(value, times[number], times[number - 1])], encoding, memory)
        seen += [(sample.time_ms - NOW, sample.value) for sample in into.samples]
    # the one that came twice is the same one
    assert seen == [(0, 0.0), (1_000, 5.0), (2_000, 12.0), (2_000, 12.0), (3_000, 13.0)]
    _, into, _ = read([counter(9.0, times[1], times[0])], encoding, memory)
    assert (list(into.samples), into.refused) == ([], {"delta": 1})


SECOND = 1_000_000_000


def totals(encoding: str, *deltas: tuple[str, float, int], now_ms: int) -> list[tuple[int, float]]:
    """(seconds after NOW, value) of all that (host, delta, seconds after NOW) become."""
    memory, found = Decoders(), []
    for host, value, seconds in deltas:
        metric = counter(value, NS + seconds * SECOND, NS + (seconds - 1) * SECOND)
        resource = {"service.name": "rag", "host.name": host}
        _, into, _ = read([metric], encoding, memory, resource, now_ms)
        found += [((sample.time_ms - NOW) // 1_000, sample.value) for sample in into.samples]
    return found


@ENCODINGS
def test_deltas_of_processes_that_share_a_series_have_one_total(encoding: str) -> None:
    """At one time, and in turn; a total does not go back in time, and loses nothing."""
    deltas = [("a", 100.0, 1), ("b", 1.0, 1), ("b", 2.0, 3), ("a", 50.0, 2), ("b", 2.0, 3)]
    assert totals(encoding, *deltas, now_ms=NOW + 60_000) == [
        (0, 0.0), (1, 100.0), (1, 101.0), (3, 103.0), (3, 153.0), (3, 153.0),
    ]  # fmt: skip


@ENCODINGS
def test_a_clock_that_is_ahead_does_not_take_a_shared_total_with_it(encoding: str) -> None:
    deltas = [("ahead", 1.0, 3_600), ("b", 1.0, 4), ("ahead", 1.0, 3_610), ("b", 1.0, 5)]
    assert totals(encoding, *deltas, now_ms=NOW + 5_000) == [
        (5, 0.0), (5, 1.0), (5, 2.0), (5, 3.0), (5, 4.0),
    ]  # fmt: skip


@ENCODINGS
def test_attributes_in_another_order_are_the_same_series(encoding: str) -> None:
    attributes = [attribute("code", string_value="500"), attribute("m", string_value="g")]
    memory, seen = Decoders(), []
    for number, order in enumerate((attributes, attributes[::-1])):
        metric = counter(5.0, NS + number * SECOND, 0)
        metric["sum"]["data_points"][0]["attributes"] = order
        seen += read([metric], encoding, memory)[0].items()
    series = 'c_total{code="500", m="g", region="eu", service="rag"}'
    assert seen == [(series, 5.0), (series, 10.0)]


@ENCODINGS
def test_deltas_of_a_histogram_are_added_up(encoding: str) -> None:
    memory = Decoders()
    read([histogram(DELTA)], encoding, memory)
    found, _, _ = read([histogram(DELTA, time_unix_nano=NS + 1_000_000)], encoding, memory)
    assert list(found.values()) == [2.0, 6.0, 12.0, 12.0, 25.0]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"service": "rag"}', "resourceMetrics"),
        (b"null", "object"),
        (b"[]", "object"),
        (b'{"resourceMetrics": 3, "x": null}', "array"),
        (b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":3}]}]}]}', "str"),
        (b"{", "not JSON"),
    ],
)
def test_what_is_no_request_is_rejected(body: bytes, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        decode_record(body, format="otlp_json", now_ms=NOW)
    with pytest.raises(Rejected, match="not a protobuf ExportMetricsServiceRequest"):
        decode_record(b"\xff" + body, format="otlp_protobuf", now_ms=NOW)


NULLS = '{"name": "g", "unit": null, "gauge": {"dataPoints": [{"asInt": 1, "attributes": null}]}}'


@pytest.mark.parametrize(
    ("body", "samples"),
    [
        ("{}", 0),
        ('{"resourceMetrics": null}', 0),
        ('{"resourceMetrics": [{"resource": null, "scopeMetrics": null}]}', 0),
        (f'{{"resourceMetrics": [{{"scopeMetrics": [{{"metrics": [{NULLS}]}}]}}]}}', 1),
    ],
)
def test_null_is_the_default_of_a_field(body: str, samples: int) -> None:
    """As protobuf's JSON has it; a request may be empty."""
    assert len(decode_record(body.encode(), format="otlp_json", now_ms=NOW).samples) == samples


def test_json_numbers_may_be_text() -> None:
    """As protobuf's JSON writes 64-bit integers, NaN and infinities."""
    body = {
        "resourceMetrics": [
            {
                "scopeMetrics": [
                    {
                        "metrics": [
                            {
                                "name": "g",
                                "unknown": {},
                                "gauge": {
                                    "dataPoints": [
                                        {"asInt": "-4", "timeUnixNano": str(NS)},
                                        {"asDouble": "Infinity", "timeUnixNano": NS},
                                        {"asDouble": "NaN", "timeUnixNano": NS},
                                    ]
                                },
                            }
                        ]
                    }
                ]
            }
        ]
    }
    first, second, third = decode_record(
        json.dumps(body).encode(), format="otlp_json", now_ms=NOW
    ).samples
    assert (first.value, second.value) == (-4.0, float("inf"))
    assert third.value != third.value
    assert not is_stale(third.value)


def test_the_table_of_fields_says_what_the_protocol_says() -> None:
    """Number and wire type of every field that is read, against the official classes."""
    official: dict[str, Any] = {}
    for module in (metrics_service_pb2, metrics_pb2):
        official |= module.DESCRIPTOR.message_types_by_name
    common = metrics_pb2.Exemplar.DESCRIPTOR.fields_by_name["filtered_attributes"].message_type
    official |= common.file.message_types_by_name
    official["ValueAtQuantile"] = official["SummaryDataPoint"].nested_types_by_name[
        "ValueAtQuantile"
    ]
    official["Resource"] = official["ResourceMetrics"].fields_by_name["resource"].message_type
    for message, fields in FIELDS.items():
        for name, (number, kind) in fields.items():
            field = official[message].fields_by_name[name]
            assert field.number == number, (message, name)
            wire = kind[0] if isinstance(kind, list) else kind
            assert _WIRE.get(wire, _DELIMITED) == _WIRE_OF.get(field.type, _DELIMITED), name


_DELIMITED = "length-delimited"
_WIRE = {
    "double": "64", "fixed64": "64", "sfixed64": "64", "int64": "varint", "uint32": "varint",
    "enum": "varint", "bool": "varint",
}  # fmt: skip
#: FieldDescriptor.Type -> wire type.
_WIRE_OF = {
    1: "64", 6: "64", 16: "64", 3: "varint", 13: "varint", 14: "varint", 8: "varint",
}  # fmt: skip


def test_the_answer_says_how_many_points_were_left_out() -> None:
    official = metrics_service_pb2.ExportMetricsServiceResponse
    said = official.FromString(otlp_protobuf.response(3, "because"))
    assert said.partial_success.rejected_data_points == 3
    assert said.partial_success.error_message == "because"
    assert not official.FromString(otlp_protobuf.response(0, "")).HasField("partial_success")
