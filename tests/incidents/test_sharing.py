"""One target on another system that incidents of several scopes keep frozen together."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.incidents.opening import new_incident
from rollbackd.incidents.sharing import SharedTargets
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, MeasureStatus, State
from rollbackd.model.labels import Scope
from rollbackd.model.levers import LeverKind, Observation, PlanRequest, Target
from rollbackd.model.policy import BranchPolicy, LeverCall
from tests.incidents.fake_lever import FakeLever, Fault, raises
from tests.incidents.samples import trigger_of
from tests.incidents.world import World, never, quick

S = State
RUNNING: dict[str, object] = {"paused": False}
PAUSED: dict[str, object] = {"paused": True}
FIRST = Scope("orders", "eu-1")
SECOND = Scope("mail", "eu-1")


class Job(FakeLever):
    """A job that writes for several scopes."""

    def __init__(self) -> None:
        super().__init__(LeverKind.TEMPORARY)
        self.value, self.planned, self.is_shared = RUNNING, PAUSED, True

        #: Looks of the second scope that go wrong.
        self.second_looks: list[Fault] = []

    async def observe(self, target: Target) -> Observation:
        if target.scope == SECOND:
            await self._fault("observe", {"observe": self.second_looks})
        return await super().observe(target)

    def plan(self, request: PlanRequest) -> dict[str, object] | None:
        return None if request.observed.value == PAUSED else PAUSED


class Shared:
    """Two scopes whose branches pause one job."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.job = Job()
        self.take_over()

    def take_over(self) -> None:
        """Another process has the lever too."""
        levers: Any = self.world.runner._around.levers
        levers["fake"] = self.job

    async def freeze(self, incident_id: str, scope: Scope, **changes: Any) -> None:
        policy = pausing(**changes)
        incident, record = new_incident(
            incident_id=incident_id,
            scope=scope,
            policy=policy,
            epoch=await self.world.store.next_epoch(scope),
            now_ms=self.world.clock.now(),
            trigger=trigger_of(policy.branch),
        )
        await self.world.store.open_incident(incident, record)
        self.world.runner.start(incident)

    async def until(self, incident_id: str, *states: State) -> Incident:
        """Let time pass until the incident is in one of the states."""

        def there() -> bool:
            driven = {each.id: each for each in self.world.runner.current()}
            incident = driven.get(incident_id)
            return (
                incident is None
                if S.CLOSED in states
                else bool(incident and incident.state in states)
            )

        await self.world.until(there)
        return await self.stored(incident_id)

    async def stored(self, incident_id: str) -> Incident:
        incident: Incident | None = await self.world.store.incident(incident_id)
        assert incident is not None
        return incident


def pausing(**changes: Any) -> BranchPolicy:
    """A branch that pauses the job and watches."""
    return quick(
        "duplicate_effects",
        freeze=LeverCall(lever="fake", name="nightly"),
        levers=[],
        rotate=None,
        throttle=[],
        reconcile="off",
        **changes,
    )


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    """A world with the job, which runs."""
    world = await World.open(tmp_path)
    yield Shared(world)
    await world.close()


def statuses(incident: Incident) -> list[MeasureStatus]:
    return [each.status for each in incident.ledger]


async def test_the_last_one_gives_it_back(shared: Shared) -> None:
    """The second one finds it paused and holds it as well; the first one leaves it to that."""
    await shared.freeze("INC-1", FIRST)
    await shared.until("INC-1", S.WATCHING)
    await shared.freeze("INC-2", SECOND, hold_ms=300_000)
    second = await shared.until("INC-2", S.WATCHING)
    assert statuses(second) == [MeasureStatus.TAKEN]
    assert second.ledger[0].change.before.value == RUNNING
    planned = [r for r in await shared.world.store.journal("INC-2") if r.kind == "Prepared"]
    assert [record.detail.get("held_by") for record in planned] == ["INC-1"]
    first = await shared.until("INC-1", S.CLOSED)
    assert (first.state, statuses(first)) == (S.CLOSED, [MeasureStatus.HANDED_OVER])
    assert first.ledger[0].handed_to == "INC-2"
    assert Reason.HANDED_OVER in {r.reason for r in await shared.world.store.journal("INC-1")}
    assert "left to it" in " ".join(check.detail for check in first.audit)
    assert shared.job.value == PAUSED
    assert (await shared.stored("INC-2")).state is S.WATCHING
    second = await shared.until("INC-2", S.CLOSED)
    assert (second.state, statuses(second)) == (S.CLOSED, [MeasureStatus.RESTORED])
    assert shared.job.value == RUNNING
    assert shared.job.calls["apply"] == shared.job.calls["revert"] == 1


async def test_who_ends_earlier_leaves_it_to_who_took_it(shared: Shared) -> None:
    await shared.freeze("INC-1", FIRST, hold_ms=300_000)
    await shared.until("INC-1", S.WATCHING)
    await shared.freeze("INC-2", SECOND)
    second = await shared.until("INC-2", S.CLOSED)
    assert (second.ledger[0].status, second.ledger[0].handed_to) == (
        MeasureStatus.HANDED_OVER,
        "INC-1",
    )
    assert shared.job.value == PAUSED
    assert statuses(await shared.until("INC-1", S.CLOSED)) == [MeasureStatus.RESTORED]
    assert shared.job.value == RUNNING


async def test_what_a_person_had_paused_is_not_ours_to_give_back(shared: Shared) -> None:
    shared.job.value = PAUSED
    await shared.freeze("INC-1", FIRST)
    closed = await shared.until("INC-1", S.CLOSED)
    assert (closed.state, closed.ledger, shared.job.value) == (S.CLOSED, [], PAUSED)


async def test_two_that_took_it_at_once_both_hold_it(shared: Shared) -> None:
    """Each saw it running; the one that came later finds it paused when it acts."""
    await shared.freeze("INC-1", FIRST)
    await shared.freeze("INC-2", SECOND, hold_ms=300_000)
    first = await shared.until("INC-1", S.CLOSED)
    assert (statuses(first), shared.job.value) == ([MeasureStatus.HANDED_OVER], PAUSED)
    second = await shared.until("INC-2", S.CLOSED)
    assert (statuses(second)[-1], shared.job.value) == (MeasureStatus.RESTORED, RUNNING)


async def test_a_measure_that_a_person_took_over_is_left_to_them(shared: Shared) -> None:
    """They ended the other incident and said that it stays."""
    await shared.freeze("INC-1", FIRST, hold_ms=300_000)
    await shared.until("INC-1", S.WATCHING)
    await shared.freeze("INC-2", SECOND)
    await shared.until("INC-2", S.WATCHING)
    assert await shared.world.runner.decide("INC-1", "abort_leaving_measures", by="eve")
    second = await shared.until("INC-2", S.CLOSED)
    assert second.ledger[0].handed_to == "INC-1"
    assert shared.job.value == PAUSED


async def test_who_comes_while_it_is_given_back_waits_and_pauses_it_again(shared: Shared) -> None:
    """The giving back was on its way before the newcomer was in the store."""
    await shared.freeze("INC-1", FIRST)
    await shared.until("INC-1", S.WATCHING)
    go = asyncio.Event()
    shared.job.faults["revert"] = [go.wait]
    await shared.until("INC-1", S.RESTORING)
    await shared.world.until(lambda: shared.job.calls["revert"] == 1)
    await shared.freeze("INC-2", SECOND, hold_ms=300_000)
    await shared.world.until(lambda: bool(shared.world.pages.reasons))
    assert "is being given back by `INC-1`" in shared.world.pages.reasons[0]
    assert (await shared.stored("INC-2")).state is S.FREEZING
    go.set()
    await shared.until("INC-2", S.WATCHING)
    assert shared.job.value == PAUSED
    assert (await shared.until("INC-1", S.CLOSED)).state is S.CLOSED
    await shared.until("INC-2", S.CLOSED)
    assert shared.job.value == RUNNING


async def test_what_was_left_to_one_whose_act_then_fails_is_not_forgotten(shared: Shared) -> None:
    """It was registered, so the other one handed it over; it may stand, and somebody looks."""
    await shared.freeze("INC-1", FIRST)
    await shared.until("INC-1", S.WATCHING)
    asks, failing = asyncio.Event(), raises(PermanentError("no such job any more"))

    async def fail_later() -> None:
        await asks.wait()
        failing()

    # it is observed when it is planned, and again when it is acted upon
    shared.job.second_looks = [lambda: None, fail_later]
    await shared.freeze("INC-2", SECOND)
    await shared.world.until(lambda: not shared.job.second_looks)
    await shared.until("INC-1", S.CLOSED)
    assert shared.job.value == PAUSED
    asks.set()
    second = await shared.until("INC-2", S.NEEDS_HUMAN)
    assert statuses(second) == [MeasureStatus.TAKEN]
    assert await shared.world.runner.decide("INC-2", "restore", by="eve")
    await shared.until("INC-2", S.CLOSED)
    assert shared.job.value == RUNNING


async def test_one_that_each_scope_has_of_its_own_is_nobody_elses(shared: Shared) -> None:
    """As the levers on controls; the store is not even asked."""
    shared.job.is_shared = False
    await shared.freeze("INC-1", FIRST)
    first = await shared.until("INC-1", S.WATCHING)
    others = SharedTargets(shared.world.runner._around.levers, shared.world.runner._around.store)
    shared.world.store.before["incidents"] = never
    change = first.ledger[0].change
    beside = replace(first, id="INC-2", scope=SECOND)
    theirs = replace(change.target, scope=SECOND)
    assert await others.held(beside, theirs, PAUSED) is None
    assert not await others.depends(beside, replace(change, target=theirs))
    await others.wait_until_kept(beside, replace(change, target=theirs))


async def test_a_store_that_is_away_gives_nothing_back(shared: Shared) -> None:
    """Whether another one needs it is not known; it is asked until it answers."""
    await shared.freeze("INC-1", FIRST)
    await shared.until("INC-1", S.WATCHING)

    async def away(*_: Any) -> None:
        raise TemporaryError("the store is away")

    shared.world.store.before["incidents"] = away
    await shared.until("INC-1", S.RESTORING)
    await shared.world.until(lambda: bool(shared.world.pages.reasons))
    assert (shared.world.pages.reasons[0], shared.job.value) == ("the store is away", PAUSED)
    shared.world.store.before.clear()
    await shared.until("INC-1", S.CLOSED)
    assert shared.job.value == RUNNING
