"""Incidents in SQLite: opening, advancing, and what the guardrails ask of the past."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from rollbackd.errors import PermanentError
from rollbackd.incidents.states import check_transition
from rollbackd.model.history import Act, History, Latch, Trip, act_of, trip_of
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.labels import Scope
from rollbackd.ports import ScopeBusyError
from rollbackd.stores.records import TRIP_MEMORY_MS, decode, encode, stale

#: When an open incident ends, as far as the index is concerned.
_NOT_ENDED: Final = (1 << 63) - 1


def open_incident(
    connection: sqlite3.Connection, incident: Incident, record: JournalRecord
) -> None:
    """See `ports.Store`."""
    body = encode(incident)
    stored = connection.execute(
        "SELECT body FROM incidents WHERE id = ?", (incident.id,)
    ).fetchone()
    if stored is not None:
        if stored[0] == body:
            return
        raise PermanentError(f"incident `{incident.id}` is in the store already")
    _refuse_second_open(connection, incident)
    act, ended_at_ms = _act(incident)
    connection.execute(
        "INSERT INTO incidents (id, scope, open, version, opened_at_ms, body, state, act,"
        " ended_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            incident.id,
            str(incident.scope),
            incident.is_open,
            incident.version,
            incident.opened_at_ms,
            body,
            incident.state,
            act if incident.is_open else None,
            ended_at_ms,
        ),
    )
    connection.execute("INSERT OR IGNORE INTO scopes VALUES (?)", (str(incident.scope),))
    _note_trip(connection, trip_of(incident))
    _append(connection, incident, [record])


def advance(
    connection: sqlite3.Connection, incident: Incident, records: Sequence[JournalRecord]
) -> None:
    """See `ports.Store`."""
    body = encode(incident)
    stored = connection.execute(
        "SELECT version, body, state FROM incidents WHERE id = ?", (incident.id,)
    ).fetchone()
    version, before, state = stored or (None, None, "")
    if before == body:
        return
    if version is None or version != incident.version - 1:
        raise stale(incident, version)
    check_transition(State(state), incident.state)
    _refuse_second_open(connection, incident)
    act, ended_at_ms = _act(incident)
    connection.execute(
        "UPDATE incidents SET open = ?, version = ?, body = ?, state = ?, act = ?, ended_at_ms = ?"
        " WHERE id = ?",
        (
            incident.is_open,
            incident.version,
            body,
            incident.state,
            act,
            ended_at_ms,
            incident.id,
        ),
    )
    _append(connection, incident, records)


def _act(incident: Incident) -> tuple[bytes, int]:
    act = act_of(incident)
    return encode(act), _NOT_ENDED if act.ended_at_ms is None else act.ended_at_ms


def _note_trip(connection: sqlite3.Connection, trip: Trip | None) -> None:
    if trip is None:
        return
    connection.execute(
        "INSERT INTO trips VALUES (?, ?, ?) ON CONFLICT (scope, rule)"
        " DO UPDATE SET at_ms = max(at_ms, excluded.at_ms)",
        (str(trip.scope), trip.rule, trip.at_ms),
    )
    connection.execute("DELETE FROM trips WHERE at_ms < ?", (trip.at_ms - TRIP_MEMORY_MS,))


def history(connection: sqlite3.Connection, acts_since_ms: int, trips_since_ms: int) -> History:
    """See `ports.Store`."""
    acts = connection.execute(
        "SELECT act FROM incidents WHERE act IS NOT NULL AND ended_at_ms >= ?"
        " ORDER BY opened_at_ms, id",
        (acts_since_ms,),
    )
    trips = connection.execute(
        "SELECT scope, rule, at_ms FROM trips WHERE at_ms >= ? ORDER BY at_ms, scope, rule",
        (trips_since_ms,),
    )
    latches = connection.execute("SELECT body FROM latches ORDER BY scope, branch")
    (scopes,) = connection.execute("SELECT count(*) FROM scopes").fetchone()
    return History(
        acts=[decode(body, Act) for (body,) in acts],
        trips=[
            Trip(scope=Scope.parse(scope), rule=rule, at_ms=at_ms) for scope, rule, at_ms in trips
        ],
        latches=[decode(body, Latch) for (body,) in latches],
        scopes=scopes,
    )


def _refuse_second_open(connection: sqlite3.Connection, incident: Incident) -> None:
    if not incident.is_open:
        return
    # the unique index would refuse it too, without saying which one is open
    other = connection.execute(
        "SELECT id FROM incidents WHERE scope = ? AND open = 1 AND id <> ?",
        (str(incident.scope), incident.id),
    ).fetchone()
    if other is not None:
        raise ScopeBusyError(other[0])


def _append(
    connection: sqlite3.Connection, incident: Incident, records: Sequence[JournalRecord]
) -> None:
    connection.executemany(
        "INSERT INTO journal (incident_id, body) VALUES (?, ?)",
        [(incident.id, encode(record)) for record in records],
    )
