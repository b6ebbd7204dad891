"""Releasing a control that a rollback holds, on the real store and real controls."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rollbackd.app.releasing import Releasing
from rollbackd.errors import TemporaryError
from rollbackd.incidents.opening import new_incident
from rollbackd.model.incidents import State
from rollbackd.ports import ScopeBusyError
from tests.incidents.samples import SCOPE
from tests.incidents.world import World, quick


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A scope that was rolled back, and its incident is closed."""
    opened = await World.open(tmp_path)
    await opened.open_incident("quality_regression")
    await opened.until_idle()
    yield opened
    await opened.close()


def releasing(world: World) -> Releasing:
    store: Any = world.store
    controls: Any = world.controls
    return Releasing(store, controls, world.clock)


async def release(world: World, name: str = "flag:canary") -> Any:
    return await releasing(world).release(SCOPE, name, because="p2 is fixed", by="eve")


async def test_the_rollouts_intent_shows_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Under a new epoch, logged, and noted in the incident's journal."""
    before = await world.controls.read(SCOPE, "flag:canary")
    assert before.trip is not None
    control = await release(world)
    assert (control.trip, control.effective) == (None, before.intent)
    assert control.epoch > before.epoch
    last = (await world.journal())[-1]
    assert (last.kind, last.from_state, last.to_state) == (
        "ControlReleased",
        State.CLOSED,
        State.CLOSED,
    )
    assert last.detail == {"control": "flag:canary", "by": "eve", "because": "p2 is fixed"}
    assert "a control was released" in caplog.text


async def test_others_hear_of_it(world: World) -> None:
    """As of any other decision."""
    heard: list[str] = []
    store: Any = world.store
    controls: Any = world.controls
    told = Releasing(store, controls, world.clock, lambda _, record: heard.append(record.kind))
    await told.release(SCOPE, "flag:canary", because="p2 is fixed", by="eve")
    assert heard == ["ControlReleased"]


async def test_what_carries_no_trip_is_not_released(world: World) -> None:
    """Nothing is written; a second release says the same."""
    await release(world)
    version = (await world.versions())["flag:canary"]
    with pytest.raises(ValueError, match="carries no trip"):
        await release(world)
    with pytest.raises(ValueError, match="bogus"):
        await release(world, "bogus")
    assert (await world.versions())["flag:canary"] == version


async def test_the_cache_is_never_released(world: World) -> None:
    """Its generation only grows: under an earlier one the bad version's answers come back."""
    before = await world.controls.read(SCOPE, "cache")
    assert before.trip is not None
    with pytest.raises(ValueError, match=r"`cache` of .* only grows"):
        await release(world, "cache")
    assert await world.controls.read(SCOPE, "cache") == before


async def test_an_open_incident_keeps_its_controls(world: World) -> None:
    """Its trip is what the incident is about."""
    second = await _second(world)
    version = (await world.versions())["flag:canary"]
    with pytest.raises(ScopeBusyError) as refused:
        await release(world)
    assert refused.value.incident_id == second
    assert (await world.versions())["flag:canary"] == version


async def test_an_incident_that_opens_meanwhile_is_not_fenced_off(world: World) -> None:
    """The epoch is taken before it is looked again whether one is open."""

    async def open_one(*_: Any) -> None:
        world.store.after.clear()
        await _second(world)

    world.store.after["next_epoch"] = open_one
    with pytest.raises(ScopeBusyError):
        await release(world)


async def test_a_control_that_changes_meanwhile_is_looked_at_again(world: World) -> None:
    """Compare-and-set: what somebody else just wrote is not taken away."""

    async def write(*_: Any) -> None:
        world.controls.before.clear()
        value = {"baseline_weight": 0.8, "canary_weight": 0.2, "global_off": False}
        await world.controls.set_intent(SCOPE, "flag:canary", value, now_ms=2)

    world.controls.before["set_trip"] = write
    with pytest.raises(TemporaryError, match="changed meanwhile"):
        await release(world)
    assert (await world.controls.read(SCOPE, "flag:canary")).trip is not None


async def _second(world: World) -> str:
    incident, record = new_incident(
        incident_id="INC-2",
        scope=SCOPE,
        policy=quick("quality_regression"),
        epoch=await world.store.next_epoch(SCOPE),
        now_ms=world.clock.now(),
        pulled_by="eve",
    )
    await world.store.open_incident(incident, record)
    return incident.id
