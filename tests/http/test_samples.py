"""Remote write and OTLP over HTTP."""

import gzip
import json
from typing import Any

import pytest
from aiohttp import ClientSession
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from rollbackd.errors import TemporaryError
from rollbackd.events import decoders
from rollbackd.telemetry import Telemetry
from tests.events.wire import metrics_request, snappy, write_request, write_request_v2
from tests.http.conftest import Serve
from tests.http.operations import FakeOperations

WRITE, EXPORT = "/api/v1/write", "/v1/metrics"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
PACKED = {**PROTOBUF, "Content-Encoding": "snappy"}
UP = ({"__name__": "up"}, [(1.0, 5), (2.0, 6)])
GAUGE = {"name": "g", "gauge": {"data_points": [{"as_double": 1.5, "time_unix_nano": 5_000_000}]}}
ODD = {"name": "", "gauge": GAUGE["gauge"]}
EXPONENTIAL = {"name": "e", "exponential_histogram": {"data_points": [{}, {}]}}
WRITTEN = "X-Prometheus-Remote-Write-Samples-Written"


def refused(telemetry: Telemetry, reason: str) -> float:
    name = "rollbackd_samples_refused_total"
    return telemetry.registry.get_sample_value(name, {"reason": reason}) or 0.0


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-protobuf", write_request(UP)),
        ("application/x-protobuf;proto=prometheus.WriteRequest", write_request(UP)),
        ("application/x-protobuf; proto=io.prometheus.write.v2.Request", write_request_v2(UP)),
    ],
)
async def test_both_versions_of_remote_write_are_taken(
    client: ClientSession, operations: FakeOperations, content_type: str, body: bytes
) -> None:
    headers = {**PACKED, "Content-Type": content_type}
    async with client.post(WRITE, data=body, headers=headers) as response:
        assert response.status == 204
        assert response.headers[WRITTEN] == "2"
    ((_, batch, source),) = operations.calls
    assert [tuple(sample)[1:] for sample in batch.samples] == [(1.0, 5), (2.0, 6)]
    assert source == "remote_write"


async def test_a_bad_series_is_named_and_the_others_are_taken(
    client: ClientSession, operations: FakeOperations, telemetry: Telemetry
) -> None:
    body = write_request(({"__name__": "a b"}, [(1.0, 5)]), ({"__name__": "ALERTS"}, [(1, 5)]), UP)
    async with client.post(WRITE, data=body, headers=PACKED) as response:
        assert response.status == 400
        assert response.headers[WRITTEN] == "2"
        assert "`a b` is not a metric name" in (await response.json())["error"]
    assert operations.names() == ["bury", "ingest"]
    assert refused(telemetry, "bad_labels") == 1
    assert refused(telemetry, "reserved_name") == 1


async def test_a_body_that_is_none_is_buried(
    client: ClientSession, operations: FakeOperations
) -> None:
    for body in (b"", b"\x80", snappy(b"\xff")):
        async with client.post(WRITE, data=body, headers=PACKED) as response:
            assert response.status == 400
    assert operations.names() == ["bury"] * 3


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (WRITE, PROTOBUF),
        (WRITE, {**PACKED, "Content-Encoding": "gzip"}),
        (WRITE, {**PACKED, "Content-Type": "application/json"}),
        (WRITE, {**PACKED, "Content-Type": "application/x-protobuf;proto=x.Y"}),
        (EXPORT, {"Content-Type": "text/plain"}),
        (EXPORT, PACKED),
    ],
)
async def test_what_cannot_be_read_is_415(
    client: ClientSession, path: str, headers: dict[str, str]
) -> None:
    async with client.post(path, data=write_request(UP), headers=headers) as response:
        assert response.status == 415


async def test_a_store_that_is_down_is_503_so_that_the_sender_comes_again(
    client: ClientSession, operations: FakeOperations
) -> None:
    operations.failure = TemporaryError("down", delay_ms=1_000)
    async with client.post(WRITE, data=write_request(UP), headers=PACKED) as response:
        assert response.status == 503


@pytest.mark.parametrize("packed", [False, True])
async def test_otlp_is_taken_and_answered_in_its_encoding(
    client: ClientSession, operations: FakeOperations, *, packed: bool
) -> None:
    def body(plain: bytes) -> dict[str, Any]:
        return {"data": gzip.compress(plain) if packed else plain}

    encoding = {"Content-Encoding": "gzip"} if packed else {}
    request = metrics_request(GAUGE).SerializeToString()
    async with client.post(EXPORT, **body(request), headers={**PROTOBUF, **encoding}) as response:
        assert (response.status, response.content_type) == (200, "application/x-protobuf")
        assert await response.read() == b""
    headers = {"Content-Type": "application/json", **encoding}
    for plain in (b"{}", json.dumps({"resourceMetrics": [{"resource": None}]}).encode()):
        async with client.post(EXPORT, **body(plain), headers=headers) as response:
            assert (response.status, await response.json()) == (200, {})
    ((_, batch, source),) = operations.calls
    assert (batch.samples[0].value, batch.samples[0].time_ms, source) == (1.5, 5, "otlp")


async def test_points_that_were_left_out_are_a_partial_success(
    client: ClientSession, operations: FakeOperations, telemetry: Telemetry
) -> None:
    request = metrics_request(GAUGE, ODD, EXPONENTIAL).SerializeToString()
    async with client.post(EXPORT, data=request, headers=PROTOBUF) as response:
        assert response.status == 200
        said = ExportMetricsServiceResponse.FromString(await response.read()).partial_success
    assert said.rejected_data_points == 3
    assert "not a metric name" in said.error_message
    assert operations.names() == ["bury", "ingest"]
    assert refused(telemetry, "exponential_histogram") == 2


async def test_a_bomb_is_refused_before_it_is_unpacked(serve: Serve) -> None:
    server = await serve(max_body_bytes=4_096)
    bomb = gzip.compress(b"\x00" * 1_000_000)
    headers = {**PROTOBUF, "Content-Encoding": "gzip"}
    async with ClientSession(f"http://127.0.0.1:{server.port}") as session:
        async with session.post(EXPORT, data=bomb, headers=headers) as response:
            assert response.status == 400
            assert "over 4096 bytes when it is unpacked" in (await response.json())["error"]
        packed = snappy(b"\x00" * 5_000)
        async with session.post(WRITE, data=packed, headers=PACKED) as response:
            assert response.status == 400
            assert "over 4096 bytes when it is unpacked" in (await response.json())["error"]
        for broken in (b"x", gzip.compress(b"abc")[:-3]):
            async with session.post(EXPORT, data=broken, headers=headers) as response:
                assert response.status == 400


async def test_without_the_extra_it_is_said_what_to_install(
    client: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "find_spec", lambda _: None)
    for path, headers in ((WRITE, PACKED), (EXPORT, PROTOBUF)):
        async with client.post(path, data=write_request(UP), headers=headers) as response:
            assert response.status == 501
            assert "install `rollbackd[formats]`" in (await response.json())["error"]
