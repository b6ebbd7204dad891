"""Every live guard of the scope says that it runs with the fence, and that no write is under way.

A guard acknowledges a version of the `writes` control once every write that it had let in before
has come out. One that was silent for longer than its lease writes nothing before it has read the
controls again, and reads the fence then; so only those within their lease have to be waited for.
"""

from typing import Final

import msgspec

from rollbackd.connections.redis import RedisConnection
from rollbackd.errors import PermanentError
from rollbackd.guard.keys import ScopeKeys
from rollbackd.guard.view import Token
from rollbackd.model.incidents import Confirmation, Incident

_NAME: Final = "acknowledgements"
#: Clocks that run unevenly: a lease is waited for a tenth longer than it lasts.
_CLOCK_DRIFT: Final = 1.1
#: So many are named in a detail.
_NAMED: Final = 3


class _Params(msgspec.Struct, frozen=True, kw_only=True):
    readers: int = 1


class _Writes(msgspec.Struct, frozen=True, kw_only=True):
    blocked: bool = False


class _Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a guard writes of itself; `controls` holds the token of each control by name."""

    lease_ms: int
    controls: dict[str, str] = {}


class AcknowledgementsProbe:
    """Confirmed when enough guards are live and all of them run with the fence as it stands."""

    def __init__(self, redis: RedisConnection | None) -> None:
        self._redis = redis

    async def ask(self, incident: Incident, params: dict[str, object]) -> Confirmation:
        """Read the acknowledgements once. Raises PermanentError, TemporaryError."""
        if self._redis is None:
            raise PermanentError("the controls are not in Redis, where guards acknowledge them")
        wanted = msgspec.convert(params, _Params).readers
        keys = ScopeKeys(str(incident.scope))
        control = keys.control("writes")
        stands, said, seen, time = await self._redis.read_many(
            [
                ("HMGET", control, "effective", "version", "epoch"),
                ("HGETALL", keys.readers),
                ("ZRANGE", keys.seen, 0, -1, "WITHSCORES"),
                ("TIME",),
            ]
        )
        effective, version, epoch = stands
        if not _blocks(effective):
            return _unconfirmed("the fence does not stand")
        token = str(Token(epoch=int(epoch or 0), version=int(version or 0)))
        now_ms = time[0] * 1000 + time[1] // 1000
        at_ms = dict(zip(seen[::2], map(float, seen[1::2]), strict=True))
        live = _live(said, at_ms, now_ms)
        missing = sorted(name for name, writes in live.items() if writes != token)
        if missing:
            named = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
            return _unconfirmed(f"{len(missing)} of {len(live)} readers do not say so: {named}")
        if len(live) < wanted:
            return _unconfirmed(f"{len(live)} of at least {wanted} readers say so")
        return Confirmation(probe=_NAME, confirmed=True, detail=f"all {len(live)} readers say so")


def _blocks(effective: bytes | None) -> bool:
    try:
        return bool(effective) and msgspec.json.decode(effective or b"{}", type=_Writes).blocked
    except msgspec.MsgspecError:
        return False


def _live(said: dict[bytes, bytes], seen: dict[bytes, float], now_ms: int) -> dict[str, str]:
    """The `writes` token of each reader within its lease; empty for one that cannot be read."""
    live: dict[str, str] = {}
    for reader, text in said.items():
        name = reader.decode(errors="replace")
        try:
            acknowledgement = msgspec.json.decode(text, type=_Acknowledgement)
        except msgspec.MsgspecError:
            live[name] = ""
            continue
        silent_ms = now_ms - seen.get(reader, 0.0)
        if silent_ms <= acknowledgement.lease_ms * _CLOCK_DRIFT:
            live[name] = acknowledgement.controls.get("writes", "")
    return live


def _unconfirmed(because: str) -> Confirmation:
    return Confirmation(probe=_NAME, confirmed=False, detail=because)
