"""The runner on a real store and real controls."""

import asyncio
import logging
from typing import Any

import pytest

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.evidence.report import FileReporter
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, MeasureStatus, State
from rollbackd.model.levers import Op
from rollbackd.model.triggers import TargetReading, Verdict
from rollbackd.ports import StaleIncidentError
from tests.incidents.samples import BRANCHES, MINUTE, SCOPE, policy_of, trigger_of
from tests.incidents.world import INTENTS, World, never, quick

S = State
#: What stays as the branch set it once everything is given back.
LASTING = {
    "duplicate_effects": {"flag:canary", "cache"},
    "retriever_mismatch": {"alias:docs_live", "cache"},
    "quality_regression": {"flag:canary", "cache"},
    "cost_or_latency": set(),
}


@pytest.mark.parametrize("branch", BRANCHES)
async def test_a_branch_is_driven_to_its_end(world: World, branch: str) -> None:
    """Measures are in force while it is watched, and given back when it is closed."""
    await world.open_incident(branch)
    await world.until_state(S.WATCHING)
    held = await world.effective()
    closed = await world.until_idle()
    assert closed.state is S.CLOSED
    changed = {name for name, value in held.items() if INTENTS.get(name) != value}
    measures = {"writes"} if branch != "cost_or_latency" else {"throttle", "degrade"}
    measures |= {"throttle"} if branch == "quality_regression" else set()
    assert changed == LASTING[branch] | measures
    after = await world.effective()
    assert {name for name, value in after.items() if INTENTS.get(name) != value} == LASTING[branch]
    assert all(
        control.intent == INTENTS[name] for name, control in (await world.read_all()).items()
    )
    assert world.pages.reasons == []


async def test_the_journal_tells_the_story(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """As `FROM => TO: because`, in the store and in the log."""
    caplog.set_level(logging.INFO)
    await world.open_incident("quality_regression")
    await world.until_idle()
    story = [
        f"{r.from_state} => {r.to_state}: {r.reason}"
        for r in await world.journal()
        if r.from_state is not r.to_state
    ]
    assert story == [
        "None => detected: trigger_fired",
        "detected => capturing: trigger_fired",
        "capturing => freezing: evidence_captured",
        "freezing => choosing: freeze_confirmed",
        "choosing => flipping: lever_chosen",
        "flipping => rotating: flip_verified",
        "rotating => throttling: cache_rotated",
        "throttling => watching: throttle_on",
        "watching => restoring: hold_complete",
        "restoring => auditing: measures_restored",
        "auditing => closed: audit_passed",
    ]
    logged = [record.getMessage() for record in caplog.records]
    assert [line for line in logged if line in story] == story[1:]


async def test_the_intent_of_each_act_is_durable_before_the_act(world: World) -> None:
    """When a control is written, the store already holds the intent under that op."""
    journaled: list[bool] = []

    async def look(*_: Any) -> None:
        pending = (await world.stored()).pending
        journaled.append(pending is not None)

    world.controls.before["set_trip"] = look
    await world.open_incident("quality_regression")
    await world.until_idle()
    assert journaled == [True] * 6


async def test_the_evidence_is_of_the_bad_state(world: World) -> None:
    """Captured before the first act (C1)."""
    await world.open_incident("quality_regression")
    closed = await world.until_idle()
    assert closed.evidence is not None
    assert closed.evidence.controls == INTENTS
    assert closed.evidence.pins_seen["canary"]["PROMPT_VER"] == "p2"


async def test_the_post_mortem_is_there_when_the_incident_counts_as_ended(world: World) -> None:
    """A crash between the two cannot lose it (F5)."""
    found: list[bool] = []

    async def look(incident: Incident, *_: Any) -> None:
        if not incident.is_open:
            found.append((world.folder / "incidents" / "INC-1" / "report.md").is_file())

    world.store.before["advance"] = look
    await world.open_incident("duplicate_effects")
    await world.until_idle()
    assert found == [True]
    report = (world.folder / "incidents" / "INC-1" / "report.md").read_text()
    assert ", closed because of audit_passed" in report
    assert "auditing => closed" in report


async def test_a_report_that_cannot_be_written_is_paged_and_holds_nothing_up(world: World) -> None:
    """The disk is full: everything is given back all the same."""
    (world.folder / "incidents").write_text("in the way")
    await world.open_incident("duplicate_effects")
    assert (await world.until_idle()).state is S.CLOSED
    assert "the report was not written" in world.pages.reasons[0]


async def test_a_defect_in_the_report_holds_nothing_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is paged; the scope is free again."""

    async def broken(*_: Any) -> str:
        raise ValueError("a figure that cannot be drawn")

    monkeypatch.setattr(FileReporter, "write", broken)
    await world.open_incident("duplicate_effects")
    assert (await world.until_idle()).state is S.CLOSED
    assert world.pages.reasons == ["the report was not written: a figure that cannot be drawn"]


async def test_whoever_is_asked_for_finds_a_report(world: World) -> None:
    """Of what led there, before the incident has ended; it is written again at the end."""
    world.targets.verdicts = [Verdict.RED]
    await world.open_incident("duplicate_effects")
    await world.until_state(S.NEEDS_HUMAN)
    report = world.folder / "incidents" / "INC-1" / "report.md"
    await world.until(report.is_file)
    assert ", needs_human because of no_lever_left" in report.read_text()
    assert await world.runner.decide("INC-1", "restore", by="eve")
    await world.until_idle()
    assert ", closed because of audit_passed" in report.read_text()


# Outages


@pytest.mark.parametrize("method", ["advance", "known_good", "journal", "set_trip", "read"])
async def test_an_outage_is_waited_out(world: World, method: str) -> None:
    """The incident goes on where it was, and every lever took effect once."""
    failures = iter(range(8))

    async def fail(*_: Any) -> None:
        if next(failures, None) is not None:
            raise TemporaryError("connection refused", delay_ms=2_000)

    await world.open_incident("quality_regression")
    await world.until_state(S.CHOOSING, S.FLIPPING, S.ROTATING)
    adapter = world.controls if method in {"set_trip", "read"} else world.store
    adapter.before[method] = fail
    closed = await world.until_idle()
    assert closed.state is S.CLOSED
    assert next(failures, None) is None
    assert len({receipt.op_id for receipt in closed.receipts}) == closed.acts == 6


@pytest.mark.parametrize("method", ["advance", "set_trip"])
async def test_a_reply_that_is_lost_does_not_count_twice(world: World, method: str) -> None:
    """Each call takes effect, and each first answer gets lost."""
    lost: set[str] = set()

    async def lose(first: Any, *rest: Any) -> None:
        key = f"{first.version}" if method == "advance" else f"{rest[:1]}{len(lost)}"
        if len(lost) < 40 and key not in lost:
            lost.add(key)
            raise TemporaryError("connection reset", delay_ms=0)

    await world.open_incident("duplicate_effects")
    adapter = world.store if method == "advance" else world.controls
    adapter.after[method] = lose
    if method == "set_trip":
        tried: set[str] = set()

        async def once(*_: Any) -> None:
            pending = (await world.stored()).pending
            assert pending is not None
            if pending.op.op_id not in tried:
                tried.add(pending.op.op_id)
                raise TemporaryError("connection reset", delay_ms=0)

        adapter.after[method] = once
    closed = await world.until_idle()
    assert closed.state is S.CLOSED
    assert await world.versions() == {
        **dict.fromkeys(INTENTS, 1),
        "flag:canary": 2,
        "cache": 2,
        "writes": 3,
    }


async def test_an_outage_that_lasts_asks_for_a_person_once(world: World) -> None:
    """And goes on by itself when it is over."""
    started = world.clock.now()

    async def fail(*_: Any) -> None:
        if world.clock.now() - started < 5 * MINUTE:
            raise TemporaryError("no route to host")

    world.controls.before["set_trip"] = fail
    await world.open_incident("duplicate_effects")
    assert (await world.until_idle()).state is S.CLOSED
    assert world.pages.reasons == ["no route to host"]


async def test_an_outage_during_the_audit_is_no_finding(world: World) -> None:
    """A check that can run a second later has not failed."""
    await world.open_incident("duplicate_effects")
    await world.until_state(S.RESTORING, S.AUDITING)
    left = iter(range(3))

    async def fail(_scope: Any, name: str) -> None:
        if name.startswith("flag") and next(left, None) is not None:
            raise TemporaryError("connection refused", delay_ms=1)

    world.controls.before["read"] = fail
    assert (await world.until_idle()).state is S.CLOSED


# Owners


async def test_a_restart_resumes_under_a_higher_epoch(world: World) -> None:
    """And the hold keeps the time that was spent."""
    await world.open_incident("quality_regression", quick("quality_regression", hold_ms=100_000))
    await world.until(lambda: world.runner.current()[0].hold.green_ms >= 30_000)
    before = world.runner.current()[0]
    world.clock.advance(MINUTE // 2)
    await world.restart()
    await world.until(lambda: world.runner.current()[0].epoch > before.epoch)
    after = world.runner.current()[0]
    assert after.hold.green_ms >= before.hold.green_ms
    assert (await world.until_idle()).state is S.CLOSED


async def test_who_lost_the_incident_stops(world: World) -> None:
    """The store refuses a version that is not the next; the gauges forget it."""
    await world.open_incident("quality_regression", quick("quality_regression", hold_ms=100_000))
    await world.until_state(S.WATCHING)
    first = world.runner
    assert world.gauge("writes_frozen", scope=str(SCOPE)) == 1
    world.new_runner()
    await world.runner.resume(await world.stored())
    await world.until(lambda: not first._tasks)
    assert (await world.until_idle()).state is S.CLOSED
    assert world.gauge("incident_state", scope=str(SCOPE), state="watching") == 0


async def test_a_late_owner_is_fenced_off_at_the_target(world: World) -> None:
    """Its store answers late, its lever write is refused (T14)."""
    await world.open_incident("duplicate_effects")
    await world.until_state(S.CAPTURING, S.FREEZING)
    newer = await world.store.next_epoch(SCOPE)
    op_of = (await world.stored()).pending
    await world.controls.set_trip(
        SCOPE,
        "flag:other",
        {"x": 1},
        expected_version=0,
        op=_op(newer + 10**9),
        now_ms=1,
    )
    await world.until(lambda: bool(world.pages.reasons))
    assert world.pages.reasons == [Reason.FENCED_OFF]
    assert (await world.stored()).state is S.NEEDS_HUMAN
    assert (await world.effective())["flag:canary"] == INTENTS["flag:canary"]
    assert op_of is None or op_of.op.epoch < newer


def _op(epoch: int) -> Op:

    return Op(op_id="newer", epoch=epoch, incident_id="INC-2")


# People and other branches


async def test_a_person_is_asked_for_and_decides(world: World) -> None:
    """Nothing turns green: every lever, then a person, whose word gives everything back."""
    world.targets.verdicts = [Verdict.RED]
    policy = quick("duplicate_effects", first_green_ms=15_000)
    await world.open_incident("duplicate_effects", policy)
    await world.until_state(S.NEEDS_HUMAN)
    assert world.pages.reasons == [Reason.NO_LEVER_LEFT]
    assert (await world.effective())["writes"]["blocked"] is True
    assert await world.runner.decide("INC-1", "restore", by="eve")
    closed = await world.until_idle()
    assert closed.state is S.CLOSED
    assert (await world.effective())["writes"]["blocked"] is False


async def test_an_overdue_measure_is_paged_once(world: World) -> None:
    """While it waits for a person, for hours."""
    world.targets.verdicts = [Verdict.UNKNOWN]
    policy = quick("duplicate_effects", first_green_ms=15_000, max_freeze_ms=5 * MINUTE)
    await world.open_incident("duplicate_effects", policy)
    started = world.clock.now()
    await world.until(lambda: world.clock.now() - started > 20 * MINUTE)
    assert world.pages.reasons == [Reason.FIRST_GREEN_MISSED, Reason.MEASURE_OVERDUE]
    assert world.gauge("measures_overdue", scope=str(SCOPE)) == 1
    assert (world.gauge("writes_frozen_age_seconds", scope=str(SCOPE)) or 0) > 1_000


async def test_a_lever_that_hangs_does_not_keep_a_person_from_aborting(world: World) -> None:
    """The provider is down for good: a person can still end it (trap 5)."""
    world.controls.before["set_trip"] = never
    await world.open_incident("duplicate_effects")
    await world.until(lambda: any(i.pending for i in world.runner.current()))
    deciding = asyncio.ensure_future(
        world.runner.decide("INC-1", "abort_leaving_measures", by="eve")
    )
    aborted = await world.until_idle()
    assert await deciding
    assert aborted.state is S.ABORTED
    assert aborted.pending is not None
    assert [each.status for each in aborted.ledger] == [MeasureStatus.LEFT_IN_FORCE]


async def test_an_act_in_hand_is_finished_before_a_person_is_heard(world: World) -> None:
    """One that answers is sealed; only one that hangs is broken off."""
    gate = asyncio.Event()

    async def wait(*_: Any) -> None:
        await gate.wait()

    world.controls.before["set_trip"] = wait
    await world.open_incident("duplicate_effects")
    await world.until(lambda: any(i.pending for i in world.runner.current()))
    deciding = asyncio.ensure_future(world.runner.decide("INC-1", "restore", by="eve"))
    await world.until(lambda: len(world.runner._drives["INC-1"]._mail) == 2)
    gate.set()
    closed = await world.until_idle()
    assert await deciding
    assert closed.state is S.CLOSED
    assert [each.status for each in closed.ledger] == [MeasureStatus.RESTORED]


async def test_a_restore_is_heard_while_it_hangs_and_done_when_it_can(world: World) -> None:
    """The word is journaled at once; the act is reconciled first when the target is back."""
    started = world.clock.now()

    async def fail(*_: Any) -> None:
        if world.clock.now() - started < 5 * MINUTE:
            raise TemporaryError("no route to host")

    world.controls.before["set_trip"] = fail
    await world.open_incident("duplicate_effects")
    await world.until(lambda: any(i.pending for i in world.runner.current()))
    deciding = asyncio.ensure_future(world.runner.decide("INC-1", "restore", by="eve"))
    await world.until(lambda: world.runner.current()[0].restore_asked)
    assert await deciding
    closed = await world.until_idle()
    assert closed.state is S.CLOSED
    assert "flag:canary" not in {r.target.lever for r in closed.receipts}


async def test_a_higher_branch_takes_over(world: World) -> None:
    """And answers for its trigger."""
    await world.open_incident("quality_regression", quick("quality_regression", hold_ms=60_000))
    await world.until_state(S.WATCHING)
    trigger = trigger_of("duplicate_effects")
    assert world.runner.join("INC-1", trigger, quick("duplicate_effects"))
    await world.until(lambda: world.runner.current()[0].branch == "duplicate_effects")
    await world.until_state(S.WATCHING)
    assert (await world.effective())["writes"]["scope"] == "all"
    assert (await world.until_idle()).state is S.CLOSED
    assert (await world.effective())["writes"] == INTENTS["writes"]


@pytest.mark.parametrize(
    ("branch", "mode", "answers"),
    [
        ("duplicate_effects", "act", True),
        ("quality_regression", "act", True),
        ("cost_or_latency", "act", False),
        ("duplicate_effects", "observe", False),
    ],
)
async def test_who_is_answered_for(world: World, branch: str, mode: str, *, answers: bool) -> None:
    """A lower branch, or one that observes, is looked at again when the incident has ended."""
    await world.open_incident("quality_regression")
    joined = world.runner.join("INC-1", trigger_of(branch), policy_of(branch, mode=mode))
    assert joined is answers


async def test_a_branch_between_two_is_not_answered_for(world: World) -> None:
    """What was told before, and not taken yet, counts."""
    await world.open_incident("quality_regression")
    join = world.runner.join
    assert join("INC-1", trigger_of("duplicate_effects"), policy_of("duplicate_effects"))
    assert not join("INC-1", trigger_of("retriever_mismatch"), policy_of("retriever_mismatch"))


@pytest.mark.parametrize("state", [S.RESTORING, S.AUDITING, S.CLOSED])
async def test_who_comes_too_late_is_not_answered_for(world: World, state: State) -> None:
    """Even while the step that ends it is being stored: it is looked at again."""
    answers: list[bool] = []

    async def join(incident: Incident, *_: Any) -> None:
        if incident.state is state and not answers:
            policy = policy_of("duplicate_effects")
            answers.append(world.runner.join("INC-1", trigger_of("duplicate_effects"), policy))

    world.store.before["advance"] = join
    await world.open_incident("quality_regression")
    closed = await world.until_idle()
    assert answers == [False]
    assert closed.branch == "quality_regression"


async def test_who_joins_during_the_last_reading_is_not_lost(world: World) -> None:
    """The reading would end the hold; the higher branch comes first, as it was promised."""
    answers: list[bool] = []
    read = world.targets.read

    def join_and_read(incident: Incident, now_ms: int) -> list[TargetReading]:
        if incident.hold.green_ms and not answers:
            policy = quick("duplicate_effects")
            answers.append(world.runner.join("INC-1", trigger_of("duplicate_effects"), policy))
        return read(incident, now_ms)

    world.targets.read = join_and_read  # type: ignore[method-assign]
    await world.open_incident("quality_regression")
    closed = await world.until_idle()
    assert answers == [True]
    assert closed.branch == "duplicate_effects"


async def test_who_has_ended_answers_for_nothing(world: World) -> None:
    """Nor can a person decide about it any more."""
    await world.open_incident("cost_or_latency")
    await world.until_idle()
    policy = policy_of("duplicate_effects")
    assert not world.runner.join("INC-1", trigger_of("duplicate_effects"), policy)
    assert not await world.runner.decide("INC-1", "abort", by="eve")
    assert world.runner.current() == []


async def test_joins_do_not_starve_the_watch(world: World) -> None:
    """A trigger every second does not put the readings off."""
    await world.open_incident("quality_regression", quick("quality_regression", hold_ms=20_000))
    await world.until_state(S.WATCHING)
    for _ in range(40):
        if not world.runner.current():
            break
        world.runner.join("INC-1", trigger_of(), policy_of("quality_regression"))
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.sleep(0.002)
        world.clock.advance(1_000)
    assert (await world.until_idle()).state is S.CLOSED


# What goes wrong in earnest


async def test_a_task_that_dies_asks_for_a_person(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect is loud, and a restart takes the incident up again."""

    async def defect(*_: Any) -> None:
        raise ZeroDivisionError

    world.controls.before["set_trip"] = defect
    await world.open_incident("duplicate_effects")
    await world.until(lambda: not world.runner._tasks)
    assert world.pages.reasons == ["the incident's task died"]
    assert "task died" in caplog.text
    world.controls.before.clear()
    await world.restart()
    assert (await world.until_idle()).state is S.CLOSED


async def test_the_store_of_another_owner_is_not_overwritten(world: World) -> None:
    """A stale version stops the drive, and the task ends quietly."""

    async def stale(*_: Any) -> None:
        raise StaleIncidentError

    world.store.before["advance"] = stale
    before = await world.open_incident("duplicate_effects")
    assert await world.until_idle() == before
    assert world.pages.reasons == []


async def test_a_lever_that_refuses_for_good_asks_for_a_person(world: World) -> None:
    """The freeze cannot be had: nothing is flipped."""

    async def refuse(*_: Any) -> None:
        raise PermanentError("403")

    world.controls.before["set_trip"] = refuse
    await world.open_incident("quality_regression")
    stopped = await world.until_state(S.NEEDS_HUMAN)
    assert (stopped.reason, stopped.note) == (Reason.FREEZE_NOT_CONFIRMED, "403")
    assert (await world.effective())["flag:canary"] == INTENTS["flag:canary"]


async def test_gauges_follow_the_incident(world: World) -> None:
    """While it is open and when it is over."""
    scope = str(SCOPE)
    await world.open_incident("quality_regression")
    await world.until_state(S.WATCHING)
    assert world.gauge("writes_frozen", scope=scope) == 1
    assert world.gauge("lever_active", lever="throttle", scope=scope) == 1
    assert world.gauge("incidents_open", state="watching") == 1
    assert world.gauge("incident_state", scope=scope, state="watching") == 1
    await world.until_idle()
    assert world.gauge("writes_frozen", scope=scope) == 0
    assert world.gauge("hold_seconds_remaining", scope=scope) == 0
    assert world.gauge("incidents_open", state="watching") is None
    closed = {"branch": "quality_regression", "outcome": "closed"}
    assert world.gauge("incidents_total", **closed) == 1
    assert world.gauge("time_to_flip_seconds_count") == 1
    assert world.gauge("time_to_green_seconds_count") == 1
    assert world.gauge("audit_checks_total", check="flag_off_stands", result="passed") == 1
