"""Guardrails on the way from a trigger to an incident: on a real store, with a clock by hand."""

from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.errors import TemporaryError
from rollbackd.model.decisions import Reason
from rollbackd.model.facts import ChangeEvent, ChangeKind
from rollbackd.model.history import Latch
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.labels import Scope
from rollbackd.model.policy import BranchPolicy, Budget, Correlated, Window
from rollbackd.model.triggers import RuleState, Trigger
from rollbackd.ports import Pause
from tests.app.desk import Desk, elsewhere
from tests.incidents.samples import KNOWN_GOOD, MINUTE, NOW, PINS, SCOPE, trigger_of

SECOND = 1_000
HOUR = 60 * MINUTE


async def many_scopes(desk: Desk, count: int) -> list[str]:
    """So many services with a known good set."""
    services = [f"service-{n:02}" for n in range(count)]
    for service in services:
        await desk.store.put_known_good(replace(KNOWN_GOOD, scope=Scope(service, "eu-1")))
    return services


def fires(service: str, at_ms: int, **changes: Any) -> Trigger:
    fresh = trigger_of(fired_at_ms=at_ms, evaluated_at_ms=at_ms, event_time_ms=at_ms, **changes)
    return elsewhere(fresh, service=service)


def now_fresh(triggers: Iterable[Trigger], now_ms: int) -> list[Trigger]:
    """They go on firing over new data."""
    return [replace(trigger, event_time_ms=now_ms) for trigger in triggers]


# Correlated trips


async def test_fifty_scopes_at_once_are_acted_on_nowhere(desk: Desk) -> None:
    """One page, and what would have been done is written down for each of them (T18)."""
    services = await many_scopes(desk, 50)
    wave = [fires(service, NOW) for service in services]
    await desk.fire(*wave)
    assert desk.runner.open == []
    assert len(desk.pages) == 1
    assert desk.pages[0][1] == Reason.CORRELATED_TRIPS
    assert await desk.reasons() == [Reason.CORRELATED_TRIPS] * 50
    assert desk.count("guard_blocks", guard="correlated_trips") == 50
    (first, *_) = await desk.incidents()
    assert "50 scopes tripped within 5m (service-00/eu-1, " in first.note


async def test_fifty_scopes_in_a_minute_are_seen_coming(desk: Desk) -> None:
    """One after the other: what is pending under the same rule counts as if it had fired."""
    services = await many_scopes(desk, 50)
    pending = [fires(service, NOW, state=RuleState.PENDING) for service in services]
    await desk.dispatcher.dispatch(pending, ())
    firing: list[Trigger] = []
    for service in services:
        desk.clock.advance(1_200)
        new = fires(service, desk.clock.now())
        firing = [*now_fresh(firing, desk.clock.now()), new]
        await desk.dispatcher.dispatch([new], firing)
    assert desk.runner.open == []
    assert [reason for _, reason in desk.pages] == [Reason.CORRELATED_TRIPS]


async def test_what_was_open_before_the_wave_was_seen_is_kept(desk: Desk) -> None:
    """Without a warning the first few act; from the fifth on nothing opens. One page."""
    services = await many_scopes(desk, 50)
    firing: list[Trigger] = []
    for service in services:
        desk.clock.advance(1_200)
        firing.append(fires(service, desk.clock.now()))
        await desk.dispatcher.dispatch(firing[-1:], firing)
    assert [i.scope.service for i in desk.runner.open] == services[:4]
    assert len(desk.pages) == 1


async def test_a_wave_is_not_acted_on_later_either(desk: Desk) -> None:
    """Hours later it still fires; a trip of its own, when the wave is over, is acted on."""
    services = await many_scopes(desk, 20)
    wave = [fires(service, NOW) for service in services]
    await desk.fire(*wave)
    for _ in range(8):
        desk.clock.advance(30 * MINUTE)
        await desk.fire(*now_fresh(wave, desk.clock.now()), new=False)
    assert desk.runner.open == []
    assert len(desk.pages) == 1
    await desk.calm(*wave)
    await desk.fire(fires(services[0], desk.clock.now()))
    assert [i.scope.service for i in desk.runner.open] == services[:1]


async def test_refused_trips_of_another_process_count(desk: Desk) -> None:
    """The store remembers them, also over a restart."""
    services = await many_scopes(desk, 5)
    desk.dispatcher.pause = Pause(reason="drill", by="eve", since_ms=1)
    await desk.fire(*(fires(service, NOW) for service in services[:4]))
    desk.fresh()
    desk.clock.advance(MINUTE)
    await desk.fire(fires(services[4], desk.clock.now()))
    assert (await desk.reasons()).count(Reason.CORRELATED_TRIPS) == 1


# Flapping, and acts that do not help


async def flap(desk: Desk, *, seconds: int, every: int = 30) -> list[Incident]:
    """Red for a moment, then green again; each incident runs through at once."""
    opened = []
    for _ in range(seconds // every):
        desk.clock.advance(every * SECOND)
        trigger = fires(SCOPE.service, desk.clock.now())
        await desk.fire(trigger)
        opened += desk.runner.open
        while desk.runner.open:
            await desk.close_open()
        await desk.calm(trigger)
    return opened


async def test_an_hour_of_flapping_moves_little(desk: Desk) -> None:
    """Every thirty seconds: the cooldown leaves two of a hundred and twenty (T20)."""
    assert len(await flap(desk, seconds=3_600)) == 2


async def test_flapping_latches_until_a_person_resets_it(desk: Desk) -> None:
    """Without a cooldown it is the third flip; over a restart, and for days."""
    desk.set_policy(cooldown_ms=0, budget=Budget(acts=1_000, per_ms=HOUR))
    assert len(await flap(desk, seconds=3_600)) == 3
    assert desk.pages == [(str(SCOPE), Reason.FLAP_LATCH)]
    desk.fresh()
    desk.clock.advance(5 * 24 * HOUR)
    assert await flap(desk, seconds=600) == []
    (released,) = await desk.dispatcher.latching.release(SCOPE, by="eve")
    assert (released.branch, released.released_by) == ("quality_regression", "eve")
    assert len(await flap(desk, seconds=3_600)) == 3


async def test_another_branch_is_not_held_by_a_flap(desk: Desk) -> None:
    """The latch is of one scope and branch."""
    desk.set_policy(cooldown_ms=0, budget=Budget(acts=1_000, per_ms=HOUR))
    await flap(desk, seconds=600)
    await desk.fire(trigger_of("cost_or_latency", event_time_ms=desk.clock.now()))
    assert [i.branch for i in desk.runner.open] == ["cost_or_latency"]


async def test_two_acts_that_did_not_help_stop_the_scope(desk: Desk) -> None:
    """Whatever the branch; closed is not enough, it has to have been green. One page."""
    for branch in ("quality_regression", "cost_or_latency"):
        desk.clock.advance(HOUR)
        await desk.fire(trigger_of(branch, event_time_ms=desk.clock.now()))
        ended = await desk.close_open(helped=False)
        assert ended.state is State.CLOSED
        await desk.calm(trigger_of(branch))
    for _ in range(3):
        desk.clock.advance(HOUR)
        trigger = trigger_of("duplicate_effects", event_time_ms=desk.clock.now())
        await desk.fire(trigger)
        await desk.calm(trigger)
    assert desk.runner.open == []
    assert desk.pages == [(str(SCOPE), Reason.INEFFECTIVE_CHAIN)]
    await desk.dispatcher.latching.release(SCOPE, by="eve")
    await desk.fire(trigger_of("duplicate_effects", event_time_ms=desk.clock.now()))
    assert [i.branch for i in desk.runner.open] == ["duplicate_effects"]


async def test_only_what_is_latched_can_be_released(desk: Desk) -> None:
    """And only once."""
    with pytest.raises(KeyError, match="latch on rag/eu-1"):
        await desk.dispatcher.latching.release(SCOPE, by="eve")


# Pause


async def test_the_local_file_pauses_at_once(desk: Desk) -> None:
    """Its content is the reason; it outlives the process, and its end is noticed at once."""
    desk.pause_file.write("the index is being rebuilt")
    await desk.fire(trigger_of())
    (observed,) = await desk.incidents()
    assert observed.reason is Reason.PAUSED
    assert observed.note == "paused: the index is being rebuilt"
    dispatcher = desk.fresh()
    await desk.fire(trigger_of())
    assert desk.runner.open == []
    assert dispatcher.pause_in_force is not None
    assert desk.pause_file.remove()
    await desk.fire(trigger_of(), new=False)
    assert len(desk.runner.open) == 1


async def test_the_local_file_works_while_the_store_is_down(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in force before the store answers, and when it does nothing is opened."""

    async def down(*_: Any, **__: Any) -> None:
        raise TemporaryError("down")

    desk.pause_file.write("stop")
    with monkeypatch.context() as patch:
        for method in ("history", "known_good", "pause", "open_incident"):
            patch.setattr(desk.store, method, down)
        with pytest.raises(TemporaryError):
            await desk.fire(trigger_of())
        assert desk.dispatcher.pause_in_force == desk.pause_file.read()
    await desk.fire(trigger_of(), new=False)
    assert desk.runner.open == []


# What else is wired


async def test_no_more_than_so_many_are_open(desk: Desk) -> None:
    """The next one opens when one of them has ended; waiting is no correlated trip."""
    desk.set_tree(max_open_incidents=2, correlated=Correlated(scopes=100, within_ms=MINUTE))
    services = await many_scopes(desk, 4)
    waiting = [fires(service, NOW) for service in services]
    await desk.fire(*waiting)
    assert len(desk.runner.open) == 2
    assert (await desk.reasons()).count(Reason.CONCURRENT_INCIDENTS) == 2
    await desk.close_open()
    desk.clock.advance(SECOND)
    await desk.fire(*waiting, new=False)
    assert len(desk.runner.open) == 2
    assert len(await desk.incidents()) == 5


async def test_pins_and_coverage_are_looked_at(desk: Desk) -> None:
    """Nothing to go back to; too little to go by."""
    desk.pins = {"canary": PINS}
    await desk.fire(trigger_of())
    desk.coverage = 0.2
    desk.clock.advance(SECOND)
    await desk.fire(trigger_of(), new=False)
    assert await desk.reasons() == [Reason.INPUT_COVERAGE, Reason.KNOWN_GOOD_IS_CURRENT]


async def test_what_was_changed_before_is_carried_along(desk: Desk) -> None:
    """The newest first hour of it; where the branch wants one, none means nothing is pulled."""
    desk.set_policy(requires_change=True)
    await desk.fire(trigger_of())
    assert await desk.reasons() == [Reason.NO_RECENT_CHANGE]
    now_ms = desk.clock.now()
    fresh = ChangeEvent(
        scope=SCOPE, kind=ChangeKind.DEPLOY, subject="rag", time_ms=now_ms, after="v2"
    )
    old = replace(fresh, time_ms=now_ms - 2 * HOUR, after="v1")
    desk.changes = [old, fresh]
    desk.clock.advance(SECOND)
    await desk.fire(trigger_of(), new=False)
    (incident,) = desk.runner.open
    assert incident.changes == [fresh]
    opened = (await desk.store.journal(incident.id))[0]
    assert opened.detail["changes"] == ["deploy `rag` -> v2"]


async def test_a_lever_without_budget_is_left_out(desk: Desk) -> None:
    """The branch goes on with the others."""
    desk.set_policy(lever_budget=Budget(acts=1, per_ms=HOUR), cooldown_ms=0)
    await desk.fire(trigger_of())
    closed = await desk.close_open()
    assert {receipt.target.lever for receipt in closed.receipts} >= {"flag_off", "write_block"}
    desk.set_policy(freeze=None, rotate=None)
    await desk.calm(trigger_of())
    await desk.fire(trigger_of())
    (incident,) = desk.runner.open
    assert [call.lever for call in incident.policy.levers] == ["alias_revert", "repin"]


@pytest.mark.parametrize("kind", ["maintenance", "change_freeze"])
async def test_a_window_is_left_as_it_ends(desk: Desk, kind: str) -> None:
    """Then the trigger is acted on, if it still fires."""
    window = Window(name="move", kind=kind, start_ms=NOW, end_ms=NOW + HOUR)
    desk.set_tree(windows=[window], change_freeze="respect")
    await desk.fire(trigger_of())
    assert desk.runner.open == []
    desk.clock.advance(HOUR)
    await desk.fire(trigger_of(event_time_ms=desk.clock.now()), new=False)
    assert len(desk.runner.open) == 1


async def test_an_exempt_rollback_names_the_freeze(desk: Desk) -> None:
    """In the incident and in its first record (K23)."""
    window = Window(name="year end", kind="change_freeze", start_ms=NOW, end_ms=NOW + 1)
    desk.set_tree(windows=[window])
    await desk.fire(trigger_of())
    (incident,) = desk.runner.open
    assert incident.note == "in change freeze `year end`, from which a rollback is exempt"
    (record,) = await desk.store.journal(incident.id)
    assert record.detail["note"] == incident.note


async def test_a_takeover_is_guarded_too(desk: Desk) -> None:
    """A higher branch does not take over in a maintenance window; it is said once."""
    await desk.fire(trigger_of("cost_or_latency"))
    desk.set_tree(windows=[Window(name="w", kind="maintenance", start_ms=NOW, end_ms=NOW + HOUR)])
    for _ in range(3):
        await desk.fire(trigger_of("duplicate_effects"), new=False)
    assert desk.runner.joined == []
    assert desk.count("guard_blocks", guard="maintenance_window") == 1
    desk.clock.advance(HOUR)
    fresh = trigger_of("duplicate_effects", event_time_ms=desk.clock.now())
    await desk.fire(fresh, new=False)
    assert [branch for _, branch in desk.runner.joined] == ["duplicate_effects"]


async def test_a_takeover_is_not_held_back_by_budgets(desk: Desk) -> None:
    """The scope is being acted on already."""
    await desk.fire(trigger_of("cost_or_latency"))
    desk.set_tree(global_budget=Budget(acts=0, per_ms=HOUR), max_open_incidents=1)
    await desk.fire(trigger_of("duplicate_effects"), new=False)
    assert len(desk.runner.joined) == 1


async def test_a_pull_passes_every_guardrail_but_the_known_good(desk: Desk) -> None:
    """Paused by file, in a window, observing, over budget."""
    desk.pause_file.write("stop")
    desk.set_policy(mode="observe")
    desk.set_tree(
        mode="observe",
        global_budget=Budget(acts=0, per_ms=HOUR),
        max_blast_radius=0.0,
        windows=[Window(name="w", kind="maintenance", start_ms=NOW, end_ms=NOW + HOUR)],
    )
    incident = await desk.dispatcher.pull("quality_regression", SCOPE, reason="now", by="eve")
    assert incident.state is State.DETECTED


async def test_the_past_is_read_once_an_evaluation(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many triggers are looked at, and at most once a second for the same ones."""
    services = await many_scopes(desk, 30)
    reads = 0
    history = desk.store.history

    async def counted(**bounds: int) -> Any:
        nonlocal reads
        reads += 1
        return await history(**bounds)

    monkeypatch.setattr(desk.store, "history", counted)
    wave = [fires(service, NOW) for service in services]
    await desk.fire(*wave)
    assert reads == 1
    await desk.fire()
    assert reads == 1
    for _ in range(10):
        desk.clock.advance(100)
        await desk.fire(*wave, new=False)
    assert reads == 2


async def test_reasons_that_take_turns_are_written_down_once_each(desk: Desk) -> None:
    """Not every time; and a person's change is looked at before a second has passed."""
    for round_ in range(6):
        desk.set_policy(mode="observe" if round_ % 2 else "act", needs_known_good=True)
        desk.coverage = None if round_ % 2 else 0.1
        await desk.fire(trigger_of(), new=False)
        reason = (Reason.INPUT_COVERAGE, Reason.OBSERVE_MODE)[round_ % 2]
        assert desk.dispatcher.fate_of("quality_regression", trigger_of().labels).reason is reason
    assert await desk.reasons() == [Reason.INPUT_COVERAGE, Reason.OBSERVE_MODE]
    await desk.calm(trigger_of())
    await desk.fire(trigger_of())
    assert len(await desk.incidents()) == 3


# The branch that the pins point at


def wrong_index(desk: Desk) -> None:
    """Worse answers, and what changed is of the index: that is the business of another branch."""
    desk.pins = {"canary": {**PINS, "ANALYZER_CONF": "c2"}}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"budget": Budget(acts=0, per_ms=HOUR)}, Reason.BUDGET_SPENT),
        ({"lever_budget": Budget(acts=0, per_ms=HOUR)}, Reason.BUDGET_SPENT),
        ({"max_event_age_ms": -1}, Reason.STALE_DATA),
    ],
)
async def test_the_branch_that_the_pins_point_at_is_asked_too(
    desk: Desk, changes: dict[str, Any], reason: Reason
) -> None:
    """Otherwise its budget, its cooldown and its latch could be walked around (K8)."""
    wrong_index(desk)
    mismatch = replace(desk.tree.branches["retriever_mismatch"], **changes)
    desk.set_policy(shares_symptoms_with=[mismatch])
    await desk.fire(trigger_of())
    (refused,) = await desk.incidents()
    assert (refused.state, refused.reason) == (State.OBSERVED, reason)
    assert refused.branch == "retriever_mismatch"
    assert "the pins that changed point at branch `retriever_mismatch`: " in refused.note


async def test_a_latch_of_the_branch_that_the_pins_point_at_is_kept_there(desk: Desk) -> None:
    wrong_index(desk)
    latch = Latch(
        scope=SCOPE, branch="retriever_mismatch", reason=Reason.FLAP_LATCH, since_ms=NOW - HOUR
    )
    await desk.store.put_latch(latch)
    await desk.fire(trigger_of())
    assert await desk.reasons() == [Reason.FLAP_LATCH]
    assert await desk.store.latches() == [latch]


async def test_a_branch_that_may_not_act_is_out_of_reach_of_the_pins(desk: Desk) -> None:
    """They may point elsewhere once the evidence is captured."""
    desk.pins = {"canary": {**PINS, "PROMPT_VER": "p2"}}
    spent = replace(desk.tree.branches["retriever_mismatch"], budget=Budget(acts=0, per_ms=HOUR))
    desk.set_policy(shares_symptoms_with=[spent])
    await desk.fire(trigger_of())
    (incident,) = desk.runner.open
    assert incident.policy.shares_symptoms_with == []


async def test_a_takeover_leaves_out_what_may_not_be_done(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an opening does."""
    desk.pins = {"canary": {**PINS, "PROMPT_VER": "p2"}}
    spent = replace(desk.tree.branches["retriever_mismatch"], max_event_age_ms=-1)
    await desk.fire(trigger_of("cost_or_latency"))
    desk.set_policy(shares_symptoms_with=[spent])
    taken: list[BranchPolicy] = []

    def join(_incident_id: str, _trigger: Trigger, policy: BranchPolicy) -> bool:
        taken.append(policy)
        return True

    monkeypatch.setattr(desk.runner, "join", join)
    await desk.fire(trigger_of())
    assert [(each.branch, each.shares_symptoms_with) for each in taken] == [
        ("quality_regression", [])
    ]


# Openings that the store has not answered for


async def lost_reply(desk: Desk, monkeypatch: pytest.MonkeyPatch, *, stored: bool) -> None:
    """The store takes the opening or not; nobody hears of it."""
    store = desk.store.open_incident

    async def silent(incident: Incident, record: JournalRecord) -> None:
        if stored:
            await store(incident, record)
        raise TemporaryError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "open_incident", silent)
        with pytest.raises(TemporaryError):
            await desk.fire(trigger_of())


@pytest.mark.parametrize("stored", [True, False])
async def test_an_opening_without_an_answer_is_offered_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, stored: bool
) -> None:
    await lost_reply(desk, monkeypatch, stored=stored)
    await desk.fire(trigger_of(), new=False)
    assert len(await desk.incidents()) == len(desk.runner.open) == 1


@pytest.mark.parametrize("stored", [True, False])
async def test_a_refusal_without_an_answer_is_written_down_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, stored: bool
) -> None:
    """It is refused again in the same evaluation, and that is no other refusal."""
    desk.dispatcher.pause = Pause(reason="drill", by="eve", since_ms=1)
    await lost_reply(desk, monkeypatch, stored=stored)
    for _ in range(2):
        await desk.fire(trigger_of(), new=False)
    assert await desk.reasons() == [Reason.PAUSED]
    assert desk.count("guard_blocks", guard="paused") == 1


@pytest.mark.parametrize("paused", [True, False])
async def test_an_opening_that_may_be_over_is_not_offered_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, paused: bool
) -> None:
    """After a long outage, or once a person has paused, the trigger is asked anew or has gone."""
    await lost_reply(desk, monkeypatch, stored=False)
    if paused:
        desk.dispatcher.pause = Pause(reason="wait", by="eve", since_ms=NOW)
    else:
        desk.clock.advance(10 * MINUTE)
    await desk.fire()
    assert await desk.incidents() == []
    desk.dispatcher.pause = None
    await desk.fire()
    assert desk.runner.open == []


async def test_an_opening_that_was_stored_after_all_is_driven(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late: without a driver it would hold its scope."""
    await lost_reply(desk, monkeypatch, stored=True)
    desk.clock.advance(10 * MINUTE)
    await desk.fire()
    assert [i.id for i in await desk.incidents()] == [i.id for i in desk.runner.open]


async def test_an_opening_that_another_process_drives_by_now_is_left_to_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lost_reply(desk, monkeypatch, stored=True)
    (stored,) = await desk.incidents()
    await desk.store.advance(replace(stored, version=2, epoch=stored.epoch + 1), [])
    await desk.fire()
    await desk.fire()
    assert desk.runner.open == []
