"""The ledger of receipts in the Redis of the store.

rollbackd:{service/region}:receipts          HASH key -> its effects (JSON)
rollbackd:{service/region}:receipts_seen     ZSET of the keys by when they were heard of last
rollbackd:{service/region}:receipts_dropped  STRING, until when keys were dropped

A row is merged here and written by compare-and-set: two replicas may hear of one key at once.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, Self

from rollbackd.connections.redis import Argument, RedisConnection, Script
from rollbackd.errors import TemporaryError
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import LedgerChange, LedgerEntry, LedgerPage, Retention
from rollbackd.stores import redis_keys as at
from rollbackd.stores.receipts import (
    CHUNK,
    by_key,
    change_of,
    decode_entries,
    encode_entries,
    extent,
    joined,
)

_PUT: Final = Script.load(__package__, "put_receipts")
#: Times that somebody else may be faster with one of the keys.
_TRIES: Final = 10

#: What was heard of each key of one scope.
_Heard = dict[str, list[LedgerEntry]]


class RedisReceipts:
    """Implements `ports.ReceiptLedger`; shares the connection of the store."""

    def __init__(self, connection: RedisConnection, *, wait_replicas: int) -> None:
        self._connection = connection
        self._wait_replicas = wait_replicas
        self._closed = False

    @classmethod
    async def open(cls, connection: RedisConnection, *, wait_replicas: int = 0) -> Self:
        """Load the script into the server."""
        await connection.use(_PUT)
        return cls(connection, wait_replicas=wait_replicas)

    async def put(
        self, entries: Sequence[LedgerEntry], *, retention: Retention, now_ms: int
    ) -> LedgerChange:
        """See `ports.ReceiptLedger`."""
        scopes = defaultdict[Scope, _Heard](dict)
        for (scope, key), heard in by_key(entries).items():
            scopes[scope][key] = heard
        total = LedgerChange()
        for scope, by_name in scopes.items():
            keys = sorted(by_name)
            for start in range(0, len(keys), CHUNK):
                some = {key: by_name[key] for key in keys[start : start + CHUNK]}
                total = total.plus(await self._put(scope, some, retention, now_ms))
        return total

    async def page(self, scope: Scope, from_ms: int, to_ms: int) -> LedgerPage:
        """See `ports.ReceiptLedger`."""
        keys, dropped = await self._connection.read_many(
            [
                ("ZRANGE", at.of_scope(scope, "receipts_seen"), from_ms, "+inf", "BYSCORE"),
                ("GET", at.of_scope(scope, "receipts_dropped")),
            ]
        )
        found = await self.of_keys(scope, [key.decode() for key in keys])
        first = {entry.key: to_ms + 1 for entry in found}
        for entry in found:
            first[entry.key] = min(first[entry.key], entry.first_ms)
        return LedgerPage(
            entries=[entry for entry in found if first[entry.key] <= to_ms],
            dropped_until_ms=int(float(dropped)) if dropped is not None else None,
        )

    async def of_keys(self, scope: Scope, keys: Sequence[str]) -> list[LedgerEntry]:
        """See `ports.ReceiptLedger`."""
        rows = await self._rows(scope, sorted(set(keys)))
        return [entry for row in rows if row for entry in decode_entries(row)]

    async def close(self) -> None:
        """The connection is closed with its last user. Idempotent."""
        if not self._closed:
            self._closed = True
            await self._connection.release()

    async def _put(
        self, scope: Scope, heard: _Heard, retention: Retention, now_ms: int
    ) -> LedgerChange:
        """Merge and write; those that somebody else has changed meanwhile, again."""
        names = ("receipts", "receipts_seen", "receipts_dropped")
        keys = [at.of_scope(scope, name) for name in names]
        total = LedgerChange()
        for _ in range(_TRIES):
            arguments, written = await self._changes(scope, heard)
            limits = (now_ms - retention.age_ms, retention.keys)
            (reply,) = await self._connection.write(
                _PUT.call(keys, *limits, *arguments), wait_replicas=self._wait_replicas
            )
            moved, expired, surplus = reply
            total = total.plus(LedgerChange(expired=expired, surplus=surplus))
            for index, (_, change) in enumerate(written):
                total = total if index in moved else total.plus(change)
            if not moved:
                return total
            heard = {written[index][0]: heard[written[index][0]] for index in moved}
        raise TemporaryError("receipts are being written by others at the same time")

    async def _changes(
        self, scope: Scope, heard: _Heard
    ) -> tuple[list[Argument], list[tuple[str, LedgerChange]]]:
        """The rows that change, as the script takes them, and their keys with what is new."""
        names = sorted(heard)
        arguments: list[Argument] = []
        written: list[tuple[str, LedgerChange]] = []
        for key, row in zip(names, await self._rows(scope, names), strict=True):
            known = decode_entries(row) if row else []
            after = joined(known, heard[key])
            if after != known:
                arguments += (key, row or b"", encode_entries(after), extent(after)[1])
                written.append((key, change_of(known, after)))
        return arguments, written

    async def _rows(self, scope: Scope, keys: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = []
        for start in range(0, len(keys), CHUNK):
            some = keys[start : start + CHUNK]
            found += await self._connection.read("HMGET", at.of_scope(scope, "receipts"), *some)
        return found
