"""The store in one SQLite file: the default, with nothing to install."""

import sqlite3
import time
from collections.abc import Sequence
from typing import Final, Self, TypeVar

from rollbackd.connections.sqlite import Database
from rollbackd.model.events import AlertStatus, KnownGood
from rollbackd.model.facts import ChangeEvent
from rollbackd.model.history import History, Latch
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.known_good import SetStatus
from rollbackd.model.labels import Scope
from rollbackd.model.triggers import RuleInstance, RuleState
from rollbackd.ports import DeadLetter, InboxEntry, Pause
from rollbackd.stores.records import (
    CHANGES,
    DEAD_LETTERS,
    INBOX_MEMORY_MS,
    RULE_STATE_MEMORY_MS,
    RULE_STATES,
    change_key,
    decode,
    encode,
    rule_state_key,
    shortened,
)
from rollbackd.stores.schema import MIGRATIONS
from rollbackd.stores.sqlite_incidents import advance, history, open_incident
from rollbackd.stores.sqlite_known_good import (
    ALL_IN_FORCE,
    IN_FORCE,
    put_known_good,
    set_status,
)

T = TypeVar("T")

_INCIDENTS: Final = "SELECT body FROM incidents ORDER BY opened_at_ms DESC, id DESC LIMIT ?"
_OPEN_INCIDENTS: Final = (
    "SELECT body FROM incidents WHERE open = 1 ORDER BY opened_at_ms DESC, id DESC LIMIT ?"
)

_NEXT_EPOCH: Final = (
    "INSERT INTO epochs VALUES (?, ?)"
    " ON CONFLICT (scope) DO UPDATE SET epoch = max(epoch + 1, excluded.epoch) RETURNING epoch"
)

_PUT_RULE_STATE: Final = (
    "INSERT INTO rule_states VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE"
    " SET seen_at_ms = excluded.seen_at_ms, body = excluded.body"
    " WHERE excluded.seen_at_ms >= seen_at_ms"
)

_PUT_CHANGE: Final = (
    "INSERT INTO changes VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE"
    " SET time_ms = excluded.time_ms, body = excluded.body WHERE excluded.time_ms >= time_ms"
)


class SQLiteStore:
    """Implements `ports.Store`; shares its Database with whatever else is in the file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closed = False

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Create the tables where they are missing."""
        await database.use("store", MIGRATIONS)
        return cls(database)

    async def accept(self, entries: Sequence[InboxEntry]) -> int:
        """See `ports.Store`. An alert that turns back to an earlier status counts as new."""
        if not entries:
            return 0
        return await self._database.run(lambda connection: _accept(connection, entries))

    async def unhandled(self, limit: int) -> list[InboxEntry]:
        """See `ports.Store`."""
        return await self._all(
            InboxEntry,
            "SELECT body FROM inbox WHERE handled = 0 ORDER BY sequence LIMIT ?",
            limit,
        )

    async def mark_handled(self, keys: Sequence[str]) -> None:
        """See `ports.Store`."""
        if keys:
            await self._database.run(
                lambda connection: connection.executemany(
                    "UPDATE inbox SET handled = 1 WHERE key = ?", [(key,) for key in keys]
                )
            )

    async def firing_alerts(self) -> list[InboxEntry]:
        """See `ports.Store`."""
        return await self._all(
            InboxEntry,
            "SELECT body FROM inbox WHERE latest = 1 AND firing = 1 ORDER BY sequence",
        )

    async def next_epoch(self, scope: Scope) -> int:
        """See `ports.Store`."""
        row = (str(scope), time.time_ns() // 1_000)
        epoch: int = await self._database.run(
            lambda connection: connection.execute(_NEXT_EPOCH, row).fetchone()[0]
        )
        return epoch

    async def open_incident(self, incident: Incident, record: JournalRecord) -> None:
        """See `ports.Store`. Repeating the same call changes nothing."""
        await self._database.run(lambda connection: open_incident(connection, incident, record))

    async def advance(self, incident: Incident, records: Sequence[JournalRecord]) -> None:
        """See `ports.Store`. Repeating the same call changes nothing."""
        await self._database.run(lambda connection: advance(connection, incident, records))

    async def incident(self, incident_id: str) -> Incident | None:
        """See `ports.Store`."""
        return await self._first(Incident, "SELECT body FROM incidents WHERE id = ?", incident_id)

    async def incidents(self, *, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """See `ports.Store`."""
        return await self._all(Incident, _OPEN_INCIDENTS if open_only else _INCIDENTS, limit)

    async def journal(self, incident_id: str) -> list[JournalRecord]:
        """See `ports.Store`."""
        return await self._all(
            JournalRecord,
            "SELECT body FROM journal WHERE incident_id = ? ORDER BY position",
            incident_id,
        )

    async def history(self, *, acts_since_ms: int, trips_since_ms: int) -> History:
        """See `ports.Store`."""
        return await self._database.read(
            lambda connection: history(connection, acts_since_ms, trips_since_ms)
        )

    async def latches(self) -> list[Latch]:
        """See `ports.Store`."""
        return await self._all(Latch, "SELECT body FROM latches ORDER BY scope, branch")

    async def put_latch(self, latch: Latch) -> None:
        """See `ports.Store`."""
        row = (str(latch.scope), latch.branch, encode(latch))
        await self._database.run(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO latches VALUES (?, ?, ?)", row
            )
        )

    async def put_known_good(self, known_good: KnownGood) -> KnownGood:
        """See `ports.Store`."""
        return await self._database.run(lambda connection: put_known_good(connection, known_good))

    async def known_good(self, scope: Scope) -> KnownGood | None:
        """See `ports.Store`."""
        return await self._first(KnownGood, IN_FORCE, str(scope))

    async def all_known_good(self) -> list[KnownGood]:
        """See `ports.Store`."""
        return await self._all(KnownGood, ALL_IN_FORCE)

    async def known_good_sets(
        self, scope: Scope | None = None, *, limit: int = 100
    ) -> list[KnownGood]:
        """See `ports.Store`."""
        chosen, which = ("", ()) if scope is None else ("WHERE scope = ?", (str(scope),))
        statement = (
            f"SELECT body FROM known_good_sets {chosen}"  # noqa: S608  # one of two constants
            " ORDER BY recorded_at_ms DESC, id DESC LIMIT ?"
        )
        return await self._all(KnownGood, statement, *which, max(0, limit))

    async def known_good_set(self, set_id: str) -> KnownGood | None:
        """See `ports.Store`."""
        return await self._first(KnownGood, "SELECT body FROM known_good_sets WHERE id = ?", set_id)

    async def set_known_good_status(
        self, set_id: str, status: SetStatus, *, by: str, now_ms: int
    ) -> KnownGood | None:
        """See `ports.Store`."""
        return await self._database.run(
            lambda connection: set_status(connection, set_id, status, by, now_ms)
        )

    async def set_pause(self, pause: Pause | None) -> None:
        """See `ports.Store`."""
        await self._database.run(lambda connection: _set_pause(connection, pause))

    async def pause(self) -> Pause | None:
        """See `ports.Store`."""
        return await self._first(Pause, "SELECT body FROM pause")

    async def bury(self, letter: DeadLetter) -> None:
        """See `ports.Store`; the newest thousand are kept."""
        body = encode(shortened(letter))
        await self._database.run(lambda connection: _bury(connection, body))

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """See `ports.Store`."""
        return await self._all(
            DeadLetter, "SELECT body FROM dead_letters ORDER BY position DESC LIMIT ?", limit
        )

    async def put_rule_states(self, instances: Sequence[RuleInstance]) -> None:
        """See `ports.Store`."""
        if instances:
            await self._database.run(lambda connection: _put_rule_states(connection, instances))

    async def rule_states(self) -> list[RuleInstance]:
        """See `ports.Store`."""
        return await self._all(
            RuleInstance, "SELECT body FROM rule_states ORDER BY seen_at_ms DESC, key DESC"
        )

    async def put_changes(self, changes: Sequence[ChangeEvent]) -> None:
        """See `ports.Store`."""
        if changes:
            await self._database.run(lambda connection: _put_changes(connection, changes))

    async def changes(self) -> list[ChangeEvent]:
        """See `ports.Store`."""
        return await self._all(ChangeEvent, "SELECT body FROM changes ORDER BY time_ms, key")

    async def ping(self) -> None:
        """See `ports.Store`."""
        # takes the write lock and gives it back
        await self._database.run(lambda connection: connection.execute("SELECT 1"))

    async def close(self) -> None:
        """See `ports.Store`; the file is closed with its last user."""
        if not self._closed:
            self._closed = True
            await self._database.release()

    async def _all(self, kind: type[T], statement: str, *arguments: str | int) -> list[T]:
        rows = await self._database.read(
            lambda connection: connection.execute(statement, arguments).fetchall()
        )
        return [decode(body, kind) for (body,) in rows]

    async def _first(self, kind: type[T], statement: str, *arguments: str | int) -> T | None:
        found = await self._all(kind, statement, *arguments)
        return found[0] if found else None


def _accept(connection: sqlite3.Connection, entries: Sequence[InboxEntry]) -> int:
    new = sum(_accept_one(connection, entry) for entry in entries)
    connection.execute(
        "DELETE FROM inbox WHERE handled = 1 AND (latest = 0 OR firing = 0) AND received_at_ms < ?",
        (max(entry.received_at_ms for entry in entries) - INBOX_MEMORY_MS,),
    )
    return new


def _accept_one(connection: sqlite3.Connection, entry: InboxEntry) -> bool:
    body = encode(entry)
    repeated = connection.execute(
        "UPDATE inbox SET received_at_ms = ?, body = ? WHERE key = ? AND latest = 1",
        (entry.received_at_ms, body, entry.key),
    ).rowcount
    if repeated:
        return False
    fingerprint = entry.alert.fingerprint
    connection.execute(
        "UPDATE inbox SET latest = 0 WHERE fingerprint = ? AND latest = 1", (fingerprint,)
    )
    connection.execute(
        "INSERT OR REPLACE INTO inbox"
        " SELECT ?, coalesce(max(sequence), 0) + 1, ?, ?, 1, 0, ?, ? FROM inbox",
        (
            entry.key,
            fingerprint,
            entry.alert.status is AlertStatus.FIRING,
            entry.received_at_ms,
            body,
        ),
    )
    return True


def _set_pause(connection: sqlite3.Connection, pause: Pause | None) -> None:
    connection.execute("DELETE FROM pause")
    if pause is not None:
        connection.execute("INSERT INTO pause VALUES (1, ?)", (encode(pause),))


def _put_rule_states(connection: sqlite3.Connection, instances: Sequence[RuleInstance]) -> None:
    ended = [i for i in instances if i.state is RuleState.INACTIVE]
    active = [i for i in instances if i.state is not RuleState.INACTIVE]
    connection.executemany(
        "DELETE FROM rule_states WHERE key = ? AND seen_at_ms <= ?",
        [(rule_state_key(i), i.seen_at_ms) for i in ended],
    )
    connection.executemany(
        _PUT_RULE_STATE, [(rule_state_key(i), i.seen_at_ms, encode(i)) for i in active]
    )
    connection.execute(
        "DELETE FROM rule_states WHERE seen_at_ms < ?",
        (max(i.seen_at_ms for i in instances) - RULE_STATE_MEMORY_MS,),
    )
    connection.execute(
        "DELETE FROM rule_states WHERE key IN"
        " (SELECT key FROM rule_states ORDER BY seen_at_ms DESC, key DESC LIMIT -1 OFFSET ?)",
        (RULE_STATES,),
    )


def _put_changes(connection: sqlite3.Connection, changes: Sequence[ChangeEvent]) -> None:
    connection.executemany(_PUT_CHANGE, [(change_key(c), c.time_ms, encode(c)) for c in changes])
    connection.execute(
        "DELETE FROM changes WHERE key IN"
        " (SELECT key FROM changes ORDER BY time_ms DESC, key DESC LIMIT -1 OFFSET ?)",
        (CHANGES,),
    )


def _bury(connection: sqlite3.Connection, body: bytes) -> None:
    position = connection.execute("INSERT INTO dead_letters (body) VALUES (?)", (body,)).lastrowid
    assert position is not None
    connection.execute("DELETE FROM dead_letters WHERE position <= ?", (position - DEAD_LETTERS,))
