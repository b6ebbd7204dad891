"""A connection to the shared Redis through a proxy that injects faults."""

from collections.abc import AsyncIterator

import pytest

from rollbackd.connections.redis import RedisConnection
from tests.backends import RedisBackend
from tests.services.proxy import FaultProxy
from tests.services.redis import Redis


@pytest.fixture
def backend(redis_server: Redis) -> RedisBackend:
    """An empty database of the shared server."""
    return RedisBackend(redis_server)


@pytest.fixture
async def proxy(backend: RedisBackend) -> AsyncIterator[FaultProxy]:
    """Stands between the adapters and the server."""
    async with FaultProxy(backend.server.address) as running:
        yield running


@pytest.fixture
async def connection(backend: RedisBackend, proxy: FaultProxy) -> AsyncIterator[RedisConnection]:
    """A connection through the proxy."""
    opened = await RedisConnection.open(f"redis://{proxy.address}/{backend.database}")
    yield opened
    await opened.close()
