"""Calls on a connection that are bound to fail, or to work again."""

import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rollbackd.connections.redis import RedisConnection
from rollbackd.errors import TemporaryError
from tests.services.polling import eventually

#: The two seconds that a call may take, and some for a busy machine.
SOON = 2.6


@asynccontextmanager
async def opened(
    url: str, **options: str | Path | ssl.SSLContext
) -> AsyncIterator[RedisConnection]:
    """A connection for the length of a block."""
    connection = await RedisConnection.open(url, **options)  # type: ignore[arg-type]
    try:
        yield connection
    finally:
        await connection.close()


async def fails_soon(call: Awaitable[object]) -> TemporaryError:
    """The TemporaryError that the call raises in time."""
    began = time.monotonic()
    with pytest.raises(TemporaryError) as caught:
        await call
    assert time.monotonic() - began < SOON
    return caught.value


async def recovers(call: Callable[[], Awaitable[None]]) -> None:
    """Returns once the same object works again."""

    async def works() -> bool:
        try:
            await call()
        except TemporaryError:
            return False
        return True

    await eventually(works, within_seconds=10)
