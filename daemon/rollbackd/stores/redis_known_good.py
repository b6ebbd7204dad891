"""Known good sets in the Redis store: a scope's sets lie together, and one script changes them."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from rollbackd.connections.redis import Command, RedisConnection, Script
from rollbackd.model.events import KnownGood
from rollbackd.model.known_good import SETS_KEPT, SetStatus
from rollbackd.model.labels import Scope
from rollbackd.stores import redis_keys as at
from rollbackd.stores.known_good import newest_first, restated
from rollbackd.stores.records import decode, encode

PUT_KNOWN_GOOD: Final = Script.load(__package__, "put_known_good")


class RedisKnownGood:
    """`change` sends commands that change something, and gives the reply to the last one."""

    def __init__(self, connection: RedisConnection, change: Callable[..., Awaitable[Any]]) -> None:
        self._connection = connection
        self._change = change

    async def put(self, known_good: KnownGood) -> KnownGood:
        """See `ports.Store`."""
        await self._change(
            ("SADD", at.SCOPES, str(known_good.scope)),
            ("HSET", at.KNOWN_GOOD_SCOPES, known_good.id, str(known_good.scope)),
        )
        stored = await self._put(known_good, expected=b"")
        assert stored is not None
        if stored.id != known_good.id:
            await self._change(("HDEL", at.KNOWN_GOOD_SCOPES, known_good.id))
        return stored

    async def in_force(self, scope: Scope) -> KnownGood | None:
        """See `ports.Store`."""
        body = await self._connection.read(*_in_force(str(scope)))
        return None if body is None else decode(body, KnownGood)

    async def all_in_force(self) -> list[KnownGood]:
        """See `ports.Store`."""
        commands = [_in_force(scope) for scope in await self._scopes()]
        bodies = await self._connection.read_many(commands)
        return [decode(body, KnownGood) for body in bodies if body is not None]

    async def sets(self, scope: Scope | None, *, limit: int) -> list[KnownGood]:
        """See `ports.Store`."""
        scopes = await self._scopes() if scope is None else [str(scope)]
        bodies = await self._connection.read_many(
            [("HVALS", at.of_scope(each, "known_good_sets")) for each in scopes]
        )
        found = newest_first(decode(body, KnownGood) for each in bodies for body in each)
        return found[: max(0, limit)]

    async def one(self, set_id: str) -> KnownGood | None:
        """See `ports.Store`."""
        body = await self._body(set_id)
        return None if body is None else decode(body, KnownGood)

    async def set_status(
        self, set_id: str, status: SetStatus, *, by: str, now_ms: int
    ) -> KnownGood | None:
        """See `ports.Store`. Whoever is slower tries again on what the faster one left."""
        while (body := await self._body(set_id)) is not None:
            known_good = decode(body, KnownGood)
            current = await self.in_force(known_good.scope)
            in_force = current is not None and current.id == set_id
            changed = restated(known_good, status, by=by, now_ms=now_ms, in_force=in_force)
            if changed is known_good or await self._put(changed, expected=body) == changed:
                return changed
        return None

    async def _scopes(self) -> list[str]:
        members = await self._connection.read("SMEMBERS", at.SCOPES)
        return sorted(member.decode() for member in members)

    async def _body(self, set_id: str) -> bytes | None:
        scope = await self._connection.read("HGET", at.KNOWN_GOOD_SCOPES, set_id)
        if scope is None:
            return None
        key = at.of_scope(scope.decode(), "known_good_sets")
        body: bytes | None = await self._connection.read("HGET", key, set_id)
        return body

    async def _put(self, known_good: KnownGood, *, expected: bytes) -> KnownGood | None:
        good_since = known_good.good_since_ms
        stored, *gone = await self._change(
            PUT_KNOWN_GOOD.call(
                at.of_known_good(known_good.scope),
                known_good.id,
                known_good.recorded_at_ms,
                "" if good_since is None else good_since,
                encode(known_good),
                expected,
                known_good.key,
                SETS_KEPT,
            )
        )
        if gone:
            await self._change(("HDEL", at.KNOWN_GOOD_SCOPES, *gone))
        return decode(stored, KnownGood) if stored else None


def _in_force(scope: str) -> Command:
    return ("HGET", at.of_scope(scope, "known_good"), "body")
