"""One act on one lever, with every fault that a target can have."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from rollbackd.app.backtest.memory import MemoryStore
from rollbackd.app.simulation.loop import VirtualClock, VirtualLoop
from rollbackd.clock import Clock, ManualClock
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.incidents import messages as m
from rollbackd.incidents.patience import patiently
from rollbackd.incidents.performing import LeverRoom
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, Intent
from rollbackd.model.levers import Applied, Change, LeverKind, Observation, Op, Target
from rollbackd.model.policy import LeverCall
from rollbackd.ports import FencedOffError, Lever, TargetMovedError
from rollbackd.telemetry import Telemetry
from tests.incidents.fake_lever import FakeLever, raises
from tests.incidents.manual_time import until
from tests.incidents.samples import KNOWN_GOOD, PINS, SCOPE, evidence_of, opened

T = TypeVar("T")

TARGET = Target(lever="fake", scope=SCOPE, name="docs")
CALL = LeverCall(lever="fake", name="docs", params={"x": 1})


class Room:
    """A LeverRoom with one fake lever, on a clock that moves while it waits."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.lever = FakeLever()
        self.clock = clock or ManualClock()
        self.stuck: list[str] = []
        self.telemetry = Telemetry(CollectorRegistry())
        self.levers: dict[str, Lever] = {"fake": self.lever}
        store = MemoryStore()
        self.room = LeverRoom(self.levers, store, self.clock, self.telemetry, self._on_stuck)
        self.incident = replace(opened(), evidence=evidence_of())

    async def _on_stuck(self, incident: Incident, message: str) -> None:
        assert incident.id == "INC-1"
        self.stuck.append(message)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        if isinstance(self.clock, ManualClock):
            await until(self.clock, task.done)
        return await task

    async def prepare(self, command: m.Prepare | None = None) -> m.Event:
        command = command or m.Prepare(call=CALL, index=2)
        return await self.run(self.room.prepare(self.incident, command, KNOWN_GOOD))

    async def perform(self, intent: Intent | None = None) -> m.Sealed | m.GivenBack | m.Failed:
        return await self.run(self.room.perform(self.incident, intent or intent_of()))

    def count(self, metric: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(f"rollbackd_{metric}", labels) or 0.0


@pytest.fixture
def room() -> Room:
    """A room in which nothing has happened."""
    return Room()


def intent_of(*, reverts: Applied | None = None, epoch: int = 7, op_id: str = "o1") -> Intent:
    """To move the fake from bad to good, or to give that back."""
    change = Change(
        target=TARGET,
        before=Observation(value={"index": "bad"}, version=1),
        after={"index": "good"},
    )
    op = Op(op_id=op_id, epoch=epoch, incident_id="INC-1")
    return Intent(op=op, kind=LeverKind.POINTER, change=change, started_at_ms=5, reverts=reverts)


# Preparing


async def test_preparing_observes_plans_and_asks(room: Room) -> None:
    """And changes nothing; the lever is given the pins and its settings to plan from."""
    event = await room.prepare()
    assert isinstance(event, m.Prepared)
    assert (event.index, event.kind, event.call) == (2, LeverKind.POINTER, CALL)
    assert event.change.before.value == {"index": "bad"}
    assert event.change.after == {"index": "good"}
    (request,) = room.lever.requests
    assert request.params == {"x": 1}
    assert request.known_good == KNOWN_GOOD
    assert request.pins_seen == {**PINS, "PROMPT_VER": "p2"}
    assert room.lever.version == 1


async def test_preparing_what_stands_already_moves_nothing(room: Room) -> None:
    """The plan is None."""
    room.lever.planned = None
    assert await room.prepare() == m.NothingToMove(call=CALL, index=2)


async def test_an_objection_of_the_preflight_refuses(room: Room) -> None:
    """With the lever's own words."""
    room.lever.objection = "0 ready endpoints"
    event = await room.prepare()
    assert event == m.Refused(call=CALL, index=2, message="0 ready endpoints")


@pytest.mark.parametrize("verb", ["observe", "preflight"])
async def test_a_permanent_error_refuses(room: Room, verb: str) -> None:
    """The lever cannot be used, whatever the reason."""
    room.lever.faults[verb] = [raises(PermanentError("no such alias"))]
    event = await room.prepare()
    assert event == m.Refused(call=CALL, index=2, message="no such alias")


async def test_a_lever_that_is_not_there_refuses(room: Room) -> None:
    """A tree of a newer version may name one."""
    event = await room.prepare(m.Prepare(call=LeverCall(lever="warp")))
    assert isinstance(event, m.Refused)


# Acting


async def test_an_act_is_sealed_with_what_stood_before_and_after(room: Room) -> None:
    """The receipt has the version, the epoch and the times."""
    event = await room.perform()
    assert isinstance(event, m.Sealed)
    receipt = event.receipt
    assert (receipt.before, receipt.after) == ({"index": "bad"}, {"index": "good"})
    assert (receipt.version, receipt.epoch, receipt.reconciled) == (2, 7, False)
    assert (receipt.started_at_ms, receipt.sealed_at_ms) == (5, room.clock.now())
    assert room.lever.calls == {"observe": 1, "apply": 1, "verify": 1}
    assert room.count("lever_attempts_total", lever="fake") == 1


@pytest.mark.parametrize("verb", ["observe", "apply", "verify"])
async def test_what_may_pass_is_tried_again(room: Room, verb: str) -> None:
    """Until it passes, and the act takes effect once."""
    room.lever.faults[verb] = [raises(TemporaryError("connection refused"))] * 3
    event = await room.perform()
    assert isinstance(event, m.Sealed)
    assert room.lever.calls[verb] == 4
    assert room.lever.version == 2
    assert room.stuck == []


async def test_a_lost_answer_does_not_act_twice(room: Room) -> None:
    """The effect happened, the reply did not come: the same op is replayed (T11)."""
    room.lever.late["apply"] = [raises(TemporaryError("connection reset"))]
    event = await room.perform()
    assert isinstance(event, m.Sealed)
    assert event.applied.replayed
    assert (room.lever.version, room.lever.calls["apply"]) == (2, 2)


async def test_a_hanging_target_is_given_up_and_tried_again(room: Room) -> None:
    """The deadline of one call passes although it took effect; the next finds it done (T12)."""
    room.lever.act_timeout_ms = 20
    room.lever.late["apply"] = [lambda: asyncio.sleep(3_600)]
    event = await room.perform()
    assert isinstance(event, m.Sealed)
    assert room.lever.version == 2


@pytest.fixture
def virtual() -> Iterator[VirtualLoop]:
    """A loop whose time moves when nobody has anything to do."""
    loop = VirtualLoop(random.Random(1))
    yield loop
    loop.close()


def test_an_act_has_the_time_that_its_lever_says(virtual: VirtualLoop) -> None:
    """One of 20 s is done in one go, where one of a common lever is ended after 5 s."""
    room = Room(VirtualClock(virtual))
    room.lever.act_timeout_ms = 30_000
    room.lever.faults["apply"] = [lambda: asyncio.sleep(20)]
    event = virtual.run_until_complete(room.perform())
    assert isinstance(event, m.Sealed)
    assert room.lever.calls["apply"] == 1
    assert 20 <= virtual.time() < 21
    room.lever.faults["observe"] = [lambda: asyncio.sleep(20)]
    assert isinstance(virtual.run_until_complete(room.prepare()), m.Prepared)
    assert room.lever.calls["observe"] == 2


@pytest.mark.parametrize(
    ("timeout_ms", "takes", "told"),
    [
        (5_000, [20], []),
        (30_000, [40, 40, 40], ["no answer within 30 s"]),
        (90_000, [100], ["no answer within 90 s"]),
    ],
)
def test_an_act_over_its_own_time_is_ended_and_tried_again(
    virtual: VirtualLoop, timeout_ms: int, takes: list[int], told: list[str]
) -> None:
    """As any other; people are told once, as soon as it has failed for a minute."""
    room = Room(VirtualClock(virtual))
    room.lever.act_timeout_ms = timeout_ms
    ended: list[float] = []

    def long(seconds: int) -> Callable[[], Coroutine[Any, Any, None]]:
        async def wait() -> None:
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                ended.append(virtual.time())
                raise

        return wait

    room.lever.faults["apply"] = [long(seconds) for seconds in takes]
    event = virtual.run_until_complete(room.perform())
    assert isinstance(event, m.Sealed)
    assert room.lever.calls["apply"] == len(takes) + 1
    assert room.lever.version == 2
    assert len(ended) == len(takes)
    assert ended[0] == pytest.approx(timeout_ms / 1_000)
    assert room.stuck == told


def test_each_try_has_the_time_that_is_in_force_by_then(virtual: VirtualLoop) -> None:
    """The levers file was put right and read again while the act waited."""
    room = Room(VirtualClock(virtual))

    def too_short() -> Coroutine[Any, Any, None]:
        room.levers["fake"] = mended
        return asyncio.sleep(20)

    mended = FakeLever()
    mended.act_timeout_ms = 30_000
    mended.faults["apply"] = [lambda: asyncio.sleep(20)]
    room.lever.faults["apply"] = [too_short]
    assert isinstance(virtual.run_until_complete(room.perform()), m.Sealed)
    assert (room.lever.calls["apply"], mended.calls["apply"]) == (1, 1)


async def test_after_a_restart_the_target_is_read_before_it_is_touched(room: Room) -> None:
    """What stands as wanted is sealed as reconciled, without a second write."""
    await room.perform()
    event = await room.perform(intent_of(epoch=9))
    assert isinstance(event, m.Sealed)
    assert event.receipt.reconciled
    assert event.applied == Applied(change=intent_of().change, op_id="o1", version=2, replayed=True)
    assert room.lever.calls["apply"] == 1


async def test_a_target_that_moved_is_not_touched(room: Room) -> None:
    """Compare-and-set on what was observed."""
    room.lever.value, room.lever.version = {"index": "other"}, 2
    event = await room.perform()
    assert isinstance(event, m.Failed)
    assert event.reason is Reason.TARGET_MOVED
    assert "{'index': 'other'} instead of {'index': 'bad'}" in event.message
    assert room.lever.calls["apply"] == 0
    assert room.count("lever_failures_total", lever="fake", reason="target_moved") == 1


async def test_a_conflict_at_the_target_is_a_target_that_moved(room: Room) -> None:
    """Between reading and writing."""
    room.lever.faults["apply"] = [raises(TargetMovedError("version 3"))]
    event = await room.perform()
    assert isinstance(event, m.Failed)
    assert event.reason is Reason.TARGET_MOVED


async def test_what_does_not_read_back_is_not_sealed(room: Room) -> None:
    """A stub that accepts the write and lets it drop fails the step (C2)."""
    room.lever.late["apply"] = [lambda: setattr(room.lever, "value", {"index": "bad"})]
    event = await room.perform()
    assert isinstance(event, m.Failed)
    assert "when read back" in event.message


async def test_a_stale_epoch_is_fenced_off(room: Room) -> None:
    """And counted."""
    room.lever.faults["apply"] = [raises(FencedOffError("epoch 7 is stale"))]
    event = await room.perform()
    assert event == m.Failed(reason=Reason.FENCED_OFF, message="epoch 7 is stale")
    assert room.count("fence_rejections_total") == 1


async def test_a_refusal_for_good_fails_the_lever(room: Room) -> None:
    """No retry."""
    room.lever.faults["apply"] = [raises(PermanentError("403"))]
    assert await room.perform() == m.Failed(reason=Reason.LEVER_FAILED, message="403")
    assert room.lever.calls["apply"] == 1


async def test_a_lever_that_is_gone_fails(room: Room) -> None:
    """An older version resumes an incident of a newer one."""
    intent = intent_of()
    change = replace(intent.change, target=replace(TARGET, lever="warp"))
    event = await room.perform(replace(intent, change=change))
    assert isinstance(event, m.Failed)
    assert event.reason is Reason.LEVER_FAILED


# Readers


class Lagging:
    """Readers of the fake that see a write only once so much time has passed, or never."""

    def __init__(self, room: Room, *, after_ms: int | None, says: str = "raises") -> None:
        self._room, self._after_ms, self._says = room, after_ms, says
        self._verify, self._since = room.lever.verify, room.clock.now()
        room.lever.verify = self.verify  # type: ignore[method-assign]

    async def verify(self, change: Change) -> bool:
        waited_ms = self._room.clock.now() - self._since
        if self._after_ms is not None and waited_ms >= self._after_ms:
            return await self._verify(change)
        await self._verify(change)
        if self._says == "raises":
            raise TemporaryError("SDKs are told `on: true`", delay_ms=200)
        return False


@pytest.mark.parametrize("says", ["raises", "false"])
async def test_readers_that_lag_are_waited_for(room: Room, says: str) -> None:
    """Within their time nobody is told, however they say that they see something else."""
    room.lever.reader_timeout_ms = 30_000
    Lagging(room, after_ms=20_000, says=says)
    event = await room.perform()
    assert isinstance(event, m.Sealed)
    assert (event.unseen, room.stuck, room.lever.calls["apply"]) == ("", [], 1)


@pytest.mark.parametrize("says", ["raises", "false"])
async def test_readers_that_never_follow_hold_nobody_up(room: Room, says: str) -> None:
    """What was written stands: it is sealed with what they said, and people are told once."""
    room.lever.reader_timeout_ms, started = 30_000, room.clock.now()
    Lagging(room, after_ms=None, says=says)
    event = await room.perform()
    assert isinstance(event, m.Sealed)
    assert event.unseen in {
        "SDKs are told `on: true`",
        "fake:docs@rag/eu-1 was written, and its readers see something else",
    }
    assert room.stuck == [f"readers were not seen to follow: {event.unseen}"]
    assert room.clock.now() - started < 60_000
    assert room.lever.calls["apply"] == 1


async def test_a_target_that_moves_while_readers_lag_has_moved(room: Room) -> None:
    """The read-back of the target itself is what counts."""
    room.lever.reader_timeout_ms = 30_000
    Lagging(room, after_ms=None)
    room.lever.late["apply"] = [lambda: setattr(room.lever, "value", {"index": "theirs"})]
    event = await room.perform()
    assert isinstance(event, m.Failed)
    assert event.reason is Reason.TARGET_MOVED
    assert room.stuck == []


async def test_a_target_that_was_away_is_no_reader_that_lags(room: Room) -> None:
    """Its readers are asked once it answers again, however long that takes."""
    room.lever.reader_timeout_ms = 30_000
    back_ms = room.clock.now() + 150_000

    def unless_back() -> None:
        if room.clock.now() < back_ms:
            raise TemporaryError("connection refused", delay_ms=5_000)

    def goes_down() -> None:
        room.lever.faults = {verb: [unless_back] * 99 for verb in ("observe", "verify")}

    room.lever.late["apply"] = [goes_down]
    event = await room.perform()
    assert isinstance(event, m.Sealed)
    assert event.unseen == ""
    assert room.stuck == ["connection refused"]


# The table of levers changes


async def test_a_try_takes_the_lever_that_is_in_force_by_then(room: Room) -> None:
    """A wrong address in the levers file is mended by a reload, while an act waits for it."""
    mended, broken = FakeLever(), room.lever

    def reload() -> object:
        room.levers["fake"] = mended
        raise TemporaryError("connection refused")

    broken.faults["apply"] = [raises(TemporaryError("connection refused")), reload]
    event = await room.perform()
    assert isinstance(event, m.Sealed)
    assert (broken.version, mended.version) == (1, 2)


@pytest.mark.parametrize(("inherited", "may_stand"), [(False, False), (True, True)])
async def test_a_lever_that_a_restart_lost_may_have_acted(
    room: Room, *, inherited: bool, may_stand: bool
) -> None:
    """What a process before was about to do cannot be read any more."""
    del room.levers["fake"]
    event = await room.perform(replace(intent_of(), inherited=inherited))
    assert isinstance(event, m.Failed)
    assert event.may_stand == may_stand


async def test_what_was_never_sent_cannot_stand(room: Room) -> None:
    """The target was gone before the act."""
    room.lever.faults["observe"] = [raises(PermanentError("no such alias"))] * 5
    event = await room.perform()
    assert event == m.Failed(reason=Reason.LEVER_FAILED, message="no such alias", may_stand=False)


@pytest.mark.parametrize(
    ("kind", "inherited", "may_stand"),
    [
        (LeverKind.TEMPORARY, True, True),
        (LeverKind.TEMPORARY, False, False),
        (LeverKind.POINTER, True, False),
    ],
)
async def test_a_measure_of_a_crashed_process_is_kept_although_its_target_moved(
    room: Room, kind: LeverKind, *, inherited: bool, may_stand: bool
) -> None:
    """An alias that was frozen, and led elsewhere by hand meanwhile, must be let go of again."""
    room.lever.value, room.lever.version = {"index": "other"}, 2
    event = await room.perform(replace(intent_of(), kind=kind, inherited=inherited))
    assert isinstance(event, m.Failed)
    assert (event.reason, event.may_stand) == (Reason.TARGET_MOVED, may_stand)


# A target that is away before anything has moved


@pytest.mark.parametrize("verb", ["observe", "preflight"])
async def test_another_lever_is_tried_when_a_target_stays_away(room: Room, verb: str) -> None:
    """A provider that is down must not hold up the lever behind it."""
    room.lever.reader_timeout_ms, started = 1, room.clock.now()
    room.lever.faults[verb] = [raises(TemporaryError("connection refused", delay_ms=5_000))] * 99
    event = await room.prepare()
    assert event == m.Refused(call=CALL, index=2, message="connection refused")
    assert 60_000 <= room.clock.now() - started < 70_000


@pytest.mark.parametrize(("index", "timeout_ms"), [(None, 1), (2, None)])
async def test_where_there_is_no_other_way_a_target_is_waited_for(
    room: Room, index: int | None, timeout_ms: int | None
) -> None:
    """A freeze has no second lever, and all levers on the controls share one store."""
    room.lever.reader_timeout_ms = timeout_ms
    down = raises(TemporaryError("connection refused", delay_ms=5_000))
    room.lever.faults["observe"] = [down] * 40
    event = await room.prepare(m.Prepare(call=CALL, index=index))
    assert isinstance(event, m.Prepared)
    assert room.stuck == ["connection refused"]


# Drift


async def test_another_system_is_asked_for_drift_now_and_then(room: Room) -> None:
    """Each reading of the exit targets would be too often for its rate limit."""
    room.lever.reader_timeout_ms = 1
    found = []
    for _ in range(12):
        found.append(len(await room.room.look.drifted([intent_of().change])))
        room.clock.advance(5_000)
    assert found == [1, 0, 0] * 4


async def test_controls_are_asked_for_drift_with_each_reading(room: Room) -> None:
    """They are ours."""
    for _ in range(12):
        assert await room.room.look.drifted([intent_of().change])


# Giving back


async def given(room: Room) -> Applied:
    event = await room.perform()
    assert isinstance(event, m.Sealed)
    return event.applied


async def test_giving_back_puts_the_old_value_back(room: Room) -> None:
    """Once, also when the answer is lost."""
    applied = await given(room)
    room.lever.late["revert"] = [raises(TemporaryError("connection reset"))]
    event = await room.perform(intent_of(reverts=applied, op_id="o2"))
    assert isinstance(event, m.GivenBack)
    assert event.restored
    assert (room.lever.value, room.lever.version) == ({"index": "bad"}, 3)
    assert event.receipt.requested == event.receipt.after == {"index": "bad"}
    assert event.receipt.before == {"index": "good"}


async def test_what_is_no_longer_ours_is_left_alone(room: Room) -> None:
    """And the receipt says what stands there."""
    applied = await given(room)
    room.lever.value = {"index": "theirs"}
    event = await room.perform(intent_of(reverts=applied, op_id="o2"))
    assert isinstance(event, m.GivenBack)
    assert not event.restored
    assert event.receipt.after == {"index": "theirs"}


@pytest.mark.parametrize("restored", [True, False])
async def test_what_was_given_back_and_is_gone_since_is_no_failure(
    room: Room, *, restored: bool
) -> None:
    """The Deployment was deleted right after it had its replicas back."""
    applied = await given(room)
    if not restored:
        room.lever.value = {"index": "theirs"}
    room.lever.faults["observe"] = [raises(PermanentError("there is no deployment `web`"))]
    event = await room.perform(intent_of(reverts=applied, op_id="o2"))
    assert isinstance(event, m.GivenBack)
    assert event.restored == restored
    assert event.receipt.after == {}
    done = "given back" if restored else "left alone"
    (page,) = room.stuck
    assert page == (
        f"fake:docs@rag/eu-1 was {done} and not read back: there is no deployment `web`"
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TargetMovedError("x"), Reason.TARGET_MOVED),
        (FencedOffError("x"), Reason.FENCED_OFF),
        (PermanentError("x"), Reason.LEVER_FAILED),
    ],
)
async def test_giving_back_fails_as_acting_does(
    room: Room, error: Exception, reason: Reason
) -> None:
    """With the same three reasons."""
    applied = await given(room)
    room.lever.faults["revert"] = [raises(error)]
    event = await room.perform(intent_of(reverts=applied, op_id="o2"))
    assert event == m.Failed(reason=reason, message="x")


# Patience


async def test_somebody_is_told_once_when_it_takes_long(room: Room) -> None:
    """After a minute of failures, and not again for the same call."""
    room.lever.faults["apply"] = [raises(TemporaryError("down", delay_ms=5_000))] * 40
    event = await room.perform()
    assert isinstance(event, m.Sealed)
    assert room.stuck == ["down"]


async def test_a_short_outage_tells_nobody(room: Room) -> None:
    """Most pass in seconds."""
    room.lever.faults["apply"] = [raises(TemporaryError("down", delay_ms=5_000))] * 10
    await room.perform()
    assert room.stuck == []


@pytest.mark.parametrize(("wanted_ms", "waited_ms"), [(0, 50), (300, 300), (60_000, 5_000)])
async def test_the_wait_is_as_long_as_the_error_says(
    room: Room, wanted_ms: int, waited_ms: int
) -> None:
    """Within bounds: neither a hot loop nor a sleep that outlasts the outage."""
    started = room.clock.now()
    room.lever.faults["observe"] = [raises(TemporaryError("x", delay_ms=wanted_ms))]
    await room.perform()
    assert room.clock.now() - started == waited_ms


async def test_the_wait_doubles_up_to_five_seconds() -> None:
    """A target that is down for long is not hammered."""
    clock, times = ManualClock(), []

    async def call() -> None:
        times.append(clock.now())
        if len(times) < 12:
            raise TemporaryError("x", delay_ms=0)

    async def nobody(_message: str) -> None:
        return None

    task = asyncio.ensure_future(patiently(call, clock, nobody))
    await until(clock, task.done)
    waits = [b - a for a, b in pairwise(times)]
    assert waits == [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000]


async def test_a_clock_that_is_set_tells_nobody() -> None:
    """How long it takes is measured on the clock that never jumps."""

    class Jumping(ManualClock):
        def now(self) -> int:
            return super().now() + len(times) * 3_600_000

    clock, times, told = Jumping(), [], []

    async def call() -> None:
        times.append(1)
        if len(times) < 4:
            raise TemporaryError("x")

    async def tell(message: str) -> None:
        told.append(message)

    task = asyncio.ensure_future(patiently(call, clock, tell))
    await until(clock, task.done)
    assert told == []
