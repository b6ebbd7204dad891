"""Acts that take long: the lease under them, who loses it, what is seen, and what a stop leaves."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.incidents import drive
from rollbackd.incidents.lease import RENEW_MS
from rollbackd.levers.exec import ExecSettings
from rollbackd.levers.lever_type import LeverDefinition
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import State
from rollbackd.model.policy import BranchPolicy, LeverCall
from tests.incidents.samples import MINUTE, SCOPE
from tests.incidents.world import World, quick

S = State

#: Prints what the switch is at, or moves it once it may; each move is told of.
_PROGRAM = """
import json, os, sys, time
folder = os.environ["FOLDER"]
if sys.argv[1] == "get":
    print(json.dumps({"target": open(folder + "/switch").read()}))
else:
    with open(folder + "/begun", "a") as begun:
        begun.write(f"{os.getpid()} {sys.argv[3]}\\n")
    while not os.path.exists(folder + "/go"):
        time.sleep(0.01)
    with open(folder + "/switch", "w") as switch:
        switch.write(sys.argv[2])
"""


class Switch:
    """A program that moves a switch, and takes as long as it is not let."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "switch"
        self.folder.mkdir()
        (self.folder / "switch").write_text("bad")
        path = self.folder / "switchctl"
        path.write_text(f"#!{sys.executable} -IS\n{_PROGRAM}")
        path.chmod(0o755)
        settings = ExecSettings(
            program=str(path),
            observe=["get"],
            move=["set", "{after.target}", "{op_id}"],
            environment={"FOLDER": str(self.folder)},
            wanted={"target": "good"},
            timeout=120_000,
        )
        self.definitions = {"switch": LeverDefinition(type="exec", settings=settings)}

    @property
    def begun(self) -> list[tuple[int, str]]:
        """The process and the op id of each run that moves."""
        found = self.folder / "begun"
        lines = found.read_text().splitlines() if found.exists() else []
        return [(int(pid), op_id) for pid, op_id in (line.split() for line in lines)]

    def may_end(self) -> None:
        (self.folder / "go").touch()

    @property
    def at(self) -> str:
        return (self.folder / "switch").read_text()


def by_switch() -> BranchPolicy:
    """A branch that only moves the switch."""
    levers = [LeverCall(lever="switch", name="edge")]
    return replace(quick("duplicate_effects"), freeze=None, levers=levers)


def is_gone(pid: int) -> bool:
    """Whether there is no such process, or only its entry for who has to reap it."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


@pytest.fixture
async def switch(world: World, folder: Path) -> AsyncIterator[Switch]:
    """The lever `switch` is in the levers file of every runner of the world."""
    made = Switch(folder)
    world.definitions = made.definitions
    world.new_runner()
    yield made
    made.may_end()


async def test_the_policy_counts_and_people_see_it_while_an_act_runs(world: World) -> None:
    """A freeze that lasts too long is paged; the journal and a metric say what is waited for."""

    async def long(_scope: object, name: str, *_: Any) -> None:
        for _step in range(120 if name.startswith("flag") else 0):
            await world.clock.sleep(5_000)

    world.controls.before["set_trip"] = long
    policy = quick("duplicate_effects", max_freeze_ms=4 * MINUTE)
    await world.open_incident("duplicate_effects", policy)
    labels = {"lever": "flag_off", "scope": str(SCOPE)}
    await world.until(lambda: (world.gauge("lever_act_age_seconds", **labels) or 0) > 5 * 60)
    assert world.runner.current()[0].state is S.FLIPPING
    assert world.pages.reasons == [Reason.MEASURE_OVERDUE]
    closed = await world.until_idle()
    assert closed.state is S.CLOSED
    assert world.gauge("lever_act_age_seconds", **labels) == 0
    told = [each.detail for each in await world.journal() if each.kind == "StillPerforming"]
    assert sum("overdue" in each for each in told) == 1
    act = next(r for r in closed.receipts if r.target.lever == "flag_off")
    since = [each["since_ms"] for each in told if each.get("waits_for") == str(act.target)]
    assert sum(act.started_at_ms <= at_ms < act.sealed_at_ms for at_ms in since) == 1


async def test_who_loses_the_incident_ends_the_program(world: World, switch: Switch) -> None:
    """Another process has taken it over: what this one had begun is killed, not waited for."""
    await world.open_incident("duplicate_effects", by_switch())
    await world.until(lambda: len(switch.begun) == 1)
    first = world.runner
    world.new_runner()
    await world.runner.resume(await world.stored())
    await world.until(lambda: not first._tasks)
    ((pid, _),) = switch.begun[:1]
    await world.until(lambda: is_gone(pid))
    switch.may_end()
    await world.until_state(S.WATCHING)
    assert switch.at == "good"


async def test_a_stop_ends_the_program_and_the_next_owner_takes_it_up(
    world: World, switch: Switch
) -> None:
    """Under the same op id; it had no effect, so it is run once more, and counts once."""
    await world.open_incident("duplicate_effects", by_switch())
    await world.until(lambda: len(switch.begun) == 1)
    async with asyncio.timeout(15):
        await world.runner.stop()
    ((pid, op_id),) = switch.begun
    assert is_gone(pid)
    assert switch.at == "bad"
    switch.may_end()
    await world.restart()
    watched = await world.until_state(S.WATCHING)
    assert [each for _, each in switch.begun] == [op_id, op_id]
    assert switch.at == "good"
    assert [r.op_id for r in watched.receipts if r.target.lever == "switch"] == [op_id]


async def test_a_lease_that_cannot_be_renewed_breaks_the_act_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is away: it ends before anybody else may begin it, and goes on when it is back."""
    monkeypatch.setattr(drive, "BREAK_OFF_SECONDS", 0.3)
    hanging, broken_off = asyncio.Event(), asyncio.Event()

    async def hang(*_: Any) -> None:
        if broken_off.is_set():
            return
        hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            broken_off.set()

    async def away(*_: Any) -> None:
        if hanging.is_set():
            await broken_off.wait()

    world.controls.before["set_trip"] = hang
    world.store.before["advance"] = away
    opened = await world.open_incident("duplicate_effects")
    closed = await world.until_idle()
    assert closed.state is S.CLOSED
    kinds = [each.kind for each in await world.journal()]
    assert kinds[kinds.index("Resumed") - 1] == "StillPerforming"
    assert closed.epoch > opened.epoch
    assert len({receipt.op_id for receipt in closed.receipts}) == closed.acts


async def test_a_word_is_heard_though_it_comes_while_the_lease_is_renewed(world: World) -> None:
    """It is not only noticed with the next renewal, nor only when the act has ended."""
    renewing, said = asyncio.Event(), asyncio.Event()
    acting = False

    async def hang(*_: Any) -> None:
        nonlocal acting
        acting = True
        await asyncio.Event().wait()

    async def renew(*_: Any) -> None:
        if acting and not said.is_set():
            renewing.set()
            await said.wait()

    world.controls.before["set_trip"] = hang
    world.store.before["advance"] = renew
    await world.open_incident("duplicate_effects")
    await world.until(renewing.is_set)
    word = "abort_leaving_measures"
    deciding = asyncio.ensure_future(world.runner.decide("INC-1", word, by="eve"))
    await world.until(lambda: len(world.runner._drives["INC-1"]._mail) == 2)
    renewed_at_ms = world.clock.now()
    said.set()
    assert (await world.until_idle()).state is S.ABORTED
    assert await deciding
    assert world.clock.now() - renewed_at_ms < RENEW_MS
