"""A real server on a real socket, in front of a fake daemon."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from rollbackd.clock import ManualClock
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.http import HttpServer, Limits
from rollbackd.settings import HttpSettings
from rollbackd.telemetry import Telemetry
from tests.http.known_good_desk import FakeDesk
from tests.http.operations import FakeOperations

Serve = Callable[..., Awaitable[HttpServer]]


@pytest.fixture
def operations() -> FakeOperations:
    return FakeOperations()


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(CollectorRegistry())


@pytest.fixture
def mappings() -> dict[str, FieldMapping]:
    """None, unless a test has its own."""
    return {}


@pytest.fixture
async def serve(
    operations: FakeOperations,
    desk: FakeDesk,
    telemetry: Telemetry,
    mappings: dict[str, FieldMapping],
) -> AsyncIterator[Serve]:
    """Starts a server on a free port: `await serve(limits=..., **settings)`."""
    started: list[HttpServer] = []

    async def start(*, limits: Limits | None = None, **settings: Any) -> HttpServer:
        chosen = HttpSettings(**{"port": 0, **settings})
        server = HttpServer(
            chosen,
            operations,
            telemetry,
            ManualClock(),
            last_known=operations,
            known_good=desk,
            mappings=mappings,
            limits=limits,
        )
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.stop()


@pytest.fixture
async def server(serve: Serve) -> HttpServer:
    """On loopback, where nobody has to authenticate."""
    return await serve()


@pytest.fixture
async def client(server: HttpServer) -> AsyncIterator[aiohttp.ClientSession]:
    base = f"http://127.0.0.1:{server.port}"
    async with aiohttp.ClientSession(base) as session:
        yield session


def requests(telemetry: Telemetry, route: str, code: int) -> float:
    """How often the metric counted an answer."""
    labels = {"route": route, "code": str(code)}
    return telemetry.registry.get_sample_value("rollbackd_http_requests_total", labels) or 0.0
