"""`redisearch_alias`: point an alias of the Redis query engine back at the known good index.

https://redis.io/docs/latest/commands/ft.aliasupdate/
https://redis.io/docs/latest/commands/ft.info/
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

from rollbackd.connections.redis import RedisConnection, Script
from rollbackd.errors import PermanentError
from rollbackd.levers.alias_lever import AliasLever, Holding
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.redis_server import RedisServer
from rollbackd.model.levers import Observation, Op, Target
from rollbackd.ports import TargetMovedError
from rollbackd.settings.redis_endpoint import RedisEndpoint

_SWAP: Final = Script.load(__package__, "redisearch_alias_swap")


class RedisearchAliasSettings(RedisEndpoint, frozen=True, kw_only=True):
    """Which Redis, and where the hash of an index is kept."""

    index_hash_prefix: Annotated[
        str,
        Meta(
            description="An index holds nothing beside documents: the string key of this prefix "
            "and the index's name has its INDEX_HASH."
        ),
    ] = "INDEX_HASH:"
    compare_and_set: Annotated[
        bool,
        Meta(
            description="Compare and move in one script; `false` where the server lets no script "
            "call `FT.*`, as a cluster may."
        ),
    ] = True


class RedisearchAlias(AliasLever):
    """Moves an alias to another index by compare-and-set in the server."""

    Settings: ClassVar[type[msgspec.Struct] | None] = RedisearchAliasSettings
    leads_to: ClassVar[str] = "index"

    def __init__(
        self, name: str, settings: RedisearchAliasSettings, surroundings: Surroundings
    ) -> None:
        super().__init__(name, surroundings)
        self._settings = settings
        self._server = RedisServer(settings, *([_SWAP] if settings.compare_and_set else []))

    async def read(self, target: Target) -> Observation:
        """`{"index": "docs_vA"}`."""
        connection = await self._server.opened()
        # what FT.INFO says of a name that is unknown differs from version to version
        if target.name in await _indices(connection):
            raise PermanentError(f"{target}: `{target.name}` is an index and not an alias")
        try:
            info = await _info(connection, target.name)
        except PermanentError as error:
            raise PermanentError(
                f"{target}: there is no alias `{target.name}`, or it may not be read: {error}"
            ) from None
        return self.value(info["index_name"])

    async def holding(self, name: str) -> Holding | None:
        """The number of documents, once all keys of the index have been read."""
        connection = await self._server.opened()
        if name not in await _indices(connection):
            return None
        info = await _info(connection, name)
        if info.get("indexing", "0") != "0":
            return Holding(documents=None, unready="is still being built")
        if not info.get("num_docs", "").isdecimal():
            raise PermanentError(f"FT.INFO of `{name}` gives no `num_docs`")
        kept = await connection.read("GET", f"{self._settings.index_hash_prefix}{name}")
        return Holding(
            documents=int(info["num_docs"]), index_hash=_text(kept) if kept is not None else ""
        )

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One script, or one `FT.ALIASUPDATE`; an alias has no room for an op id."""
        del op
        connection = await self._server.opened()
        index = str(wanted["index"])
        if not self._settings.compare_and_set:
            await connection.write(("FT.ALIASUPDATE", target.name, index))
            return
        (moved,) = await connection.write(
            _SWAP.call([], target.name, str(now.value["index"]), index)
        )
        if not moved:
            raise TargetMovedError(f"{target} no longer leads to {now.value}")

    async def close(self) -> None:
        """Release the connection."""
        await self._server.close()


async def _indices(connection: RedisConnection) -> set[str]:
    return {_text(each) for each in await connection.read("FT._LIST")}


async def _info(connection: RedisConnection, name: str) -> Mapping[str, str]:
    """The plain fields of an index. Raises PermanentError."""
    reply = await connection.read("FT.INFO", name)
    if not isinstance(reply, list):
        raise PermanentError("FT.INFO answered something odd: not a list")
    pairs = zip(reply[::2], reply[1::2], strict=False)
    info = {_text(key): _text(value) for key, value in pairs if not isinstance(value, list)}
    if not info.get("index_name"):
        raise PermanentError(f"FT.INFO of `{name}` gives no `index_name`")
    return info


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
