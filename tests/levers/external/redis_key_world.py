"""A pointer in a real Redis."""

from typing import ClassVar

import redis.asyncio

from rollbackd.levers.redis_key import RedisKeySettings
from tests.levers.external.world import Value, World
from tests.services.redis import Redis

_PASSWORD = "hunter2-redis"


class RedisKeyWorld(World):
    """`INDEX_PTR` under a prefix, read by an ACL user with a password."""

    lever_type: ClassVar[str] = "redis_key"
    needs: ClassVar[tuple[str, ...]] = ("redis_server",)
    name: ClassVar[str] = "INDEX_PTR"
    secret: ClassVar[str] = _PASSWORD
    bad: ClassVar[Value] = {"value": "docs_vB"}
    good: ClassVar[Value] = {"value": "docs_vA"}
    other: ClassVar[Value] = {"value": "docs_vC"}
    can_be_empty: ClassVar[bool] = False

    async def start(self) -> None:
        server = self.servers["redis_server"]
        assert isinstance(server, Redis)
        self._client = redis.asyncio.Redis.from_url(server.url)
        await self._client.execute_command(
            "ACL", "SETUSER", "lever", "on", f">{_PASSWORD}", "~rag:*", "+@all"
        )
        await self.put(self.bad)
        password_file = self.folder / "password"
        password_file.write_text(_PASSWORD)
        address = await self.proxied(server.address)
        self.build(
            RedisKeySettings(
                url=f"redis://{address}/0",
                username="lever",
                password_file=password_file,
                prefix="rag:",
            )
        )

    async def put(self, value: Value) -> None:
        await self._client.set("rag:INDEX_PTR", str(value["value"]))

    async def held(self) -> Value:
        found = await self._client.get("rag:INDEX_PTR")
        return {"value": found.decode()}

    async def stop(self) -> None:
        await self._client.aclose()
