"""Controls in SQLite: for one process, which serves them to applications over HTTP."""

import sqlite3
from typing import Final, Self

import msgspec

from rollbackd.connections.sqlite import Database
from rollbackd.controls.values import OP_MEMORY_MS, checked_name, decode_value, encode_value
from rollbackd.model.controls import Control, ControlValue, ControlWrite, WriteResult
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op

_MIGRATIONS: Final = (
    (
        """
        CREATE TABLE controls (
          scope TEXT NOT NULL,
          name TEXT NOT NULL,
          intent TEXT,
          trip TEXT,
          version INTEGER NOT NULL,
          op_id TEXT NOT NULL,
          incident_id TEXT NOT NULL,
          updated_at_ms INTEGER NOT NULL,
          PRIMARY KEY (scope, name)
        ) STRICT
        """,
        # apart from the controls: it outlives every trip
        "CREATE TABLE control_fences (scope TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT",
        """
        CREATE TABLE control_ops (
          scope TEXT NOT NULL,
          op_id TEXT NOT NULL,
          control BLOB NOT NULL,
          at_ms INTEGER NOT NULL,
          PRIMARY KEY (scope, op_id)
        ) STRICT
        """,
        "CREATE INDEX control_ops_by_age ON control_ops (at_ms)",
    ),
)

_SELECT: Final = (
    "SELECT name, intent, trip, version,"
    " coalesce((SELECT epoch FROM control_fences f WHERE f.scope = ?1), 0),"
    " op_id, incident_id, updated_at_ms FROM controls WHERE scope = ?1"
)


class SQLiteControls:
    """Implements `ports.Controls`; shares its Database with whatever else is in the file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closed = False

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Create the tables where they are missing."""
        await database.use("controls", _MIGRATIONS)
        return cls(database)

    async def read(self, scope: Scope, name: str) -> Control:
        """See `ports.Controls`."""
        checked_name(name)
        return await self._database.read(lambda connection: _read(connection, scope, name))

    async def read_all(self, scope: Scope) -> dict[str, Control]:
        """See `ports.Controls`."""
        return await self._database.read(
            lambda connection: {
                row[0]: _control(row)
                for row in connection.execute(f"{_SELECT} ORDER BY name", (str(scope),))
            }
        )

    async def set_intent(
        self, scope: Scope, name: str, value: ControlValue, *, now_ms: int
    ) -> Control:
        """See `ports.Controls`."""
        text = encode_value(checked_name(name), value)
        return await self._database.run(
            lambda connection: _set_intent(connection, scope, name, text, now_ms)
        )

    async def set_trip(
        self,
        scope: Scope,
        name: str,
        value: ControlValue | None,
        *,
        expected_version: int,
        op: Op,
        now_ms: int,
    ) -> ControlWrite:
        """See `ports.Controls`; a replay returns the control as the first try left it."""
        checked_name(name)
        text = None if value is None else encode_value(name, value)
        return await self._database.run(
            lambda connection: _set_trip(
                connection,
                scope,
                name,
                text,
                expected_version=expected_version,
                op=op,
                now_ms=now_ms,
            )
        )

    async def fence(self, scope: Scope, epoch: int) -> int:
        """See `ports.Controls`."""
        return await self._database.run(lambda connection: _raise_fence(connection, scope, epoch))

    async def scopes(self) -> list[Scope]:
        """See `ports.Controls`."""
        return await self._database.read(
            lambda connection: [
                Scope.parse(scope)
                for (scope,) in connection.execute(
                    "SELECT DISTINCT scope FROM controls ORDER BY scope"
                )
            ]
        )

    async def close(self) -> None:
        """See `ports.Controls`; the file is closed with its last user."""
        if not self._closed:
            self._closed = True
            await self._database.release()


def _control(row: tuple[str, str | None, str | None, int, int, str, str, int]) -> Control:
    name, intent, trip, version, epoch, op_id, incident_id, updated_at_ms = row
    return Control(
        name=name,
        intent=decode_value(intent),
        trip=decode_value(trip),
        version=version,
        epoch=epoch,
        op_id=op_id,
        incident_id=incident_id,
        updated_at_ms=updated_at_ms,
    )


def _read(connection: sqlite3.Connection, scope: Scope, name: str) -> Control:
    row = connection.execute(f"{_SELECT} AND name = ?2", (str(scope), name)).fetchone()
    if row is not None:
        return _control(row)
    fence = connection.execute(
        "SELECT epoch FROM control_fences WHERE scope = ?", (str(scope),)
    ).fetchone()
    return Control(name=name, epoch=fence[0] if fence else 0)


def _raise_fence(connection: sqlite3.Connection, scope: Scope, epoch: int) -> int:
    connection.execute(
        "INSERT INTO control_fences VALUES (?, ?)"
        " ON CONFLICT (scope) DO UPDATE SET epoch = max(epoch, excluded.epoch)",
        (str(scope), epoch),
    )
    (highest,) = connection.execute(
        "SELECT epoch FROM control_fences WHERE scope = ?", (str(scope),)
    ).fetchone()
    return int(highest)


def _set_intent(
    connection: sqlite3.Connection, scope: Scope, name: str, text: str, now_ms: int
) -> Control:
    connection.execute(
        "INSERT INTO controls VALUES (?, ?, ?, NULL, 1, '', '', ?)"
        " ON CONFLICT (scope, name) DO UPDATE SET intent = excluded.intent,"
        " version = version + 1, updated_at_ms = excluded.updated_at_ms",
        (str(scope), name, text, now_ms),
    )
    return _read(connection, scope, name)


def _set_trip(
    connection: sqlite3.Connection,
    scope: Scope,
    name: str,
    text: str | None,
    *,
    expected_version: int,
    op: Op,
    now_ms: int,
) -> ControlWrite:
    connection.execute("DELETE FROM control_ops WHERE at_ms < ?", (now_ms - OP_MEMORY_MS,))
    first = connection.execute(
        "SELECT control FROM control_ops WHERE scope = ? AND op_id = ?", (str(scope), op.op_id)
    ).fetchone()
    if first is not None:
        control = msgspec.json.decode(first[0], type=Control)
        return ControlWrite(result=WriteResult.REPLAYED, control=control)
    found = _read(connection, scope, name)
    if op.epoch < found.epoch:
        return ControlWrite(result=WriteResult.STALE_EPOCH, control=found)
    if expected_version != found.version:
        return ControlWrite(result=WriteResult.CONFLICT, control=found)
    connection.execute(
        "INSERT INTO control_fences VALUES (?, ?)"
        " ON CONFLICT (scope) DO UPDATE SET epoch = excluded.epoch",
        (str(scope), op.epoch),
    )
    connection.execute(
        "INSERT INTO controls VALUES (?, ?, NULL, ?, 1, ?, ?, ?)"
        " ON CONFLICT (scope, name) DO UPDATE SET trip = excluded.trip, version = version + 1,"
        " op_id = excluded.op_id, incident_id = excluded.incident_id,"
        " updated_at_ms = excluded.updated_at_ms",
        (str(scope), name, text, op.op_id, op.incident_id, now_ms),
    )
    control = _read(connection, scope, name)
    connection.execute(
        "INSERT INTO control_ops VALUES (?, ?, ?, ?)",
        (str(scope), op.op_id, msgspec.json.encode(control), now_ms),
    )
    return ControlWrite(result=WriteResult.APPLIED, control=control)
