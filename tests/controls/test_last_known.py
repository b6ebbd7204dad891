"""The memory of the controls: never older than a look, and there when the store is not."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollbackd.clock import ManualClock
from rollbackd.connections.sqlite import Database
from rollbackd.controls import last_known
from rollbackd.controls.last_known import SCOPES_A_LOOK, LastKnownControls
from rollbackd.controls.snapshot import Snapshot
from rollbackd.controls.sqlite import SQLiteControls
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.model.controls import Control, WriteResult
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op
from tests.services.polling import eventually

SCOPE = Scope("rag", "eu-1")
KILL: dict[str, object] = {"baseline_weight": 1.0, "canary_weight": 0.0, "global_off": True}


class Store(SQLiteControls):
    """The real controls, which can be down, be slow to answer a read, or have lost everything."""

    down = False
    lost = False
    reads: list[Scope]
    corrupt: frozenset[Scope] = frozenset()
    strange = False
    gate: asyncio.Event | None = None

    async def scopes(self) -> list[Scope]:
        if self.strange:
            raise ValueError("service `a b` is not a scope name")
        return await super().scopes()

    async def read_all(self, scope: Scope) -> dict[str, Control]:
        self.reads.append(scope)
        if self.down:
            raise TemporaryError("the store is away")
        if scope in self.corrupt:
            raise PermanentError("a stored control value cannot be read")
        found = {} if self.lost else await super().read_all(scope)
        if self.gate is not None:
            await self.gate.wait()
        return found


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(await Database.open(tmp_path / "rollbackd.db"))
    opened.reads = []
    yield opened
    await opened.close()


def degrade(controls: LastKnownControls, scope: Scope = SCOPE) -> object:
    control = controls.last_known(scope).get("degrade")
    return control.effective["level"] if control else None


async def test_a_write_is_known_at_once(store: Store) -> None:
    controls = LastKnownControls(store)
    assert controls.last_known(SCOPE) == {}
    await controls.set_intent(SCOPE, "flag:canary", {"canary_weight": 1.0}, now_ms=1)
    op = Op(op_id="o1", epoch=5, incident_id="i1")
    write = await controls.set_trip(SCOPE, "flag:canary", KILL, expected_version=1, op=op, now_ms=2)
    assert controls.last_known(SCOPE) == {"flag:canary": write.control}
    assert write.control.effective == KILL
    assert store.reads == []


async def test_a_repeated_or_refused_write_takes_nothing_back(store: Store) -> None:
    controls = LastKnownControls(store)
    first = Op(op_id="o1", epoch=5, incident_id="i1")
    await controls.set_trip(SCOPE, "degrade", {"level": 1}, expected_version=0, op=first, now_ms=1)
    await controls.set_intent(SCOPE, "degrade", {"level": 0}, now_ms=2)
    now = controls.last_known(SCOPE)["degrade"]
    replayed = await controls.set_trip(
        SCOPE, "degrade", {"level": 1}, expected_version=0, op=first, now_ms=3
    )
    late = Op(op_id="o2", epoch=4, incident_id="i0")
    stale = await controls.set_trip(
        SCOPE, "degrade", {"level": 4}, expected_version=2, op=late, now_ms=4
    )
    never = await controls.set_trip(
        SCOPE, "pins", {"A": "1"}, expected_version=0, op=late, now_ms=5
    )
    assert [w.result for w in (replayed, stale, never)] == [
        WriteResult.REPLAYED,
        WriteResult.STALE_EPOCH,
        WriteResult.STALE_EPOCH,
    ]
    assert controls.last_known(SCOPE) == {"degrade": now}


async def test_what_another_replica_wrote_is_known_after_a_look(store: Store) -> None:
    await store.set_intent(SCOPE, "degrade", {"level": 2}, now_ms=1)
    controls = LastKnownControls(store)
    await controls.load()
    assert degrade(controls) == 2
    await store.set_intent(SCOPE, "degrade", {"level": 3}, now_ms=2)
    await store.set_intent(Scope("new"), "degrade", {"level": 4}, now_ms=2)
    await controls.look()
    assert (degrade(controls), degrade(controls, Scope("new"))) == (3, 4)


async def test_a_scope_that_is_asked_about_before_it_is_written_is_looked_at(store: Store) -> None:
    """As many as fit into a look: names that somebody makes up are not kept."""
    controls = LastKnownControls(store)
    for number in range(3 * SCOPES_A_LOOK):
        assert controls.last_known(Scope(f"made-up-{number}")) == {}
    await controls.look()
    assert len(store.reads) == SCOPES_A_LOOK
    assert controls._known == {}


async def test_a_look_that_began_before_a_write_does_not_undo_it(store: Store) -> None:
    controls = LastKnownControls(store)
    await controls.set_intent(SCOPE, "degrade", {"level": 1}, now_ms=1)
    store.gate = asyncio.Event()
    look = asyncio.create_task(controls.look())

    async def reading() -> bool:
        return bool(store.reads)

    await eventually(reading, within_seconds=10)
    await controls.set_intent(SCOPE, "degrade", {"level": 4}, now_ms=2)
    await controls.set_intent(SCOPE, "pins", {"A": "1"}, now_ms=2)
    store.gate.set()
    await look
    assert degrade(controls) == 4
    assert set(controls.last_known(SCOPE)) == {"degrade", "pins"}


async def test_the_last_known_values_are_there_while_the_store_is_away(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop goes on, says so once, and catches up when the store is back."""
    monkeypatch.setattr(last_known, "_LOOK_SECONDS", 0.001)
    caplog.set_level(logging.INFO)
    controls = LastKnownControls(store)
    await controls.set_intent(SCOPE, "degrade", {"level": 2}, now_ms=1)
    store.down = True
    running = asyncio.create_task(controls.run())

    async def tried_on() -> bool:
        return len(store.reads) >= 3

    await eventually(tried_on, within_seconds=10)
    assert degrade(controls) == 2
    assert len(caplog.records) == 1
    store.down = False
    await store.set_intent(SCOPE, "degrade", {"level": 3}, now_ms=2)

    async def caught_up() -> bool:
        return len(caplog.records) == 2

    await eventually(caught_up, within_seconds=10)
    assert degrade(controls) == 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_scope_that_cannot_be_read_keeps_nobody_from_the_others(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    scopes = [Scope(f"s{number}") for number in range(3)]
    for scope in scopes:
        await store.set_intent(scope, "degrade", {"level": 1}, now_ms=1)
    store.corrupt = frozenset(scopes[:1])
    controls = LastKnownControls(store)
    await controls.load()
    assert [degrade(controls, scope) for scope in scopes] == [None, 1, 1]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    with pytest.raises(PermanentError):
        await controls.look()
    assert sorted(store.reads[3:]) == scopes


async def test_what_is_no_scope_neither_keeps_the_daemon_down_nor_stops_the_loop(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(last_known, "_LOOK_SECONDS", 0.001)
    caplog.set_level(logging.INFO)
    controls = LastKnownControls(store)
    store.strange = True
    await controls.load()
    running = asyncio.create_task(controls.run())
    store.strange = False

    async def caught_up() -> bool:
        return len(caplog.records) == 2

    await eventually(caught_up, within_seconds=10)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_store_that_lost_its_controls_does_not_let_a_kill_go(store: Store) -> None:
    controls = LastKnownControls(store)
    await controls.set_intent(SCOPE, "flag:canary", KILL, now_ms=1)
    store.lost = True
    await controls.look()
    assert store.reads == [SCOPE]
    assert controls.last_known(SCOPE)["flag:canary"].effective == KILL


async def test_scopes_that_somebody_asks_about_are_read_at_every_look(store: Store) -> None:
    """The others have their turn, so that thousands of them cost no more."""
    scopes = [Scope(f"s{number:04d}") for number in range(2 * SCOPES_A_LOOK + 1)]
    for scope in scopes:
        await store.set_intent(scope, "degrade", {"level": 1}, now_ms=1)
    controls = LastKnownControls(store)
    await controls.load()
    store.reads.clear()
    for reads in (SCOPES_A_LOOK + 1, SCOPES_A_LOOK + 1, 1):
        controls.last_known(scopes[-1])
        await controls.look()
        assert len(store.reads) == reads
        assert scopes[-1] in store.reads
        del store.reads[:]


async def test_each_look_that_succeeds_is_kept_for_the_next_start(
    store: Store, tmp_path: Path
) -> None:
    """A write of ours with the next look; while the store is away nothing is written."""
    clock = ManualClock()
    path = tmp_path / "kept.json"
    controls = LastKnownControls(store, Snapshot(path, clock))
    await controls.set_intent(SCOPE, "degrade", {"level": 1}, now_ms=1)
    await controls.load()
    assert Snapshot(path, clock).load()[SCOPE]["degrade"].effective == {"level": 1}
    running = asyncio.create_task(controls.run())
    try:
        await controls.set_intent(SCOPE, "degrade", {"level": 2}, now_ms=2)

        async def kept() -> bool:
            return Snapshot(path, clock).load()[SCOPE]["degrade"].effective == {"level": 2}

        await eventually(kept, within_seconds=10)
        store.down = True
        path.unlink()
        reads = len(store.reads)
        await controls.set_intent(SCOPE, "degrade", {"level": 3}, now_ms=3)

        async def looked_twice() -> bool:
            return len(store.reads) > reads + 1

        await eventually(looked_twice, within_seconds=10)
        assert not path.exists()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
