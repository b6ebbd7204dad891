"""A Redis server with an append-only file."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.services.processes import HOST, ServerProcess


class Redis(ServerProcess):
    """One `redis-server`; what it acknowledged survives `kill`.

    `options` are more arguments of redis-server, such as `--replicaof HOST PORT`.
    """

    name = "redis-server"

    def __init__(self, directory: Path, *, options: Sequence[str] = ()) -> None:
        super().__init__(directory)
        self.options = options

    @property
    def url(self) -> str:
        """What `redis.asyncio.from_url` takes."""
        return f"redis://{self.address}/0"

    def command(self) -> Sequence[str | Path]:
        return [
            *("redis-server", "--port", str(self.port), "--bind", HOST),
            *("--dir", self.directory, "--save", "", "--appendonly", "yes"),
            *("--maxmemory-policy", "noeviction"),
            *self.options,
        ]

    async def answers(self) -> bool:
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        finally:
            writer.close()
