"""A stand-in plans and checks as the other lever does, and moves nothing."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from rollbackd.clock import ManualClock
from rollbackd.levers import build_levers, lever_specs, undefined_levers
from rollbackd.levers.dry_run import DryRunSettings
from rollbackd.levers.exec import ExecSettings
from rollbackd.levers.lever_type import LeverDefinition
from rollbackd.model.events import KnownTarget
from rollbackd.model.levers import LeverKind
from rollbackd.ports import Controls, FencedOffError, Lever
from tests.levers.cases import KNOWN_GOOD, SCOPE, change_of, op, planned

FLAG = "flag:canary"
CANARY = {"baseline_weight": 0.9, "canary_weight": 0.1, "global_off": False}


def definitions(of: str = "flag_off") -> dict[str, LeverDefinition]:
    """One stand-in."""
    return {"rehearsal": LeverDefinition(type="dry_run", settings=DryRunSettings(of=of))}


@pytest.fixture
async def lever(controls: Controls) -> Lever:
    """A stand-in for `flag_off`, over what a rollout has set."""
    await controls.set_intent(SCOPE, FLAG, CANARY, now_ms=1)
    return build_levers(controls, ManualClock(), definitions())["rehearsal"]


async def test_an_act_is_a_note(controls: Controls, lever: Lever) -> None:
    """It is verified, and the real flag stands as it did."""
    change = await change_of(lever, "canary")
    assert change.before.value == CANARY
    assert await lever.preflight(change) == ""
    assert not await lever.verify(change)
    await lever.apply(change, op())
    assert await lever.verify(change)
    assert (await controls.read(SCOPE, FLAG)).version == 1


async def test_the_note_is_taken_away(controls: Controls, lever: Lever) -> None:
    """Then it sees what the other lever sees."""
    applied = await lever.apply(await change_of(lever, "canary"), op())
    assert await lever.revert(applied, op("o2"))
    again = await change_of(lever, "canary")
    assert again.before.value == CANARY
    assert (await controls.read(SCOPE, FLAG)).version == 1


async def test_the_next_trial_begins_with_what_is_there(controls: Controls, lever: Lever) -> None:
    """The note of the one before stays, and neither the plan nor a recorded set is made of it."""
    await lever.apply(await change_of(lever, "canary"), op())
    again = await change_of(lever, "canary")
    assert (again.before.value, again.after["canary_weight"]) == (CANARY, 0.0)
    applied = await lever.apply(again, op("o2"))
    assert not applied.replayed
    await controls.set_intent(SCOPE, FLAG, {**CANARY, "canary_weight": 0.3}, now_ms=2)
    assert (await change_of(lever, "canary")).before.value["canary_weight"] == 0.3


async def test_an_act_that_is_taken_up_again_is_a_repetition(lever: Lever) -> None:
    """After a crash the target reads as before, and the same op id changes nothing twice."""
    change = await change_of(lever, "canary")
    first = await lever.apply(change, op())
    read = await lever.observe(change.target)
    assert (read.value, read.version) == (change.before.value, change.before.version)
    again = await lever.apply(change, op())
    assert (again.replayed, again.version) == (True, first.version)


async def test_the_note_of_a_measure_is_what_stands(controls: Controls) -> None:
    """Until it is given back: a measure that is in force is not taken twice."""
    lever = build_levers(controls, ManualClock(), definitions("write_block"))["rehearsal"]
    applied = await lever.apply(await change_of(lever), op())
    assert await planned(lever) is None
    assert await lever.revert(applied, op("o2"))
    assert await planned(lever) is not None
    assert (await controls.read(SCOPE, "writes")).version == 0


async def test_what_a_person_puts_right_is_as_wanted(controls: Controls, lever: Lever) -> None:
    """Without a note, as after an act that found nothing to move."""
    change = await change_of(lever, "canary")
    await controls.set_intent(SCOPE, FLAG, change.after, now_ms=2)
    assert await lever.verify(change)


async def test_it_goes_back_to_what_was_recorded_in_its_name(
    controls: Controls, tmp_path: Path
) -> None:
    """A tree that names the stand-in alone has its target recorded as that of the stand-in."""
    switch = tmp_path / "switch"
    switch.write_text('{"to": "green"}')
    settings = ExecSettings(program="/bin/cat", observe=(str(switch),), move=("{after.to}",))
    trial = {"edge": LeverDefinition(type="exec", settings=settings), **definitions("edge")}
    lever = build_levers(controls, ManualClock(), trial)["rehearsal"]
    recorded = {"rehearsal:docs": KnownTarget(value={"to": "blue"})}
    change = await planned(lever, "docs", known_good=replace(KNOWN_GOOD, targets=recorded))
    assert change is not None
    assert (change.before.value, change.after) == ({"to": "green"}, {"to": "blue"})


async def test_a_late_owner_is_fenced_off(controls: Controls, lever: Lever) -> None:
    """As everywhere."""
    change = await change_of(lever, "canary")
    await controls.fence(SCOPE, 9)
    with pytest.raises(FencedOffError):
        await lever.apply(change, op(epoch=5))


@pytest.mark.parametrize(
    ("of", "kind"), [("flag_off", LeverKind.POINTER), ("write_block", LeverKind.TEMPORARY)]
)
def test_it_has_the_place_of_the_other(of: str, kind: LeverKind) -> None:
    """In the tree it stands where the other may stand."""
    spec = lever_specs(definitions(of))["rehearsal"]
    assert spec == lever_specs({})[of]
    assert spec.kind is kind


def test_one_without_the_other_is_named() -> None:
    """The name that leads nowhere."""
    assert undefined_levers(definitions("flag_of")) == {"rehearsal": "flag_of"}
    assert "rehearsal" not in lever_specs(definitions("flag_of"))
