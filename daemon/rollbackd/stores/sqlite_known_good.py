"""Known good sets in the SQLite store: what is done inside one transaction."""

import sqlite3
from typing import Final

from rollbackd.model.events import KnownGood
from rollbackd.model.known_good import SETS_KEPT, SetStatus
from rollbackd.stores.known_good import restated
from rollbackd.stores.records import decode, encode

#: The set in force of a scope, by (scope); of several since the same time the last one put.
IN_FORCE: Final = (
    "SELECT body FROM known_good_sets WHERE scope = ? AND good_since_ms IS NOT NULL"
    " ORDER BY good_since_ms DESC, rowid DESC LIMIT 1"
)

#: The set in force of every scope that has one.
ALL_IN_FORCE: Final = (
    "SELECT body FROM (SELECT scope, body, row_number() OVER"
    " (PARTITION BY scope ORDER BY good_since_ms DESC, rowid DESC) AS place"
    " FROM known_good_sets WHERE good_since_ms IS NOT NULL) WHERE place = 1 ORDER BY scope"
)

_IN_FORCE_ID: Final = IN_FORCE.replace("body", "id", 1)

_PRUNE: Final = (
    "DELETE FROM known_good_sets WHERE id IN (SELECT id FROM known_good_sets"
    " WHERE scope = ? AND id IS NOT ? ORDER BY recorded_at_ms DESC, id DESC LIMIT -1 OFFSET ?)"
)


def put_known_good(connection: sqlite3.Connection, known_good: KnownGood) -> KnownGood:
    """The set as it is in the table, which keeps its bound."""
    scope, id_ = str(known_good.scope), known_good.id
    stored = connection.execute(
        "SELECT body FROM known_good_sets WHERE id = ? OR (scope = ? AND key = ? AND key != '')",
        (id_, scope, known_good.key),
    ).fetchone()
    if stored is not None:
        return decode(stored[0], KnownGood)
    connection.execute("INSERT OR IGNORE INTO scopes VALUES (?)", (scope,))
    connection.execute(
        "INSERT INTO known_good_sets VALUES (?, ?, ?, ?, ?, ?)",
        (
            id_,
            scope,
            known_good.recorded_at_ms,
            known_good.good_since_ms,
            known_good.key,
            encode(known_good),
        ),
    )
    in_force = _in_force(connection, scope)
    others = SETS_KEPT - (in_force is not None)
    connection.execute(_PRUNE, (scope, in_force, others))
    return known_good


def set_status(
    connection: sqlite3.Connection, set_id: str, status: SetStatus, by: str, now_ms: int
) -> KnownGood | None:
    """The set with its new status, or None when there is no such set."""
    stored = connection.execute(
        "SELECT body, scope FROM known_good_sets WHERE id = ?", (set_id,)
    ).fetchone()
    if stored is None:
        return None
    in_force = _in_force(connection, stored[1]) == set_id
    known_good = decode(stored[0], KnownGood)
    changed = restated(known_good, status, by=by, now_ms=now_ms, in_force=in_force)
    connection.execute(
        "UPDATE known_good_sets SET good_since_ms = ?, body = ? WHERE id = ?",
        (changed.good_since_ms, encode(changed), set_id),
    )
    return changed


def _in_force(connection: sqlite3.Connection, scope: str) -> str | None:
    row = connection.execute(_IN_FORCE_ID, (scope,)).fetchone()
    return None if row is None else str(row[0])
