"""A stand-in plans and checks as the other lever does, and moves nothing."""

import pytest

from rollbackd.clock import ManualClock
from rollbackd.levers import build_levers, lever_specs, undefined_levers
from rollbackd.levers.dry_run import DryRunSettings
from rollbackd.levers.lever_type import LeverDefinition
from rollbackd.model.levers import LeverKind
from rollbackd.ports import Controls, FencedOffError, Lever
from tests.levers.cases import SCOPE, change_of, op, planned

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
    assert await planned(lever, "canary") is None


async def test_the_note_is_taken_away(controls: Controls, lever: Lever) -> None:
    """Then it sees what the other lever sees."""
    applied = await lever.apply(await change_of(lever, "canary"), op())
    assert await lever.revert(applied, op("o2"))
    again = await change_of(lever, "canary")
    assert again.before.value == CANARY
    assert (await controls.read(SCOPE, FLAG)).version == 1


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
