"""`redis_key`: point a plain Redis key, such as `INDEX_PTR`, back at the known good value."""

from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

from rollbackd.connections.redis import Script
from rollbackd.errors import PermanentError
from rollbackd.levers.external_lever import ExternalLever, version_of
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.redis_server import RedisServer
from rollbackd.model.levers import Observation, Op, Target
from rollbackd.ports import TargetMovedError
from rollbackd.settings.redis_endpoint import RedisEndpoint

_SWAP: Final = Script.load(__package__, "redis_key_swap")


class RedisKeySettings(RedisEndpoint, frozen=True, kw_only=True):
    """Which Redis, and where its pointers are."""

    prefix: Annotated[str, Meta(description="Put before the name that the tree gives.")] = ""


class RedisKey(ExternalLever):
    """Sets one string key by compare-and-set in the server, and keeps its time to live."""

    Settings: ClassVar[type[msgspec.Struct] | None] = RedisKeySettings

    def __init__(self, name: str, settings: RedisKeySettings, surroundings: Surroundings) -> None:
        super().__init__(name, surroundings)
        self._settings = settings
        self._server = RedisServer(settings, _SWAP)

    async def observe(self, target: Target) -> Observation:
        """`{"value": "docs_vA"}`."""
        connection = await self._server.opened()
        found: bytes | None = await connection.read("GET", self._key(target))
        if found is None:
            raise PermanentError(f"{target}: there is no key `{self._key(target)}`")
        value: dict[str, object] = {"value": found.decode(errors="replace")}
        return Observation(value=value, version=version_of(value))

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One script: compare, then set."""
        del op  # a plain key has no room for it
        connection = await self._server.opened()
        call = _SWAP.call([self._key(target)], str(now.value["value"]), str(wanted["value"]))
        (swapped,) = await connection.write(call)
        if not swapped:
            raise TargetMovedError(f"{target} no longer holds {now.value}")

    async def close(self) -> None:
        """Release the connection."""
        await self._server.close()

    def _key(self, target: Target) -> str:
        return f"{self._settings.prefix}{target.name}"
