"""Every live guard of the scope says that it runs with the fence, and that nothing is under way.

A guard acknowledges a version of the `writes` control once every write that it had let in before
has come out, and one of the `consumers` control once every turn of a consumer has ended. One that
was silent for longer than its lease lets in nothing that is not idempotent before it has read the
controls again, and reads the fence then; so only those within their lease have to be waited for.
One that is cut off goes on with idempotent writes, also under a fence of scope `all`; the detail
says so.
"""

from typing import Final, Literal

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
    control: Literal["writes", "consumers"] = "writes"


class _Fence(msgspec.Struct, frozen=True, kw_only=True):
    """What either control says; the other's fields are as if nothing stood still."""

    blocked: bool = False
    scope: str = ""
    paused: bool = False
    groups: tuple[str, ...] = ()


class _Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a guard writes of itself; `controls` holds the token of each control by name.

    `groups` are the Kafka consumer groups that it has consumed for.
    """

    lease_ms: int
    controls: dict[str, str] = {}
    groups: tuple[str, ...] = ()


class AcknowledgementsProbe:
    """Confirmed when enough guards are live and all of them run with the fence as it stands."""

    def __init__(self, redis: RedisConnection | None) -> None:
        self._redis = redis

    async def ask(self, incident: Incident, params: dict[str, object]) -> Confirmation:
        """Read the acknowledgements once. Raises PermanentError, TemporaryError."""
        if self._redis is None:
            raise PermanentError("the controls are not in Redis, where guards acknowledge them")
        wanted = msgspec.convert(params, _Params)
        keys = ScopeKeys(str(incident.scope))
        control = keys.control(wanted.control)
        stands, said, seen, time = await self._redis.read_many(
            [
                ("HMGET", control, "effective", "version", "epoch"),
                ("HGETALL", keys.readers),
                ("ZRANGE", keys.seen, 0, -1, "WITHSCORES"),
                ("TIME",),
            ]
        )
        effective, version, epoch = stands
        fence = _fence(effective)
        if not (fence.blocked if wanted.control == "writes" else fence.paused):
            return _unconfirmed("the fence does not stand")
        token = str(Token(epoch=int(epoch or 0), version=int(version or 0)))
        now_ms = time[0] * 1000 + time[1] // 1000
        at_ms = dict(zip(seen[::2], map(float, seen[1::2]), strict=True))
        live = _live(said, at_ms, now_ms)
        missing = sorted(
            name for name, each in live.items() if each.controls.get(wanted.control) != token
        )
        if missing:
            named = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
            return _unconfirmed(f"{len(missing)} of {len(live)} readers do not say so: {named}")
        count, whom = len(live), "readers"
        if wanted.control == "consumers":
            count, whom = _fewest(live, fence.groups)
        if count < wanted.readers:
            return _unconfirmed(f"{count} of at least {wanted.readers} {whom} say so")
        detail = f"all {count} {whom} say so"
        open_to_some = wanted.control == "writes" and fence.scope != "non_idempotent"
        if open_to_some and (lapsed := len(said) - len(live)):
            detail += f"; {lapsed} that ended or are cut off might go on with idempotent writes"
        return Confirmation(probe=_NAME, confirmed=True, detail=detail)


def _fence(effective: bytes | None) -> _Fence:
    try:
        return msgspec.json.decode(effective or b"{}", type=_Fence)
    except msgspec.MsgspecError:
        return _Fence()


def _fewest(live: dict[str, _Acknowledgement], groups: tuple[str, ...]) -> tuple[int, str]:
    """How many consume for the group that the fewest consume for: a mistyped one has none."""
    if not groups:
        return sum(bool(each.groups) for each in live.values()), "consumers"
    counts = [(sum(name in each.groups for each in live.values()), name) for name in groups]
    count, name = min(counts)
    return count, f"consumers of `{name}`"


def _live(
    said: dict[bytes, bytes], seen: dict[bytes, float], now_ms: int
) -> dict[str, _Acknowledgement]:
    """What each reader within its lease says; nothing for one that cannot be read."""
    live: dict[str, _Acknowledgement] = {}
    for reader, text in said.items():
        name = reader.decode(errors="replace")
        try:
            acknowledgement = msgspec.json.decode(text, type=_Acknowledgement)
        except msgspec.MsgspecError:
            live[name] = _Acknowledgement(lease_ms=0)
            continue
        silent_ms = now_ms - seen.get(reader, 0.0)
        if silent_ms <= acknowledgement.lease_ms * _CLOCK_DRIFT:
            live[name] = acknowledgement
    return live


def _unconfirmed(because: str) -> Confirmation:
    return Confirmation(probe=_NAME, confirmed=False, detail=because)
