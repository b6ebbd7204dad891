"""A crash at every point of the journal and of every act: the end is the same."""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rollbackd.model.incidents import MeasureStatus, State
from rollbackd.model.levers import Op
from rollbackd.model.triggers import Verdict
from tests.incidents.samples import BRANCHES, SCOPE
from tests.incidents.world import World, never, probed, quick


class End(NamedTuple):
    """What can be told apart from outside when an incident has ended."""

    state: State
    branch: str
    effective: dict[str, dict[str, object]]
    versions: dict[str, int]
    measures: list[tuple[str, MeasureStatus]]
    receipts: list[str]
    audit: list[tuple[str, bool]]


class Crash:
    """Hangs at the n-th passing of a point; the process is dead from then on."""

    def __init__(self, nth: int) -> None:
        self.nth = nth
        self.passed = 0
        self.reached = asyncio.Event()

    async def __call__(self, *_: Any) -> None:
        self.passed += 1
        if self.passed == self.nth:
            self.reached.set()
            await never()


async def end_of(world: World) -> End:
    """Let it run out and look."""
    incident = await world.until_idle()
    report = world.folder / "incidents" / "INC-1" / "report.md"
    assert f", {incident.state} because of" in report.read_text()
    return End(
        state=incident.state,
        branch=incident.branch,
        effective=await world.effective(),
        versions=await world.versions(),
        measures=[(each.change.target.lever, each.status) for each in incident.ledger],
        receipts=[str(receipt.target) for receipt in incident.receipts],
        audit=[(check.name, check.passed) for check in incident.audit],
    )


async def started(folder: Path, branch: str) -> World:
    """A world with an incident that turns red once on its way."""
    folder.mkdir()
    world = await World.open(folder)
    world.targets.verdicts = [Verdict.GREEN, Verdict.RED, Verdict.GREEN]
    await world.open_incident(branch, probed(quick(branch)))
    return world


POINTS = {
    # where: (adapter, hook, method)
    "before the journal": ("store", "before", "advance"),
    "after the journal": ("store", "after", "advance"),
    "before an act": ("controls", "before", "set_trip"),
    "after an act": ("controls", "after", "set_trip"),
}


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("point", POINTS)
async def test_a_crash_anywhere_ends_the_same(folder: Path, branch: str, point: str) -> None:
    """Each control moved as often as without the crash, and every measure is given back."""
    undisturbed = await started(folder / "undisturbed", branch)
    wanted = await end_of(undisturbed)
    await undisturbed.close()
    assert wanted.state is State.CLOSED
    adapter, hook, method = POINTS[point]
    for nth in range(1, 100):
        world = await started(folder / f"crash-{nth}", branch)
        crash = Crash(nth)
        hooks = getattr(getattr(world, adapter), hook)
        hooks[method] = crash
        runner = world.runner
        await world.until(lambda: crash.reached.is_set() or not runner._tasks)  # noqa: B023
        crashed = crash.reached.is_set()
        if crashed:
            await runner.stop()
            hooks.clear()
            await world.restart()
        end = await end_of(world)
        await world.close()
        assert end == wanted, f"crash {point} {nth}"
        if not crashed:
            break
    assert nth > len(wanted.receipts)
    assert nth < 100


async def test_a_crash_after_each_step_in_turn_ends_the_same(folder: Path) -> None:
    """A process that dies after every single step still gets there, one step a life."""
    undisturbed = await started(folder / "undisturbed", "quality_regression")
    wanted = await end_of(undisturbed)
    await undisturbed.close()
    world = await started(folder / "dying", "quality_regression")
    lives = 0
    while world.runner.current():
        # the first write of a life says that it resumed, the second is a step
        crash = Crash(1 if lives == 0 else 2)
        world.store.after["advance"] = crash
        runner = world.runner
        await world.until(lambda: crash.reached.is_set() or not runner._tasks)  # noqa: B023
        await runner.stop()
        world.store.after.clear()
        await world.restart()
        lives += 1
        assert lives < 100
    assert await end_of(world) == wanted
    await world.close()
    assert lives >= 20


@pytest.mark.parametrize("point", POINTS)
async def test_a_crash_while_a_pointer_is_flipped_again_moves_it_once(
    folder: Path, point: str
) -> None:
    """Somebody moved it back during the hold; no restart flips it twice, or counts it anew."""
    adapter, hook, method = POINTS[point]
    for nth in range(1, 100):
        folder_of_crash = folder / f"crash-{nth}"
        folder_of_crash.mkdir(parents=True)
        world = await World.open(folder_of_crash)
        policy = quick("quality_regression", hold_ms=60_000, max_reasserts=2)
        await world.open_incident("quality_regression", policy)
        await world.until_state(State.WATCHING)
        moved = await somebody_moves_the_flag(world)
        crash = Crash(nth)
        hooks = getattr(getattr(world, adapter), hook)
        hooks[method] = crash
        runner = world.runner
        await world.until(lambda: crash.reached.is_set() or not runner._tasks)  # noqa: B023
        crashed = crash.reached.is_set()
        if crashed:
            await runner.stop()
            hooks.clear()
            await world.restart()
        incident = await world.until_idle()
        version = (await world.versions())["flag:canary"]
        await world.close()
        assert (incident.state, incident.reasserts, version) == (State.CLOSED, 1, moved + 1)
        if not crashed:
            break
    assert 2 < nth < 100


async def somebody_moves_the_flag(world: World) -> int:
    """Back to what the rollout wants; returns the version that this makes."""
    flag = await world.controls.read(SCOPE, "flag:canary")
    write = await world.controls.set_trip(
        SCOPE,
        "flag:canary",
        None,
        expected_version=flag.version,
        op=Op(op_id="by-hand", epoch=flag.epoch, incident_id=""),
        now_ms=world.clock.now(),
    )
    version: int = write.control.version
    return version
