"""An alias in a real Redis query engine."""

from typing import Any, ClassVar

import redis.asyncio

from rollbackd.levers.redisearch_alias import RedisearchAliasSettings
from tests.levers.external.world import Value, World
from tests.services.polling import eventually
from tests.services.redisearch import Redisearch

_PASSWORD = "hunter2-redisearch"


class RedisearchAliasWorld(World):
    """`docs_live`, moved by an ACL user who may do only what the page says."""

    lever_type: ClassVar[str] = "redisearch_alias"
    needs: ClassVar[tuple[str, ...]] = ("redisearch",)
    name: ClassVar[str] = "docs_live"
    secret: ClassVar[str] = _PASSWORD
    bad: ClassVar[Value] = {"index": "docs_vB"}
    good: ClassVar[Value] = {"index": "docs_vA"}
    other: ClassVar[Value] = {"index": "docs_vC"}
    facts: ClassVar[Value] = {"documents": 2, "index_hash": "a1"}

    async def start(self) -> None:
        server = self.servers["redisearch"]
        assert isinstance(server, Redisearch)
        self.client = redis.asyncio.Redis.from_url(server.url, protocol=2)
        await self.client.flushall()
        for index in ("docs_vA", "docs_vB", "docs_vC"):
            await self.call("FT.CREATE", index, "PREFIX", 1, f"{index}:", "SCHEMA", "t", "TEXT")
            for number in range(2):
                await self.call("HSET", f"{index}:{number}", "t", "text")
        await self.call("SET", "INDEX_HASH:docs_vA", "a1")
        await self.call(
            *("ACL", "SETUSER", "lever", "on", f">{_PASSWORD}", "resetkeys", "~docs_*"),
            "%R~INDEX_HASH:*",
            *("nocommands", "+ping", "+client|setname", "+client|setinfo", "+get"),
            *("+evalsha", "+script|load", "+ft._list", "+ft.info", "+ft.aliasupdate"),
        )
        await self.put(self.bad)
        await eventually(self._counts, within_seconds=10)
        password_file = self.folder / "password"
        password_file.write_text(_PASSWORD)
        address = await self.proxied(server.address)
        self.build(
            RedisearchAliasSettings(
                url=f"redis://{address}/0", username="lever", password_file=password_file
            )
        )

    async def call(self, *command: Any) -> Any:
        return await self.client.execute_command(*command)

    async def put(self, value: Value) -> None:
        await self.call("FT.ALIASUPDATE", "docs_live", str(value["index"]))

    async def held(self) -> Value:
        return {"index": (await self.info("docs_live"))[b"index_name"].decode()}

    async def info(self, name: str) -> dict[bytes, Any]:
        found = await self.call("FT.INFO", name)
        return dict(zip(found[::2], found[1::2], strict=True))

    async def empty(self) -> None:
        await self.call("DEL", "docs_vA:0", "docs_vA:1")

    async def changes(self) -> int:
        found = await self.client.info("commandstats")
        return int({k.lower(): v for k, v in found.items()}["cmdstat_ft.aliasupdate"]["calls"])

    async def stop(self) -> None:
        await self.client.aclose()

    async def _counts(self) -> bool:
        return int((await self.info("docs_vA"))[b"num_docs"]) == 2
