"""An alias in a real Milvus, which is milvus-lite."""

import asyncio
import contextlib
from typing import Any, ClassVar

from rollbackd.levers.milvus_alias import MilvusAliasSettings
from tests.levers.external.world import Value, World
from tests.services.milvus import Milvus

_TOKEN = "hunter2:milvus"


class MilvusAliasWorld(World):
    """`docs_live`, before which stands a proxy that counts nothing of gRPC."""

    lever_type: ClassVar[str] = "milvus_alias"
    needs: ClassVar[tuple[str, ...]] = ("milvus",)
    name: ClassVar[str] = "docs_live"
    secret: ClassVar[str] = _TOKEN
    bad: ClassVar[Value] = {"collection": "docs_vB"}
    good: ClassVar[Value] = {"collection": "docs_vA"}
    other: ClassVar[Value] = {"collection": "docs_vC"}
    facts: ClassVar[Value] = {"documents": 2, "index_hash": "a1"}

    async def start(self) -> None:
        server = self.servers["milvus"]
        assert isinstance(server, Milvus)
        self.client = await asyncio.to_thread(_client, server.uri)
        await asyncio.to_thread(self._lay)
        token_file = self.folder / "token"
        token_file.write_text(_TOKEN)
        address = await self.proxied(server.address)
        self.build(MilvusAliasSettings(url=f"http://{address}", token_file=token_file))

    async def put(self, value: Value) -> None:
        await asyncio.to_thread(self.client.alter_alias, str(value["collection"]), "docs_live")

    async def held(self) -> Value:
        found = await asyncio.to_thread(self.client.describe_alias, "docs_live")
        return {"collection": found["collection_name"]}

    async def empty(self) -> None:
        await asyncio.to_thread(self.client.delete, "docs_vA", ids=[0, 1])
        await asyncio.to_thread(self.client.flush, "docs_vA")

    async def stop(self) -> None:
        await asyncio.to_thread(self.client.close)

    def _lay(self) -> None:
        for name in ("docs_vA", "docs_vB", "docs_vC"):
            if not self.client.has_collection(name):
                self.client.create_collection(name, dimension=2)
                self.client.alter_collection_properties(name, {"INDEX_HASH": "a1"})
            if self.client.get_collection_stats(name)["row_count"] != 2:
                rows = [{"id": number, "vector": [1.0, 0.0]} for number in range(2)]
                self.client.upsert(name, rows)
                self.client.flush(name)
            self.client.load_collection(name)
        known = any(
            "docs_live" in self.client.list_aliases(name)["aliases"]
            for name in ("docs_vA", "docs_vB", "docs_vC")
        )
        point = self.client.alter_alias if known else self.client.create_alias
        point("docs_vB", "docs_live")


def _client(uri: str) -> Any:
    """Made in a thread, since importing pymilvus takes half a second."""
    from pymilvus import MilvusClient, MilvusException  # noqa: PLC0415

    for _ in range(5):
        # a server that is busy takes the client's keepalives for too many pings
        with contextlib.suppress(MilvusException):
            return MilvusClient(uri, timeout=20)
    return MilvusClient(uri, timeout=20)
