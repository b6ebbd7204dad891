"""`milvus_alias`: point an alias of Milvus back at the known good collection (requirements S2).

https://milvus.io/docs/manage-aliases.md
"""

import re
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from rollbackd.errors import PermanentError
from rollbackd.levers.alias_lever import AliasLever, Holding, IndexHashKey
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.milvus_api import MilvusApi, MilvusError, missing_packages
from rollbackd.model.levers import Observation, Op, Target
from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.structs import SecretFile, Url

#: `merr.ErrCollectionNotFound`, and the code that servers before 2.3 gave.
_NO_COLLECTION: Final = frozenset({100, 4})
#: `common.LoadState`.
_LOAD_STATES: Final = ("does not exist", "is not loaded", "is still being loaded")
_LOADED: Final = 3


class MilvusAliasSettings(HttpEndpoint, frozen=True, kw_only=True):
    """Which Milvus, and which of its databases."""

    url: Annotated[
        Url,
        Meta(description="Where it answers gRPC, e.g. `https://milvus.example.internal:19530`."),
    ]
    token_file: Annotated[
        SecretFile | None,
        Meta(description="A file with an API key, or with `USER:PASSWORD`; read at each call."),
    ] = None
    database: Annotated[str, Meta(description="The database; empty for the default one.")] = ""
    index_hash_key: IndexHashKey = "INDEX_HASH"

    def __post_init__(self) -> None:
        super().__post_init__()
        if objection := missing_packages():
            raise ValueError(objection)


class MilvusAlias(AliasLever):
    """Moves an alias to another collection in one call."""

    Settings: ClassVar[type[msgspec.Struct] | None] = MilvusAliasSettings
    leads_to: ClassVar[str] = "collection"

    def __init__(
        self, name: str, settings: MilvusAliasSettings, surroundings: Surroundings
    ) -> None:
        super().__init__(name, surroundings)
        self._settings = settings
        self._api = MilvusApi(settings)

    async def read(self, target: Target) -> Observation:
        """`{"collection": "docs_vA"}`."""
        try:
            answer = await self._api.call(
                "DescribeAlias", alias=target.name, db_name=self._settings.database
            )
        except MilvusError as error:
            raise PermanentError(f"{target}: {error}") from None
        if not answer.collection:
            raise PermanentError(f"{target}: Milvus does not say where `{target.name}` leads")
        return self.value(answer.collection)

    async def holding(self, name: str) -> Holding | None:
        """Loaded; the hash is in the properties, or in the description as `INDEX_HASH=...`."""
        named = {"collection_name": name, "db_name": self._settings.database}
        try:
            described = await self._api.call("DescribeCollection", **named)
        except MilvusError as error:
            if error.code in _NO_COLLECTION:
                return None
            raise
        if described.collection_name not in {"", name} or described.schema.name not in {"", name}:
            return None  # it was found by an alias, and no alias can lead to an alias
        state = (await self._api.call("GetLoadState", **named)).state
        if state != _LOADED:
            said = _LOAD_STATES[state] if state < len(_LOAD_STATES) else f"is in state {state}"
            return Holding(documents=None, unready=said)
        answer = await self._api.call("GetCollectionStatistics", **named)
        rows = {each.key: each.value for each in answer.stats}.get("row_count", "")
        if not rows.isdecimal():
            raise PermanentError(f"Milvus gives no `row_count` of `{name}`")
        return Holding(
            documents=int(rows), index_hash=index_hash_of(described, self._settings.index_hash_key)
        )

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One `AlterAlias`. Milvus compares nothing, and has no room for an op id."""
        del now, op
        await self._api.call(
            "AlterAlias",
            alias=target.name,
            collection_name=str(wanted["collection"]),
            db_name=self._settings.database,
        )


def index_hash_of(described: Any, key: str) -> str:
    """The value of a property, or what follows `key=` or `key:` in the description, or empty."""
    properties = {each.key: each.value for each in described.properties}
    if key in properties:
        return str(properties[key])
    pattern = rf"(?:^|[\s,;]){re.escape(key)}[=:]\s*([^\s,;]+)"
    said = re.search(pattern, described.schema.description)
    return said[1] if said is not None else ""
