"""Indices and aliases in a real OpenSearch, set up by hand."""

from typing import Any, Final

from tests.services.opensearch import OpenSearch

#: Documents that each index holds.
DOCUMENTS: Final = 2
HASHES: Final = {"docs_va": "a1", "docs_vb": "b2", "docs_vc": "c3"}


class Cluster:
    """`docs_va`, `docs_vb` and `docs_vc`, with two documents each, and no aliases."""

    def __init__(self, server: OpenSearch) -> None:
        self.call = server.call

    async def lay(self) -> None:
        """Make what is missing, and take away what another test left."""
        found = await self.call("GET", "/_alias")
        for index in HASHES:
            if index not in found:
                await self.create(index)
            for alias in found.get(index, {"aliases": {}})["aliases"]:
                await self.call("DELETE", f"/{index}/_alias/{alias}")
            await self.call("PUT", f"/{index}/_settings", {"index.blocks.write": None})
            if (await self.call("GET", f"/{index}/_count"))["count"] != DOCUMENTS:
                await self.fill(index)

    async def create(self, index: str) -> None:
        """An index with its hash and no documents."""
        await self.call(
            "PUT",
            f"/{index}",
            {
                "settings": {"number_of_shards": 1, "number_of_replicas": 0},
                "mappings": {"_meta": {"INDEX_HASH": HASHES[index]}},
            },
        )

    async def fill(self, index: str) -> None:
        """The documents."""
        for number in range(DOCUMENTS):
            await self.call("PUT", f"/{index}/_doc/{number}?refresh=true", {"n": number})

    async def held(self, alias: str) -> dict[str, dict[str, Any]]:
        """What an alias leads to, with what it says of each index."""
        found = await self.call("GET", "/_alias")
        return {
            index: each["aliases"][alias]
            for index, each in found.items()
            if alias in each["aliases"]
        }

    async def point(self, alias: str, *indices: str, **options: Any) -> None:
        """Let an alias lead there and nowhere else."""
        remove = [{"remove": {"index": each, "alias": alias}} for each in await self.held(alias)]
        add = [{"add": {"index": each, "alias": alias, **options}} for each in indices]
        await self.call("POST", "/_aliases", {"actions": [*remove, *add]})

    async def versions(self, kind: str) -> int:
        """How often the `aliases` or the `settings` of the indices were changed."""
        path = f"/_cluster/state/metadata?filter_path=metadata.indices.docs_*.{kind}_version"
        found = (await self.call("GET", path))["metadata"]["indices"]
        return sum(each[f"{kind}_version"] for each in found.values())
