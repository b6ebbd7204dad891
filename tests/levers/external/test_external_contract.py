"""What every lever on another system does, against the real system where it can run."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers import EXTERNAL
from rollbackd.model.levers import Applied, Change, LeverKind, Observation, PlanRequest
from rollbackd.ports import FencedOffError, TargetMovedError
from tests.levers.external.world import SCOPE, World, op
from tests.levers.external.worlds import WORLDS
from tests.services.polling import eventually

pytestmark = [pytest.mark.services, pytest.mark.timeout(60)]


def worlds_with(fits: Callable[[type[World]], bool]) -> pytest.MarkDecorator:
    """Only the worlds that a test has something to say about."""
    fitting = [world for world in WORLDS if fits(world)]
    return pytest.mark.parametrize(
        "world_type", fitting, indirect=True, ids=[world.lever_type for world in fitting]
    )


def is_pointer(world: type[World]) -> bool:
    """Not a measure that is given back."""
    return EXTERNAL[world.lever_type].kind is LeverKind.POINTER


def has_a_third_value(world: type[World]) -> bool:
    """Not a switch, which can only be as it was or as the lever has set it."""
    return world.other != world.bad


def test_every_lever_has_a_world() -> None:
    """Adding a lever means adding it to this suite."""
    assert {world.lever_type for world in WORLDS} == set(EXTERNAL)


async def patiently(world: World, change: Change, op_id: str = "INC-1:1") -> Applied:
    """Apply as the incident runner does: again and again while the failure may pass."""
    for _ in range(250):
        try:
            return await world.lever.apply(change, op(op_id))
        except TemporaryError:
            await asyncio.sleep(0.02)
    raise AssertionError("it did not pass")


async def verified(world: World, change: Change) -> bool:
    """Whether it verifies by now; a reader that lags raises what may pass."""
    try:
        return await world.lever.verify(change)
    except TemporaryError:
        return False


async def test_it_moves_the_target_from_what_it_observed(world: World) -> None:
    """To what was recorded as good; somebody else's eyes see the same."""
    change = await world.change()
    assert (change.before.value, change.after) == (world.bad, world.good)
    assert await world.lever.preflight(change) == ""
    applied = await world.lever.apply(change, op())
    assert applied.change == change
    assert not applied.replayed
    assert await world.held() == world.good


async def test_preparing_changes_nothing(world: World) -> None:
    """Observing, planning and the preflight only read."""
    before = await world.changes()
    await world.lever.preflight(await world.change())
    assert await world.held() == world.bad
    assert await world.changes() == before


async def test_applying_twice_is_applying_once(world: World) -> None:
    """The second says that the first did it."""
    change = await world.change()
    await world.lever.apply(change, op())
    after_one = await world.changes()
    again = await world.lever.apply(change, op())
    assert again.replayed
    assert await world.held() == world.good
    assert await world.changes() == after_one


async def test_it_verifies_after_and_not_before(world: World) -> None:
    """Reading back is what tells the two apart."""
    change = await world.change()
    assert not await world.lever.verify(change)
    await world.lever.apply(change, op())
    await eventually(lambda: verified(world, change), within_seconds=10)


async def test_it_verifies_from_a_receipt(world: World) -> None:
    """As the audit does, which has no more than what stood before and what stands now."""
    change = await world.change()
    applied = await world.lever.apply(change, op())
    before = Observation(value=change.before.value, version=applied.version)
    told = Change(target=change.target, before=before, after=change.after)
    await eventually(lambda: verified(world, told), within_seconds=10)


async def test_there_is_nothing_to_plan_once_it_stands(world: World) -> None:
    """What is as wanted is left alone."""
    await world.lever.apply(await world.change(), op())
    assert await world.planned() is None


async def test_reverting_twice_is_reverting_once(world: World) -> None:
    """What stood before stands again."""
    applied = await world.lever.apply(await world.change(), op())
    assert await world.lever.revert(applied, op("INC-1:2"))
    assert await world.held() == world.bad
    after_one = await world.changes()
    assert await world.lever.revert(applied, op("INC-1:2"))
    assert await world.held() == world.bad
    assert await world.changes() == after_one


async def test_reverting_what_was_never_applied_moves_nothing(world: World) -> None:
    """There is nothing of ours to take away."""
    change = await world.change()
    before = await world.changes()
    await world.lever.revert(Applied(change=change, op_id="INC-1:1", version=0), op("INC-1:2"))
    assert await world.held() == world.bad
    assert await world.changes() == before


@worlds_with(has_a_third_value)
async def test_what_somebody_else_moved_is_left_alone(world: World) -> None:
    """Compare-and-restore."""
    applied = await world.lever.apply(await world.change(), op())
    await world.put(world.other)
    assert not await world.lever.revert(applied, op("INC-1:2"))
    assert await world.held() == world.other


@worlds_with(has_a_third_value)
async def test_a_target_that_moved_is_not_moved_again(world: World) -> None:
    """What was observed is compared when it is written."""
    change = await world.change()
    await world.put(world.other)
    with pytest.raises(TargetMovedError):
        await world.lever.apply(change, op())
    assert await world.held() == world.other


async def test_a_late_owner_is_fenced_off(world: World) -> None:
    """A higher epoch of the scope was seen: neither apply nor revert may move anything."""
    change = await world.change()
    await world.controls.fence(SCOPE, 9)
    with pytest.raises(FencedOffError):
        await world.lever.apply(change, op(epoch=5))
    assert await world.held() == world.bad
    applied = await world.lever.apply(change, op(epoch=9))
    with pytest.raises(FencedOffError):
        await world.lever.revert(applied, op("INC-1:2", epoch=5))
    assert await world.held() == world.good


def at_the_move(world: World, strike: Callable[[], None]) -> None:
    """Let something happen between what the lever reads and what it changes, once."""
    move = world.lever.move

    async def struck(*arguments: Any) -> None:
        world.lever.move = move  # type: ignore[method-assign]
        strike()
        await move(*arguments)

    world.lever.move = struck  # type: ignore[method-assign]


@worlds_with(lambda world: world.over_network)
@pytest.mark.parametrize("fault", ["reset_on_reply", "drop_replies"])
async def test_an_act_whose_reply_was_lost_is_found_done(world: World, fault: str) -> None:
    """The effect happened, the answer never came: the next try sees it and moves nothing."""
    assert world.proxy is not None
    change = await world.change()
    at_the_move(world, getattr(world.proxy, fault))
    with pytest.raises(TemporaryError):
        async with asyncio.timeout(10):
            await world.lever.apply(change, op())
    assert world.proxy.hits
    world.proxy.heal()
    await patiently(world, change)
    assert await world.held() == world.good
    await eventually(lambda: verified(world, change), within_seconds=10)


@worlds_with(lambda world: world.over_network)
async def test_a_target_that_cannot_be_reached_may_come_back(world: World) -> None:
    """TemporaryError at every verb, and then it goes on."""
    assert world.proxy is not None
    change = await world.change()
    await world.proxy.refuse()
    for attempt in (
        world.lever.observe(world.target),
        world.lever.apply(change, op()),
        world.lever.verify(change),
        world.lever.revert(Applied(change=change, op_id="INC-1:1", version=0), op()),
    ):
        with pytest.raises(TemporaryError) as raised:
            await attempt
        assert not world.secret or world.secret not in str(raised.value)
    await world.proxy.accept()
    await patiently(world, change)
    assert await world.held() == world.good


@worlds_with(lambda world: world.over_network)
async def test_a_cancelled_act_leaves_the_lever_usable(world: World) -> None:
    """Whether the effect happened is unknown then; trying again ends at the wanted value."""
    assert world.proxy is not None
    proxy, change = world.proxy, await world.change()
    at_the_move(world, getattr(proxy, world.hangs_by))
    act = asyncio.create_task(world.lever.apply(change, op()))

    async def is_under_way() -> bool:
        return proxy.hits > 0

    await eventually(is_under_way, within_seconds=10)
    act.cancel()
    with pytest.raises(asyncio.CancelledError):
        await act
    proxy.heal()
    await patiently(world, change)
    assert await world.held() == world.good


@worlds_with(is_pointer)
async def test_nothing_is_never_pointed_at(world: World) -> None:
    """An empty value, and empty parts, are refused before the act."""
    change = await world.change()
    for after in ({}, dict.fromkeys(world.good, "")):
        assert await world.lever.preflight(replace(change, after=after))


@worlds_with(lambda world: world.can_be_empty)
async def test_an_empty_target_is_refused_before_the_act(world: World) -> None:
    """What the pointer would lead to is gone or holds nothing (G13)."""
    change = await world.change()
    await world.empty()
    assert await world.lever.preflight(change)
    assert await world.held() == world.bad


@worlds_with(lambda world: bool(world.facts))
async def test_what_differs_from_what_was_recorded_is_refused(world: World) -> None:
    """Facts of the recorded set, such as a document count, are compared before the act."""
    change = await world.change()
    for name in world.facts:
        wrong = replace(change, facts={**world.facts, name: "something else"})
        assert name in await world.lever.preflight(wrong)


@worlds_with(lambda world: is_pointer(world) and world.needs_recorded and not world.params)
async def test_what_is_not_recorded_is_not_guessed(world: World) -> None:
    """Without a recorded set a pointer that needs one refuses, and says how to record it."""
    observed = await world.lever.observe(world.target)
    request = PlanRequest(
        target=world.target, observed=observed, known_good=None, params={}, pins_seen={}
    )
    with pytest.raises(PermanentError, match="rollbackd pins record"):
        world.lever.plan(request)
