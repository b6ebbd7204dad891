"""A SQLite file of an earlier version is brought up to date and goes on."""

from pathlib import Path

import pytest

from rollbackd.connections.sqlite import Database
from rollbackd.incidents.states import IllegalTransitionError
from rollbackd.model.incidents import State
from rollbackd.model.labels import Scope
from rollbackd.stores.records import encode
from rollbackd.stores.schema import MIGRATIONS
from rollbackd.stores.sqlite import SQLiteStore
from tests.stores.samples import NOW, SCOPE, new_incident, record_of, stepped


async def test_incidents_of_the_second_version_go_on(tmp_path: Path) -> None:
    """Their states and scopes are known, and they count as acts from their next step on."""
    path = tmp_path / "rollbackd.db"
    incident = new_incident()
    old = await Database.open(path)
    await old.use("store", MIGRATIONS[:2])
    await old.run(
        lambda connection: connection.execute(
            "INSERT INTO incidents VALUES (?, ?, 1, 1, ?, ?)",
            (incident.id, str(SCOPE), NOW, encode(incident)),
        )
    )
    await old.run(
        lambda connection: connection.execute(
            "INSERT INTO known_good VALUES (?, ?, ?)", ("search/eu", NOW, b"{}")
        )
    )
    await old.release()

    store = await SQLiteStore.open(await Database.open(path))
    assert await store.incidents(open_only=True) == [incident]
    assert (await store.history(acts_since_ms=0, trips_since_ms=0)).scopes == 2
    with pytest.raises(IllegalTransitionError, match="detected => closed"):
        await store.advance(stepped(incident, State.CLOSED), [])
    step = stepped(incident)
    await store.advance(step, [record_of(step)])
    (act,) = (await store.history(acts_since_ms=0, trips_since_ms=0)).acts
    assert (act.incident_id, act.scope) == (incident.id, Scope("rag", "eu-1"))
    await store.close()
