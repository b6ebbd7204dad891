"""1,000 bodies on each path that takes one: an answer, never a defect, never a lost connection."""

import asyncio
import json
import logging
from collections.abc import Iterator

import aiohttp
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from rollbackd.clock import ManualClock
from rollbackd.http import HttpServer
from rollbackd.settings import HttpSettings
from rollbackd.telemetry import Telemetry
from tests.http.known_good_desk import FakeDesk
from tests.http.operations import FakeOperations

KEYS = [
    "alerts", "labels", "status", "startsAt", "endsAt", "fingerprint", "truncatedAlerts",
    "event", "ts", "service", "region", "arm", "values", "pins", "code", "baseline", "controls",
    "branch", "scope", "reason", "decision", "value", "canary_weight", "context", "targetingKey",
]  # fmt: skip
WORDS = [
    "firing", "resolved", "2026-11-22T20:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "rag/eu-1", "restore", "abort", "baseline.pinned", "answer.served", "\x00", "é", "\U0001f600",
]  # fmt: skip

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=6)
    ),
    max_leaves=12,
)
as_json = values.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
truncated = st.tuples(as_json, st.integers(0, 40)).map(lambda t: t[0][: -t[1] or None])
mixed = st.lists(as_json, max_size=4).map(b"\n".join)
bodies = st.binary(max_size=200) | as_json | truncated | mixed

PATHS = [
    ("POST", "/api/v1/alertmanager"),
    ("POST", "/api/v1/events"),
    ("POST", "/api/v1/incidents"),
    ("POST", "/api/v1/incidents/inc-1/decision"),
    ("POST", "/api/v1/pause"),
    ("POST", "/api/v1/unlatch"),
    ("POST", "/api/v1/resume"),
    ("POST", "/-/reload"),
    ("POST", "/api/v1/pins"),
    ("PUT", "/api/v1/controls/rag/eu/flag"),
    ("POST", "/ofrep/v1/evaluate/flags/degrade"),
    ("POST", "/ofrep/v1/evaluate/flags"),
]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_no_body_is_a_defect(
    runner: asyncio.Runner, caplog: pytest.LogCaptureFixture, method: str, path: str
) -> None:
    caplog.set_level(logging.WARNING)
    # a reader of flags takes a 5xx for "do as your code says"
    allowed = {200, 400} if path.startswith("/ofrep") else {200, 201, 400, 503}
    server = HttpServer(
        HttpSettings(port=0),
        FakeOperations(),
        Telemetry(CollectorRegistry()),
        ManualClock(),
        last_known=FakeOperations(),
        known_good=FakeDesk(),
    )

    async def post(session: aiohttp.ClientSession, body: bytes) -> int:
        headers = {"Content-Type": "application/json"}
        async with session.request(method, path, data=body, headers=headers) as response:
            json.loads(await response.read())
            return response.status

    async def connect() -> aiohttp.ClientSession:
        await server.start()
        return aiohttp.ClientSession(f"http://127.0.0.1:{server.port}")

    session = runner.run(connect())

    @settings(
        max_examples=300,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(body=bodies)
    def check(body: bytes) -> None:
        assert runner.run(post(session, body)) in allowed

    try:
        check()
    finally:
        runner.run(session.close())
        runner.run(server.stop())
    assert caplog.records == []
