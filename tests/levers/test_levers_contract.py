"""What every lever does, on every backend of the controls."""

import pytest
from msgspec.structs import replace

from rollbackd.levers import BUILT_IN
from rollbackd.model.levers import Applied, LeverKind
from rollbackd.ports import Controls, FencedOffError, Lever, TargetMovedError
from tests.levers.cases import CASES, SCOPE, Case, change_of, lever_of, op, planned

pytestmark = pytest.mark.parametrize("case", CASES, ids=lambda case: case.lever)


@pytest.fixture
async def lever(controls: Controls, case: Case) -> Lever:
    """The lever, with the rollout's intent under it."""
    await controls.set_intent(SCOPE, case.control, case.intent, now_ms=1)
    return lever_of(controls, case.lever)


def given_back(lever: Lever) -> bool:
    return lever.kind is not LeverKind.FORWARD


async def test_it_moves_what_it_says(controls: Controls, case: Case, lever: Lever) -> None:
    """From what the rollout set to what is wanted, as a trip over the intent (trap 14)."""
    change = await change_of(lever, case.name)
    assert (change.before.value, change.after) == (case.intent, case.wanted)
    assert await lever.preflight(change) == ""
    applied = await lever.apply(change, op())
    control = await controls.read(SCOPE, case.control)
    assert (control.effective, control.intent) == (case.wanted, case.intent)
    assert (control.version, control.incident_id) == (2, "INC-1")
    assert applied == Applied(change=change, op_id="o1", version=2)


async def test_preparing_changes_nothing(controls: Controls, case: Case, lever: Lever) -> None:
    """Observing, planning and the preflight only read."""
    await lever.preflight(await change_of(lever, case.name))
    assert (await controls.read(SCOPE, case.control)).version == 1


async def test_applying_twice_is_applying_once(
    controls: Controls, case: Case, lever: Lever
) -> None:
    """The same op again moves nothing and says so."""
    change = await change_of(lever, case.name)
    await lever.apply(change, op())
    again = await lever.apply(change, op())
    assert again == Applied(change=change, op_id="o1", version=2, replayed=True)
    assert (await controls.read(SCOPE, case.control)).version == 2


async def test_it_verifies_after_and_not_before(case: Case, lever: Lever) -> None:
    """Reading back is what tells the two apart."""
    change = await change_of(lever, case.name)
    assert not await lever.verify(change)
    await lever.apply(change, op())
    assert await lever.verify(change)


async def test_what_stands_is_not_moved_again(case: Case, lever: Lever) -> None:
    """There is nothing to plan, except for the cache, which always goes on."""
    await lever.apply(await change_of(lever, case.name), op())
    again = await planned(lever, case.name)
    assert (again is None) == given_back(lever)


async def test_reverting_puts_back_what_stood_before(
    controls: Controls, case: Case, lever: Lever
) -> None:
    """Once, and what only goes forward stays."""
    applied = await lever.apply(await change_of(lever, case.name), op())
    assert await lever.revert(applied, op("o2")) is given_back(lever)
    control = await controls.read(SCOPE, case.control)
    assert control.effective == (case.intent if given_back(lever) else case.wanted)
    assert await lever.revert(applied, op("o2")) is given_back(lever)
    assert (await controls.read(SCOPE, case.control)) == control


async def test_reverting_what_was_never_applied_touches_nothing(
    controls: Controls, case: Case, lever: Lever
) -> None:
    """There is nothing of ours to take away."""
    change = await change_of(lever, case.name)
    assert not await lever.revert(Applied(change=change, op_id="o1", version=2), op("o2"))
    assert (await controls.read(SCOPE, case.control)).version == 1


async def test_what_somebody_else_moved_is_left_alone(
    controls: Controls, case: Case, lever: Lever
) -> None:
    """Compare-and-restore."""
    applied = await lever.apply(await change_of(lever, case.name), op())
    theirs = {**case.wanted, "by": "somebody"}
    await controls.set_trip(
        SCOPE, case.control, theirs, expected_version=2, op=op("x", epoch=6), now_ms=2
    )
    assert not await lever.revert(applied, op("o2", epoch=7))
    control = await controls.read(SCOPE, case.control)
    assert (control.trip, control.version) == (theirs, 3)


async def test_a_stale_epoch_moves_nothing(controls: Controls, case: Case, lever: Lever) -> None:
    """A late owner is fenced off when it applies and when it reverts (T14)."""
    change = await change_of(lever, case.name)
    await controls.set_trip(
        SCOPE, "flag:other", {"x": 1}, expected_version=0, op=op("newer", epoch=9), now_ms=2
    )
    with pytest.raises(FencedOffError, match="epoch 5 is stale, 9 wrote"):
        await lever.apply(change, op())
    assert (await controls.read(SCOPE, case.control)).version == 1
    applied = await lever.apply(change, op(epoch=9))
    if given_back(lever):
        with pytest.raises(FencedOffError):
            await lever.revert(applied, op("o2"))
    assert (await controls.read(SCOPE, case.control)).version == 2


async def test_a_target_that_moved_is_not_moved_again(
    controls: Controls, case: Case, lever: Lever
) -> None:
    """The version that was observed is compared when it is written."""
    change = await change_of(lever, case.name)
    await controls.set_intent(SCOPE, case.control, case.intent, now_ms=2)
    with pytest.raises(TargetMovedError, match="expected version 1, found 2"):
        await lever.apply(change, op())
    assert (await controls.read(SCOPE, case.control)).trip is None


async def test_the_rollout_cannot_undo_it(controls: Controls, case: Case, lever: Lever) -> None:
    """An intent written meanwhile shows again once the measure is given back."""
    applied = await lever.apply(await change_of(lever, case.name), op())
    raised = {**case.intent, "note": "raised"}
    await controls.set_intent(SCOPE, case.control, raised, now_ms=2)
    assert (await controls.read(SCOPE, case.control)).effective == case.wanted
    assert await lever.verify(applied.change)
    if given_back(lever):
        assert await lever.revert(applied, op("o2"))
        assert (await controls.read(SCOPE, case.control)).effective == raised


async def test_an_empty_value_is_never_pointed_at(case: Case, lever: Lever) -> None:
    """The preflight of a pointer refuses nothing at all, and an empty string (G13)."""
    change = await change_of(lever, case.name)
    for after in ({}, dict.fromkeys(case.wanted, "")):
        objection = await lever.preflight(replace(change, after=after))
        assert bool(objection) == (lever.kind is LeverKind.POINTER)


def test_every_lever_has_a_case(case: Case) -> None:
    """Adding a lever means adding it here, and its class says its name."""
    assert BUILT_IN[case.lever].name == case.lever
    assert {each.lever for each in CASES} == set(BUILT_IN)
