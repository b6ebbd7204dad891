"""The effects that guards keep in the Redis of the controls (`rollbackd.guard.effects`)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rollbackd.connections.redis import RedisConnection
from rollbackd.errors import PermanentError
from rollbackd.guard.idempotency import Decision, Receipt, read_receipt
from rollbackd.guard.keys import ScopeKeys
from rollbackd.model.facts import EffectStatus
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import LedgerEntry

#: Effects that are not sealed, of one scope; more of them are no picture any more.
_MOST_OPEN: Final = 100_000
_CHUNK: Final = 500


class GuardEffects:
    """Implements `ports.OpenEffects`. Fences are only read: settling one is its owner's."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    async def entries(self, scope: Scope, keys: Sequence[str]) -> list[LedgerEntry]:
        """See `ports.OpenEffects`."""
        names = ScopeKeys(str(scope))
        leased = await self._redis.read("ZRANGE", names.effects, 0, _MOST_OPEN, "WITHSCORES")
        if len(leased) > 2 * _MOST_OPEN:
            raise PermanentError(f"guards of {scope} have over {_MOST_OPEN} effects in doubt")
        until_ms = {key.decode(): int(until) for key, until in _pairs(leased)}
        wanted = sorted({*until_ms, *keys})
        found: list[LedgerEntry] = []
        for start in range(0, len(wanted), _CHUNK):
            some = wanted[start : start + _CHUNK]
            fences = await self._redis.read_many([("HGETALL", names.effect(key)) for key in some])
            found += [
                _entry(scope, read_receipt(key, Decision.NEW, fields), until_ms.get(key, 0))
                for key, fields in zip(some, map(_fields, fences), strict=True)
                if fields
            ]
        return found


def _entry(scope: Scope, receipt: Receipt, leased_until_ms: int) -> LedgerEntry:
    """An effect under way is fresh until its lease has passed."""
    times = (receipt.started_at_ms, receipt.sealed_at_ms, leased_until_ms)
    return LedgerEntry(
        scope=scope,
        key=receipt.idempotency_key,
        effect_id=receipt.effect_id,
        status=EffectStatus(receipt.status.value),
        first_ms=receipt.started_at_ms or max(times),
        last_ms=max(times),
    )


def _pairs(flat: Any) -> list[tuple[bytes, Any]]:
    if flat and isinstance(flat[0], tuple | list):
        return [(key, score) for key, score in flat]
    return list(zip(flat[::2], map(float, flat[1::2]), strict=True))


def _fields(flat: Any) -> Mapping[bytes, bytes]:
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
