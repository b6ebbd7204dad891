"""What a store and controls can stand on: a SQLite file, or a database of the run's Redis."""

import itertools
import subprocess
from pathlib import Path
from typing import Protocol

from rollbackd.connections.redis import RedisConnection
from rollbackd.connections.sqlite import Database
from rollbackd.controls.redis import RedisControls
from rollbackd.controls.sqlite import SQLiteControls
from rollbackd.ports import Controls, Store
from rollbackd.stores.receipts_redis import RedisReceipts
from rollbackd.stores.receipts_sqlite import SQLiteReceipts
from rollbackd.stores.redis import RedisStore
from rollbackd.stores.sqlite import SQLiteStore
from tests.services.redis import Redis

#: Databases of the shared Redis that no other suite uses; a Redis has sixteen.
_DATABASES = itertools.cycle(range(8, 16))


class Backend(Protocol):
    """Opens adapters on the same data, as often as wanted."""

    async def store(self) -> Store:
        """A store, which closes what it stands on."""
        ...

    async def controls(self) -> Controls:
        """Controls, which close what they stand on."""
        ...

    async def receipts(self) -> SQLiteReceipts | RedisReceipts:
        """A ledger of receipts, which closes what it stands on."""
        ...


class SQLiteBackend:
    """One file; at most one of its adapters may be open."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def store(self) -> Store:
        return await SQLiteStore.open(await Database.open(self.path))

    async def controls(self) -> Controls:
        return await SQLiteControls.open(await Database.open(self.path))

    async def receipts(self) -> SQLiteReceipts:
        return await SQLiteReceipts.open(await Database.open(self.path))


class RedisBackend:
    """One database, emptied at the start."""

    def __init__(self, server: Redis) -> None:
        self.server = server
        self.database = next(_DATABASES)
        self.url = f"redis://{server.address}/{self.database}"
        redis_cli(server, "-n", str(self.database), "FLUSHDB")

    async def store(self) -> Store:
        return await RedisStore.open(await RedisConnection.open(self.url))

    async def controls(self) -> Controls:
        return await RedisControls.open(await RedisConnection.open(self.url))

    async def receipts(self) -> RedisReceipts:
        return await RedisReceipts.open(await RedisConnection.open(self.url))


def redis_cli(server: Redis, *arguments: str) -> str:
    """What redis-cli prints."""
    result = subprocess.run(
        ["redis-cli", "-p", str(server.port), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return result.stdout.strip()
