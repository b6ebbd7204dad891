"""Approval, drift, worse and what is left in force, on the real store and real controls."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.errors import TemporaryError
from rollbackd.incidents.opening import new_incident
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import MeasureStatus, State
from rollbackd.model.levers import Op
from rollbackd.model.policy import Approval, BranchPolicy, WorseAfter
from rollbackd.model.triggers import TargetReading, Verdict
from tests.incidents.samples import SCOPE, reading
from tests.incidents.world import World, probed, quick

S = State
_APPROVAL = Approval(within_ms=20_000)


async def test_a_person_is_asked_before_the_first_act(world: World) -> None:
    """Paged once; nothing moves until the word came; then it goes to its end."""
    before = await world.versions()
    await world.open_incident("quality_regression", quick("quality_regression", approval=_APPROVAL))
    await world.until_state(S.AWAITING_APPROVAL)
    assert world.pages.reasons == [Reason.APPROVAL_NEEDED]
    assert await world.versions() == before
    assert await world.runner.decide("INC-1", "approve", by="eve")
    closed = await world.until_idle()
    assert (closed.state, closed.approved_by) == (S.CLOSED, "eve")


async def test_the_deadline_of_an_approval_survives_a_restart(world: World) -> None:
    """It counts from when it began to wait, not from when the new process came up."""
    opened = world.clock.now()
    await world.open_incident("quality_regression", quick("quality_regression", approval=_APPROVAL))
    await world.until_state(S.AWAITING_APPROVAL)
    await world.until(lambda: world.clock.now() >= opened + 15_000)
    await world.restart()
    ended = await world.until_idle()
    assert (ended.state, ended.reason) == (S.OBSERVED, Reason.APPROVAL_EXPIRED)
    assert ended.closed_at_ms is not None
    assert 20_000 <= ended.closed_at_ms - opened < 30_000


def probing(**changes: Any) -> BranchPolicy:
    return probed(quick("quality_regression", **changes))


async def test_the_probes_are_asked_until_they_agree(world: World) -> None:
    """And nothing is flipped before."""
    world.probes.rounds = [False, False, True]
    await world.open_incident("quality_regression", probing())
    closed = await world.until_idle()
    assert closed.state is S.CLOSED
    assert [probe.kind for probe in world.probes.asked] == ["write"] * 3
    assert world.gauge("freeze_probes_total", probe="write", result="not_confirmed") == 2
    assert world.gauge("freeze_probes_total", probe="write", result="confirmed") == 1


async def test_a_freeze_that_is_not_confirmed_is_kept(world: World) -> None:
    """A person is asked; the pointer stands where it stood."""
    world.probes.rounds = [False]
    await world.open_incident("quality_regression", probing(confirm_freeze_ms=3_000))
    stopped = await world.until_state(S.NEEDS_HUMAN)
    assert stopped.reason is Reason.FREEZE_NOT_CONFIRMED
    effective = await world.effective()
    assert effective["writes"]["blocked"]
    assert effective["flag:canary"]["canary_weight"] == 0.1


async def somebody_moves(world: World, name: str) -> None:
    """The trip is taken away under the very epoch of the incident."""
    control = await world.controls.read(SCOPE, name)
    op = Op(op_id=f"eve-{name}-{control.version}", epoch=control.epoch, incident_id="")
    await world.controls.set_trip(
        SCOPE, name, None, expected_version=control.version, op=op, now_ms=1
    )


async def test_a_pointer_that_somebody_moves_back_is_flipped_again_once(world: World) -> None:
    """Paged each time; the second time people go on."""
    await world.open_incident("quality_regression", quick("quality_regression", hold_ms=60_000))
    await world.until_state(S.WATCHING)
    await somebody_moves(world, "flag:canary")
    await world.until(lambda: world.runner.current()[0].reasserts == 1)
    await world.until_state(S.WATCHING)
    assert (await world.effective())["flag:canary"]["canary_weight"] == 0.0
    assert world.pages.reasons == [Reason.POINTER_DRIFTED]
    await somebody_moves(world, "flag:canary")
    stopped = await world.until_state(S.NEEDS_HUMAN)
    assert stopped.reason is Reason.POINTER_DRIFTED
    assert world.pages.reasons == [Reason.POINTER_DRIFTED] * 2
    assert (await world.effective())["flag:canary"]["canary_weight"] == 0.1


async def lift(world: World) -> None:
    """Somebody takes the fence away, past the daemon."""
    control = await world.controls.read(SCOPE, "writes")
    op = Op(op_id="by-hand", epoch=control.epoch, incident_id="")
    await world.controls.set_trip(
        SCOPE, "writes", None, expected_version=control.version, op=op, now_ms=1
    )


async def test_a_freeze_that_somebody_lifts_is_said_and_put_on_again(world: World) -> None:
    """What was confirmed stands until it is given back; in the end it is, and once."""
    await world.open_incident("quality_regression")
    await world.until_state(S.WATCHING)
    flipped = (await world.versions())["flag:canary"]
    await lift(world)
    assert not (await world.effective())["writes"]["blocked"]
    await world.until(lambda: bool(world.pages.reasons))
    await world.until_state(S.WATCHING)
    assert (await world.effective())["writes"]["blocked"]
    assert world.pages.reasons == [Reason.FREEZE_LIFTED]
    closed = await world.until_idle()
    assert (closed.state, closed.refreezes) == (S.CLOSED, 1)
    assert not (await world.effective())["writes"]["blocked"]
    assert (await world.versions())["flag:canary"] == flipped


async def test_a_pointer_that_cannot_be_read_has_not_drifted(world: World) -> None:
    """The controls are down for the rest of the hold."""

    async def down(*_: Any) -> None:
        if world.runner.current() and world.runner.current()[0].state is S.WATCHING:
            raise TemporaryError("connection refused")

    await world.open_incident("quality_regression")
    await world.until_state(S.WATCHING)
    world.controls.before["read"] = down
    closed = await world.until_idle()
    assert (closed.state, closed.reasserts) == (S.CLOSED, 0)


class Worse:
    """Bad before the act, and far worse after it."""

    def read(self, incident: Any, now_ms: int) -> list[TargetReading]:  # noqa: ARG002
        red = reading(Verdict.RED)
        return [red if incident.flipped_at_ms is None else replace(red, value=0.9)]


async def test_what_got_worse_is_put_back(world: World) -> None:
    """The canary is as the rollout had it; writers stay frozen, and somebody is asked."""
    world.targets.read = Worse().read  # type: ignore[method-assign]
    policy = quick("quality_regression", worse_after=WorseAfter(for_ms=20_000))
    await world.open_incident("quality_regression", policy)
    stopped = await world.until_state(S.NEEDS_HUMAN)
    assert (stopped.reason, stopped.reverted) == (Reason.WORSE_AFTER_ACTING, True)
    effective = await world.effective()
    assert effective["flag:canary"]["canary_weight"] == 0.1
    assert effective["writes"]["blocked"]
    assert effective["cache"]["generation"] == 4
    assert world.pages.reasons == [Reason.WORSE_AFTER_ACTING]


@pytest.mark.parametrize("crash", ["before", "after"])
async def test_a_crash_while_a_pointer_is_put_back_moves_it_once(world: World, crash: str) -> None:
    """The intent is in the journal; what became of it is read."""
    await world.open_incident("quality_regression", quick("quality_regression", hold_ms=60_000))
    await world.until_state(S.WATCHING)
    version = (await world.versions())["flag:canary"]
    reached = asyncio.Event()

    async def hang(*_: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    getattr(world.controls, crash)["set_trip"] = hang
    assert await world.runner.compensate("INC-1", because="the step after it failed")
    await world.until(reached.is_set)
    await world.runner.stop()
    getattr(world.controls, crash).clear()
    await world.restart()
    stopped = await world.until_state(S.NEEDS_HUMAN)
    assert stopped.reason is Reason.COMPENSATED
    assert (await world.versions())["flag:canary"] == version + 1
    assert (await world.effective())["flag:canary"]["canary_weight"] == 0.1


# What is left in force


async def left(world: World) -> None:
    await world.open_incident("quality_regression", quick("quality_regression", hold_ms=60_000))
    await world.until_state(S.WATCHING)
    assert await world.runner.decide("INC-1", "abort_leaving_measures", by="eve")
    await world.until_idle()


def left_in_force(world: World) -> float | None:
    return world.gauge("measures_left_in_force", scope=str(SCOPE))


async def test_measures_that_are_left_show_until_somebody_takes_them_over(world: World) -> None:
    """Also after a restart."""
    await left(world)
    assert world.pages.reasons == [Reason.MEASURES_LEFT_IN_FORCE]
    assert left_in_force(world) == 2
    world.new_runner()
    await world.runner.left.load()
    await world.runner.left.look()
    assert left_in_force(world) == 2
    noted = await world.runner.left.acknowledge("INC-1", by="eve")
    assert {each.status for each in noted.ledger} == {MeasureStatus.ACKNOWLEDGED}
    assert left_in_force(world) is None
    with pytest.raises(ValueError, match="left no measure"):
        await world.runner.left.acknowledge("INC-1", by="eve")
    with pytest.raises(KeyError):
        await world.runner.left.acknowledge("INC-2", by="eve")


async def test_measures_that_are_left_are_found_however_long_ago_it_was(world: World) -> None:
    """A busy fleet opens many incidents after the one that left them."""
    await left(world)
    for number in range(600):
        observed, record = new_incident(
            incident_id=f"INC-9{number:03}",
            scope=SCOPE,
            policy=quick("quality_regression"),
            epoch=0,
            now_ms=world.clock.now() + number,
            objection=Reason.COOLDOWN,
        )
        await world.store.open_incident(observed, record)
    world.new_runner()
    await world.runner.left.load()
    assert left_in_force(world) == 2


async def test_others_hear_of_what_becomes_of_measures_that_are_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of any other decision."""
    heard: list[str] = []
    monkeypatch.setattr(world.pages, "decided", lambda _incident, record: heard.append(record.kind))
    world.new_runner()
    await left(world)
    heard.clear()
    await somebody_moves(world, "writes")
    await world.runner.left.look()
    await world.runner.left.acknowledge("INC-1", by="eve")
    assert heard == ["MeasuresEndedByHand", "MeasuresAcknowledged"]


async def test_what_is_given_back_by_hand_is_found_by_reading(world: World) -> None:
    """One of two; a target that cannot be read counts as in force."""
    await left(world)
    await somebody_moves(world, "writes")
    await world.runner.left.look()
    assert left_in_force(world) == 1
    stored = await world.stored()
    assert [each.status for each in stored.ledger] == [
        MeasureStatus.ENDED_BY_HAND,
        MeasureStatus.LEFT_IN_FORCE,
    ]

    async def down(*_: Any) -> None:
        raise TemporaryError("connection refused")

    await somebody_moves(world, "throttle")
    world.controls.before["read"] = down
    await world.runner.left.look()
    assert left_in_force(world) == 1
    world.controls.before.clear()
    await world.runner.left.look()
    assert left_in_force(world) is None
    assert (await world.journal())[-1].kind == "MeasuresEndedByHand"
