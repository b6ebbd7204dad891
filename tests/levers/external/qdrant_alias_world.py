"""An alias in a faithful Qdrant: no registry has a server."""

from typing import ClassVar

from rollbackd.levers.qdrant_alias import QdrantAliasSettings
from tests.levers.external.qdrant_server import QdrantServer
from tests.levers.external.world import Value, World

_KEY = "hunter2-qdrant"


class QdrantAliasWorld(World):
    """`docs_live`, moved with an API key."""

    lever_type: ClassVar[str] = "qdrant_alias"
    name: ClassVar[str] = "docs_live"
    secret: ClassVar[str] = _KEY
    bad: ClassVar[Value] = {"collection": "docs_vB"}
    good: ClassVar[Value] = {"collection": "docs_vA"}
    other: ClassVar[Value] = {"collection": "docs_vC"}
    facts: ClassVar[Value] = {"documents": 2, "index_hash": "a1"}

    async def start(self) -> None:
        self.server = QdrantServer(_KEY)
        for name in ("docs_vA", "docs_vB", "docs_vC"):
            self.server.collections[name] = {
                "points": 2,
                "status": "green",
                "metadata": {"INDEX_HASH": "a1"},
            }
        await self.put(self.bad)
        token_file = self.folder / "token"
        token_file.write_text(_KEY)
        address = await self.proxied(await self.server.start())
        self.build(QdrantAliasSettings(url=f"http://{address}", token_file=token_file))

    async def put(self, value: Value) -> None:
        self.server.aliases["docs_live"] = str(value["collection"])

    async def held(self) -> Value:
        return {"collection": self.server.aliases["docs_live"]}

    async def empty(self) -> None:
        self.server.collections["docs_vA"]["points"] = 0

    async def changes(self) -> int:
        return self.server.changes

    async def stop(self) -> None:
        await self.server.stop()
