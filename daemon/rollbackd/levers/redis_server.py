"""What the levers on Redis share: one connection, opened by the first call."""

import asyncio

from rollbackd.connections.redis import RedisConnection, Script
from rollbackd.settings.redis_endpoint import RedisEndpoint


class RedisServer:
    """One Redis, with the scripts that a lever runs there. Opens nothing until it is used."""

    def __init__(self, endpoint: RedisEndpoint, *scripts: Script) -> None:
        self._endpoint = endpoint
        self._scripts = scripts
        self._opening = asyncio.Lock()
        self._connection: RedisConnection | None = None

    async def opened(self) -> RedisConnection:
        """The connection. Raises PermanentError and TemporaryError, and then keeps none."""
        async with self._opening:
            if self._connection is None:
                endpoint = self._endpoint
                connection = await RedisConnection.open(
                    endpoint.url,
                    username=endpoint.username,
                    password_file=endpoint.password_file,
                    tls=endpoint.tls(),
                    may_evict=True,
                )
                try:
                    await connection.use(*self._scripts)
                except BaseException:
                    await connection.close()
                    raise
                self._connection = connection
            return self._connection

    async def close(self) -> None:
        """Release the connection. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
