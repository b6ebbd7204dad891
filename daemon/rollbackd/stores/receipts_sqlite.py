"""The ledger of receipts in the SQLite file of the store."""

import sqlite3
from collections.abc import Sequence
from typing import Final, Self

from rollbackd.connections.sqlite import Database
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import LedgerChange, LedgerEntry, LedgerPage, Retention
from rollbackd.stores.receipts import (
    CHUNK,
    by_key,
    change_of,
    decode_entries,
    encode_entries,
    extent,
    joined,
)

_MIGRATIONS: Final = (
    (
        # body: the entries of the key, as JSON; last_ms: the newest word on any of them.
        """
        CREATE TABLE receipts (
          scope TEXT NOT NULL,
          key TEXT NOT NULL,
          first_ms INTEGER NOT NULL,
          last_ms INTEGER NOT NULL,
          body BLOB NOT NULL,
          PRIMARY KEY (scope, key)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX receipts_by_age ON receipts (scope, last_ms)",
        # keys: how many the scope has, so that nobody has to count them.
        """
        CREATE TABLE receipt_scopes (
          scope TEXT PRIMARY KEY,
          keys INTEGER NOT NULL,
          dropped_until_ms INTEGER
        ) STRICT
        """,
    ),
)
_PAGE: Final = (
    "SELECT body FROM receipts WHERE scope = ? AND last_ms >= ? AND first_ms <= ? ORDER BY key"
)
_PUT: Final = (
    "INSERT INTO receipts VALUES (?, ?, ?, ?, ?) ON CONFLICT (scope, key) DO UPDATE"
    " SET first_ms = excluded.first_ms, last_ms = excluded.last_ms, body = excluded.body"
)
_OLDEST: Final = "SELECT key, last_ms FROM receipts WHERE scope = ? ORDER BY last_ms, key LIMIT ?"
_COUNT: Final = (
    "INSERT INTO receipt_scopes VALUES (?, ?, NULL)"
    " ON CONFLICT (scope) DO UPDATE SET keys = keys + excluded.keys RETURNING keys"
)
_DROPPED: Final = (
    "UPDATE receipt_scopes SET keys = keys - ?,"
    " dropped_until_ms = max(coalesce(dropped_until_ms, 0), ?) WHERE scope = ?"
)


class SQLiteReceipts:
    """Implements `ports.ReceiptLedger`; shares its Database with whatever else is in the file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closed = False

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Create the tables where they are missing."""
        await database.use("receipts", _MIGRATIONS)
        return cls(database)

    async def put(
        self, entries: Sequence[LedgerEntry], *, retention: Retention, now_ms: int
    ) -> LedgerChange:
        """See `ports.ReceiptLedger`."""
        if not entries:
            return LedgerChange()
        return await self._database.run(
            lambda connection: _put(connection, entries, retention, now_ms)
        )

    async def page(self, scope: Scope, from_ms: int, to_ms: int) -> LedgerPage:
        """See `ports.ReceiptLedger`."""
        return await self._database.read(
            lambda connection: _page(connection, scope, from_ms, to_ms)
        )

    async def of_keys(self, scope: Scope, keys: Sequence[str]) -> list[LedgerEntry]:
        """See `ports.ReceiptLedger`."""
        return await self._database.read(lambda connection: _of_keys(connection, scope, keys))

    async def close(self) -> None:
        """The file is closed with its last user. Idempotent."""
        if not self._closed:
            self._closed = True
            await self._database.release()


def _put(
    connection: sqlite3.Connection,
    entries: Sequence[LedgerEntry],
    retention: Retention,
    now_ms: int,
) -> LedgerChange:
    total, new = LedgerChange(), dict[Scope, int]()
    for (scope, key), heard in by_key(entries).items():
        new.setdefault(scope, 0)
        row = connection.execute(
            "SELECT body FROM receipts WHERE scope = ? AND key = ?", (str(scope), key)
        ).fetchone()
        known = decode_entries(row[0]) if row else []
        after = joined(known, heard)
        if after == known:
            continue
        total = total.plus(change_of(known, after))
        new[scope] += row is None
        connection.execute(_PUT, (str(scope), key, *extent(after), encode_entries(after)))
    for scope, added in new.items():
        total = total.plus(_prune(connection, scope, added, retention, now_ms))
    return total


def _prune(
    connection: sqlite3.Connection, scope: Scope, added: int, retention: Retention, now_ms: int
) -> LedgerChange:
    """Drop what is too old, then what is too much."""
    name, before_ms = str(scope), now_ms - retention.age_ms
    (kept,) = connection.execute(_COUNT, (name, added)).fetchone()
    (old,) = connection.execute(
        "SELECT count(*) FROM receipts WHERE scope = ? AND last_ms < ?", (name, before_ms)
    ).fetchone()
    surplus = max(0, kept - old - retention.keys)
    gone = connection.execute(_OLDEST, (name, old + surplus)).fetchall()
    if gone:
        connection.executemany(
            "DELETE FROM receipts WHERE scope = ? AND key = ?", [(name, key) for key, _ in gone]
        )
        connection.execute(_DROPPED, (len(gone), gone[-1][1], name))
    return LedgerChange(expired=old, surplus=surplus)


def _page(connection: sqlite3.Connection, scope: Scope, from_ms: int, to_ms: int) -> LedgerPage:
    rows = connection.execute(_PAGE, (str(scope), from_ms, to_ms)).fetchall()
    dropped = connection.execute(
        "SELECT dropped_until_ms FROM receipt_scopes WHERE scope = ?", (str(scope),)
    ).fetchone()
    return LedgerPage(
        entries=[entry for (body,) in rows for entry in decode_entries(body)],
        dropped_until_ms=dropped[0] if dropped else None,
    )


def _of_keys(
    connection: sqlite3.Connection, scope: Scope, keys: Sequence[str]
) -> list[LedgerEntry]:
    found: list[LedgerEntry] = []
    for some in _chunks(sorted(set(keys))):
        marks = ", ".join("?" * len(some))
        rows = connection.execute(
            f"SELECT body FROM receipts WHERE scope = ? AND key IN ({marks}) ORDER BY key",  # noqa: S608  # question marks only
            (str(scope), *some),
        )
        found += [entry for (body,) in rows for entry in decode_entries(body)]
    return found


def _chunks(keys: Sequence[str]) -> list[Sequence[str]]:
    return [keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK)]
