"""Two indices behind one alias in a real OpenSearch."""

from typing import ClassVar

from rollbackd.levers.opensearch_write_block import OpenSearchWriteBlockSettings
from tests.levers.external.opensearch_cluster import Cluster
from tests.levers.external.world import Value, World
from tests.services.opensearch import OpenSearch

_KEY = "hunter2-api-key"


class OpenSearchWriteBlockWorld(World):
    """`docs_live` leads to both, and each block is probed."""

    lever_type: ClassVar[str] = "opensearch_write_block"
    needs: ClassVar[tuple[str, ...]] = ("opensearch",)
    name: ClassVar[str] = "docs_live"
    secret: ClassVar[str] = _KEY
    bad: ClassVar[Value] = {"docs_va": False, "docs_vb": False}
    good: ClassVar[Value] = {"docs_va": True, "docs_vb": True}
    other: ClassVar[Value] = {"docs_va": False, "docs_vb": True}
    can_be_empty: ClassVar[bool] = False

    async def start(self) -> None:
        server = self.servers[self.needs[0]]
        assert isinstance(server, OpenSearch)
        self.cluster = Cluster(server)
        await self.cluster.lay()
        await self.cluster.point("docs_live", *self.bad)
        token_file = self.folder / "token"
        token_file.write_text(_KEY)
        address = await self.proxied(server.address)
        self.build(
            OpenSearchWriteBlockSettings(
                url=f"http://{address}", token_file=token_file, several_indices=True, probe=True
            )
        )

    async def put(self, value: Value) -> None:
        for index, blocked in value.items():
            await self.cluster.call("PUT", f"/{index}/_settings", {"index.blocks.write": blocked})

    async def held(self) -> Value:
        found = await self.cluster.call("GET", "/docs_va,docs_vb/_settings?flat_settings=true")
        return {
            index: each["settings"].get("index.blocks.write") == "true"
            for index, each in sorted(found.items())
        }

    async def changes(self) -> int:
        return await self.cluster.versions("settings")

    async def stop(self) -> None:
        await self.put(self.bad)


class ElasticsearchWriteBlockWorld(OpenSearchWriteBlockWorld):
    """The same in a real Elasticsearch."""

    needs: ClassVar[tuple[str, ...]] = ("elasticsearch",)
