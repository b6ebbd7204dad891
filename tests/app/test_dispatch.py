"""What becomes of each firing trigger, on a real store and with a runner that only listens."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.errors import TemporaryError
from rollbackd.incidents.joining import with_trigger
from rollbackd.model.decisions import Reason
from rollbackd.model.explanations import Fate
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.labels import Scope
from rollbackd.ports import Pause, ScopeBusyError
from tests.app.desk import Desk, elsewhere
from tests.incidents.samples import MINUTE, NOW, SCOPE, trigger_of


async def test_a_trigger_opens_one_incident(desk: Desk) -> None:
    """However often it is evaluated while it fires (P3)."""
    trigger = trigger_of()
    await desk.fire(trigger)
    for value in (0.6, 0.7):
        await desk.fire(replace(trigger, value=value), new=False)
    (incident,) = await desk.incidents()
    assert (incident.state, incident.reason) == (State.DETECTED, Reason.TRIGGER_FIRED)
    assert [i.id for i in desk.runner.open] == [incident.id]
    assert incident.id.startswith("INC-20260921T141320-")
    assert incident.epoch > 0


async def test_a_trigger_that_stopped_may_open_another(desk: Desk) -> None:
    """A new firing is a new fault, once its cooldown is over."""
    await desk.fire(trigger_of())
    await desk.close_open()
    await desk.fire(trigger_of(), new=False)
    assert len(await desk.incidents()) == 1
    await desk.calm(trigger_of())
    desk.clock.advance(31 * MINUTE)
    await desk.fire(trigger_of(event_time_ms=desk.clock.now()))
    assert len(await desk.incidents()) == 2


async def test_another_trigger_of_the_scope_joins(desk: Desk) -> None:
    """Told once, and answered for."""
    await desk.fire(trigger_of())
    for _ in range(3):
        await desk.fire(trigger_of("duplicate_effects"))
    (incident,) = await desk.incidents()
    assert desk.runner.joined == [(incident.id, "duplicate_effects")]


async def test_a_trigger_that_is_not_answered_for_is_looked_at_again(desk: Desk) -> None:
    """It joins once, and opens its own incident when the other has ended."""
    await desk.fire(trigger_of())
    desk.runner.answers = False
    for _ in range(3):
        await desk.fire(trigger_of("cost_or_latency"), new=False)
    assert len(desk.runner.joined) == 1
    await desk.close_open()
    await desk.fire(trigger_of("cost_or_latency"), new=False)
    assert [i.branch for i in desk.runner.open] == ["cost_or_latency"]


async def test_the_highest_branch_goes_first(desk: Desk) -> None:
    """Two fire in one evaluation: the upper one opens, the lower one joins."""
    await desk.fire(trigger_of("cost_or_latency"), trigger_of("duplicate_effects"))
    assert [i.branch for i in desk.runner.open] == ["duplicate_effects"]
    assert [branch for _, branch in desk.runner.joined] == ["cost_or_latency"]


async def test_each_scope_has_its_own_incident(desk: Desk) -> None:
    """One region does not hold another up."""
    there = elsewhere(trigger_of("cost_or_latency"), region="us-1")
    await desk.fire(trigger_of("cost_or_latency"), there)
    assert {str(i.scope) for i in desk.runner.open} == {"rag/eu-1", "rag/us-1"}


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"branch": "no_such"}, Reason.UNKNOWN_BRANCH),
        ({"service": ""}, Reason.NO_SCOPE),
        ({"service": "r/ag"}, Reason.NO_SCOPE),
        ({"branch": ""}, None),
    ],
)
async def test_what_names_nothing_opens_nothing(
    desk: Desk, labels: dict[str, str], reason: Reason | None
) -> None:
    """Said once a firing; a rule without a branch is for somebody else."""
    for _ in range(3):
        await desk.fire(elsewhere(trigger_of(), **labels))
    assert await desk.incidents() == []
    assert desk.count("triggers_ignored", reason=str(reason)) == (reason is not None)


async def test_an_objection_is_written_down_once(desk: Desk) -> None:
    """Paused: what would have been done is observed; it is done when the pause is over."""
    desk.dispatcher.pause = Pause(reason="drill", by="eve", since_ms=1)
    for _ in range(3):
        await desk.fire(trigger_of())
    (observed,) = await desk.incidents()
    assert (observed.state, observed.reason) == (State.OBSERVED, Reason.PAUSED)
    assert desk.runner.open == []
    assert desk.count("guard_blocks", guard="paused") == 1
    desk.dispatcher.pause = None
    await desk.fire(trigger_of(), new=False)
    assert [i.state for i in desk.runner.open] == [State.DETECTED]


async def test_a_new_objection_is_news(desk: Desk) -> None:
    """From paused to stale data: both are written down."""
    desk.dispatcher.pause = Pause(reason="drill", by="eve", since_ms=1)
    await desk.fire(trigger_of())
    desk.dispatcher.pause = None
    desk.clock.advance(10 * MINUTE)
    await desk.fire(trigger_of(), new=False)
    assert await desk.reasons() == [Reason.PAUSED, Reason.STALE_DATA]


async def test_the_cooldown_stops_the_loop(desk: Desk) -> None:
    """The same fault again right after its rollback needs a person, not another rollback."""
    await desk.fire(trigger_of())
    await desk.close_open()
    await desk.calm(trigger_of())
    await desk.fire(trigger_of())
    assert await desk.reasons() == [Reason.AUDIT_PASSED, Reason.COOLDOWN]


async def test_without_a_known_good_set_nothing_is_moved(desk: Desk) -> None:
    """Of that scope."""
    await desk.fire(elsewhere(trigger_of(), region="us-1"))
    assert await desk.reasons() == [Reason.NO_KNOWN_GOOD]


# A restart


async def test_a_restart_does_not_act_again_on_what_was_answered_for(desk: Desk) -> None:
    """The rule still fires in the new process, and its incident is long closed."""
    await desk.fire(trigger_of())
    closed = await desk.close_open()
    desk.clock.advance(60 * MINUTE)
    dispatcher = desk.fresh()
    dispatcher.inherit([closed])
    still = trigger_of(event_time_ms=desk.clock.now())
    await desk.fire(still)
    dispatcher.forget_inherited()
    await desk.fire(still, new=False)
    assert len(await desk.incidents()) == 1


async def test_what_had_stopped_before_the_restart_is_forgotten(desk: Desk) -> None:
    """When the windows are full again and it does not fire, its next firing is a new one."""
    await desk.fire(trigger_of())
    closed = await desk.close_open()
    desk.clock.advance(60 * MINUTE)
    dispatcher = desk.fresh()
    dispatcher.inherit([closed])
    await desk.fire()
    dispatcher.forget_inherited()
    await desk.fire(trigger_of(event_time_ms=desk.clock.now()))
    assert len(await desk.incidents()) == 2


async def test_what_an_incident_only_heard_of_is_looked_at_after_a_restart(desk: Desk) -> None:
    """A trigger of a lower branch joined it: the incident answered for another one."""
    desk.set_policy("cost_or_latency", cooldown_ms=0)
    lower = trigger_of("cost_or_latency")
    await desk.fire(trigger_of())
    ended = await desk.close_open()
    dispatcher = desk.fresh()
    dispatcher.inherit([replace(ended, triggers=[*ended.triggers, lower])])
    await desk.fire(trigger_of(), lower, new=False)
    assert [incident.branch for incident in desk.runner.open] == ["cost_or_latency"]


async def test_what_fired_after_green_is_looked_at_after_a_restart(desk: Desk) -> None:
    """The incident was giving back by then, and its hold had not seen it."""
    desk.set_policy(cooldown_ms=0)
    await desk.fire(trigger_of())
    ended = await desk.close_open()
    assert ended.green_at_ms is not None
    later = elsewhere(trigger_of(fired_at_ms=ended.green_at_ms + 1), pod="b")
    dispatcher = desk.fresh()
    dispatcher.inherit([replace(ended, triggers=[*ended.triggers, later])])
    await desk.fire(trigger_of(), later, new=False)
    assert len(desk.runner.open) == 1


async def test_what_fired_again_after_green_is_looked_at_after_a_restart(desk: Desk) -> None:
    """The incident answered for its first firing, and came too late for its last one."""
    desk.set_policy(cooldown_ms=0)
    await desk.fire(trigger_of())
    ended = await desk.close_open()
    assert ended.green_at_ms is not None
    later = trigger_of(fired_at_ms=ended.green_at_ms + 1)
    dispatcher = desk.fresh()
    dispatcher.inherit([with_trigger(ended, later)])
    await desk.fire(later, new=False)
    assert len(desk.runner.open) == 1


async def test_a_refusal_is_not_written_down_again_by_the_next_process(desk: Desk) -> None:
    """The rule goes on firing; another reason is news, and so is another firing."""
    pause = Pause(reason="drill", by="eve", since_ms=1)
    desk.dispatcher.pause = pause
    await desk.fire(trigger_of())
    desk.clock.advance(MINUTE)
    desk.fresh().pause = pause
    for _ in range(2):
        await desk.fire(trigger_of(), new=False)
    assert await desk.reasons() == [Reason.PAUSED]
    desk.clock.advance(10 * MINUTE)
    desk.fresh()
    await desk.fire(trigger_of(), new=False)
    assert await desk.reasons() == [Reason.PAUSED, Reason.STALE_DATA]
    desk.fresh().pause = pause
    await desk.fire(trigger_of(fired_at_ms=NOW + 1))
    assert await desk.reasons() == [Reason.PAUSED, Reason.PAUSED, Reason.STALE_DATA]


async def test_a_rule_that_a_reload_changed_is_looked_at_anew(desk: Desk) -> None:
    """It begins to fire without ever having stopped; its earlier incident has ended."""
    desk.set_policy(cooldown_ms=0)
    await desk.fire(trigger_of())
    await desk.fire(trigger_of())
    assert len(desk.runner.open) == 1
    await desk.close_open()
    await desk.fire(trigger_of(), new=False)
    assert desk.runner.open == []
    await desk.fire(trigger_of())
    assert len(desk.runner.open) == 1


async def test_an_incident_that_another_process_drives_is_respected(desk: Desk) -> None:
    """The store has one open: nothing is opened, and it is looked at again later."""
    await desk.fire(trigger_of())
    desk.runner.open.clear()
    desk.fresh()
    await desk.fire(trigger_of("cost_or_latency"))
    assert len(await desk.incidents()) == 1
    assert desk.count("triggers_ignored", reason="joined_open_incident") == 1


async def test_an_outage_of_the_store_is_not_swallowed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trigger is looked at again by the next evaluation."""

    async def down(*_: Any, **__: Any) -> None:
        raise TemporaryError("down")

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "known_good", down)
        with pytest.raises(TemporaryError):
            await desk.fire(trigger_of())
    await desk.fire(trigger_of(), new=False)
    assert len(desk.runner.open) == 1


# By hand


async def test_a_person_pulls(desk: Desk) -> None:
    """Also while paused."""
    desk.dispatcher.pause = Pause(reason="drill", by="eve", since_ms=1)
    incident = await desk.dispatcher.pull("quality_regression", SCOPE, reason="a hunch", by="eve")
    assert (incident.reason, incident.pulled_by, incident.note) == (
        Reason.PULLED_BY_OPERATOR,
        "eve",
        "a hunch",
    )
    assert desk.runner.open == [incident]


async def test_a_pull_that_cannot_be_is_refused(desk: Desk) -> None:
    """With what is wrong: no such branch, nowhere to go back to, or one is open."""
    pull = desk.dispatcher.pull
    with pytest.raises(ValueError, match="branch `no_such` is not in the tree; it has duplicate_"):
        await pull("no_such", SCOPE, reason="", by="eve")
    with pytest.raises(ValueError, match="no_known_good"):
        await pull("quality_regression", Scope("other"), reason="", by="eve")
    await pull("quality_regression", SCOPE, reason="", by="eve")
    with pytest.raises(ScopeBusyError):
        await pull("cost_or_latency", SCOPE, reason="", by="eve")


async def test_the_fate_of_a_trigger_is_known(desk: Desk) -> None:
    """The incident that answers for it, or who said no; nothing of what does not fire."""
    trigger = trigger_of()
    fate_of = desk.dispatcher.fate_of
    assert fate_of(trigger.rule, trigger.labels) == Fate()
    await desk.fire(trigger)
    (incident,) = await desk.incidents()
    assert fate_of(trigger.rule, trigger.labels) == Fate(incident_id=incident.id)
    other = elsewhere(trigger, region="us-1")
    desk.dispatcher.pause = Pause(reason="r", by="b", since_ms=NOW)
    await desk.fire(other)
    assert fate_of(other.rule, other.labels) == Fate(reason=Reason.PAUSED)
    await desk.calm(trigger)
    assert fate_of(trigger.rule, trigger.labels) == Fate()


async def test_an_opening_under_way_is_not_offered_by_an_evaluation(desk: Desk) -> None:
    """A person pulls while rules are evaluated; the incident is driven once."""
    open_incident, asked = desk.store.open_incident, asyncio.Event()
    release = asyncio.Event()

    async def slowly(incident: Incident, record: JournalRecord) -> None:
        asked.set()
        await release.wait()
        await open_incident(incident, record)

    store: Any = desk.store
    store.open_incident = slowly
    pull = asyncio.ensure_future(
        desk.dispatcher.pull("quality_regression", SCOPE, reason="it smells", by="ann")
    )
    await asked.wait()
    evaluation = asyncio.ensure_future(desk.calm())
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(pull, evaluation)
    assert [incident.id for incident in desk.runner.open] == [pull.result().id]
