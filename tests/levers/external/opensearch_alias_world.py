"""An alias in a real OpenSearch."""

from typing import Any, ClassVar

from rollbackd.levers.opensearch_alias import OpenSearchAliasSettings
from tests.levers.external.opensearch_cluster import DOCUMENTS, HASHES, Cluster
from tests.levers.external.world import Value, World
from tests.services.opensearch import OpenSearch

_PASSWORD = "hunter2-opensearch"
#: What the alias says of each index that it leads to.
OPTIONS: dict[str, Any] = {
    "filter": {"term": {"tenant": "one"}},
    "index_routing": "1",
    "search_routing": "1",
    "is_write_index": True,
}


class OpenSearchAliasWorld(World):
    """`docs_live`, the write index of which has a filter and a routing."""

    lever_type: ClassVar[str] = "opensearch_alias"
    needs: ClassVar[tuple[str, ...]] = ("opensearch",)
    name: ClassVar[str] = "docs_live"
    secret: ClassVar[str] = _PASSWORD
    bad: ClassVar[Value] = {"index": "docs_vb"}
    good: ClassVar[Value] = {"index": "docs_va"}
    other: ClassVar[Value] = {"index": "docs_vc"}
    facts: ClassVar[Value] = {"documents": DOCUMENTS, "index_hash": HASHES["docs_va"]}

    async def start(self) -> None:
        server = self.servers[self.needs[0]]
        assert isinstance(server, OpenSearch)
        self.cluster = Cluster(server)
        await self.cluster.lay()
        await self.put(self.bad)
        password_file = self.folder / "password"
        password_file.write_text(_PASSWORD)
        address = await self.proxied(server.address)
        self.build(
            OpenSearchAliasSettings(
                url=f"http://{address}", username="lever", password_file=password_file
            )
        )

    async def put(self, value: Value) -> None:
        await self.cluster.point("docs_live", str(value["index"]), **OPTIONS)

    async def held(self) -> Value:
        (index, options) = next(iter((await self.cluster.held("docs_live")).items()))
        assert options == OPTIONS
        return {"index": index}

    async def empty(self) -> None:
        await self.cluster.call("DELETE", "/docs_va")
        await self.cluster.create("docs_va")

    async def changes(self) -> int:
        return await self.cluster.versions("aliases")

    async def stop(self) -> None:
        """The server is lent."""


class ElasticsearchAliasWorld(OpenSearchAliasWorld):
    """The same in a real Elasticsearch."""

    needs: ClassVar[tuple[str, ...]] = ("elasticsearch",)
