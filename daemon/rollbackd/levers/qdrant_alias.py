"""`qdrant_alias`: point an alias of Qdrant back at the known good collection (requirements S2).

https://api.qdrant.tech/api-reference/aliases/update-aliases
https://qdrant.tech/documentation/concepts/collections/#collection-aliases
"""

from typing import Any, ClassVar, Final
from urllib.parse import quote

import msgspec

from rollbackd.connections.http import HttpApi
from rollbackd.errors import PermanentError
from rollbackd.levers.alias_lever import AliasLever, Holding, IndexHashKey
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.reading import decoded
from rollbackd.model.levers import Observation, Op, Target
from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.secrets import Secret

#: Searches are answered: idle, optimizing, and waiting for an update that resumes optimizing.
_SEARCHABLE: Final = frozenset({"green", "yellow", "grey"})


class QdrantAliasSettings(HttpEndpoint, frozen=True, kw_only=True):
    """Which Qdrant. The token is sent in the header `api-key`."""

    index_hash_key: IndexHashKey = "INDEX_HASH"


class _Alias(msgspec.Struct, frozen=True):
    alias_name: str
    collection_name: str


class _Aliases(msgspec.Struct, frozen=True):
    aliases: list[_Alias]


class _AliasesAnswer(msgspec.Struct, frozen=True):
    result: _Aliases


class _Config(msgspec.Struct, frozen=True):
    metadata: dict[str, Any] | None = None


class _Collection(msgspec.Struct, frozen=True):
    status: str
    config: _Config = _Config()


class _CollectionAnswer(msgspec.Struct, frozen=True):
    result: _Collection


class _Count(msgspec.Struct, frozen=True):
    count: int


class _CountAnswer(msgspec.Struct, frozen=True):
    result: _Count


class QdrantApi(HttpApi):
    """Sends the key as Qdrant wants it."""

    def authorization(self, secret: Secret | None) -> dict[str, str]:
        """`api-key`."""
        return {} if secret is None else {"api-key": secret.reveal()}


class QdrantAlias(AliasLever):
    """Moves an alias to another collection in one atomic call."""

    Settings: ClassVar[type[msgspec.Struct] | None] = QdrantAliasSettings
    leads_to: ClassVar[str] = "collection"

    def __init__(
        self, name: str, settings: QdrantAliasSettings, surroundings: Surroundings
    ) -> None:
        super().__init__(name, surroundings)
        self._settings = settings
        self._api = QdrantApi(settings)

    async def read(self, target: Target) -> Observation:
        """`{"collection": "docs_vA"}`."""
        aliases = await self._aliases()
        if target.name not in aliases:
            raise PermanentError(f"{target}: Qdrant has no alias `{target.name}`")
        return self.value(aliases[target.name])

    async def holding(self, name: str) -> Holding | None:
        """The exact number of points, and the metadata that Qdrant 1.16 and later keep."""
        path = f"/collections/{quote(name, safe='')}"
        answer = await self._api.call("GET", path, allowed=(404,))
        # a collection is found by an alias too, and no alias can lead to an alias
        if answer.status == 404 or name in await self._aliases():
            return None
        found = decoded(answer, _CollectionAnswer, f"Qdrant, asked for `{name}`,").result
        if found.status not in _SEARCHABLE:
            return Holding(documents=None, unready=f"is {found.status[:40]}")
        answer = await self._api.call("POST", f"{path}/points/count", json={"exact": True})
        counted = decoded(answer, _CountAnswer, f"Qdrant, asked to count `{name}`,").result
        index_hash = (found.config.metadata or {}).get(self._settings.index_hash_key, "")
        return Holding(documents=counted.count, index_hash=str(index_hash))

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One list of one action: `create_alias` takes the place of what the alias led to.

        Qdrant compares nothing, and has no room for an op id. A `delete_alias` before it, as its
        guide shows, would leave no alias behind when the collection is gone by then: many versions
        carry out one action of a list after the other and take none back.
        """
        del now, op
        create = {"collection_name": wanted["collection"], "alias_name": target.name}
        await self._api.call(
            "POST", "/collections/aliases", json={"actions": [{"create_alias": create}]}
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _aliases(self) -> dict[str, str]:
        answer = await self._api.call("GET", "/aliases")
        found = decoded(answer, _AliasesAnswer, "Qdrant, asked for its aliases,").result.aliases
        return {each.alias_name: each.collection_name for each in found}
