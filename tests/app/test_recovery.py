"""Taking over what another process left: the fence first, people asked again, orphans found."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.recovery import Recovery
from rollbackd.errors import PermanentError
from rollbackd.incidents.opening import new_incident
from rollbackd.model.controls import WriteResult
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import State
from rollbackd.model.levers import Op
from rollbackd.settings import ScopeLabels
from tests.incidents.samples import MINUTE, SCOPE, TREE, trigger_of
from tests.incidents.world import World, quick


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Where nothing has happened yet."""
    opened = await World.open(tmp_path)
    yield opened
    await opened.close()


def recovery_of(world: World) -> Recovery:
    """What a new process has."""
    store: Any = world.store
    controls: Any = world.controls
    dispatcher = Dispatcher(
        store=store,
        runner=world.runner,
        clock=world.clock,
        telemetry=world.telemetry,
        tree=TREE,
        scope_labels=ScopeLabels(),
    )
    return Recovery(
        store=store,
        controls=controls,
        dispatcher=dispatcher,
        runner=world.runner,
        notifier=world.pages,
        clock=world.clock,
    )


async def left_behind(world: World) -> None:
    """An incident that is in the store, and that nobody drives."""
    incident, record = new_incident(
        incident_id="INC-1",
        scope=SCOPE,
        policy=quick("duplicate_effects"),
        epoch=await world.store.next_epoch(SCOPE),
        now_ms=world.clock.now(),
        trigger=trigger_of("duplicate_effects"),
    )
    await world.store.open_incident(incident, record)


async def test_a_long_act_is_no_orphan(world: World) -> None:
    """Whoever performs it says so meanwhile; another process leaves it alone, however long."""
    started = world.clock.now()

    async def long(*_: Any) -> None:
        while world.clock.now() < started + 10 * MINUTE:
            await world.clock.sleep(5_000)

    world.controls.before["set_trip"] = long
    opened = await world.open_incident("duplicate_effects")
    await world.until(lambda: any(each.pending for each in world.runner.current()))
    first, second = world.runner, world.new_runner()
    recovery = recovery_of(world)
    for minutes in range(1, 9):
        await world.until(lambda at=minutes: world.clock.now() >= started + at * MINUTE)  # type: ignore[misc]
        await recovery.adopt()
    assert second.current() == []
    await world.until(lambda: not first._tasks)
    closed = await world.stored()
    assert (closed.state, closed.epoch) == (State.CLOSED, opened.epoch)


async def test_the_fence_is_raised_before_the_first_act(world: World) -> None:
    """A write of the process before it finds a higher epoch, and no control was written."""
    await left_behind(world)
    old = (await world.stored()).epoch
    before = {name: each.version for name, each in (await world.read_all()).items()}
    seen: list[dict[str, int]] = []

    async def look(*_: Any) -> None:
        seen.append({name: each.version for name, each in (await world.read_all()).items()})
        late = Op(op_id="INC-1:1", epoch=old, incident_id="INC-1")
        write = await world.controls._inner.set_trip(
            SCOPE, "degrade", {"level": 4}, expected_version=1, op=late, now_ms=1
        )
        assert write.result is WriteResult.STALE_EPOCH

    world.store.before["advance"] = look
    await recovery_of(world).start()
    await world.until(lambda: bool(seen))
    assert seen[0] == before


async def test_a_fence_that_is_refused_is_raised_again(world: World) -> None:
    """Also where the scope has no control that could be written."""
    await left_behind(world)
    tried: list[int] = []

    async def refuse_the_first(_scope: Any, epoch: int) -> None:
        tried.append(epoch)
        if len(tried) == 1:
            raise PermanentError("not now")

    world.controls.before["fence"] = refuse_the_first
    starting = asyncio.create_task(recovery_of(world).start())
    await world.until(lambda: len(tried) == 1)
    world.clock.advance(1_000)
    await starting
    assert tried == [tried[0]] * 2
    assert (await world.controls.read(SCOPE, "pins")).epoch >= tried[0]


async def test_who_is_waited_for_is_asked_again(world: World) -> None:
    """The process before may have died between the step and the page."""
    world.controls.before["set_trip"] = _refuse
    await world.open_incident("duplicate_effects")
    await world.until_state(State.NEEDS_HUMAN)
    await world.runner.stop()
    world.controls.before.clear()
    world.new_runner()
    world.pages.reasons.clear()
    await recovery_of(world).start()
    assert world.pages.reasons == [Reason.FREEZE_NOT_CONFIRMED]


async def test_an_orphan_is_adopted_once_it_has_stood_still(world: World) -> None:
    """Its opening reached the store after everybody had looked."""
    recovery = recovery_of(world)
    await recovery.start()
    await left_behind(world)
    await recovery.adopt()
    assert world.runner.current() == []
    world.clock.advance(MINUTE)
    await recovery.adopt()
    assert [incident.id for incident in world.runner.current()] == ["INC-1"]
    assert (await world.until_idle()).state is State.CLOSED


async def test_what_somebody_drives_is_left_alone(world: World) -> None:
    """Here, or in another process that moves it."""
    recovery = recovery_of(world)
    await left_behind(world)
    for _ in range(3):
        await recovery.adopt()
        stored = await world.stored()
        await world.store.advance(replace(stored, version=stored.version + 1), [])
        world.clock.advance(MINUTE)
    assert world.runner.current() == []


async def _refuse(*_: Any) -> None:
    raise PermanentError("no")
